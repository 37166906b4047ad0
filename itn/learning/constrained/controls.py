"""Random controls k1 and k2, mostly where a family is at its largest."""

from typing import NamedTuple

import torch
from torch import Tensor

from itn.learning.constrained.settings import ConstrainedSettings

VERTICES = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
EDGES = len(VERTICES) ** 2  # group of draws on edges; pairs of vertices come before it
FULL_STRENGTH = EDGES - 1  # group of k1 = k2 = (1, 1), the last pair


class ControlDraw(NamedTuple):
    """Controls of color and spatial, draws x 2, and the pair of vertices that each draw belongs to."""

    k1: Tensor
    k2: Tensor
    group: Tensor
    """3 i + j for k1 at vertex i and k2 at vertex j; 9 on edges."""


def draw_controls(
    count: int, random: torch.Generator, settings: ConstrainedSettings, device: torch.device
) -> ControlDraw:
    """Draw controls: first full strength, then pairs of vertices, then points on the outer edges."""
    full = round(settings.full_strength_share * count)
    vertices = slice(full, full + round(settings.vertex_share * count))
    group = torch.full((count,), EDGES)
    group[:full] = FULL_STRENGTH
    group[vertices] = 0
    ks = []
    for place in (len(VERTICES), 1):
        along, side = torch.rand(2, count, generator=random)
        k = torch.stack([along.where(side < 0.5, 1.0), along.where(side >= 0.5, 1.0)], -1)
        vertex = torch.randint(len(VERTICES), group[vertices].shape, generator=random)
        k[vertices] = VERTICES[vertex]
        k[:full] = 1
        group[vertices] += place * vertex
        ks.append(k.to(device))
    return ControlDraw(ks[0], ks[1], group.to(device))
