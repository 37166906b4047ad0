"""What a learned net does to held-out images: accuracy, displacement, curves over k."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from itn.certification.calibration import CalibrationResult
from itn.certification.parametric import EvaluationSet, Outcomes, ParametricTransform, parameters_full
from itn.certification.records import Measured, certify
from itn.certification.rivals import Comparison
from itn.certification.search import search_worst_k
from itn.functional import INTERPOLATIONS
from itn.learning.config import LearnConfig
from itn.learning.records import (
    ChangeShares,
    CurvePoint,
    LearnRecord,
    LearnStep,
    MagnitudeRange,
    PartRecord,
)
from itn.nn import CONTROLS, Composition, Transformer
from itn.stats import clopper_pearson, generator

CURVE_IMAGES = 2000
CURVE_TS = (0.2, 0.4, 0.6, 0.8, 1.0)
CURVE_RAYS = ((1.0, 0.0), (0.0, 1.0), (1.0, 1.0))
RANGE_POINTS = 21


class Response(NamedTuple):
    """What happened to each of N images under F(k1, k2)."""

    outcomes: Outcomes
    displacement: dict[str, Tensor]
    """By part, N, or 1 if one k is for all."""
    rms_shift: dict[str, Tensor]
    """Root-mean-square shift of pixels, fraction of the width; of the parts that move pixels."""

    def mean_displacement(self, part: str) -> float:
        """Return the mean displacement of one part."""
        return self.displacement[part].double().mean().item()

    def mean_rms_shift(self, part: str) -> float | None:
        """Return the mean shift of pixels by one part, None if it shifts none."""
        return self.rms_shift[part].double().mean().item() if part in self.rms_shift else None


class Certified(NamedTuple):
    """What a family that was learned under a constraint has gone through."""

    calibrated: CalibrationResult
    comparison: Comparison


@torch.inference_mode()
def respond(net: Composition, images: EvaluationSet, ks: Sequence[Tensor]) -> Response:
    """Classify images under F(k1, k2, ...), in batches.

    Args:
        net: The net.
        images: N images with the classifier.
        ks: Controls of each part, N x 2, or 1 x 2 for all images.
    """
    device = images.classifier.device
    outcomes = images.outcomes(ParametricTransform.of_net(net), torch.cat(list(ks), 1))
    displacement, rms_shift = {}, {}
    for name, part, k in zip(net.parts, net.members, ks, strict=True):
        p, frame = part.generate(k.to(device)), part.frame(images.data.images.shape)
        displacement[name] = part.displacement(p, frame)
        if (shift := part.rms_shift(p, frame)) is not None:
            rms_shift[name] = shift
    return Response(outcomes, displacement, rms_shift)


def curves(net: Composition, images: EvaluationSet) -> tuple[CurvePoint, ...]:
    """Return accuracy and displacement along three rays of k, one part at a time."""
    points, n, unchanged = [], len(images.data), int(images.recognized().sum())
    for part in net.parts:
        for ray in CURVE_RAYS:
            points.append(CurvePoint(part, ray, 0.0, n, unchanged / n, *clopper_pearson(unchanged, n), 0.0))
            for t in CURVE_TS:
                ks = net.of_parts(net.driving(part, t * torch.tensor([ray])))
                response = respond(net, images, ks)
                right = int(response.outcomes.right.sum())
                low, high = clopper_pearson(right, n)
                values = right / n, low, high, response.displacement[part].item()
                points.append(CurvePoint(part, ray, t, n, *values))
    return tuple(points)


def evaluate(
    net: Composition,
    held_out: EvaluationSet,
    history: Sequence[LearnStep],
    config: LearnConfig,
    split: dict[str, Any],
    provenance: dict[str, Any],
    certified: Certified | None = None,
) -> LearnRecord:
    """Return the record of a learned net, measured on held-out images; certified if it was calibrated."""
    family, n = ParametricTransform.of_net(net), len(held_out.data)
    clean = held_out.recognized()
    randomness = generator(config.seed, "evaluation")
    ks = torch.rand(len(net.controls), n, CONTROLS, generator=randomness)
    uniform = respond(net, held_out, net.of_parts(ks.unbind()))
    full = respond(net, held_out, [torch.ones(1, CONTROLS)] * len(net.parts))
    outcomes = {"uniform": uniform.outcomes, "full": full.outcomes}
    subset = torch.randperm(n, generator=randomness)[:CURVE_IMAGES]
    certificate, calibrated = None, None if certified is None else certified.calibrated
    if calibrated is not None:
        worst = held_out.outcomes(family, calibrated.worst_k)
        known = ((family.full_strength, full.outcomes), (calibrated.worst_k, worst))
        searched = search_worst_k(held_out, family, 1.0, known)
        outcomes |= {"worst": worst, "searched": searched.outcomes}
        certificate = certify(
            Measured(clean, uniform.outcomes, full.outcomes, worst, searched),
            calibrated.sequence,
            config.asks,
            config.confidence,
            net.named(calibrated.worst_k),
        )
    asked = [asks for step in history if (asks := step.values.get("asked_cross_entropy")) is not None]
    accuracy = {
        name: (int(right.sum()) / n, clopper_pearson(int(right.sum()), n))
        for name, right in {
            "clean": clean,
            "uniform": uniform.outcomes.right,
            "full": full.outcomes.right,
        }.items()
    }
    return LearnRecord(
        objective=str(config.goal),
        criterion=str(config.asks),
        tolerance=config.goal.tolerance,
        topk=held_out.topk,
        clean_accuracy=accuracy["clean"][0],
        clean_accuracy_ci=accuracy["clean"][1],
        accuracy_uniform=accuracy["uniform"][0],
        accuracy_uniform_ci=accuracy["uniform"][1],
        accuracy_full=accuracy["full"][0],
        accuracy_full_ci=accuracy["full"][1],
        changes={name: change_shares(clean, of_k) for name, of_k in outcomes.items()},
        parts={
            part: _part_record(
                net,
                part,
                held_out.data.images.shape,
                uniform,
                full,
                None if calibrated is None else calibrated.members.get(part),
            )
            for part in net.parts
        },
        cross_entropy_share=sum(asked) / len(asked) if asked else None,
        curves=curves(net, held_out.part(subset)),
        certificate=certificate,
        baselines=None if certified is None else certified.comparison.baselines,
        headline=None if certified is None else {certified.comparison.name: certified.comparison.headline},
        no_headline=None if certified is None else certified.comparison.reason,
        drop_curves=None if certified is None else certified.comparison.records,
        calibration=None if calibrated is None else calibrated.points,
        split=split,
        provenance=provenance | {"seed": config.seed},
        surround=held_out.data.surround,
        interpolation=sampling_of(net),
    )


def sampling_of(net: Composition) -> str:
    """Return the interpolation of a net's transformers: bicubic if it is that of any."""
    return max((part.interpolation for part in net.members), key=INTERPOLATIONS.index)


