"""A learner in the manner of Augerino, for a classifier that stays frozen: a part of ``rivals.py``.

Benton et al. 2020 (https://arxiv.org/abs/2010.11882) learn while they train how widely images may be
transformed by exp(sum of u_i theta_i G_i): G_i generate the affine group, u is uniform in [-1, 1]^6, and
cross-entropy minus a weight times the norm of the widths theta is minimised. As in their code, widths are a
softplus and the optimizer is Adam. There shifts count a tenth, which makes them the cheapest way to widths
but not to displacement; here the norm is about that of the displacement. The best of three weights is taken,
by what images to learn from say, each with as many images in all steps as ``itn learn`` has.

Widths are symmetric: a family has 64 corners, u_i = +-1. Its scale is chosen on the calibration images of
``itn learn`` with the same tests. It must keep to the tolerance at the corner that moves furthest, whose
displacement is compared, and at the one where most images are lost. In its favour the corner where fewest are
lost is certified for itself as well, as if it were the whole family.
"""

import time
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import itn
from itn.certification.baselines import BEYOND
from itn.certification.parametric import ParametricTransform, break_rate, lost, transformed_margins
from itn.certification.records import certificate_of
from itn.certification.scale_search import LOOKED_AT, estimate_scale
from itn.certification.worst_k import WorstCase
from itn.functional.color import unit_float
from itn.learning.split import Split, split_images
from itn.stats.fixed_sequence import SEQUENCE, fixed_sequence_test, max_failures
from itn.stats.sampling import generator

WEIGHTS = (0.03, 0.1, 0.3)  # of the widths
RATE = 0.1  # Adam's
START = -2.0  # of the widths before the softplus: 0.13
JUDGED = 1000  # images that tell the corners apart
GENERATORS = torch.tensor(
    [
        [[0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],  # shifts
        [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]],
        [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]],  # rotation
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]],  # zoom
        [[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 0.0]],  # stretch
        [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]],  # shear
    ]
)
CORNERS = torch.cartesian_prod(*[torch.tensor([1.0, -1.0])] * len(GENERATORS))
Record = dict[str, Any]


def matrices(widths: Tensor, u: Tensor) -> Tensor:
    """Return the spatial matrices, B x 2 x 3, of u, B x 6."""
    return torch.linalg.matrix_exp(torch.einsum("bi,ijk->bjk", u * widths, GENERATORS))[:, :2]


def learn(
    classifier: itn.Classifier, data: itn.CheckedImages, config: itn.LearnConfig, weight: float
) -> Tensor:
    """Return the six widths that a weight leads to, after the steps and batches of a configuration."""
    raw = torch.full((len(GENERATORS),), START, requires_grad=True)
    optimizer = torch.optim.Adam([raw], lr=RATE)
    draw = generator(config.seed, f"augerino {weight}")
    for _ in range(config.steps):
        index = torch.randint(len(data), (config.batch_size,), generator=draw)
        u = 2 * torch.rand(config.batch_size, len(GENERATORS), generator=draw) - 1
        widths = F.softplus(raw)
        moved = itn.warp(unit_float(data.images[index]), matrices(widths, u)).clamp(0, 1)
        loss = F.cross_entropy(classifier.logits(moved), data.labels[index]) - weight * widths.norm()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return F.softplus(raw).detach()


