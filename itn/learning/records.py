"""Records of what was found: typed, frozen, to and from JSON, and in words."""

import contextlib
import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from itn.transforms.registry import TRANSFORMS


@contextlib.contextmanager
def read_as(command: str) -> Iterator[None]:
    """Turn what content that is no record of a command raises into ValueError."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"the content is no record of {command} ({error!r})") from None


@dataclasses.dataclass(frozen=True)
class CurvePoint:
    """Held-out accuracy and mean displacement at one k on a ray, with the other control at 0."""

    part: str
    """``"color"`` (k1 moves) or ``"space"`` (k2 moves)."""
    ray: tuple[float, float]
    """Direction of k."""
    t: float
    """k is t times the ray."""
    n: int
    """Number of images."""
    accuracy: float
    ci_low: float
    """Clopper-Pearson, 95 %."""
    ci_high: float
    displacement: float


@dataclasses.dataclass(frozen=True)
class Certificate:
    """What is certain of a family F(k), and the worst that was found in it; accuracies are fractions."""

    confidence: float
    """Of the tolerance, over calibration images; of both lower bounds at once, over the certified ones."""
    tolerance: float
    """Largest share of the images that may be right unchanged and wrong under F(k): at the corner, and at the
    k that a search has found to be worst on images that were learned from."""
    family_scale: float
    """Factor on k that calibration has chosen; 0 if no motion at all can be proven harmless."""
    images: int
    """Images that the bounds come from; nothing was learned from or chosen by them."""
    clean_accuracy: float
    """Of these images, unchanged."""
    accuracy: float
    """k uniform, one draw for each image."""
    accuracy_lower_bound: float
    corner_accuracy: float
    """All entries of k at 1."""
    corner_lower_bound: float
    worst_k: tuple[float, ...]
    """The single k, color first, that a search found to be worst."""
    worst_k_accuracy: float
    """All images at that k."""
    worst_image_accuracy: float
    """Each image at the worst k that was found for it."""


@dataclasses.dataclass(frozen=True)
class AxisReach:
    """How far a single axis of the screening table goes at the tolerance; magnitudes in the table's unit."""

    transform: str
    sign: str
    """"+" above the identity, "-" below it."""
    estimated_magnitude: float
    """From images that were learned from."""
    estimated_displacement: float
    certified_magnitude: float | None
    """From calibration images, as for the family; None where the estimate is far from the largest."""
    certified_displacement: float | None
    unbroken: bool
    """Whether it is certified up to its bound: how far it would go is not known."""
    looks: tuple[tuple[float, float], ...]
    """Displacements that were tried, ascending, each with the share of images lost there: of calibration
    images if the axis is certified, else of images that were learned from, estimated from some of them where
    it is too large."""

    @classmethod
    def by_part(cls, content: Mapping[str, Any]) -> dict[str, tuple["AxisReach", ...]]:
        """Return the axes of each part from JSON."""
        return {
            part: tuple(cls(**axis | {"looks": tuple(map(tuple, axis["looks"]))}) for axis in each)
            for part, each in content.items()
        }


@dataclasses.dataclass(frozen=True)
class CalibrationPoint:
    """A scale of the family that was tried on calibration images; it passes if no share is too large."""

    scale: float
    lost_at_corner: float
    """Share of the images that are right unchanged and wrong under F(k), all entries of k at 1."""
    lost_at_worst: float
    """The same at the k that is worst on images that were learned from."""
    color_displacement: float | None
    """At the corner, like the next one."""
    spatial_displacement: float | None


@dataclasses.dataclass(frozen=True)
class AxisRatio:
    """Displacement of a family at its corner over the largest of any single axis, with its interval."""

    value: float
    ci_low: float
    ci_high: float | None
    """None where the images do not tell: on too many of their resamples no single axis can move at all."""


