"""Images as small files inside a page."""

import base64
import io

import torch
from PIL import Image
from torch import Tensor

LOSSLESS = 64
"""Images of up to so many pixels a side are stored without loss and shown with their pixels visible."""

LARGEST = 256
"""Larger images are shown smaller, so that a page with many of them stays small."""


def eight_bits(images: Tensor) -> Tensor:
    """Return images as uint8; floats in [0, 1] are rounded to the nearest of 256 steps."""
    return images if images.dtype == torch.uint8 else (images.clamp(0, 1) * 255).round().byte()


def encoded(image: Tensor, exact: bool = False) -> bytes:
    """Return an image, C x H x W, uint8 or float in [0, 1], as a file: PNG, or a JPEG if it is large.

    Images that are neither gray nor RGB are shown by their first channel.

    Args:
        image: The image.
        exact: Store every pixel as it is, whatever the size.
    """
    array = eight_bits(image).cpu().movedim(0, -1).numpy()
    picture = Image.fromarray(array if array.shape[-1] == 3 else array[..., 0])
    file = io.BytesIO()
    if exact or max(picture.size) <= LOSSLESS:
        picture.save(file, "PNG", optimize=True)
    else:
        picture.thumbnail((LARGEST, LARGEST))
        picture.save(file, "JPEG", quality=85)
    return file.getvalue()


def data_uri(file: bytes) -> str:
    """Return a PNG or JPEG file as the address of an image within a page."""
    kind = "png" if file.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(file).decode()}"


def is_small(file: bytes) -> bool:
    """Return whether the pixels of an image are to be seen."""
    with Image.open(io.BytesIO(file)) as image:
        return max(image.size) <= LOSSLESS
