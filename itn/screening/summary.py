"""A screen in words."""

import dataclasses
from collections.abc import Iterable, Sequence

from itn.screening.records import Curve, ScreenRecord, Sides, SweepRecord
from itn.screening.thresholds import Threshold

MOST_RECOVERIES = 5  # named in the closing table


def screen_summary(record: ScreenRecord) -> str:
    """Return the closing table: what breaks first on top, by the change of pixels that it takes."""
    low, high = record.clean_accuracy_ci
    lines = [
        f"clean accuracy {_percent(record.clean_accuracy)} [{_percent(low)}, {_percent(high)}], "
        f"{record.n:,} images"
    ]
    if record.transforms:
        fraction = next(iter(record.transforms.values())).thresholds.accuracy_fraction
        lines += ["", *_table(record, fraction), "", *_notes(record, fraction)]
    for pair in record.pairs.values():
        fraction = pair.accuracy_fraction
        held = sum(a >= fraction * record.clean_accuracy for row in pair.accuracy for a in row)
        cells = len(pair.magnitudes_x) * len(pair.magnitudes_y)
        lines.append(
            f"{pair.x} x {pair.y}: accuracy is at least {100 * fraction:g} % of the clean one at {held} of "
            f"{cells} pairs of magnitudes; lowest {_percent(min(map(min, pair.accuracy)))}"
        )
    lines += [f"{name} is left out: {why}" for name, why in record.left_out.items()]
    return "\n".join(lines)


def breaking_order(record: ScreenRecord) -> list[tuple[str, float | None]]:
    """Return the transformations with the change of pixels at which they break, the least first.

    That is the root mean square change at the accuracy threshold, the smaller one of two sides; None, at the
    end, where accuracy holds over all magnitudes tried.
    """
    found = []
    for name, sweep in record.transforms.items():
        changes = [change for change in sweep.thresholds.pixel_change.values() if change is not None]
        found.append((name, min(changes, default=None)))
    return sorted(found, key=lambda item: (item[1] is None, item[1] or 0))


def statement(name: str, sweep: SweepRecord, confidence: float) -> str:
    """Return one sentence on a transformation, precise enough to quote."""
    thresholds = sweep.thresholds
    held = f"{name}: accuracy keeps {100 * thresholds.accuracy_fraction:g} % of its clean value"
    if all(threshold.value is None for threshold in thresholds.accuracy.values()):
        first, last = sweep.magnitudes[0], sweep.magnitudes[-1]
        return f"{held} from {first:g} to {last:g}, all that was swept ({sweep.unit})"
    reach = range_text(thresholds.accuracy, sweep.magnitudes, sweep.identity)
    return f"{held} from {reach} ({sweep.unit}; in brackets {100 * confidence:g} % intervals)"


def _table(record: ScreenRecord, fraction: float) -> list[str]:
    rows = [
        (
            "transformation",
            f"accuracy >= {100 * fraction:g} % of clean",
            "half the images not flipped",
            "swept",
            "unit",
            "pixel change",
        )
    ]
    for name, change in breaking_order(record):
        sweep = record.transforms[name]
        medians = {side: flips.median for side, flips in sweep.thresholds.flips.items()}
        rows.append(
            (
                name,
                range_text(sweep.thresholds.accuracy, sweep.magnitudes, sweep.identity),
                range_text(medians, sweep.magnitudes, sweep.identity),
                f"{sweep.magnitudes[0]:g} to {sweep.magnitudes[-1]:g}",
                sweep.unit,
                "-" if change is None else f"{change:.3f}",
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _notes(record: ScreenRecord, fraction: float) -> Iterable[str]:
    order = breaking_order(record)
    first, change = order[0]
    if change is None:
        yield f"nothing breaks it: accuracy holds {100 * fraction:g} % of its clean value throughout"
    else:
        yield f"breaks first, by the change of pixels that it takes ({change:.3f} of full range, rms):"
        yield f"  {statement(first, record.transforms[first], record.confidence)}"
    for name, sweep in record.transforms.items():
        back = {"accuracy": sweep.recoveries.accuracy} if sweep.recoveries.accuracy else {}
        back |= {f"class {of}": stretches for of, stretches in sweep.recoveries.classes.items()}
        if back:
            shown = [f"{what} {_stretches(where)}" for what, where in list(back.items())[:MOST_RECOVERIES]]
            more = f"; {len(back) - MOST_RECOVERIES} more" if len(back) > MOST_RECOVERIES else ""
            yield f"comes back under {name} ({sweep.unit}): {'; '.join(shown)}{more}"


def _stretches(stretches: Sequence[tuple[float, float]]) -> str:
    return " and ".join(
        f"at {start:g}" if start == end else f"from {start:g} to {end:g}" for start, end in stretches
    )


def range_text(sides: Sides, magnitudes: Curve, identity: float) -> str:
    """Return "low [interval] to high [interval]"; "beyond" the last magnitude where nothing breaks."""
    ends = {"below": magnitudes[0], "above": magnitudes[-1]}
    texts = [
        f"beyond {ends[side]:.4g}" if threshold.value is None else _interval(threshold)
        for side, threshold in sides.items()
    ]
    if len(texts) == 1:  # the identity on the side that has no magnitudes
        texts.insert(0 if "above" in sides else 1, f"{identity:g}")
    return " to ".join(texts)


def _interval(threshold: Threshold) -> str:
    value, *ends = ("beyond" if end is None else f"{end:.3g}" for end in dataclasses.astuple(threshold))
    return f"{value} [{', '.join(ends)}]"


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"