@dataclasses.dataclass(frozen=True)
class MagnitudeRange:
    """What a family with a single parameter does over all k, as magnitudes of the screening table."""

    transform: str
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class LearnRecord:
    """What ``itn.learn`` found: the content of result.json.

    Accuracies are fractions of the held-out images, with Clopper-Pearson 95 % intervals. Displacements
    are those of ``itn.displacement``; without suffix they are means over uniform k. None where a
    transformer was not learned.
    """

    objective: str
    tolerance: float
    clean_accuracy: float
    clean_accuracy_ci: tuple[float, float]
    accuracy: float
    """k1 and k2 uniform on [0, 1]^2, one draw per image."""
    accuracy_ci: tuple[float, float]
    accuracy_at_corner: float
    """k1 = k2 = (1, 1)."""
    accuracy_at_corner_ci: tuple[float, float]
    color_displacement: float | None
    color_displacement_at_corner: float | None
    spatial_displacement: float | None
    spatial_displacement_at_corner: float | None
    spatial_rms_displacement: float | None
    """Root mean square over pixels, fraction of the image width, averaged over uniform k."""
    spatial_rms_displacement_at_corner: float | None
    color_bound: float | None
    """Bound on every entry of A_phi - I."""
    spatial_bound: float | None
    """Bound on every parameter of the spatial family."""
    cross_entropy_share: float | None
    """Share of steps in which the switch asked for cross-entropy; None with another objective."""
    color_matrix_at_corner: list[list[float]] | None
    spatial_matrix_at_corner: list[list[float]] | None
    color_at_corner: dict[str, Any] | None
    """The matrix in words: gain and bias of each channel, mixing between channels."""
    spatial_at_corner: dict[str, float] | None
    """The matrix in words: rotation (degrees), scales, shear, shifts (fractions); None if it is singular."""
    angle: dict[str, float | None]
    """By part, "color" and "spatial", the angle in degrees between what k = (1, 0) and k = (0, 1) add to the
    identity; near 0 or 180 they do not span a plane. None if one of them moves nothing, or there is but one
    parameter."""
    ranges: dict[str, MagnitudeRange | None]
    """By part, the smallest and the largest magnitude over k; None where there are several parameters."""
    curves: tuple[CurvePoint, ...]
    certificate: Certificate | None
    """What is proven; None with the switched objective, likewise the next three."""
    axis_ratio: dict[str, AxisRatio | None] | None
    """By part, "color" and "spatial": displacement of the family at its corner over the largest of any single
    axis; None where an axis is unbroken at its bound and none is longer."""
    axes: dict[str, tuple[AxisReach, ...]] | None
    """By part, how far single axes go."""
    calibration: tuple[CalibrationPoint, ...] | None
    """The scales that were tried, ascending; the first scale that fails ends the choice."""
    split: dict[str, Any]
    """Number of images in each part, seed, and a hash of the held-out images and labels."""
    provenance: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the record as what json.dumps takes."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "LearnRecord":
        """Return the record that ``to_json`` and a JSON file made the content from.

        Raises:
            ValueError: If the content is no such record.
        """
        with read_as("itn learn"):
            pairs = {key: tuple(value) for key, value in content.items() if key.endswith("_ci")}
            curves = tuple(CurvePoint(**{**point, "ray": tuple(point["ray"])}) for point in content["curves"])
            certificate, ratios, axes, points = (
                content[name] for name in ("certificate", "axis_ratio", "axes", "calibration")
            )
            if certificate is not None:
                certificate = Certificate(**{**certificate, "worst_k": tuple(certificate["worst_k"])})
                ratios = {part: ratio and AxisRatio(**ratio) for part, ratio in ratios.items()}
                axes = AxisReach.by_part(axes)
                points = tuple(CalibrationPoint(**point) for point in points)
            ranges = {part: found and MagnitudeRange(**found) for part, found in content["ranges"].items()}
            nested = {"certificate": certificate, "axis_ratio": ratios, "axes": axes, "calibration": points}
            return cls(**{**content, **pairs, **nested, "curves": curves, "ranges": ranges})


@dataclasses.dataclass(frozen=True)
class LearnStep:
    """One step of learning: a line of history.jsonl; None where an objective has no such figure."""

    step: int
    color_displacement: float | None
    """Mean over the batch; constrained: at the corner, of the start that is best so far."""
    spatial_displacement: float | None
    cross_entropy: float | None = None
    """switched, like the next four."""
    transformer_loss: float | None = None
    """c_theta L_k1 + L_k2; what the other branch of the switch minimises."""
    accuracy: float | None = None
    clean_accuracy: float | None = None
    """Of the same batch, untransformed."""
    asked_cross_entropy: bool | None = None
    lost: float | None = None
    """constrained, like the next two: running mean of the share lost at the corner."""
    price: float | None = None
    """Displacement given up for a share lost."""
    starts: int | None = None
    """Starts that are still learned."""


def read_history(folder: str | Path) -> list[LearnStep]:
    """Read the history.jsonl of a run.

    Raises:
        ValueError: If there is none, or it holds something else than steps.
    """
    path = Path(folder) / "history.jsonl"
    try:
        return [LearnStep(**json.loads(line)) for line in path.read_text().splitlines()]
    except (OSError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no history of itn learn ({error}): name the folder of a run") from None


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
    for part, ratio in (record.axis_ratio or {}).items():
        reached = [axis for axis in (record.axes or {})[part] if axis.certified_displacement is not None]
        longest = max(reached, key=lambda axis: axis.certified_displacement or 0)
        name = f"{longest.transform} {longest.sign}, {longest.certified_magnitude:.3g}"
        unbroken = ", ".join(f"{axis.transform} {axis.sign}" for axis in reached if axis.unbroken)
        if ratio is not None:
            lines.append(
                f"{part}: {ratio.value:.2f} [{ratio.ci_low:.2f}, {_end(ratio.ci_high)}] times the "
                f"displacement of the longest single axis ({name})"
            )
        elif unbroken:
            lines.append(f"{part}: {unbroken} is unbroken up to its bound, so that no ratio can be given")
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
