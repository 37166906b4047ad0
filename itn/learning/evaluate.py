"""What a learned net does to held-out images: accuracy, displacement, curves over k."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from itn.certification.calibration import CalibrationResult
from itn.certification.parametric import EvaluationSet, ParametricTransform
from itn.certification.records import certify
from itn.certification.search import search_worst_k
from itn.functional import decompose_color, decompose_spatial, displacement, rms_displacement
from itn.learning.config import LearnConfig
from itn.learning.records import CurvePoint, LearnRecord, LearnStep, MagnitudeRange, PartRecord
from itn.learning.summary import describe_color, describe_spatial
from itn.nn import CONTROLS, InvariantTransformerNet
from itn.stats import clopper_pearson, generator

CURVE_IMAGES = 2000
CURVE_TS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
CURVE_RAYS = ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
RANGE_POINTS = 21
RANGES: dict[str, tuple[str, Callable[[float], float]]] = {
    "rotation": ("rotate", math.degrees),
    "translation_x": ("translate_x", lambda p: -p / 2),
    "translation_y": ("translate_y", lambda p: -p / 2),
    "zoom": ("zoom", lambda p: 1 + p),
    "gain": ("contrast", lambda p: 1 + p),
    "bias": ("brightness", lambda p: p),
}
"""By family with a single parameter, the transformation of the screening table that it is, and the magnitude
that a parameter is."""


class Response(NamedTuple):
    """What happened to each of N images under F(k1, k2)."""

    right: Tensor
    """Whether the classifier is right, bool, N."""
    displacement: dict[str, Tensor]
    """By part, N, or 1 if one k is for all."""
    rms_shift: dict[str, Tensor]
    """Root-mean-square shift of pixels, fraction of the width; of the spatial part alone."""

    def mean_displacement(self, part: str) -> float:
        """Return the mean displacement of one part."""
        return self.displacement[part].double().mean().item()

    def mean_rms_shift(self, part: str) -> float | None:
        """Return the mean shift of pixels by one part, None if it shifts none."""
        return self.rms_shift[part].double().mean().item() if part in self.rms_shift else None


@torch.inference_mode()
def respond(net: InvariantTransformerNet, images: EvaluationSet, k1: Tensor, k2: Tensor) -> Response:
    """Classify images under F(k1, k2), in batches.

    Args:
        net: The net.
        images: N images with the classifier.
        k1: Controls of color, N x 2, or 1 x 2 for all images.
        k2: Controls of the spatial transformer, likewise.
    """
    device = images.classifier.device
    matrices = net.matrices(k1.to(device), k2.to(device))
    k = torch.cat([{"color": k1, "spatial": k2}[part] for part in net.parts], 1)
    margins = images.margins(ParametricTransform.of_net(net), k)
    height, width = images.data.images.shape[-2:]
    return Response(
        margins > 0,
        {part: displacement(matrix) for part, matrix in matrices.items()},
        {"spatial": rms_displacement(matrices["spatial"], (height, width))} if "spatial" in matrices else {},
    )


def curves(net: InvariantTransformerNet, images: EvaluationSet) -> tuple[CurvePoint, ...]:
    """Return accuracy and displacement along three rays of k, one part at a time."""
    points, n = [], len(images.data)
    for part in net.parts:
        for ray in CURVE_RAYS:
            for t in CURVE_TS:
                response = respond(net, images, *net.controls(part, t * torch.tensor([ray])))
                right = int(response.right.sum())
                low, high = clopper_pearson(right, n)
                values = right / n, low, high, response.displacement[part].item()
                points.append(CurvePoint(part, ray, t, n, *values))
    return tuple(points)


def evaluate(
    net: InvariantTransformerNet,
    held_out: EvaluationSet,
    history: Sequence[LearnStep],
    config: LearnConfig,
    split: dict[str, Any],
    provenance: dict[str, Any],
    calibrated: CalibrationResult | None = None,
) -> LearnRecord:
    """Return the record of a learned net, measured on held-out images; certified if it was calibrated."""
    clean, (n, _, height, width) = held_out.data.clean, held_out.data.images.shape
    randomness = generator(config.seed, "evaluation")
    k1, k2 = torch.rand(2, n, CONTROLS, generator=randomness)
    ones = torch.ones(1, CONTROLS)
    uniform = respond(net, held_out, k1, k2)
    full = respond(net, held_out, ones, ones)
    clean_count, uniform_count, full_count = (
        int(right.sum()) for right in (clean, uniform.right, full.right)
    )
    subset = torch.randperm(n, generator=randomness)[:CURVE_IMAGES]
    certificate = None
    if calibrated is not None:
        worst = search_worst_k(held_out, ParametricTransform.of_net(net), 1.0)
        certificate = certify(
            clean, uniform.right, worst, calibrated.scale, config.tolerated, config.confidence
        )
    asked = [step.asked_cross_entropy for step in history if step.asked_cross_entropy is not None]
    return LearnRecord(
        objective=config.objective,
        tolerance=config.tolerated,
        clean_accuracy=clean_count / n,
        clean_accuracy_ci=clopper_pearson(clean_count, n),
        accuracy_uniform=uniform_count / n,
        accuracy_uniform_ci=clopper_pearson(uniform_count, n),
        accuracy_full=full_count / n,
        accuracy_full_ci=clopper_pearson(full_count, n),
        parts={part: _part_record(net, part, width / height, uniform, full) for part in net.parts},
        cross_entropy_share=sum(asked) / len(asked) if asked else None,
        curves=curves(net, held_out.part(subset)),
        certificate=certificate,
        baselines=None if calibrated is None else calibrated.baselines,
        headline=None if calibrated is None else calibrated.headline,
        calibration=None if calibrated is None else calibrated.points,
        split=split,
        provenance=provenance | {"seed": config.seed},
    )


@torch.no_grad()
def control_deviations(net: InvariantTransformerNet, part: str, k: Tensor) -> Tensor:
    """Return what controls B x 2 add to the identity matrix of one part, B x entries."""
    k = k.to(getattr(net, part).head.output.weight)
    matrices, identity = (getattr(net, part).generate(controls) for controls in (k, 0 * k[:1]))
    return (matrices - identity).flatten(1).cpu()


@torch.no_grad()
def matrix_full(net: InvariantTransformerNet, part: str) -> Tensor:
    """Return the matrix of one part at full strength, n x m."""
    transformer = getattr(net, part)
    return transformer.generate(torch.ones(1, CONTROLS).to(transformer.head.output.weight))[0]


def _part_record(
    net: InvariantTransformerNet, part: str, aspect: float, uniform: Response, full: Response
) -> PartRecord:
    matrix = matrix_full(net, part)
    if part == "color":
        decomposed: Any = decompose_color(matrix[None])
        describe: Callable[[dict[str, Any]], str] = describe_color
    else:
        decomposed, describe = decompose_spatial(matrix[None], aspect), describe_spatial
    regular = all(value.isfinite().all() for value in decomposed)
    values = {name: value[0].tolist() for name, value in decomposed._asdict().items()}
    return PartRecord(
        displacement_uniform=uniform.mean_displacement(part),
        displacement_full=full.mean_displacement(part),
        rms_shift_uniform=uniform.mean_rms_shift(part),
        rms_shift_full=full.mean_rms_shift(part),
        bound=getattr(net, part).head.bound.item(),
        matrix_full=matrix.tolist(),
        decomposition_full=values if regular else None,
        description=describe(values) if regular else "",
        angle=_angle(net, part),
        range=_range(net, part),
    )


def _angle(net: InvariantTransformerNet, part: str) -> float | None:
    """Return the angle in degrees between what the two entries of k add to the identity, if defined."""
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
