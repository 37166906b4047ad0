"""Photographs cut larger than a classifier's crop: what lies around the crop, for geometry to look at."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor

from itn.functional import Surround
from itn.models.preprocessing import Margins, Preprocessing, margin
from itn.runtime.validation import is_of, require

SurroundSetting = Literal["auto", "none"] | float
"""Size of the canvas over that of the crop, at least 1; auto: 1.5 where there is something, else none."""
AUTO_RATIO = 1.5


@dataclasses.dataclass(frozen=True)
class Canvases:
    """N photographs, cut larger than the crop that a classifier sees."""

    pixels: Tensor
    """N x C x H' x W', uint8, black beyond the photographs."""
    surround: Surround
    """Where the crops lie, and where each photograph ends."""

    @property
    def crops(self) -> Tensor:
        """What the classifier sees, N x C x H x W: a view of the pixels."""
        return self.surround.crops(self.pixels)

    @property
    def shows_more(self) -> bool:
        """Whether any photograph goes on beyond its crop."""
        around = self.surround
        first = torch.tensor([around.left, around.top])
        last = first + torch.tensor([around.width, around.height])
        boxes = self.surround.boxes.cpu()
        return bool((boxes[:, :2] < first).any() or (boxes[:, 2:] > last).any())

    @property
    def ratio(self) -> float:
        """Size of the canvases over that of the crops, the larger one of height and width."""
        return self.margins.ratio(self.surround.size)

    @property
    def margins(self) -> Margins:
        """By how many pixels the canvases exceed the crops."""
        (height, width), around = self.pixels.shape[-2:], self.surround
        below, right = height - around.top - around.height, width - around.left - around.width
        return Margins(around.top, below, around.left, right)

    @classmethod
    def joined(cls, sets: Sequence[Self]) -> Self:
        """Return the photographs of several sets that are cut alike, one after the other."""
        boxes = torch.cat([part.surround.boxes for part in sets])
        return cls(torch.cat([part.pixels for part in sets]), sets[0].surround._replace(boxes=boxes))

    def part(self, index: Tensor) -> "Canvases":
        """Return the photographs at an index tensor."""
        return Canvases(self.pixels[index], self.surround.part(index))

    def to(self, device: torch.device, pixels: bool = True) -> "Canvases":
        """Return a copy on another device; with ``pixels=False`` these stay where they are."""
        surround = self.surround._replace(boxes=self.surround.boxes.to(device))
        return Canvases(self.pixels.to(device) if pixels else self.pixels, surround)

    def cut(self, ratio: float) -> "Canvases":
        """Return smaller canvases, ``ratio`` times as large as the crop: a view, no larger than these are."""
        old, (height, width) = self.surround, self.pixels.shape[-2:]
        above, beside = (margin(ratio, n) for n in old.size)
        top, left = max(0, old.top - above), max(0, old.left - beside)
        bottom = min(height, old.top + old.height + above)
        right = min(width, old.left + old.width + beside)
        low, high = old.boxes.new_tensor([left, top] * 2), old.boxes.new_tensor([right, bottom] * 2)
        boxes = torch.minimum(torch.maximum(old.boxes, low), high) - low
        surround = old._replace(top=old.top - top, left=old.left - left, boxes=boxes)
        return Canvases(self.pixels[..., top:bottom, left:right], surround)


def surround_text(ratio: float | None, interpolation: str, padding: str | None = None) -> str:
    """Return in words what geometry brings in and how it samples, for closing tables.

    Args:
        ratio: That of ``Canvases``; None: nothing is known around the images.
        interpolation: Bilinear or bicubic.
        padding: What lies outside the frame; None: not to be said.
    """
    sampling = f"; {interpolation} interpolation"
    if ratio is None:
        moves_in = "surround: none, so what moves in from outside the images is "
        if padding == "zeros":
            return f"{moves_in}black, which may be what breaks: padding reflection brings in none{sampling}"
        return f"{moves_in}padding{f' ({padding})' if padding else ''}{sampling}"
    return (
        "surround: what moves in from outside the images is what photographs show there, up to "
        f"{ratio:.3g} times their size{sampling}"
    )


def check_surround(value: Any) -> None:
    """Raise ValueError unless a value is a setting of the surround."""
    valid = value in ("auto", "none") if isinstance(value, str) else is_of(value, (float, int))
    require(
        valid and (isinstance(value, str) or 1 <= value < float("inf")),
        "surround must be auto, none, or the size of the canvas over that of the crop, at least 1, "
        f"got {value!r}",
    )


def chosen_canvases(
    canvases: Canvases | None, surround: SurroundSetting, preprocessing: Preprocessing | None = None
) -> Canvases | None:
    """Return what a setting takes of the canvases that images have, or None.

    Args:
        canvases: What is known around the images.
        surround: The setting.
        preprocessing: What the photographs went through: a number never asks for more than it leaves.

    Raises:
        ValueError: If a number asks for more than there is, but could be had.
    """
    if surround in {"none", 1} or (surround == "auto" and canvases is None):
        return None
    if surround == "auto":
        return canvases
    assert not isinstance(surround, str)
    if canvases is None:
        raise ValueError(
            f"surround is {surround:g}, but nothing is known around these images: give the ImageSet that "
            'load_images has returned for a folder of photographs and their classifier, or surround="auto"'
        )
    crop = canvases.surround.size
    if preprocessing is not None and preprocessing.crop == crop:
        wanted = preprocessing.margins(surround)
    else:
        above, beside = (margin(surround, n) for n in crop)
        wanted = Margins(above, above, beside, beside)
    if any(n > known for n, known in zip(wanted, canvases.margins, strict=True)):
        raise ValueError(
            f"surround is {surround:g}, but the canvases of these images are {canvases.ratio:.3g} times as "
            f"large as the crop: load them with load_images(..., surround={surround:g})"
        )
    return canvases.cut(surround)
