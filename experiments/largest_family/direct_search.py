"""The largest family without derivatives, against which learning is measured."""

import itertools

import numpy as np
import torch
from scipy.optimize import OptimizeResult, minimize
from torch import Tensor

import itn
from itn.certification.family_baselines import FamilyBaselines
from itn.certification.parametric import EvaluationSet, ParametricTransform

VULNERABLE = 1000  # images that decide: those closest to breaking under single transformations
RESTARTS = 3
SECANTS = 3
SURPLUS = 0.1  # worth of what a part gains beyond a baseline at its bound, as in the constrained objective
SPREAD = 0.3  # of the first simplex, of the largest entry of a direction
STEEPNESS = (1.0, 8.0)  # least and largest power of the scale with which breaks grow


def search(
    net: itn.InvariantTransformerNet, training: EvaluationSet, baselines: FamilyBaselines, images: int
) -> None:
    """Give the net the largest family that Nelder and Mead's simplex over directions finds.

    The value of a direction is that of the learned objective at the scale at which the target breaks. In
    between, the family grows in proportion to the mean of k's entries.

    Args:
        net: All parts affine.
        training: The images to use, with the classifier.
        baselines: Single transformations to begin with, and the share that may break.
        images: Forward passes that the simplex may take.
    """
    vulnerable = _vulnerable(training, baselines)
    units, starts, largest = [], [], []
    for part in net.parts:
        pairs = baselines.promising_pairs(part)
        units.append(pairs.abs().amax((0, 1)).clamp_min(0.1))
        starts.append(pairs.sum(1).numpy() / units[-1].numpy())
        alone = (pairs[:, 1] == 0).all(1)
        largest.append(starts[-1][int(alone.nonzero()[0])])
    ends = np.cumsum([len(unit) for unit in units])[:-1]

    def matrices(parameters: np.ndarray) -> dict[str, Tensor]:
        by_part = {}
        for part, unit, entries in zip(net.parts, units, np.split(parameters, ends), strict=True):
            transformer, bound = getattr(net, part), getattr(net, part).head.bound.item()
            raw = (unit * torch.tensor(entries, dtype=torch.float32))[None].to(training.classifier.device)
            by_part[part] = transformer.from_parameters(bound * torch.tanh(raw / bound))
        return by_part

    def soft_break_rate(parameters: np.ndarray) -> float:
        by_part = matrices(parameters)

        def constant(k: Tensor) -> dict[str, Tensor]:
            return {part: matrix.expand(len(k), -1, -1) for part, matrix in by_part.items()}

        transform = ParametricTransform(1, constant, net.padding)
        margins = vulnerable.margins(transform, transform.full_strength)
        return float((-4 * margins).sigmoid().sum()) / len(training.data) + 1e-9

    def at_target(direction: np.ndarray) -> np.ndarray:
        """Return parameters along a direction at which about the target breaks."""
        scale, power = 1.0, 2.5
        before = soft_break_rate(direction)
        for _ in range(SECANTS):
            next_scale = scale * float(np.clip((baselines.target / before) ** (1 / power), 0.5, 2))
            after = soft_break_rate(next_scale * direction)
            if next_scale != scale:
                power = float(np.clip(np.log(after / before) / np.log(next_scale / scale), *STEEPNESS))
            scale, before = next_scale, after
        return scale * float(np.clip((baselines.target / before) ** (1 / power), 0.8, 1.25)) * direction

    def badness(direction: np.ndarray) -> float:
        by_part = matrices(at_target(direction))
        total = 0.0
        for part in net.parts:
            ratio = np.log(itn.displacement(by_part[part]).item() / baselines.references[part] + 1e-9)
            total += ratio - (1 - SURPLUS) * max(ratio, 0) * (part in baselines.bounded)
        return -total / len(net.parts)

    # Every single transformation and sum of two of one part, beside the largest of the other part
    candidates = [
        np.concatenate([largest[i] if i != j else start for i in range(len(starts))])
        for j, of_part in enumerate(starts)
        for start in of_part
    ]
    first = sorted(candidates, key=badness)[:RESTARTS]
    calls = max(1, images // (RESTARTS * (SECANTS + 1) * len(vulnerable.data)))

    def refined(start: np.ndarray) -> OptimizeResult:
        simplex = np.vstack([start, start + SPREAD * np.abs(start).max() * np.eye(len(start))])
        options = {"maxfev": calls, "adaptive": True, "initial_simplex": simplex}
        return minimize(badness, start, method="Nelder-Mead", options=options)

    best = min(map(refined, first), key=lambda result: result.fun).x
    chosen = at_target(best)
    with torch.no_grad():
        for part, unit, entries in zip(net.parts, units, np.split(chosen, ends), strict=True):
            head = getattr(net, part).head
            head.hidden.weight.zero_()
            head.output.weight.zero_()
            head.hidden.weight[0] = 0.5
            head.output.weight[:, 0] = unit * torch.tensor(entries, dtype=torch.float32)


def _vulnerable(training: EvaluationSet, baselines: FamilyBaselines) -> EvaluationSet:
    right = training.part(training.data.clean)
    smallest = torch.full((len(right.data),), torch.inf)
    for estimate in itertools.chain(*baselines.estimates.values()):
        transform = estimate.baseline.transform
        smallest = torch.minimum(smallest, right.margins(transform, estimate.scale * transform.full_strength))
    return right.part(smallest.argsort()[:VULNERABLE])
