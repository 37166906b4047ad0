"""The search, while families are learned, for the controls at which each of them is worst."""

import torch
from torch import Tensor

from itn.learning.constrained.importance_sampling import ImageSampler
from itn.learning.constrained.restarts import SoftChanges
from itn.learning.constrained.settings import ConstrainedSettings
from itn.learning.constrained.stacked_families import StackedFamilies

# Almost 0 instead of 0, where a displacement need not have a gradient
CANDIDATES = torch.tensor(
    [[1e-3, 1e-3], [1.0, 0.0], [0.0, 1.0], [1.0, 0.5], [0.5, 1.0], [0.5, 0.5], [1.0, 1.0]]
)
WAYS = (0.25, 0.5, 0.75)  # to full strength: a family that is scaled back goes through these


@torch.no_grad()
def search_worst_controls(
    families: StackedFamilies,
    worst: Tensor,
    sampler: ImageSampler,
    soft_changes: SoftChanges,
    random: torch.Generator,
    batch_size: int,
    settings: ConstrainedSettings,
) -> Tensor:
    """Return for each remaining row controls at which it loses most, rows x ks x 2.

    Places on the way to full strength are tried, then one k after the other at its vertices, in the middle,
    at that of its edges and next to 0; the others stay at the worst so far. The cost grows with the number of
    ks, not with that of their combinations.

    Args:
        families: The families.
        worst: The worst so far of the remaining rows, rows x ks x 2.
        sampler: Draws images, the same ones for all controls.
        soft_changes: How the images change.
        random: For the draws.
        batch_size: Images in a forward pass.
        settings: How many images are worth it.
    """
    driven = [list(families.net.controls).index(part) for part in families.net.parts]
    passes = 2 + len(WAYS) + len(CANDIDATES) * len(driven)
    rows = len(families.remaining)
    images = settings.search_batches * batch_size // (passes * rows)
    index, weight = sampler.draw(max(settings.search_images, images), random)
    weight = weight.to(worst).repeat_interleave(families.restarts, 0)
    log_scale = families.log_scale[families.remaining]

    def lost(ks: Tensor) -> Tensor:
        """Return the drop of each row at controls of its own, rows."""
        parameters = families.parameters_at(log_scale, ks)
        changes = [
            soft_changes(some, [p.expand(-1, some.shape[1], -1) for p in parameters])
            for some in index.split(max(1, batch_size // rows), 1)
        ]
        return (torch.cat(changes, 1) * weight).mean(1)

    best, most = torch.ones_like(worst), lost(torch.ones_like(worst))

    def consider(ks: Tensor) -> None:
        nonlocal best, most
        now = lost(ks)
        best = torch.where((now > most)[:, None, None], ks, best)
        most = torch.maximum(now, most)

    consider(worst)
    for way in WAYS:
        ks = torch.ones_like(worst)
        ks[:, driven] = way
        consider(ks)
    for number in driven:
        for values in CANDIDATES:
            ks = best.clone()
            ks[:, number] = values.to(ks)
            consider(ks)
    return best
