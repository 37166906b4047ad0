"""A learned family in words."""

from typing import Any

from itn.learning.class_records import PerClassRecord
from itn.learning.records import LearnRecord
from itn.transforms.registry import TRANSFORMS


def summary(record: LearnRecord) -> str:
    """Return the closing table of a run: accuracies, displacements, and in words what was learned."""
    held_out = f"{record.split['held_out']:,} held-out images"
    rows = [
        ("accuracy, unchanged images", _percent(record.clean_accuracy, record.clean_accuracy_ci), held_out),
        ("accuracy, F(k1, k2) with k uniform", _percent(record.accuracy, record.accuracy_ci), held_out),
        (
            "accuracy at the corner, k1 = k2 = (1, 1)",
            _percent(record.accuracy_at_corner, record.accuracy_at_corner_ci),
            held_out,
        ),
    ]
    if record.color_displacement is not None:
        rows.append(
            (
                "color displacement, k uniform / corner",
                f"{record.color_displacement:.4f} / {record.color_displacement_at_corner:.4f}",
                f"entries of A - I within {record.color_bound:g}",
            )
        )
    if record.spatial_displacement is not None:
        rows += [
            (
                "spatial displacement, k uniform / corner",
                f"{record.spatial_displacement:.4f} / {record.spatial_displacement_at_corner:.4f}",
                f"parameters within {record.spatial_bound:.4g}",
            ),
            (
                "rms displacement of pixels, likewise",
                f"{_number(record.spatial_rms_displacement)} / "
                f"{_number(record.spatial_rms_displacement_at_corner)}",
                "fraction of the image width",
            ),
        ]
    width, middle = (max(len(row[i]) for row in rows) for i in (0, 1))
    lines = [f"{name:<{width}}  {value:<{middle}}  {note}" for name, value, note in rows]
    lines += [f"at the corner, {words}" for words in _words(record)]
    lines += [
        f"over all k, {found.transform} from {found.low:.3g} to {found.high:.3g} "
        f"({TRANSFORMS[found.transform].unit})"
        for found in record.ranges.values()
        if found
    ]
    lines += _certified(record)
    return "\n".join(lines)


def _certified(record: LearnRecord) -> list[str]:
    """Return the statement to quote, and how the family compares with single axes."""
    c = record.certificate
    if c is None:
        return []
    lines = [
        f"certified with {100 * c.confidence:g} % confidence: accuracy at least "
        f"{100 * c.accuracy_lower_bound:.2f} % under F(k1, k2) with k uniform and at least "
        f"{100 * c.corner_lower_bound:.2f} % at the corner ({c.images:,} images, "
        f"{100 * c.clean_accuracy:.2f} % unchanged)",
        f"worst found: {100 * c.worst_k_accuracy:.2f} % at a single k, "
        f"{100 * c.worst_image_accuracy:.2f} % with each image at its own worst k",
    ]
    for part, ratio in (record.displacement_ratio or {}).items():
        reached = [axis for axis in (record.axes or {})[part] if axis.certified_displacement is not None]
        longest = max(reached, key=lambda axis: axis.certified_displacement or 0)
        name = f"{longest.transform} {longest.sign}, {longest.certified_magnitude:.3g}"
        reached_bound = ", ".join(f"{axis.transform} {axis.sign}" for axis in reached if axis.reached_bound)
        if ratio is not None:
            lines.append(
                f"{part}: {ratio.value:.2f} [{ratio.ci_low:.2f}, {_end(ratio.ci_high)}] times the "
                f"displacement of the longest single axis ({name})"
            )
        elif reached_bound:
            lines.append(
                f"{part}: {reached_bound} is unbroken up to its bound, so that no ratio can be given"
            )
        else:
            lines.append(f"{part}: no single axis may move at all")
    return lines


def _words(record: LearnRecord) -> list[str]:
    words = []
    if record.color_at_corner is not None:
        c = record.color_at_corner
        text = f"colors have gain {_each(c['gain'], '.2f')} and bias {_each(c['bias'], '+.2f')} of full range"
        words.append(text + (f", mixing up to {c['mixing']:.2f}" if c["mixing"] else ""))
    if record.spatial_at_corner is not None:
        s = record.spatial_at_corner
        words.append(
            f"content is turned {abs(s['rotation']):.1f} degrees "
            f"{'clockwise' if s['rotation'] >= 0 else 'counter-clockwise'}, "
            f"scaled x {s['scale_x']:.2f} and y {s['scale_y']:.2f} (above 1 shrinks), "
            f"sampled with shear {s['shear']:+.2f}, "
            f"shifted {100 * abs(s['shift_x']):.1f} % of the width {'left' if s['shift_x'] < 0 else 'right'} "
            f"and {100 * abs(s['shift_y']):.1f} % of the height {'up' if s['shift_y'] < 0 else 'down'}"
        )
    return words


def _percent(value: float, interval: tuple[float, float]) -> str:
    return f"{100 * value:.2f} % [{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _each(values: Any, form: str) -> str:
    return " / ".join(format(value, form) for value in values)


def _end(ci_high: float | None) -> str:
    return "no upper end" if ci_high is None else f"{ci_high:.2f}"


def class_summary(record: PerClassRecord) -> str:
    """Return the closing table of a run: a row for each class, then what is certified of all together."""
    parts = [part for part in ("color", "spatial") if getattr(record, f"{part}_displacement") is not None]
    header = ("class", "images", "unchanged", "at its corner", "lost there", *parts, "longest single axis")
    rows = [header]
    for each in record.classes:
        axis = each.longest(parts[-1])
        rows.append(
            (
                each.name,
                f"{each.images:,}",
                f"{100 * each.clean_accuracy:.2f} %",
                f"{100 * each.accuracy_at_corner:.2f} %",
                f"at most {100 * each.tolerance:.2f} %",
                *(f"{getattr(each, f'{part}_displacement_at_corner'):.4f}" for part in parts),
                f"{axis.transform} {axis.sign}, {axis.estimated_magnitude:.3g}",
            )
        )
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    c = record.certificate
    return "\n".join(
        (
            *lines,
            f"certified with {100 * c.confidence:g} % confidence, each image under the family of its class: "
            f"accuracy at least {100 * c.accuracy_lower_bound:.2f} % with k uniform and at least "
            f"{100 * c.corner_lower_bound:.2f} % at the corner ({c.images:,} images, "
            f"{100 * c.clean_accuracy:.2f} % unchanged)",
            f"worst found: {100 * c.worst_k_accuracy:.2f} % with each class at its own worst k, "
            f"{100 * c.worst_image_accuracy:.2f} % with each image at its own",
            f"the share lost of one class is bounded with {100 * c.confidence:g} % confidence for that class "
            "alone",
        )
    )
