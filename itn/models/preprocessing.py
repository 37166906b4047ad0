"""From a photograph of any size to a classifier's input: resize, then crop the center."""

import dataclasses
import math
from collections.abc import Iterable
from numbers import Real
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from itn.runtime.validation import is_of

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]
_MAX_PIXELS = 1 << 27  # of a resized image; only extremely thin images exceed this, and would fill the memory


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """How a classifier's photographs are resized and cropped, as torchvision and timm describe it.

    Raises:
        ValueError: If a size is not positive, the crop is larger than the resized image, or the
            interpolation is unknown.

    Example:
        >>> Preprocessing(resize=256, crop=(224, 224))(Image.new("RGB", (640, 480))).size
        (224, 224)
    """

    resize: int | tuple[int, int]
    """Pixels of the shorter side, keeping the aspect ratio, or (height, width)."""
    crop: tuple[int, int]
    """Height and width, in pixels, of the central crop: the input size of the classifier."""
    interpolation: Interpolation = "bilinear"
    """Interpolation of the resizing, always with antialiasing."""

    def __post_init__(self) -> None:
        one_side = not isinstance(self.resize, Iterable)
        resized = height_width("resize", (self.resize, self.resize) if one_side else self.resize)
        # Lists, and numbers of numpy, become what the fields are declared with
        object.__setattr__(self, "resize", resized[0] if one_side else resized)
        object.__setattr__(self, "crop", height_width("crop", self.crop))
        if resized[0] < self.crop[0] or resized[1] < self.crop[1]:
            raise ValueError(
                f"crop {self.crop} exceeds resize {self.resize}, which leaves a black border: "
                "resize to at least the crop"
            )
        if self.interpolation not in get_args(Interpolation):
            options = ", ".join(get_args(Interpolation))
            raise ValueError(f"unknown interpolation {self.interpolation!r}: give one of {options}")

    def __call__(self, image: Image.Image) -> Image.Image:
        """Return an image of size ``crop``.

        Raises:
            ValueError: If the image is so thin that resizing its shorter side makes it huge.
        """
        from torchvision.transforms import functional as tvf  # noqa: PLC0415  # slow to import

        return tvf.center_crop(self._resized(image), list(self.crop))

    def margins(self, ratio: float) -> "Margins":
        """Return by how much a canvas, ``ratio`` times as high and wide as the crop, exceeds it.

        Where photographs are resized to a height and a width, a canvas never exceeds these.
        """
        above, beside = margin(ratio, self.crop[0]), margin(ratio, self.crop[1])
        if isinstance(self.resize, int):
            return Margins(above, above, beside, beside)
        (top, left), (height, width) = _offset(self.resize, self.crop), self.crop
        below, right = self.resize[0] - top - height, self.resize[1] - left - width
        return Margins(min(above, top), min(above, below), min(beside, left), min(beside, right))

    def canvas(self, image: Image.Image, margins: "Margins") -> tuple[NDArray[np.uint8], tuple[int, ...]]:
        """Return the resized image cut with margins around the crop, and how far it reaches there.

        Returns:
            The canvas, H' x W' x C, black beyond the image; the crop in it is the one that calling gives, bit
            for bit. And the left, top, right and bottom edge of the image in the canvas, in pixels.

        Raises:
            ValueError: As calling does.
        """
        pixels = np.atleast_3d(np.asarray(self._resized(image)))
        (height, width), (crop_height, crop_width) = pixels.shape[:2], self.crop
        top, left = _offset((height, width), self.crop)
        canvas_height = margins.top + crop_height + margins.bottom
        canvas_width = margins.left + crop_width + margins.right
        top, left = margins.top - top, margins.left - left  # where the image begins in the canvas
        box = max(0, left), max(0, top), min(canvas_width, left + width), min(canvas_height, top + height)
        canvas = np.zeros((canvas_height, canvas_width, pixels.shape[2]), np.uint8)
        seen = pixels[box[1] - top : box[3] - top, box[0] - left : box[2] - left]
        canvas[box[1] : box[3], box[0] : box[2]] = seen
        return canvas, box

    def _resized(self, image: Image.Image) -> Image.Image:
        from torchvision.transforms import InterpolationMode  # noqa: PLC0415  # slow to import
        from torchvision.transforms import functional as tvf  # noqa: PLC0415  # slow to import

        if isinstance(self.resize, int):
            if self.resize**2 * max(image.size) > _MAX_PIXELS * min(image.size):
                width, height = image.size
                raise ValueError(f"{width} x {height} pixels are too thin to resize the short side")
            size = [self.resize]
        else:
            size = list(self.resize)
        return tvf.resize(image, size, InterpolationMode(self.interpolation), antialias=True)


class Margins(NamedTuple):
    """By how many pixels a canvas exceeds the crop on each side."""

    top: int
    bottom: int
    left: int
    right: int

    def ratio(self, crop: tuple[int, int]) -> float:
        """Return the size of the canvas over that of the crop, the larger one of height and width."""
        height, width = crop
        return 1 + max((self.top + self.bottom) / height, (self.left + self.right) / width)


def margin(ratio: float, size: int) -> int:
    """Return by how many pixels a canvas, ``ratio`` times the crop, exceeds its size on either side.

    Rounded up, so that a ratio above 1 always has a margin, and none is smaller than asked for.
    """
    return math.ceil((ratio - 1) * size / 2 - 1e-9)  # 1.2 - 1 exceeds 0.2 by rounding


def _offset(size: tuple[int, int], crop: tuple[int, int]) -> tuple[int, int]:
    """Return top and left of the central crop of an image, both H x W, rounded as torchvision does."""
    return round((size[0] - crop[0]) / 2), round((size[1] - crop[1]) / 2)


def height_width(name: str, size: Any) -> tuple[int, int]:
    """Return two positive whole numbers, of any type, as integers."""
    values = tuple(size) if isinstance(size, Iterable) else (size,)
    if len(values) != 2 or not all(is_of(v, (Real,)) and v >= 1 and float(v).is_integer() for v in values):
        raise ValueError(f"{name} must be positive pixels, height and width, got {size}")
    return int(values[0]), int(values[1])