def change_shares(clean: Tensor, outcomes: Outcomes) -> ChangeShares:
    """Return which shares of N images change, given whether each is recognized unchanged."""
    n, right = len(clean), outcomes.right
    return ChangeShares(
        broken=int((clean & ~right).sum()) / n,
        mended=int((~clean & right).sum()) / n,
        agreement=int(outcomes.same.sum()) / n,
    )


@torch.no_grad()
def control_deviations(part: Transformer, k: Tensor, shape: Sequence[int]) -> Tensor:
    """Return where controls B x 2 lead from the identity, B x D, for images of a shape."""
    p = part.generate(k.to(part.head.output.weight))
    return part.deviation(p, part.frame(shape)).cpu()


def _part_record(
    net: Composition,
    name: str,
    shape: Sequence[int],
    uniform: Response,
    full: Response,
    member: str | None,
) -> PartRecord:
    part, p = net.part(name), parameters_full(net)[name]
    details = {"matrix_full": None, "decomposition_full": None} | part.details(p, part.frame(shape))
    return PartRecord(
        displacement_uniform=uniform.mean_displacement(name),
        displacement_full=full.mean_displacement(name),
        rms_shift_uniform=uniform.mean_rms_shift(name),
        rms_shift_full=full.mean_rms_shift(name),
        bound=part.head.bound.tolist(),
        parameters_full=dict(zip(part.names, p[0].tolist(), strict=True)),
        description=part.describe(p, part.frame(shape)),
        angle=_angle(part, shape),
        range=_range(part),
        member=member,
        displacement_text=part.displacement_text,
        **details,
    )


def _angle(part: Transformer, shape: Sequence[int]) -> float | None:
    """Return the angle in degrees between the directions in which the two entries of k lead, if defined."""
    if part.single:
        return None
    first, second = control_deviations(part, torch.eye(CONTROLS), shape).double()
    if not (first.any() and second.any()):
        return None
    cosine = torch.cosine_similarity(first, second, dim=0)
    return cosine.clamp(-1, 1).acos().rad2deg().item()


@torch.no_grad()
def _range(part: Transformer) -> MagnitudeRange | None:
    """Return what a part with a single parameter does over a grid of k."""
    if not part.single:
        return None
    line = torch.linspace(0, 1, RANGE_POINTS)
    k = torch.cartesian_prod(line, line).to(part.head.output.weight)
    low, high = sorted(part.magnitude(end.item()) for end in part.generate(k).aminmax())
    return MagnitudeRange(*part.magnitude_name, low, high)
