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
    of = f" of {record.source}" if record.source else ""
    lines = [
        *record.notes,
        f"{counted(record.n, 'image')}{of}; in brackets {100 * record.confidence:g} % intervals, "
        "paired by image",
    ]
    for pair in record.pairs:
        lines += ["", *_pair(pair, record)]
    return "\n".join([*lines, "", *_key(record)])


def _pair(pair: PairComparison, record: ComparisonRecord) -> Iterator[str]:
    clean = pair.clean
    yield f"{pair.second} against {pair.first}"
    if record.labeled:
        low, high = 100 * clean.ci_low, 100 * clean.ci_high
        yield (
            f"unchanged images: {pair.second} has {100 * clean.second:.2f} % right, {pair.first} "
            f"{100 * clean.first:.2f} %: {100 * clean.value:+.2f} [{low:+.2f}, {high:+.2f}] points; "
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
        "farther",
        "breaks in one alone",
        "rank correlation",
    )
    rows = [
        (
            name,
            side,
            _magnitude(found.first, found.first_beyond, side, compared),
            _magnitude(found.second, found.second_beyond, side, compared),
            difference_text(found, compared.logarithmic),
            _farther(found, pair, compared.logarithmic),
            _alone(compared.breaks[side]),
            _tau(compared.correlation[side]),
        )
        for name, compared in pair.transforms.items()
        for side, found in compared.thresholds[record.criterion].items()
    ]
    yield from text_table(rows, header).split("\n")


def _magnitude(distance: float, beyond: bool, side: str, compared: TransformComparison) -> str:
    """Return the magnitude at a distance from the identity, on one side of it."""
    if compared.logarithmic:
        v = compared.identity * (distance if side == "above" else 1 / distance)
    else:
        v = compared.identity + (distance if side == "above" else -distance)
    return f"{'beyond ' if beyond else ''}{v:.3g}"


def _farther(found: Difference, pair: PairComparison, logarithmic: bool) -> str:
    """Return which of the two goes farther; "-" where the interval leaves it open."""
    none = 1 if logarithmic else 0
    if (found.first_beyond and found.second_beyond) or found.ci_low <= none <= found.ci_high:
        return "-"
    return pair.second if found.value > none else pair.first


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
        f"numbers of each: the magnitude, on one side of the identity, to which "
        f"{measure(record.criterion, record.topk)} stays at or above {level}; beyond: it does at the last "
        "one that both have tried"
    )
    yield (
        "difference: how much farther from the identity the second goes (-: less far) than the first, in the "
        "unit of the magnitude; x: how many times as far, of factors"
    )
    yield "farther: which of the two, if the interval leaves no doubt"
    right = "that are right unchanged in both, " if record.labeled else ""
    yield f"breaks in one alone: images {right}whose prediction changes in the first only - the second only"
    yield (
        "rank correlation: 1 if images that change early in one change early in the other, 0 if that is "
        "chance (Kendall's tau-b; images that never change count as changing last)"
    )
