"""Random controls of each part, mostly where a family is at its largest."""

from typing import NamedTuple

import torch
from torch import Tensor

from itn.learning.constrained.settings import ConstrainedSettings

VERTICES = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])


class Groups(NamedTuple):
    """Draws of controls by where they lie: a vertex for each k, or on edges."""

    controls: int
    """How many ks there are."""

    @property
    def full_strength(self) -> int:
        """The group in which every k is (1, 1)."""
        return self.edges - 1

    @property
    def edges(self) -> int:
        """The group of draws on edges; the combinations of vertices come before it."""
        return len(VERTICES) ** self.controls

    @property
    def total(self) -> int:
        """Number of groups."""
        return self.edges + 1


class ControlDraw(NamedTuple):
    """Controls, draws x 2 for each k, and the group that each draw belongs to."""

    ks: list[Tensor]
    group: Tensor
    """The vertices of all ks as the digits of one number, base 3; on edges the number after the last."""


def draw_controls(
    groups: Groups, count: int, random: torch.Generator, settings: ConstrainedSettings, device: torch.device
) -> ControlDraw:
    """Draw controls: first full strength, then combinations of vertices, then points on the outer edges."""
    full = round(settings.full_strength_share * count)
    vertices = slice(full, full + round(settings.vertex_share * count))
    group = torch.full((count,), groups.edges)
    group[:full] = groups.full_strength
    group[vertices] = 0
    ks = []
    for digit in reversed(range(groups.controls)):
        along, side = torch.rand(2, count, generator=random)
        k = torch.stack([along.where(side < 0.5, 1.0), along.where(side >= 0.5, 1.0)], -1)
        vertex = torch.randint(len(VERTICES), group[vertices].shape, generator=random)
        k[vertices] = VERTICES[vertex]
        k[:full] = 1
        group[vertices] += len(VERTICES) ** digit * vertex
        ks.append(k.to(device))
    return ControlDraw(ks, group.to(device))
