"""The closing table of a screen, and the sentence to quote."""

import dataclasses
from collections.abc import Iterable, Sequence

from itn.data.inputs import input_notes
from itn.models.canvases import surround_text
from itn.runtime.tables import text_table
from itn.runtime.wording import counted
from itn.screening.border import border_notes
from itn.screening.criteria import agreement_text, level_text, measure, short_text
from itn.screening.records import Curve, OutcomeShares, PairRecord, ScreenRecord, Sides, SweepRecord
from itn.screening.sampling_cost import sampling_note
from itn.screening.thresholds import Threshold
from itn.transforms import TRANSFORMS

MOST_RECOVERIES = 5  # named in the closing table
SHRINKING = ("zoom", "scale_x", "scale_y")  # factors whose direction is not evident


def screen_summary(record: ScreenRecord) -> str:
    """Return the closing table; on top is what breaks the classifier with the least change of pixels."""
    low, high = record.clean_accuracy_ci
    lines = [
        *input_notes(record.provenance),
        f"clean {measure('accuracy', record.topk)} {percent_text(record.clean_accuracy)} "
        f"[{percent_text(low)}, {percent_text(high)}], {counted(record.n, 'image')}; "
        f"in brackets {100 * record.confidence:g} % intervals",
    ]
    if record.transforms:
        fraction = next(iter(record.transforms.values())).thresholds.accuracy_fraction
        header, *rows = table_cells(record)
        table = text_table(rows, header).split("\n")
        lines += ["", *table, "", *readings(record), *_first(record, fraction), *findings(record)]
    if has_geometry(record):
        lines.append(surround_text(record.surround, record.interpolation, record.padding))
    lines += [pair_text(pair, record.clean_accuracy) for pair in record.pairs.values()]
    lines += [f"{name} is left out: {reason}" for name, reason in record.left_out.items()]
    return "\n".join(lines)


def has_geometry(record: ScreenRecord) -> bool:
    """Return whether anything brings in what lies around the images."""
    swept = {name: sweep.lost_content is not None for name, sweep in record.transforms.items()}
    names = {*swept, *(name for pair in record.pairs.values() for name in (pair.x, pair.y))}
    # A pair may hold one that is not registered, of which the record does not say what it is
    return any(swept.get(name, name not in TRANSFORMS or TRANSFORMS[name].spatial) for name in names)


def pair_text(pair: PairRecord, clean_accuracy: float) -> str:
    """Return at how many pairs of magnitudes enough is kept, and where the least is."""
    of_all, level = pair.kept_of_all(clean_accuracy)
    kept = sum(share >= level for row in of_all for share in row)
    shares = pair.accuracy if pair.criterion == "accuracy" else pair.kept_share(clean_accuracy)
    cells = len(pair.magnitudes_x) * len(pair.magnitudes_y)
    return (
        f"{pair.x} x {pair.y}: {measure(pair.criterion, pair.topk)} is at least "
        f"{level_text(pair.criterion, pair.accuracy_fraction)} at {kept} of {cells} pairs of magnitudes; "
        f"lowest {percent_text(min(map(min, shares)))}"
    )


def breaking_order(record: ScreenRecord) -> list[tuple[str, float | None]]:
    """Return the transformations with the change of pixels at which they break, the least first.

    That is the root mean square change at the threshold, the smaller one of two sides; of a discrete
    transformation at the magnitudes that break it. It is None, at the end, where enough is kept at all tested
    magnitudes.
    """
    order = []
    for name, sweep in record.transforms.items():
        changes = [change for change in sweep.thresholds.pixel_change.values() if change is not None]
        if sweep.kept is not None:
            changes = [sweep.pixel_change[n] for n, kept in enumerate(sweep.kept) if not kept]
        order.append((name, min(changes, default=None)))
    return sorted(order, key=lambda item: (item[1] is None, item[1] or 0))


def statement(name: str, sweep: SweepRecord, confidence: float) -> str:
    """Return one sentence on a transformation, precise enough to quote."""
    thresholds, unit = sweep.thresholds, unit_text(name, sweep.unit)
    watched = measure(thresholds.criterion, thresholds.topk)
    level = level_text(thresholds.criterion, thresholds.accuracy_fraction)
    claim = f"{name}: {watched} stays at or above {level}"
    if sweep.kept is not None:
        return _discrete_statement(name, sweep, confidence)
    if all(threshold.value is None for threshold in thresholds.of_criterion.values()):
        return f"{claim} from {tested_text(sweep)}, all that was tested ({unit})"
    extent = range_text(thresholds.of_criterion, sweep.magnitudes, sweep.identity)
    return f"{claim} from {extent} ({unit}; in brackets {100 * confidence:g} % intervals)"


