"""A photograph in memory, prepared as a classifier takes it, with what it shows around the crop."""

import dataclasses
import io

import numpy as np
import torch
from PIL import UnidentifiedImageError
from torch import Tensor

from itn.data.class_folders import readable_suffixes
from itn.data.decoding import check_color, decode_photo, image_mode
from itn.functional import Surround
from itn.models.canvases import AUTO_RATIO, Canvases, SurroundSetting, check_surround
from itn.models.classifier import Classifier
from itn.models.preprocessing import Preprocessing
from itn.runtime.errors import first_line


@dataclasses.dataclass(frozen=True)
class Photograph:
    """One image."""

    image: Tensor
    """What the classifier sees, 1 x C x H x W, uint8 or float in [0, 1]."""
    canvases: Canvases | None = None
    """The photograph cut larger, of which the image is the crop; None: nothing is known around it."""


@dataclasses.dataclass(frozen=True)
class PhotographReader:
    """Prepares photographs for a classifier.

    Raises:
        ValueError: If a setting is out of its range, or asks for what the classifier cannot have.
    """

    classifier: Classifier
    surround: SurroundSetting = "auto"
    """As in ``itn.load_images``."""
    background: str | None = None
    """Color that is seen through transparent pixels; None: the one that is stored beneath."""
    size: int | None = None
    """For a classifier that does not say how photographs are prepared: pixels to resize the shorter side to,
    and to crop; None: images are taken as they are."""

    def __post_init__(self) -> None:
        check_surround(self.surround)
        check_color(self.background)
        image_mode(self.classifier)
        if self.size is not None and self.classifier.preprocessing is not None:
            raise ValueError(
                f"size is {self.size}, but {self.classifier.name} says itself how photographs are prepared: "
                "leave it out"
            )
        possible = 1.0 if self.preprocessing is None else self.preprocessing.margins(self.ratio).ratio(
            self.preprocessing.crop
        )  # fmt: skip
        if not isinstance(self.surround, str) and self.surround > 1 and possible == 1:
            raise ValueError(
                f"surround is {self.surround:g}, but nothing is cropped, so that there is none: leave it out"
            )

    @property
    def preprocessing(self) -> Preprocessing | None:
        """How photographs are prepared; None: they are taken as they are."""
        if self.size is None:
            return self.classifier.preprocessing
        return Preprocessing(self.size, (self.size, self.size))

    @property
    def ratio(self) -> float:
        """Size of canvases over that of the crop."""
        if isinstance(self.surround, str):
            return 1.0 if self.surround == "none" else AUTO_RATIO
        return self.surround

    def read(self, file: bytes) -> Photograph:
        """Return the photograph that a file holds; nothing is written.

        Raises:
            ValueError: If it cannot be read.
        """
        readable_suffixes()  # from here on HEIC can be read, if its reader is installed
        try:
            image, _ = decode_photo(io.BytesIO(file), image_mode(self.classifier), self.background)
            if self.preprocessing is None:
                return Photograph(_tensor(np.asarray(image)))
            margins = self.preprocessing.margins(self.ratio)
            pixels, box = self.preprocessing.canvas(image, margins)
        except UnidentifiedImageError:
            raise ValueError("this is not an image that PIL can read: give a JPEG, PNG or WebP") from None
        except Exception as error:  # PIL's readers raise many types
            raise ValueError(f"this image cannot be read ({first_line(error)}): give another one") from None
        surround = Surround(margins.top, margins.left, *self.preprocessing.crop, torch.tensor([box]))
        canvases = Canvases(_tensor(pixels), surround)
        if canvases.ratio > 1 and (self.surround != "auto" or canvases.shows_more):
            return Photograph(canvases.crops, canvases)
        return Photograph(canvases.crops.clone())


def _tensor(pixels: np.ndarray) -> Tensor:
    """Return pixels, H x W or H x W x C, as 1 x C x H x W."""
    return torch.from_numpy(np.atleast_3d(pixels).transpose(2, 0, 1).copy())[None]
