"""What transformers that a run names, instead of being given them, are made from."""

from typing import NamedTuple


class PartSettings(NamedTuple):
    """Settings of a run that concern its transformers; each takes those that it has."""

    channels: int
    """Of the images."""
    hidden: int = 32
    """Width of the hidden layer of the control heads."""
    nonnegative: bool = False
    """No parameter falls below 0."""
    padding: str = "zeros"
    interpolation: str = "bilinear"
    family: str = "affine"
    """Of the spatial transformer."""
    spatial_bound: float | None = None
    color_family: str = "affine"
    color_bound: float = 1.0