def unit_text(name: str, unit: str) -> str:
    """Return the unit of a transformation; in earlier records it does not say its direction."""
    return f"{unit}, above 1 shrinks content" if name in SHRINKING and unit == "factor" else unit


def _discrete_statement(name: str, sweep: SweepRecord, confidence: float) -> str:
    thresholds = sweep.thresholds
    fraction = level_text(thresholds.criterion, thresholds.accuracy_fraction)
    shares = (sweep.kept_share, sweep.kept_ci_low, sweep.kept_ci_high)
    if thresholds.criterion == "accuracy":
        shares = (sweep.accuracy, sweep.ci_low, sweep.ci_high)
    curves = (sweep.magnitudes, sweep.kept or (), *shares)
    points = [point for point in zip(*curves, strict=True) if point[0] != sweep.identity]
    kept = [f"{v:g}" for v, is_kept, *_ in points if is_kept]
    broken = [
        f"{v:g} ({percent_text(share)} [{percent_text(low)}, {percent_text(high)}])"
        for v, is_kept, share, low, high in points
        if not is_kept
    ]
    clauses = [f"stays at or above {fraction} at {_listed(kept)}"] if kept else []
    clauses += [f"falls below {'it' if kept else fraction} at {_listed(broken)}"] if broken else []
    unit = unit_text(name, sweep.unit) + (f"; in brackets {100 * confidence:g} % intervals" if broken else "")
    watched = measure(thresholds.criterion, thresholds.topk)
    return f"{name}: {watched} {' and '.join(clauses)}{'' if broken else ', all that was tested'} ({unit})"


def table_cells(record: ScreenRecord) -> list[tuple[str, ...]]:
    """Return the header and the rows of the closing table."""
    fraction = next(iter(record.transforms.values())).thresholds.accuracy_fraction
    header = (
        "transformation",
        short_text(record.criterion, fraction, record.topk),
        "half of the predictions unchanged",
        "tested",
        "unit",
        "pixel change",
        f"broken - mended, {agreement_text(record.topk)} there",
    )
    rows: list[tuple[str, ...]] = [header]
    for name, change in breaking_order(record):
        sweep = record.transforms[name]
        rows.append(
            (
                name,
                *extents(sweep),
                tested_text(sweep),
                unit_text(name, sweep.unit),
                *(("-", "-") if change is None else _first_break(sweep, change)),
            )
        )
    return rows


def _first_break(sweep: SweepRecord, change: float) -> tuple[str, str]:
    """Return at which magnitude a classifier breaks with this change of pixels, and what images do there."""
    thresholds = sweep.thresholds
    side = next((side for side, at in thresholds.pixel_change.items() if at == change), None)
    v = None if side is None or sweep.kept is not None else thresholds.of_criterion[side].value
    shares = None if side is None or v is None else thresholds.at[side]
    if v is None or shares is None:
        n = sweep.pixel_change.index(change)
        v, shares = sweep.magnitudes[n], OutcomeShares(sweep.broken[n], sweep.mended[n], sweep.agreement[n])
    broken, mended, agreement = (f"{100 * share:.1f}" for share in dataclasses.astuple(shares))
    return f"{change:.3f} at {v:.3g}", f"{broken} - {mended}, {agreement} %"


def extents(sweep: SweepRecord) -> tuple[str, str]:
    """Return where enough is kept, and where half of the predictions are unchanged."""
    frame, criterion = (sweep.magnitudes, sweep.identity), sweep.thresholds.criterion
    if sweep.kept is not None:
        shares = sweep.accuracy if criterion == "accuracy" else sweep.kept_share
        what = {"accuracy": "right", "broken": "still right", "agreement": "kept"}[criterion]
        unchanged = [share >= 0.5 for share in sweep.unchanged]
        return (
            kept_text(sweep.kept, shares, what, *frame),
            kept_text(unchanged, sweep.unchanged, "unchanged", *frame),
        )
    medians = {side: flips.median for side, flips in sweep.thresholds.flips.items()}
    return range_text(sweep.thresholds.of_criterion, *frame), range_text(medians, *frame)


def readings(record: ScreenRecord) -> list[str]:
    """Return how to read the closing table."""
    fraction = next(iter(record.transforms.values())).thresholds.accuracy_fraction
    watched, level = measure(record.criterion, record.topk), level_text(record.criterion, fraction)
    return [
        f"pixel change: by how much pixels have changed (root mean square, 1 is from black to white) at the "
        f"magnitude where {watched} falls below {level}; of two sides the one where that is less",
        "broken, mended: % of images that are right unchanged and wrong at that magnitude, or the reverse; "
        f"{agreement_text(record.topk)}: {measure('agreement', record.topk)}",
    ]


