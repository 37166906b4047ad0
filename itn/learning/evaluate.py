"""What a learned net does to held-out images: accuracy, displacement, curves over k, pictures."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from itn.certification.baselines import RANGES
from itn.certification.calibration import CalibrationResult
from itn.certification.family import classifier_of, mover
from itn.certification.records import certificate_of
from itn.certification.worst_k import worst_case
from itn.functional.color import ColorParts, decompose_color
from itn.functional.displacement import displacement
from itn.functional.spatial import SpatialParts, decompose_spatial, rms_displacement
from itn.learning.config import LearnConfig
from itn.learning.records import CurvePoint, LearnRecord, LearnStep, MagnitudeRange
from itn.models.classifier import margins
from itn.models.preflight import CheckedImages
from itn.nn.control_head import CONTROLS
from itn.nn.net import InvariantTransformerNet
from itn.runtime.batching import map_in_memory
from itn.stats.intervals import clopper_pearson
from itn.stats.sampling import generator

CURVE_IMAGES = 2000
CURVE_TS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
CURVE_RAYS = ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
RANGE_POINTS = 21


class Response(NamedTuple):
    """What happened to each of N images under F(k1, k2); None where there is no such transformer."""

    correct: Tensor
    """Bool, N."""
    color: Tensor | None
    """Displacement of the color matrix, N."""
    spatial: Tensor | None
    """Displacement of the spatial matrix, N."""
    rms: Tensor | None
    """Root mean square displacement of pixels, fraction of the width, N."""


@torch.inference_mode()
def respond(
    net: InvariantTransformerNet, data: CheckedImages, k1: Tensor, k2: Tensor, batch_size: int
) -> Response:
    """Classify images under F(k1, k2), in batches.

    Args:
        net: The net.
        data: N images with labels.
        k1: Controls of color, N x 2, or 1 x 2 for all images.
        k2: Controls of space, likewise.
        batch_size: Images in one forward pass.
    """
    device = next(net.parameters()).device
    color, spatial = net.matrices(k1.to(device), k2.to(device))

    def look(rows: slice) -> Tensor:
        images = data.pixels(rows, device)
        logits = net.classifier(net.render(images, _rows(color, rows), _rows(spatial, rows)).clamp(0, 1))
        return margins(logits, data.labels[rows].to(device)).cpu() > 0

    height, width = data.images.shape[-2:]
    return Response(
        torch.cat(map_in_memory(len(data), batch_size, look)[0]),
        None if color is None else displacement(color),
        None if spatial is None else displacement(spatial),
        None if spatial is None else rms_displacement(spatial, (height, width)),
    )


def curves(net: InvariantTransformerNet, data: CheckedImages, batch_size: int) -> tuple[CurvePoint, ...]:
    """Return accuracy and displacement along three rays of k, one control at a time."""
    points = []
    origin = torch.zeros(1, CONTROLS)
    for part in net.parts:
        for ray in CURVE_RAYS:
            for t in CURVE_TS:
                k = t * torch.tensor([ray])
                k1, k2 = (k, origin) if part == "color" else (origin, k)
                response = respond(net, data, k1, k2, batch_size)
                correct, n = int(response.correct.sum()), len(data)
                moved = response.color if part == "color" else response.spatial
                assert moved is not None
                low, high = clopper_pearson(correct, n)
                points.append(CurvePoint(part, ray, t, n, correct / n, low, high, moved.item()))
    return tuple(points)


def measure(
    net: InvariantTransformerNet,
    held_out: CheckedImages,
    history: Sequence[LearnStep],
    config: LearnConfig,
    split: dict[str, Any],
    origin: dict[str, Any],
    proven: CalibrationResult | None = None,
) -> LearnRecord:
    """Return the record of a learned net, measured on held-out images; certified if its scale is proven."""
    device, n = next(net.parameters()).device, len(held_out)
    randomness = generator(config.seed, "evaluation")
    k1, k2 = torch.rand(2, n, CONTROLS, generator=randomness)
    corner = torch.ones(1, CONTROLS)
    uniform = respond(net, held_out, k1, k2, config.batch_size)
    at_corner = respond(net, held_out, corner, corner, config.batch_size)
    clean, moved, cornered = (
        int(right.sum()) for right in (held_out.clean, uniform.correct, at_corner.correct)
    )
    with torch.no_grad():
        color, spatial = net.matrices(corner.to(device), corner.to(device))
    height, width = held_out.images.shape[-2:]
    few = torch.randperm(n, generator=randomness)[:CURVE_IMAGES]
    certificate = None
    if proven is not None:
        worst = worst_case(classifier_of(net), held_out, mover(net), 1.0, config.batch_size)
        certificate = certificate_of(
            held_out.clean, uniform.correct, worst, proven.scale, config.tolerated, config.confidence
        )
    asked = [step.asked_cross_entropy for step in history if step.asked_cross_entropy is not None]
    return LearnRecord(
        objective=config.objective,
        tolerance=config.tolerated,
        clean_accuracy=clean / n,
        clean_accuracy_ci=clopper_pearson(clean, n),
        accuracy=moved / n,
        accuracy_ci=clopper_pearson(moved, n),
        accuracy_at_corner=cornered / n,
        accuracy_at_corner_ci=clopper_pearson(cornered, n),
        color_displacement=_mean(uniform.color),
        color_displacement_at_corner=_mean(at_corner.color),
        spatial_displacement=_mean(uniform.spatial),
        spatial_displacement_at_corner=_mean(at_corner.spatial),
        spatial_rms_displacement=_mean(uniform.rms),
        spatial_rms_displacement_at_corner=_mean(at_corner.rms),
        color_bound=None if net.color is None else net.color.head.bound.item(),
        spatial_bound=None if net.spatial is None else net.spatial.head.bound.item(),
        cross_entropy_share=sum(asked) / len(asked) if asked else None,
        color_matrix_at_corner=None if color is None else color[0].tolist(),
        spatial_matrix_at_corner=None if spatial is None else spatial[0].tolist(),
        color_at_corner=None if color is None else _as_dict(decompose_color(color)),
        spatial_at_corner=None if spatial is None else _as_dict(decompose_spatial(spatial, width / height)),
        angle=by_name({part: _angle(net, part) for part in net.parts}),
        ranges=by_name({part: _range(net, part) for part in net.parts}),
        curves=curves(net, held_out.part(few), config.batch_size),
        certificate=certificate,
        displacement_ratio=None if proven is None else by_name(proven.ratios),
        axes=None if proven is None else by_name(proven.axes),
        calibration=None if proven is None else proven.calibration,
        split=split,
        provenance=origin | {"seed": config.seed},
    )


@torch.no_grad()
def _angle(net: InvariantTransformerNet, part: str) -> float | None:
    """Return the angle between what k = (1, 0) and k = (0, 1) add to the identity, in degrees, if any."""
    if net.single(part):
        return None
    first, second = control_deviations(net, part, torch.eye(CONTROLS)).double()
    if not (first.any() and second.any()):
        return None
    cosine = torch.cosine_similarity(first, second, dim=0)
    return cosine.clamp(-1, 1).acos().rad2deg().item()


@torch.no_grad()
def _range(net: InvariantTransformerNet, part: str) -> MagnitudeRange | None:
    """Return what a part with a single parameter does over a grid of k."""
    if not net.single(part):
        return None
    transformer = getattr(net, part)
    line = torch.linspace(0, 1, RANGE_POINTS)
    k = torch.cartesian_prod(line, line).to(transformer.head.output.weight)
    transform, magnitude = RANGES[transformer.family]
    low, high = sorted(magnitude(end.item()) for end in transformer.head(k).aminmax())
    return MagnitudeRange(transform, low, high)


def by_name(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what belongs to parts by the names of result.json."""
    return {{"color": "color", "spatial": "spatial"}[part]: value for part, value in parts.items()}


def _rows(matrix: Tensor | None, rows: slice) -> Tensor | None:
    return matrix if matrix is None or len(matrix) == 1 else matrix[rows]


def _mean(values: Tensor | None) -> float | None:
    return None if values is None else values.double().mean().item()


def _as_dict(parts: ColorParts | SpatialParts) -> dict[str, Any] | None:
    """Return the parts of a single matrix as plain numbers; None if it is singular and has no such parts."""
    if not all(value.isfinite().all() for value in parts):
        return None
    return {name: value[0].tolist() for name, value in parts._asdict().items()}


@torch.no_grad()
def control_deviations(net: InvariantTransformerNet, part: str, k: Tensor) -> Tensor:
    """Return what controls B x 2 add to the identity matrix of one part, B x entries."""
    k = k.to(getattr(net, part).head.output.weight)
    matrices, unmoved = (getattr(net, part).generate(each) for each in (k, 0 * k[:1]))
    return (matrices - unmoved).flatten(1).cpu()
