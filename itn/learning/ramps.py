"""A ramp of all shades beneath images, under the same colors: on a digit they are hardly to be seen."""

from collections.abc import Sequence

import torch
from torch import Tensor

from itn.nn import ColorTransformer, Composition

NOTE = "; beneath, where colors change: a ramp of all shades under the same colors"
SHARE = 7  # of the height of an image, that the ramp takes


def color_part(net: Composition) -> str | None:
    """Return the name of the part that changes colors alone; None if there is none."""
    return next((part for part in net.parts if isinstance(net.part(part), ColorTransformer)), None)


def ramp(channels: int, height: int, width: int) -> Tensor:
    """Return shades from dark on the left to light on the right, C x H x W: gray, or gray, red, green, blue.

    A line in the middle gray is above them.
    """
    shades = torch.linspace(0, 1, width).expand(channels, height, width).clone()
    if channels == 3:
        for number, band in enumerate(torch.arange(height).tensor_split(4)):
            if number:
                for other in {0, 1, 2} - {number - 1}:
                    shades[other, band] = 0
    return shades


@torch.inference_mode()
def beneath(net: Composition, part: str, pictures: Tensor, ks: Sequence[Sequence[float]]) -> Tensor:
    """Return images, B x C x H x W, with a ramp beneath each as its k, B x 2, changes colors.

    Args:
        net: The net.
        part: The part that changes colors.
        pictures: Images under these k.
        ks: Of that part, one for each image.
    """
    count, channels, height, width = pictures.shape
    tall = max(1, round(height / SHARE))
    device = next(net.parameters()).device
    shades = ramp(channels, tall, width).to(device).expand(count, -1, -1, -1)
    k = torch.tensor(ks, dtype=torch.float32, device=device)
    shown = pictures.clone()
    shown[..., -tall:, :] = net.transform(shades, *net.driving(part, k)).to(pictures)
    if height > 2 * tall + 1:
        shown[..., -tall - 1, :] = 0.5
    return shown


def under(net: Composition, part: str, pictures: Tensor, ts: Sequence[float]) -> Tensor:
    """Return a strip, R x T x C x H x W, whose part is at k = (t, 0), with ramps."""
    ks = [(t, 0.0) for t in ts] * len(pictures)
    return beneath(net, part, pictures.flatten(0, 1), ks).view_as(pictures)


def beneath_grid(
    net: Composition, part: str, original: Tensor, cells: Tensor, k1: Sequence[float], k2: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Return the images of a grid over k, and those that are unchanged, with ramps.

    Args:
        net: The net.
        part: The part that changes colors, driven by the last k or by the one before it.
        original: R x C x H x W.
        cells: len(k1) x len(k2) x R x C x H x W.
        k1: Values of both entries of the k before the last one.
        k2: Of the last one.
    """
    images = cells.shape[2]
    last = net.controls[-1] == part
    ks = [[b if last else a] * 2 for a in k1 for b in k2 for _ in range(images)]
    shown = beneath(net, part, cells.flatten(0, 2), ks).view_as(cells)
    return beneath(net, part, original.to(cells), [[0.0, 0.0]] * len(original)), shown
