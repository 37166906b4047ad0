"""The largest family without derivatives: what learning is measured against in ``largest_family.py``."""

import numpy as np
import torch
from scipy.optimize import OptimizeResult, minimize
from torch import Tensor

import itn
from itn.certification.family import mover
from itn.certification.family_baselines import BaselineEstimates
from itn.certification.parametric import ParametricTransform, transformed_margins
from itn.learning.constrained.learner import SURPLUS

FRAGILE = 1000  # images that decide, those nearest to being lost along single axes
RESTARTS = 3
SECANTS = 3
SPREAD = 0.3  # of the first simplex, of the largest entry of a direction
STEEPNESS = (1.0, 8.0)  # least and largest power of the size with which losses grow


def search(
    net: itn.InvariantTransformerNet,
    learned: itn.CheckedImages,
    measures: BaselineEstimates,
    images: int,
    batch: int,
) -> None:
    """Give the net the corner that moves furthest, by Nelder and Mead's simplex over directions.

    The value of a direction is that of the learned objective at the size at which the target is lost. In
    between, the family grows in proportion to the mean of k's entries.

    Args:
        net: All parts affine.
        learned: What it may look at.
        measures: Axes to begin with, and the share that may be lost.
        images: Forward passes that the simplex may take.
        batch: Images in one of them.
    """
    classifier = net.classifier
    assert isinstance(classifier, itn.Classifier)
    few = _fragile(classifier, learned, measures, batch)
    units, starts, longest = [], [], []
    for part in net.parts:
        pairs = measures.pairs(part)
        units.append(pairs.abs().amax((0, 1)).clamp_min(0.1))
        starts.append(pairs.sum(1).numpy() / units[-1].numpy())
        alone = (pairs[:, 1] == 0).all(1)
        longest.append(starts[-1][int(alone.nonzero()[0])])
    sizes = [len(unit) for unit in units]

    def matrices(parameters: np.ndarray) -> dict[str, Tensor]:
        found = {}
        for part, unit, own in zip(
            net.parts, units, np.split(parameters, np.cumsum(sizes)[:-1]), strict=True
        ):
            transformer, bound = getattr(net, part), getattr(net, part).head.bound.item()
            raw = (unit * torch.tensor(own, dtype=torch.float32))[None].to(classifier.device)
            found[part] = transformer.from_parameters(bound * torch.tanh(raw / bound))
        return found

    def nearly_lost(parameters: np.ndarray) -> float:
        moved = matrices(parameters)

        def constant(k: Tensor) -> tuple[Tensor | None, Tensor | None]:
            color, spatial = (
                moved[part].expand(len(k), -1, -1) if part in moved else None for part in ("color", "spatial")
            )
            return color, spatial

        found = transformed_margins(
            classifier, few, ParametricTransform(1, constant, mover(net).padding), torch.ones(1, 1), batch
        )
        return float((-4 * found).sigmoid().sum()) / len(learned) + 1e-9

    def at_target(direction: np.ndarray) -> np.ndarray:
        """Return parameters along a direction at which the target is lost, about."""
        size, power = 1.0, 2.5
        before = nearly_lost(direction)
        for _ in range(SECANTS):
            after_size = size * float(np.clip((measures.target / before) ** (1 / power), 0.5, 2))
            after = nearly_lost(after_size * direction)
            if after_size != size:
                power = float(np.clip(np.log(after / before) / np.log(after_size / size), *STEEPNESS))
            size, before = after_size, after
        return size * float(np.clip((measures.target / before) ** (1 / power), 0.8, 1.25)) * direction

    def badness(direction: np.ndarray) -> float:
        moved = matrices(at_target(direction))
        total = 0.0
        for part in net.parts:
            ratio = np.log(itn.displacement(moved[part]).item() / measures.references[part] + 1e-9)
            total += ratio - (1 - SURPLUS) * max(ratio, 0) * (part in measures.bounded)
        return -total / len(net.parts)

    # Every axis and sum of two of one part, beside the longest axis of the other
    first = [
        np.concatenate([longest[i] if i != j else each for i in range(len(starts))])
        for j, own in enumerate(starts)
        for each in own
    ]
    begin = sorted(first, key=badness)[:RESTARTS]
    calls = max(1, images // (RESTARTS * (SECANTS + 1) * len(few)))

    def refined(start: np.ndarray) -> OptimizeResult:
        simplex = np.vstack([start, start + SPREAD * np.abs(start).max() * np.eye(len(start))])
        options = {"maxfev": calls, "adaptive": True, "initial_simplex": simplex}
        return minimize(badness, start, method="Nelder-Mead", options=options)

    best = min(map(refined, begin), key=lambda result: result.fun).x
    chosen = at_target(best)
    with torch.no_grad():
        for part, unit, own in zip(net.parts, units, np.split(chosen, np.cumsum(sizes)[:-1]), strict=True):
            head = getattr(net, part).head
            head.hidden.weight.zero_()
            head.output.weight.zero_()
            head.hidden.weight[0] = 0.5
            head.output.weight[:, 0] = unit * torch.tensor(own, dtype=torch.float32)


def _fragile(
    classifier: itn.Classifier, learned: itn.CheckedImages, measures: BaselineEstimates, batch: int
) -> itn.CheckedImages:
    data = learned.part(learned.clean)
    smallest = torch.full((len(data),), torch.inf)
    for part, axes in measures.axes.items():
        for axis, estimate in zip(axes, measures.estimates[part], strict=True):
            found = transformed_margins(
                classifier, data, axis.mover, estimate.scale * axis.mover.corner, batch
            )
            smallest = torch.minimum(smallest, found)
    return data.part(smallest.argsort()[:FRAGILE])
