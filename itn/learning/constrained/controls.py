"""Controls of each draw, mostly where a family is at its largest or its worst."""

from typing import NamedTuple

import torch
from torch import Tensor

from itn.learning.constrained.settings import ConstrainedSettings

VERTICES = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


class ControlDraw(NamedTuple):
    """Controls by what they are drawn for: first full strength, then the worst k, then all others."""

    ks: list[Tensor]
    """Rows x draws x 2 for each k."""
    full: slice
    """The draws at full strength."""
    worst: slice
    """The draws at the worst k of each row."""


def draw_controls(
    worst: Tensor, count: int, random: torch.Generator, settings: ConstrainedSettings
) -> ControlDraw:
    """Draw controls: full strength, the worst of each row, vertices, the way to full strength, outer edges.

    Args:
        worst: The worst controls that are known of each row, rows x ks x 2.
        count: How many draws.
        random: On the CPU.
        settings: Shares of each.
    """
    first = max(1, round(settings.full_strength_share * count))
    second = first + max(1, round(settings.worst_share * count))
    third = second + round(settings.vertex_share * count)
    fourth = third + round(settings.way_share * count)
    full, at_worst, vertices, on_way = (
        slice(first),
        slice(first, second),
        slice(second, third),
        slice(third, fourth),
    )
    ways, ks = torch.rand(fourth - third, 1, generator=random), []
    for of_row in worst.unbind(1):
        along, side = torch.rand(2, count, generator=random)
        k = torch.stack([along.where(side < 0.5, 1.0), along.where(side >= 0.5, 1.0)], -1)
        k[vertices] = VERTICES[torch.randint(len(VERTICES), (third - second,), generator=random)]
        k[on_way] = ways  # all ks together
        k[full] = 1
        of_rows = k.to(worst.device).repeat(len(worst), 1, 1)
        of_rows[:, at_worst] = of_row[:, None]
        ks.append(of_rows)
    return ControlDraw(ks, full, at_worst)
