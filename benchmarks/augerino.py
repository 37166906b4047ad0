"""A learner in the manner of Augerino, for a classifier that stays frozen: a part of ``rivals.py``.

Benton et al. 2020 (https://arxiv.org/abs/2010.11882) learn during training how widely images may be
transformed by exp(sum of u_i theta_i G_i): G_i generate the affine group, u is uniform in [-1, 1]^6, and
cross-entropy minus a weight times the norm of the widths theta is minimized. As in their code, widths are a
softplus and the optimizer is Adam. There shifts count a tenth, which makes them the cheapest way to widths
but not to displacement; here the norm is about that of the displacement. The best of three weights is taken,
by training images, each with as many images in all steps as ``itn learn`` has.

Widths are symmetric: a family has 64 extreme members, u_i = +-1. Its scale is chosen on the held-out
images of ``itn learn`` with the same tests. It must keep to the tolerance at the extreme with the largest
displacement, which is compared, and at the one that loses most. In its favor the extreme that loses
least is certified by itself as well, as if it were the whole family.
"""

import time
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import itn
from itn.certification.parametric import EvaluationSet, ParametricTransform
from itn.certification.records import Measured, certify
from itn.certification.search import IMAGES, WorstCase, expected_to_pass
from itn.learning.split import Split, split_images
from itn.stats import DropTest, fixed_sequence_test, generator, last_scale
from itn.stats.fixed_sequence import SECOND, SEQUENCE

WEIGHTS = (0.03, 0.1, 0.3)  # of the widths
RATE = 0.1  # Adam's
START = -2.0  # of the widths before the softplus: 0.13
JUDGED = 1000  # images that tell the extremes apart
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
EXTREMES = torch.cartesian_prod(*[torch.tensor([1.0, -1.0])] * len(GENERATORS))
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
    for _ in range(config.goal.steps):
        index = torch.randint(len(data), (config.batch_size,), generator=draw)
        u = 2 * torch.rand(config.batch_size, len(GENERATORS), generator=draw) - 1
        widths = F.softplus(raw)
        images = itn.warp(data.pixels(index, classifier.device), matrices(widths, u)).clamp(0, 1)
        loss = F.cross_entropy(classifier.logits(images), data.labels[index]) - weight * widths.norm()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return F.softplus(raw).detach()


class Family:
    """Widths before a classifier; u is in [-1, 1], and the family grows with a scale.

    Args:
        classifier: The classifier under study.
        widths: Six.
        training: Images that tell about how far the family goes, and its extremes apart.
        test: Of the images that will calibrate it.
        batch_size: Images in one forward pass.
    """

    def __init__(
        self,
        classifier: itn.Classifier,
        widths: Tensor,
        training: itn.CheckedImages,
        test: DropTest,
        batch_size: int,
    ) -> None:
        self.widths, self.test = widths, test
        self.transform = ParametricTransform(
            len(widths), lambda u: [matrices(widths, u)], lambda images, rows: itn.warp(images, rows[0])
        )
        images = EvaluationSet(classifier, training, batch_size)
        self.images = images.spread(IMAGES)
        judges, scale = images.spread(JUDGED), self.largest_scale(EXTREMES[:1])
        # The sigmoid tells apart extremes that break equally many
        margins = [judges.outcomes(self.transform, scale * u[None]).margins for u in EXTREMES]
        badness = torch.stack([(-margin).sigmoid().mean() for margin in margins])
        self.worst, self.best = EXTREMES[badness.argmax()][None], EXTREMES[badness.argmin()][None]
        self.scale = self.largest_scale(self.worst)
        self.largest = EXTREMES[itn.displacement(matrices(widths, self.scale * EXTREMES)).argmax()][None]

    def displacement(self, u: Tensor) -> float:
        """Return the displacement at u times scale, 1 x 6."""
        return itn.displacement(matrices(self.widths, u)).item()

    def largest_scale(self, u: Tensor) -> float:
        """Return about the scale up to which the test passes at u, 1 x 6."""
        scale = 0.0
        for most in (2.0, 4.0, 8.0):

            def holds_at(scale: float) -> bool:
                count = self.images.tally(self.transform, scale * u, self.test.tolerance)
                return expected_to_pass(count, self.test)

            scale = last_scale(holds_at, most, scale)
            if scale < most:
                break
        return scale

    def certified(
        self, split: Split, config: itn.LearnConfig, estimate: float, extreme: Tensor, worst: Tensor
    ) -> Record:
        """Choose the scale on held-out images, for two extremes, and say what is certain."""
        held_out = self.images._replace(data=split.held_out)

        def changes_at(scale: float) -> Tensor:
            return torch.stack([held_out.changes(self.transform, scale * u) for u in (extreme, worst)])

        scales = [estimate * factor for factor in SEQUENCE]
        sequence = fixed_sequence_test(changes_at, scales, self.test, SECOND)
        scale, draw = sequence.scale, generator(config.seed, "augerino evaluation")
        uniform = 2 * torch.rand(len(held_out.data), len(self.widths), generator=draw) - 1
        of_uniform, of_extreme, of_worst = (
            held_out.outcomes(self.transform, scale * u) for u in (uniform, extreme, worst)
        )
        everywhere = held_out.data.clean & of_uniform.right & of_extreme.right & of_worst.right
        measured = Measured(
            held_out.data.clean,
            of_uniform,
            of_extreme,
            of_worst,
            WorstCase(worst, of_worst, everywhere),
        )
        certificate = certify(
            measured, sequence, held_out.criterion, config.confidence, {"u": worst[0].tolist()}
        )
        return {
            "displacement_full": self.displacement(scale * extreme),
            "extreme": extreme[0].tolist(),
            "widths": (scale * self.widths).tolist(),
            "scale": scale,
            "accuracy_full": certificate.full.accuracy,
            "lower_bound_full": certificate.full.lower_bound,
            "accuracy_uniform": certificate.uniform.accuracy,
        }


