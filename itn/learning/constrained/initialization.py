"""Where constrained learning begins: units of the parameters, directions and scales of all restarts."""

from collections.abc import Sequence

import torch
from torch import Tensor

from itn.certification.parametric import EvaluationSet
from itn.learning.constrained.controls import VERTICES
from itn.learning.constrained.problem import FamilyProblem
from itn.learning.constrained.settings import ConstrainedSettings
from itn.learning.constrained.stacked_families import StackedFamilies, normalized
from itn.models.classifier import Classifier
from itn.nn import Composition
from itn.runtime import distributed
from itn.runtime.batching import map_in_memory


def initial_families(
    problems: Sequence[FamilyProblem], classifier: Classifier, batch_size: int, settings: ConstrainedSettings
) -> StackedFamilies:
    """Return the families that learning begins with.

    The weights are those of the problems' nets, measured in units that suit the classifier. Most restarts are
    then directed along single transformations that are known to go far, and along sums of two; the others
    stay random. All begin at a small displacement.

    Args:
        problems: With the same parts and equally many restarts each.
        classifier: That of the problems.
        batch_size: Images in a forward pass.
        settings: Settings.
    """
    net, restarts = problems[0].net, len(problems[0].restarts)
    by_problem = distributed.on_rank_zero(
        lambda: [
            parameter_units(net, problem.recognized.spread(settings.sensitivity_images), batch_size)
            for problem in problems
        ]
    )
    units = [
        torch.stack(part).to(classifier.device).repeat_interleave(restarts, 0)
        for part in zip(*by_problem, strict=True)
    ]
    families = StackedFamilies(problems, units, settings.surplus_weight)
    for first, problem in enumerate(problems):
        rows = slice(first * restarts, (first + 1) * restarts)
        for number, part in enumerate(net.parts):
            init_directions(families, number, rows, problem.directions[part].to(classifier.device), settings)
    for weights in families.weights:
        weights.requires_grad_()
    init_scales(families, settings.initial_ratio)
    return families


def parameter_units(net: Composition, images: EvaluationSet, batch_size: int) -> list[Tensor]:
    """Estimate for each part how far each parameter may go, P, at most its bound.

    Extrapolated from the slope of the margins at the identity. A shift breaks an image much sooner than a
    shear of the same size, so without units nearly all random directions would be shifts.
    """
    classifier, criterion = images.classifier, images.criterion
    data = images.data.to(classifier.device)

    def evaluate_batch(rows: slice) -> list[Tensor]:
        labels = data.labels[rows]
        pixels, surround = data.with_surround(rows, labels.device)
        zeros = [pixels.new_zeros(len(labels), len(part.names)).requires_grad_() for part in net.members]
        logits = classifier.logits(net.render(pixels, zeros, surround))
        margin = criterion.surrogate(logits, data.reference[rows], labels)
        slopes = torch.autograd.grad(margin.sum(), zeros)
        return [(slope / (margin.detach()[:, None] + 1e-3)).square() for slope in slopes]

    squares, _ = map_in_memory(len(data), batch_size, evaluate_batch)
    return [
        torch.minimum(torch.cat(of_part).mean(0).rsqrt(), part.head.bound)
        for part, of_part in zip(net.members, zip(*squares, strict=True), strict=True)
    ]


@torch.no_grad()
def init_directions(
    families: StackedFamilies, number: int, rows: slice, directions: Tensor, settings: ConstrainedSettings
) -> None:
    """Point most restarts of a problem to a pair of parameters at k = (1, 0) and (0, 1), their sum at (1, 1).

    A part with a single parameter has a range: its longer end is at (1, 0), its other end at (0, 1), and it
    grows in proportion to k between them.

    Args:
        families: Whose weights are set.
        number: Index of the part.
        rows: Restarts of the problem.
        directions: As in ``FamilyProblem``.
        settings: Settings.
    """
    hidden, output, units = (
        stacked[number][rows] for stacked in (families.hidden, families.output, families.units)
    )
    if output.shape[1] == 1:
        bound = families.head(number).bound
        ends = bound * (directions[0, :, 0] / bound).atanh().clamp(-settings.saturation, settings.saturation)
        hidden.zero_()
        output.zero_()
        for unit, weights in enumerate(((1.0, 0.0), (-1.0, 1.0))):
            hidden[:, unit : unit + 1] = hidden.new_tensor(weights)
            output[:, 0, unit : unit + 1] = ends[unit]
    elif len(directions):
        for row in range(round(settings.directed_share * len(output))):
            first, second = directions[row % len(directions)].to(output) / units[row]
            features = (VERTICES.to(output) @ hidden[row].T).relu()  # vertices x H
            directed = torch.stack([first, second, first + second], 1) @ torch.linalg.pinv(features).T
            output[row] += 0.5 * directed / directed.square().mean().sqrt().clamp_min(1e-9)
    output.copy_(normalized(output))


@torch.no_grad()
def init_scales(families: StackedFamilies, ratio: float) -> None:
    """Set log scales at which displacements at full strength are a small fraction of their references."""
    for _ in range(20):  # displacement is nearly quadratic there
        ratios = families.ratios(families.full_strength(families.log_scale))[:, 0]
        families.log_scale += ((ratio / ratios).log() / 2).clamp(-1, 1)
