"""What a family is compared with: the largest transformations that nobody has to learn.

One part is compared with single transformations, several parts with the best combination of one single
transformation for each, in several proportions. All are measured at full strength alone, a family at its
worst k too: that favors the rivals.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor

from itn.certification.baselines import (
    SMALLEST,
    EstimatedBaseline,
    baseline_record,
    contenders,
)
from itn.certification.calibration import CalibrationResult
from itn.certification.family_baselines import FamilyBaselines
from itn.certification.headline import HIGHEST, LOWEST, MeasuredCurve, compare
from itn.certification.parametric import EvaluationSet, ParametricTransform, displacements_full
from itn.certification.records import Baseline, DropCurve, Headline, Terms
from itn.nn import InvariantTransformerNet, SingleTransformation
from itn.nn.rendering import render
from itn.stats import generator, last_scale

JOINT = "joint"
"""What several parts together are called."""
CONTENDER, MOST = 0.4, 6
"""Single transformations below this fraction of the largest estimate are not measured, nor more than so many;
one estimated at 0.55 of it turned out largest."""
MORE, FEWER = 4000, 1500  # training images that estimate transformations of a part anew, and combinations
OF_PART, PAIRS = (
    3,
    2,
)  # transformations of a part that are combined, and combinations that are mixed otherwise
MIXES = (0.55, 0.75, 1.0)  # shares of the scale that each reaches alone
FINALISTS = 3  # combinations that are measured
STEP, EQUAL, STEPS = 1.15, 6, 24  # factor between scales, how many are equal, and how many are tried at most
STALLED = 1.01  # least growth of a displacement from one scale to the next
MARGIN = 1.2  # beyond the drops that are compared, for resampled images


class Rival(NamedTuple):
    """One single transformation for each part, which grow together until each is at its bound."""

    singles: dict[str, SingleTransformation]
    """By part."""
    scales: Tensor
    """Their scales where the path is at 1, 1 x parts."""
    transform: ParametricTransform
    """With their scales as controls."""
    mix: tuple[float, ...] = (1.0,)
    """In which proportion of what each reaches alone."""

    @property
    def name(self) -> str:
        """Their names with their signs, and the proportion if it is not even."""
        names = " and ".join(f"{single.name} {single.sign}" for single in self.singles.values())
        return names if len(set(self.mix)) == 1 else f"{names} ({' : '.join(f'{m:g}' for m in self.mix)})"

    @property
    def longest(self) -> float:
        """Where all of them are at their bounds."""
        return 1 / self.scales.min().item()

    def controls(self, way: float) -> Tensor:
        """Return their scales, 1 x parts, at a way along the path."""
        return (way * self.scales).clamp(max=1)

    def displacements(self, way: float) -> dict[str, float]:
        """Return their displacements there."""
        scales = self.controls(way)[0].tolist()
        return {
            part: single.displacement(scale)
            for (part, single), scale in zip(self.singles.items(), scales, strict=True)
        }


class Comparison(NamedTuple):
    """A family beside its rivals, on held-out images."""

    name: str
    """The part that is learned alone, or of all together."""
    headline: Headline | None
    reason: str | None
    """Why there is no headline."""
    curves: tuple[MeasuredCurve, ...]
    """Of the family first, then of its rivals; empty if nothing is certified."""
    baselines: dict[str, tuple[Baseline, ...]]
    """By part, what is known of its single transformations."""

    def outcomes(self) -> dict[str, NDArray[Any]]:
        """Return what each held-out image did along each path, for outcomes.npz."""
        return {name: array for curve in self.curves for name, array in curve.arrays().items()}

    @property
    def records(self) -> tuple[DropCurve, ...]:
        """The curves as measured."""
        return tuple(curve.record() for curve in self.curves)


def compare_with_rivals(
    net: InvariantTransformerNet,
    training: EvaluationSet,
    held_out: EvaluationSet,
    baselines: FamilyBaselines,
    calibrated: CalibrationResult,
    terms: Terms,
) -> Comparison:
    """Measure how far a family and its rivals go on held-out images.

    Args:
        net: The family at the scale that was chosen.
        training: Images that it was learned from, which choose what it is compared with.
        held_out: All others.
        baselines: Single transformations, estimated on training images.
        calibrated: What has chosen the scale.
        terms: Tolerance, confidence and seed.
    """
    name = next(iter(net.parts)) if len(net.parts) == 1 else JOINT
    estimates, scale = baselines.estimates, calibrated.sequence.scale
    records = {part: tuple(map(baseline_record, of_part)) for part, of_part in estimates.items()}
    if not scale:
        return Comparison(name, None, "nothing is certified", (), records)
    if name == JOINT:
        chosen, rivals = [], combined(net, training, baselines, terms)
    else:
        chosen = likely_largest(estimates[name])
        rivals = [alone(name, estimate) for estimate in chosen]
    family, shape = ParametricTransform.of_net(net), held_out.data.images.shape
    sequence = calibrated.sequence
    curve = measure(
        "learned",
        lambda way: held_out.changes_at(family, way, calibrated.worst_k),
        lambda way: displacements_full(net, shape, way),
        terms.tolerance,
        known={sequence.scales[n] / scale: sequence.changes[n] for n in sequence.comparable},
    )
    measured = [measure_rival(rival, held_out, terms.tolerance) for rival in rivals]
    found = compare(curve, measured, terms.tolerance, generator(terms.seed, "bootstrap"), terms.confidence)
    if chosen:
        known = {
            estimate: measured_baseline(estimate, rival, of_single, terms.tolerance)
            for estimate, rival, of_single in zip(chosen, rivals, measured, strict=True)
        }
        pairs = zip(estimates[name], records[name], strict=True)
        records[name] = tuple(known.get(estimate, record) for estimate, record in pairs)
    headline, reason = (None, found) if isinstance(found, str) else (found, None)
    return Comparison(name, headline, reason, (curve, *measured), records)


def likely_largest(estimates: list[EstimatedBaseline]) -> list[EstimatedBaseline]:
    """Return the single transformations that may turn out largest, the largest estimate first."""
    return contenders(estimates, CONTENDER)[:MOST]


def alone(part: str, estimate: EstimatedBaseline) -> Rival:
    """Return a single transformation as the rival of the only part."""
    scales = torch.tensor([[estimate.scale or SMALLEST]])
    return Rival({part: estimate.baseline}, scales, ParametricTransform.of_single(estimate.baseline))


def combined(
    net: InvariantTransformerNet, training: EvaluationSet, baselines: FamilyBaselines, terms: Terms
) -> list[Rival]:
    """Return the combinations of single transformations, one of each part, that are estimated to go farthest.

    There are none if the single transformations of a part have no parameters that all parts can be applied
    with at once.
    """
    tolerance = terms.tolerance
    largest = []
    for part, of_part in baselines.estimates.items():
        known = [e for e in of_part if e.baseline.parameters is not None]
        if not known:
            return []
        again = [_estimated_again(part, e, training.spread(MORE), tolerance) for e in likely_largest(known)]
        largest.append(sorted(again, key=lambda e: e.displacement, reverse=True)[:OF_PART])
    images, first = training.spread(FEWER), []
    mixes = [mix for mix in itertools.product(MIXES, repeat=len(largest)) if max(mix) == 1]
    even = mixes.pop(mixes.index((1.0,) * len(largest)))
    for chosen in itertools.product(*largest):
        singles = {part: e.baseline for part, e in zip(net.parts, chosen, strict=True)}
        first.append(_grown_together(net, singles, [e.scale for e in chosen], even, images, tolerance))
    first.sort(key=_size, reverse=True)
    found = []
    for rival in first[:PAIRS]:
        scales = rival.scales[0].tolist()
        mixed = [_grown_together(net, rival.singles, scales, mix, images, tolerance) for mix in mixes]
        found.append(sorted([rival, *mixed], key=_size, reverse=True))
    # The best mix of each, so that one lucky estimate does not fill all places
    rest = sorted(itertools.chain(*(mixed[1:] for mixed in found)), key=_size, reverse=True)
    return [*(mixed[0] for mixed in found), *rest][:FINALISTS]


def _estimated_again(
    part: str, estimate: EstimatedBaseline, images: EvaluationSet, tolerance: float
) -> EstimatedBaseline:
    """Return an estimate of where a single transformation loses the tolerance, from more images."""
    rival = alone(part, estimate._replace(scale=1.0))
    return estimate._replace(scale=_way_to(rival, images, tolerance, 1.0))


def _way_to(rival: Rival, images: EvaluationSet, tolerance: float, longest: float) -> float:
    """Return about how far along its path a rival keeps to the tolerance."""

    def holds_at(way: float) -> bool:
        return images.tally(rival.transform, rival.controls(way), tolerance).drop <= tolerance

    return last_scale(holds_at, longest) or SMALLEST


def _grown_together(
    net: InvariantTransformerNet,
    singles: dict[str, SingleTransformation],
    given: Sequence[float],
    mix: tuple[float, ...],
    images: EvaluationSet,
    tolerance: float,
) -> Rival:
    """Return single transformations in a proportion of given scales, up to where they lose the tolerance."""
    scales = torch.tensor([[scale * share for scale, share in zip(given, mix, strict=True)]])
    rival = Rival(singles, scales, _applied_together(net, list(singles.values())), mix)
    way = _way_to(rival, images, tolerance, min(rival.longest, 2.0))
    return rival._replace(scales=way * scales)


def _size(rival: Rival) -> float:
    """Return the mean log displacement where the tolerance is lost, by estimate."""
    logs = torch.tensor(list(rival.displacements(1.0).values())).clamp_min(1e-12).log()
    return logs.mean().item()


def _applied_together(
    net: InvariantTransformerNet, singles: Sequence[SingleTransformation]
) -> ParametricTransform:
    """Return one single transformation for each part of a net, applied as the net applies its parts."""

    def generate(scales: Tensor) -> list[Tensor]:
        rows = []
        for single, scale in zip(singles, scales[0].tolist(), strict=True):  # one for all images
            assert single.parameters is not None
            rows.append(single.parameters(scale).to(scales).expand(len(scales), -1))
        return rows

    return ParametricTransform(
        len(singles),
        generate,
        lambda images, rows, surround=None: render(list(net.members), images, rows, surround),
    )


def measure(
    name: str,
    changes_at: Callable[[float], Tensor],
    displacements_at: Callable[[float], Mapping[str, float]],
    tolerance: float,
    longest: float = float("inf"),
    known: Mapping[float, Tensor] | None = None,
) -> MeasuredCurve:
    """Measure a path from where little is lost to where more is lost than will be compared.

    Args:
        name: What it is called.
        changes_at: How images change at a way along the path, conditions x N; 1 is where the tolerance is
            estimated to be lost.
        displacements_at: The displacements of its parts there.
        tolerance: What calibration tolerates.
        longest: Where the path ends.
        known: Ways that have been tried.
    """
    tried = dict(known or {})

    def drop_at(way: float) -> float:
        if way not in tried:
            tried[way] = changes_at(way).to(torch.int8)
        return tried[way].double().mean(1).amax().item()

    way, step = min(max(tried, default=1.0), longest), STEP
    for number in range(STEPS):
        if drop_at(way) > MARGIN * HIGHEST * tolerance or way == longest:
            break
        step *= 1.0 if number < EQUAL else STEP  # an estimate may be far too small
        following = min(way * step, longest)
        before, after = displacements_at(way), displacements_at(following)
        if all(after[part] <= STALLED * before[part] for part in after):
            break  # all parameters are at their bounds
        way = following
    step = STEP
    for _ in range(STEPS):
        way = min(tried)
        if drop_at(way) < LOWEST * tolerance / MARGIN:
            break
        drop_at(way / step)
        step *= STEP
    ways = sorted(tried)
    of_parts = [displacements_at(way) for way in ways]
    bounds = displacements_at(longest) if longest < float("inf") else dict.fromkeys(of_parts[0], longest)
    return MeasuredCurve(
        name,
        torch.tensor(ways, dtype=torch.float64),
        {part: torch.tensor([of[part] for of in of_parts], dtype=torch.float64) for part in of_parts[0]},
        torch.stack([tried[way] for way in ways]),
        dict(bounds),
    )


def measure_rival(rival: Rival, images: EvaluationSet, tolerance: float) -> MeasuredCurve:
    """Measure the path of a rival."""

    def changes_at(way: float) -> Tensor:
        return images.changes(rival.transform, rival.controls(way))[None]

    return measure(rival.name, changes_at, rival.displacements, tolerance, rival.longest)


def measured_baseline(
    estimate: EstimatedBaseline, rival: Rival, curve: MeasuredCurve, tolerance: float
) -> Baseline:
    """Return what held-out images say of a single transformation, and what training images did."""
    way, crossed = curve.way_to(tolerance)
    scale, measured = rival.controls(way).item(), curve.record()
    return dataclasses.replace(
        baseline_record(estimate),
        magnitude=estimate.baseline.magnitude(scale),
        displacement=estimate.baseline.displacement(scale),
        reached_bound=not crossed and curve.ways[-1].item() >= rival.longest,
        evaluations=tuple(zip(measured.displacements, measured.drops, strict=True)),
    )