def compare(models: list[str], seeds: list[int], smoke: bool = False) -> Record:
    """Learn with both, certify with both, for each classifier and seed."""
    small = {"tolerance": 0.05, "steps": 5} if smoke else {}
    runs = []
    for model in models:
        classifier = itn.load_classifier(model)
        given = itn.load_images("mnist:heldout", classifier, limit=400 if smoke else 0)
        data = itn.preflight(classifier, given.images, given.labels)
        for seed in seeds:
            config = itn.LearnConfig(parts=("spatial",), seed=seed, **small)
            run = _run(classifier, data, config, WEIGHTS[:1] if smoke else WEIGHTS)
            runs.append({"model": model, "seed": seed, **run})
    return {
        "tolerance": config.goal.tolerance,
        "confidence": config.confidence,
        "images_through_classifier": config.goal.steps * config.batch_size,
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
    clock, test = time.perf_counter(), config.terms.test(len(split.held_out), config.asks)
    families, tried = [], []
    for weight in weights:
        widths = learn(classifier, split.training, config, weight)
        family = Family(classifier, widths, split.training, test, config.batch_size)
        displacement = family.displacement(family.scale * family.largest)
        families.append((displacement, family))
        tried.append({"weight": weight, "widths": widths.tolist(), "estimated_displacement": displacement})
    best = max(families, key=lambda pair: pair[0])[1]
    whole = best.certified(split, config, best.scale, best.largest, best.worst)
    alone = best.certified(split, config, best.largest_scale(best.best), best.best, best.best)
    halfway = time.perf_counter()
    record = itn.learn(classifier, data.images, data.labels, config, progress=False).record
    certificate, displacement = record.certificate, record.parts["spatial"].displacement_full
    assert certificate is not None
    return {
        "itn_over_augerino": _over(displacement, whole["displacement_full"]),
        "itn_over_best_extreme_alone": _over(displacement, alone["displacement_full"]),
        "tried": tried,
        "augerino": whole,
        "augerino_best_extreme_alone": alone,
        "itn": {
            "displacement_full": displacement,
            "accuracy_full": certificate.full.accuracy,
            "lower_bound_full": certificate.full.lower_bound,
            "accuracy_uniform": certificate.uniform.accuracy,
        },
        "seconds": {
            "augerino": round(halfway - clock, 1),
            "itn": round(time.perf_counter() - halfway, 1),
        },
    }


def _over(displacement: float, other: float) -> float | None:
    return displacement / other if other > 0 else None
