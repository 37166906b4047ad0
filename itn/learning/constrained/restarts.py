"""Restarts: which are best.

Gradients lead to local optima, so several restarts are learned side by side in the same forward passes. On
the way the worse ones are pruned, and the others get their share of the batch. Restarts are compared as if
all broke equally many images: one that goes farther only because it breaks more is no better.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from itn.learning.constrained.importance_sampling import ImageSampler
from itn.learning.constrained.settings import ConstrainedSettings
from itn.learning.constrained.stacked_families import StackedFamilies

FEWEST = 0.1  # of the images that change: where as many become right as wrong, so many count as lost
MOST_ROOM = 0.65  # that counts: nobody knows what a family does far from where it is
SoftChanges = Callable[[Tensor, Sequence[Tensor]], Tensor]
"""From indices, problems x draws, and parameters, rows x draws x P, to smooth changes, rows x draws."""


def scores(log_displacement: Tensor, room: Tensor) -> Tensor:
    """Return about the log displacement that each row has at the target drop, its square in the scale; rows.

    Args:
        log_displacement: At full strength, rows.
        room: What is left of the log scale, the less of full strength and worst k, rows.
    """
    return log_displacement + 2 * room.clamp_max(MOST_ROOM)


@torch.no_grad()
def standings(
    families: StackedFamilies,
    sampler: ImageSampler,
    soft_changes: SoftChanges,
    worst: Tensor,
    batch_size: int,
    settings: ConstrainedSettings,
) -> tuple[Tensor, Tensor]:
    """Return how far each row goes at a scale at which all break equally many images.

    Returns the log displacement there, rows, and the step of the log scale that leads there, rows.
    What counts is full strength or the worst k that is known, rows x ks x 2, whichever breaks more.

    The scale is found on the most vulnerable images, in two steps: the first assumes the usual exponent,
    the second uses the exponent that the first has shown.
    """
    # With small batches, the comparison would otherwise cost more than learning
    index, present = sampler.most_vulnerable(min(settings.ranking_images, 4 * batch_size))
    present = present.to(families.log_scale).repeat_interleave(families.restarts, 0)
    width = max(1, batch_size // len(families.remaining))
    ks = torch.ones_like(worst), worst

    def soft_count(log_scale: Tensor) -> Tensor:
        """Return how many of the images are lost, by the sigmoid of the margin."""
        return torch.maximum(*(count_at(families.parameters_at(log_scale, k)) for k in ks))

    def count_at(parameters: Sequence[Tensor]) -> Tensor:
        changes = []
        for some, counted in zip(index.split(width, 1), present.split(width, 1), strict=True):
            expanded = [p.expand(-1, some.shape[1], -1) for p in parameters]
            changes.append(soft_changes(some, expanded) * counted)
        lost = torch.stack([change.sum(1) for change in changes]).sum(0)
        changed = torch.stack([change.abs().sum(1) for change in changes]).sum(0)
        return torch.maximum(lost, FEWEST * changed) + 1e-6

    usual = settings.growth_exponent
    log_scale = families.log_scale[families.remaining]
    before = soft_count(log_scale)
    common = before.view(-1, families.restarts).median(1).values.repeat_interleave(families.restarts)
    step = ((common / before).log() / usual).clamp(-0.3, 0.3)
    after = soft_count(log_scale + step[:, None])
    exponent = ((after / before).log() / step).nan_to_num(usual).clamp(usual / 2, 2 * usual)
    step = step + (common / after).log() / exponent
    return families.log_displacement(families.full_strength(log_scale + step[:, None]))[:, 0], step
