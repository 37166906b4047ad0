"""The frame of the images that a transformer meets."""

from collections.abc import Sequence
from typing import NamedTuple

from itn.functional import Surround


class Frame(NamedTuple):
    """Channels and size of images, and what lies outside them."""

    channels: int
    height: int
    width: int
    padding: str = "zeros"
    """Zeros (black), border or reflection."""
    surround: Surround | None = None
    """Of canvases that a transformer with ``takes_surround`` is given; the size is that of their crops."""
    interpolation: str = "bilinear"
    """How values between pixels are made: bilinear or bicubic."""

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.width / self.height

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    @classmethod
    def of(cls, shape: Sequence[int], padding: str = "zeros", interpolation: str = "bilinear") -> "Frame":
        """Return the frame of images of shape ... x C x H x W."""
        channels, height, width = shape[-3:]
        return cls(channels, height, width, padding, interpolation=interpolation)