class Family:
    """Widths before a classifier; u is in [-1, 1], and the family grows with a scale.

    Args:
        classifier: Who looks.
        widths: Six.
        learned: Images that say about how far the family goes, and what its corners are.
        target: Share of the images that may be lost.
        batch: Images in one forward pass.
    """

    def __init__(
        self,
        classifier: itn.Classifier,
        widths: Tensor,
        learned: itn.CheckedImages,
        target: float,
        batch: int,
    ) -> None:
        self.classifier, self.widths, self.target, self.batch = classifier, widths, target, batch
        self.mover = ParametricTransform(len(widths), lambda u: (None, matrices(widths, u)))
        self.few = learned.spread(LOOKED_AT)
        judges, scale = learned.spread(JUDGED), self.reach(CORNERS[:1])
        # The sigmoid tells apart corners that lose equally many
        badness = torch.stack(
            [
                (-transformed_margins(classifier, judges, self.mover, scale * u[None], batch))
                .sigmoid()
                .mean()
                for u in CORNERS
            ]
        )
        self.worst, self.best = CORNERS[badness.argmax()][None], CORNERS[badness.argmin()][None]
        self.estimate = self.reach(self.worst)
        self.estimate_scale_and_worst_k = CORNERS[
            itn.displacement(matrices(widths, self.estimate * CORNERS)).argmax()
        ][None]

    def displacement(self, u: Tensor) -> float:
        """Return the displacement at u times scale, 1 x 6."""
        return itn.displacement(matrices(self.widths, u)).item()

    def reach(self, u: Tensor) -> float:
        """Return about which scale loses the target at u, 1 x 6."""
        scale = 0.0
        for most in (2.0, 4.0, 8.0):

            def share_at(scale: float) -> float:
                return break_rate(self.classifier, self.few, self.mover, scale * u, self.target, self.batch)

            scale = estimate_scale(share_at, self.target, most, least=scale)
            if scale < most:
                break
        return scale

    def certified(
        self, split: Split, config: itn.LearnConfig, estimate: float, corner: Tensor, worst: Tensor
    ) -> Record:
        """Choose the scale on calibration images, for two corners, and count on those held out."""
        assert split.calibration is not None
        calibration, held = split.calibration, split.held

        def lost_at(scale: float) -> Tensor:
            at = (scale * u for u in (corner, worst))
            return torch.stack([lost(self.classifier, calibration, self.mover, u, self.batch) for u in at])

        scales = [estimate * factor for factor in SEQUENCE]
        scale = fixed_sequence_test(lost_at, scales, config.tolerated, config.confidence, BEYOND).scale
        draw = generator(config.seed, "augerino evaluation")
        uniform = 2 * torch.rand(len(held), len(self.widths), generator=draw) - 1
        right, at_corner, at_worst = (
            transformed_margins(self.classifier, held, self.mover, scale * u, self.batch) > 0
            for u in (uniform, corner, worst)
        )
        found = WorstCase(worst, at_worst, at_corner, held.clean & right & at_corner & at_worst)
        proven = certificate_of(held.clean, right, found, scale, config.tolerated, config.confidence)
        return {
            "displacement_at_corner": self.displacement(scale * corner),
            "corner": corner[0].tolist(),
            "widths": (scale * self.widths).tolist(),
            "family_scale": scale,
            "corner_accuracy": proven.corner_accuracy,
            "corner_lower_bound": proven.corner_lower_bound,
            "accuracy_uniform_u": proven.accuracy,
        }


def compare(models: list[str], seeds: list[int], smoke: bool = False) -> Record:
    """Learn with both, certify with both, for each classifier and seed."""
    small = {"tolerance": 0.05, "steps": 5} if smoke else {}
    runs = []
    for model in models:
        classifier = itn.load_classifier(model)
        given = itn.read_images("mnist:heldout", classifier, limit=400 if smoke else 0)
        data = itn.preflight(classifier, given.images, given.labels)
        for seed in seeds:
            config = itn.LearnConfig(parts=("spatial",), seed=seed, **small)
            run = _run(classifier, data, config, WEIGHTS[:1] if smoke else WEIGHTS)
            runs.append({"model": model, "seed": seed, **run})
    return {
        "tolerance": config.tolerated,
        "confidence": config.confidence,
        "images_through_classifier": config.steps * config.batch_size,
        "weights": WEIGHTS,
        "runs": runs,
        "itn_over_augerino": {
            f"{run['model']}, seed {run['seed']}": run["itn_over_augerino"] for run in runs
        },
    }


def _run(
    classifier: itn.Classifier, data: itn.CheckedImages, config: itn.LearnConfig, weights: Sequence[float]
) -> Record:
    """Learn with both, certify with both."""
    split = split_images(data, config)
    assert split.calibration is not None
    n, clock = len(split.calibration), time.perf_counter()
    target = (max_failures(n, config.tolerated, config.confidence) + 0.5) / n
    learned, tried = [], []
    for weight in weights:
        widths = learn(classifier, split.learned, config, weight)
        family = Family(classifier, widths, split.learned, target, config.batch_size)
        moved = family.displacement(family.estimate * family.estimate_scale_and_worst_k)
        learned.append((moved, family))
        tried.append({"weight": weight, "widths": widths.tolist(), "estimated_displacement": moved})
    best = max(learned, key=lambda each: each[0])[1]
    whole = best.certified(split, config, best.estimate, best.estimate_scale_and_worst_k, best.worst)
    alone = best.certified(split, config, best.reach(best.best), best.best, best.best)
    halfway = time.perf_counter()
    record = itn.learn(classifier, data.images, data.labels, config, progress=False).record
    certificate, moved = record.certificate, record.spatial_displacement_at_corner
    assert certificate is not None
    assert moved is not None
    return {
        "itn_over_augerino": _over(moved, whole["displacement_at_corner"]),
        "itn_over_best_corner_alone": _over(moved, alone["displacement_at_corner"]),
        "tried": tried,
        "augerino": whole,
        "augerino_best_corner_alone": alone,
        "itn": {
            "displacement_at_corner": moved,
            "corner_accuracy": certificate.corner_accuracy,
            "corner_lower_bound": certificate.corner_lower_bound,
            "accuracy_uniform_k": certificate.accuracy,
        },
        "seconds": {
            "augerino": round(halfway - clock, 1),
            "itn": round(time.perf_counter() - halfway, 1),
        },
    }


def _over(own: float, other: float) -> float | None:
    return own / other if other > 0 else None