def _first(record: ScreenRecord, fraction: float) -> Iterable[str]:
    """Yield what breaks the classifier first."""
    watched, level = measure(record.criterion, record.topk), level_text(record.criterion, fraction)
    first, change = breaking_order(record)[0]
    if change is None:
        yield f"nothing breaks it: {watched} stays at or above {level} throughout"
    else:
        yield f"breaks first, with the smallest pixel change ({change:.3f}):"
        yield f"  {statement(first, record.transforms[first], record.confidence)}"


def findings(record: ScreenRecord, only: str | None = None) -> Iterable[str]:
    """Yield what recovers after it has broken, and what the border of photographs or sampling costs.

    Args:
        record: The record.
        only: A transformation to say it of; None: all.
    """
    sweeps = {name: sweep for name, sweep in record.transforms.items() if only in (None, name)}
    for name, sweep in sweeps.items():
        stretches = {"accuracy": sweep.recoveries.accuracy} if sweep.recoveries.accuracy else {}
        stretches |= {f"class {class_}": of_class for class_, of_class in sweep.recoveries.classes.items()}
        if stretches:
            listed = [f"{what} {_stretches(of)}" for what, of in list(stretches.items())[:MOST_RECOVERIES]]
            more = f"; {len(stretches) - MOST_RECOVERIES} more" if len(stretches) > MOST_RECOVERIES else ""
            unit = unit_text(name, sweep.unit)
            yield f"breaks, then recovers under {name} ({unit}): {'; '.join(listed)}{more}"
    costs = {name: sweep.border for name, sweep in sweeps.items() if sweep.border}
    units = {name: unit_text(name, sweep.unit) for name, sweep in sweeps.items()}
    yield from border_notes(costs, record.clean_accuracy, units)
    if record.interpolation == "bilinear" and (note := sampling_note(sweeps, record.clean_accuracy)):
        yield note


def tested_text(sweep: SweepRecord) -> str:
    """Return the first and the last magnitude tried, or all of a discrete transformation."""
    if sweep.kept is not None:
        return ", ".join(f"{v:g}" for v in sweep.magnitudes)
    return f"{sweep.magnitudes[0]:g} to {sweep.magnitudes[-1]:g}"


def _stretches(stretches: Sequence[tuple[float, float]]) -> str:
    return " and ".join(
        f"at {start:g}" if start == end else f"from {start:g} to {end:g}" for start, end in stretches
    )


def range_text(sides: Sides, magnitudes: Curve, identity: float) -> str:
    """Return "low [interval] to high [interval]"; "beyond" the last magnitude where there is no end."""
    ends = {"below": magnitudes[0], "above": magnitudes[-1]}
    texts = [
        f"beyond {ends[side]:.4g}" if threshold.value is None else _interval(threshold)
        for side, threshold in sides.items()
    ]
    if len(texts) == 1:  # the identity on the side that has no magnitudes
        texts.insert(0 if "above" in sides else 1, f"{identity:g}")
    return " to ".join(texts)


def kept_text(
    kept: Sequence[bool], shares: Sequence[float], what: str, magnitudes: Sequence[float], identity: float
) -> str:
    """Return "kept at 1; breaks at 2: 44.0 % right", a verdict on each discrete magnitude.

    Args:
        kept: Whether something is kept, at each magnitude.
        shares: The share of images that decides it, at each magnitude.
        what: What these images are: right, or unchanged.
        magnitudes: The magnitudes.
        identity: The one that changes nothing, which is passed over.
    """
    points = [point for point in zip(magnitudes, kept, shares, strict=True) if point[0] != identity]
    held = [f"{v:g}" for v, is_kept, _ in points if is_kept]
    broken = [f"at {v:g}: {100 * share:.1f} % {what}" for v, is_kept, share in points if not is_kept]
    parts = [f"kept at {_listed(held)}"] if held else []
    parts += [f"breaks {', '.join(broken)}"] if broken else []
    return "; ".join(parts)


def _interval(threshold: Threshold) -> str:
    value, *ends = ("beyond" if end is None else f"{end:.3g}" for end in dataclasses.astuple(threshold))
    return f"{value} [{', '.join(ends)}]"


def _listed(texts: Sequence[str]) -> str:
    *others, last = texts
    return f"{', '.join(others)} and {last}" if others else last


def percent_text(value: float) -> str:
    """Return a share in percent, with two decimals."""
    return f"{100 * value:.2f} %"
