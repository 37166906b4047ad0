"""The closing tables of a comparison."""

from collections.abc import Iterator

from itn.runtime.tables import text_table
from itn.runtime.wording import counted
from itn.screening.comparison.records import (
    Breaks,
    ComparisonRecord,
    Correlation,
    Difference,
    PairComparison,
    TransformComparison,
)
from itn.screening.criteria import level_text, measure
from itn.transforms import TRANSFORMS


def comparison_summary(record: ComparisonRecord) -> str:
    """Return a table for every two screens: thresholds, images that break in one alone, correlation."""
    lines = [
        *record.notes,
        f"{counted(record.n, 'image')}; in brackets {100 * record.confidence:g} % intervals, paired by image",
    ]
    for pair in record.pairs:
        lines += ["", *_pair(pair, record)]
    return "\n".join([*lines, "", *_key(record)])


def _pair(pair: PairComparison, record: ComparisonRecord) -> Iterator[str]:
    clean = pair.clean
    yield f"{pair.second} against {pair.first}"
    if record.labeled:
        yield (
            f"unchanged images: {100 * clean.second:.2f} % right against {100 * clean.first:.2f} %, by "
            f"{100 * clean.value:+.2f} [{100 * clean.ci_low:+.2f}, {100 * clean.ci_high:+.2f}] points; "
            f"{100 * clean.same_prediction:.1f} % of the predictions are the same"
        )
    else:
        yield f"unchanged images: {100 * clean.same_prediction:.1f} % of the predictions are the same"
    yield ""
    header = (
        "transformation",
        "side",
        pair.first,
        pair.second,
        "difference",
        "breaks in one alone",
        "rank correlation",
    )
    rows = [
        (
            name,
            side,
            _reach(found.first, found.first_beyond, compared),
            _reach(found.second, found.second_beyond, compared),
            difference_text(found, compared.logarithmic),
            _alone(compared.breaks[side]),
            _tau(compared.correlation[side]),
        )
        for name, compared in pair.transforms.items()
        for side, found in compared.thresholds[record.criterion].items()
    ]
    yield from text_table(rows, header).split("\n")


def _reach(distance: float, beyond: bool, compared: TransformComparison) -> str:
    text = f"{'/ or x ' if compared.logarithmic else ''}{distance:.3g}"
    return f"beyond {text}" if beyond else text


def difference_text(found: Difference, logarithmic: bool) -> str:
    """Return a difference with its interval, and whether it is cut off by what was tested."""
    if found.first_beyond and found.second_beyond:
        return "both beyond"
    sign = "" if logarithmic else "+"
    least = "at least " if found.second_beyond else "at most " if found.first_beyond else ""
    times = "x " if logarithmic else ""
    return f"{least}{times}{found.value:{sign}.3g} [{found.ci_low:{sign}.3g}, {found.ci_high:{sign}.3g}]"


def _alone(breaks: Breaks) -> str:
    return f"{breaks.first_only} - {breaks.second_only} of {breaks.n}"


def _tau(found: Correlation) -> str:
    if found.value is None:
        return "-"
    if found.ci_low is None or found.ci_high is None:
        return f"{found.value:.2f}"
    return f"{found.value:.2f} [{found.ci_low:.2f}, {found.ci_high:.2f}]"


def _key(record: ComparisonRecord) -> Iterator[str]:
    units = {name: compared.unit for pair in record.pairs for name, compared in pair.transforms.items()}
    yield from (f"{name}: {unit}" for name, unit in units.items() if name not in TRANSFORMS)
    level = level_text(record.criterion, record.accuracy_fraction)
    yield (
        f"numbers of each: how far from the identity {measure(record.criterion, record.topk)} stays at or "
        f"above {level}; of factors the factor; beyond: to the last magnitude that both have tried"
    )
    yield "difference: second less first, of factors second over first, within what both have tried"
    right = "that are right unchanged in both, " if record.labeled else ""
    yield f"breaks in one alone: images {right}whose prediction changes in the first only - the second only"
    yield "rank correlation: Kendall's tau-b of the magnitudes at which predictions change, censored"
