"""The surround of crops: what photographs show beyond them, and where they end.

Crops lie at one place in larger *canvases*. The box of each canvas says how far the photograph reaches in it;
what lies outside the box is not part of the photograph, whatever values are there.
"""

from collections.abc import Callable
from typing import NamedTuple, Self, TypeVar

import torch
from torch import Tensor

Edge = TypeVar("Edge", int, Tensor)
"""Of a row of pixels: the same for all, or a column, B x 1, of those of each image."""


class Surround(NamedTuple):
    """Where crops lie in their canvases, and where in these each photograph ends; all in pixels."""

    top: int
    """Rows of a canvas above the crop."""
    left: int
    """Columns of a canvas left of the crop."""
    height: int
    """Of the crop."""
    width: int
    """Of the crop."""
    boxes: Tensor
    """Left, top, right and bottom edge of each photograph in its canvas, integers, B x 4. The crop lies
    inside."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the crops."""
        return self.height, self.width

    @classmethod
    def central(cls, canvas: tuple[int, int], crop: tuple[int, int], images: int) -> Self:
        """Return the surround of central crops of photographs that fill their canvases; both are H x W.

        Raises:
            ValueError: If the crop is larger than the canvas.
        """
        (height, width), (crop_height, crop_width) = canvas, crop
        if not (1 <= crop_height <= height and 1 <= crop_width <= width):
            raise ValueError(f"a crop of {crop_height} x {crop_width} does not fit into {height} x {width}")
        box = torch.tensor([0, 0, width, height]).expand(images, 4)
        # Rounded as torchvision's center_crop does
        top, left = round((height - crop_height) / 2), round((width - crop_width) / 2)
        return cls(top, left, crop_height, crop_width, box)

    def check(self, canvases: Tensor) -> None:
        """Raise ValueError unless this is the surround of these canvases, B x C x H' x W'."""
        (height, width), images = canvases.shape[-2:], len(canvases)
        if self.boxes.shape != (images, 4):
            raise ValueError(
                f"the surround has boxes of shape {tuple(self.boxes.shape)} for {images} canvases: give one "
                "row for each, left, top, right and bottom, such as those of surround.part(index)"
            )
        fits = 0 <= self.top <= height - self.height and 0 <= self.left <= width - self.width
        if not (fits and self.height >= 1 and self.width >= 1):
            raise ValueError(
                f"the surround has crops of {self.height} x {self.width} at row {self.top} and column "
                f"{self.left}, which do not fit into canvases of {height} x {width}: give the canvases, not "
                "the crops"
            )

    def crops(self, canvases: Tensor) -> Tensor:
        """Return the crops, ... x H x W, of canvases, ... x H' x W': a view."""
        rows = slice(self.top, self.top + self.height)
        return canvases[..., rows, self.left : self.left + self.width]

    def filling(self, canvases: Tensor) -> Self:
        """Return this surround for photographs that fill these canvases."""
        height, width = canvases.shape[-2:]
        box = self.boxes.new_tensor([0, 0, width, height])
        return self._replace(boxes=box.expand(len(self.boxes), 4))

    def moved(self, pixels: int) -> Self:
        """Return this surround for canvases with so many more pixels on every side."""
        return self._replace(top=self.top + pixels, left=self.left + pixels, boxes=self.boxes + pixels)

    def part(self, index: Tensor | slice) -> Self:
        """Return the surround of the crops at an index."""
        return self._replace(boxes=self.boxes[index])

    def to(self, device: torch.device) -> Self:
        """Return this surround with its boxes on a device."""
        return self._replace(boxes=self.boxes.to(device))


def crops_of(images: Tensor, surround: Surround | None) -> Tensor:
    """Return the crops of canvases, contiguous; images without a surround as they are."""
    return images if surround is None else surround.crops(images).contiguous()


def change_crops(images: Tensor, surround: Surround | None, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Return canvases whose crops are changed by a function, the rest as it is; images without a surround."""
    if surround is None:
        return change(images)
    canvases = images.clone()
    surround.crops(canvases).copy_(change(surround.crops(images)))
    return canvases


def fill_outside(canvases: Tensor, surround: Surround, padding: str) -> Tensor:
    """Return canvases, B x C x H' x W', with the padding outside the box of each photograph.

    Args:
        canvases: With any values there.
        surround: The boxes.
        padding: ``"zeros"``, ``"border"`` (the nearest pixel of the photograph) or ``"reflection"`` (mirrored
            at its edge).
    """
    left, top, right, bottom = surround.boxes.to(canvases.device)[:, :, None].unbind(1)
    y, x = (torch.arange(n, device=canvases.device) for n in canvases.shape[-2:])
    if padding == "zeros":
        rows, columns = (top <= y) & (y < bottom), (left <= x) & (x < right)  # B x H', B x W'
        inside = rows[:, None, :, None] & columns[:, None, None, :]
        return canvases.where(inside, canvases.new_zeros(()))
    rows, columns = folded(y, top, bottom, padding), folded(x, left, right, padding)
    image = torch.arange(len(canvases), device=canvases.device)[:, None, None, None]
    channel = torch.arange(canvases.shape[1], device=canvases.device)[:, None, None]
    return canvases[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


def folded(index: Tensor, low: Edge, high: Edge, padding: str) -> Tensor:
    """Return which pixel of low to high - 1 stands for each index, with the padding border or reflection."""
    if padding == "border":
        return index.clamp(low, high - 1)
    span = high - low
    offset = (index - low).remainder(2 * span)
    return low + torch.minimum(offset, 2 * span - 1 - offset)


def fold_into_box(
    grid: Tensor, surround: Surround, canvas: tuple[int, int], padding: str, inset: float
) -> Tensor:
    """Return sampling positions that are moved into the box of each photograph, B x H x W x 2.

    Args:
        grid: Positions in normalized coordinates of the canvas.
        surround: The boxes.
        canvas: Height and width of the canvas.
        padding: ``"border"`` or ``"reflection"``, as ``grid_sample`` has it at the edge of an image.
        inset: By how many pixels the positions stay inside the edges of the box at least; below 0 they may
            leave it by as much.
    """
    size = grid.new_tensor([canvas[1], canvas[0]])
    boxes = surround.boxes.to(grid)[:, None, None, :]
    low, high = boxes[..., :2], boxes[..., 2:]
    position = (grid + 1) * size / 2  # in pixels, from the outer edge
    if padding == "reflection":
        span = high - low
        position = high - ((position - low).remainder(2 * span) - span).abs()
    return 2 * torch.minimum(torch.maximum(position, low + inset), high - inset) / size - 1
