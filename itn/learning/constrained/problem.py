"""What is to be learned: one family of transformations, from some images."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from itn.models.checked_images import CheckedImages
from itn.nn import InvariantTransformerNet


class FamilyProblem(NamedTuple):
    """A family to learn, its training images, and what is known beforehand."""

    net: InvariantTransformerNet
    """Receives the result."""
    restarts: Sequence[InvariantTransformerNet]
    """Nets with the same architecture and other weights; may contain ``net`` itself."""
    data: CheckedImages
    references: Mapping[str, float]
    """Displacement of each part that counts as 1."""
    bounded: Collection[str]
    """Parts whose reference is a baseline that reached its bound: gains beyond it count for less."""
    directions: Mapping[str, Tensor]
    """For each part, pairs of parameters that promise much together, m x 2 x P; m may be 0. For a part with
    a single parameter 1 x 2 x 1, the ends of its range, the longer one first."""
