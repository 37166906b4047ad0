"""From a photograph of any size to a classifier's input: resize, then crop the center."""

import dataclasses
from collections.abc import Iterable
from numbers import Real
from typing import Any, Literal, get_args

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
        resized = _height_width("resize", (self.resize, self.resize) if one_side else self.resize)
        # Lists, and numbers of numpy, become what the fields are declared with
        object.__setattr__(self, "resize", resized[0] if one_side else resized)
        object.__setattr__(self, "crop", _height_width("crop", self.crop))
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
        from torchvision.transforms import InterpolationMode  # noqa: PLC0415  # slow to import
        from torchvision.transforms import functional as tvf  # noqa: PLC0415  # slow to import

        if isinstance(self.resize, int):
            if self.resize**2 * max(image.size) > _MAX_PIXELS * min(image.size):
                width, height = image.size
                raise ValueError(f"{width} x {height} pixels are too thin to resize the short side")
            size = [self.resize]
        else:
            size = list(self.resize)
        resized = tvf.resize(image, size, InterpolationMode(self.interpolation), antialias=True)
        return tvf.center_crop(resized, list(self.crop))


def _height_width(name: str, size: Any) -> tuple[int, int]:
    """Return two positive whole numbers, of any type, as integers."""
    values = tuple(size) if isinstance(size, Iterable) else (size,)
    if len(values) != 2 or not all(is_of(v, (Real,)) and v >= 1 and float(v).is_integer() for v in values):
        raise ValueError(f"{name} must be positive pixels, height and width, got {size}")
    return int(values[0]), int(values[1])
