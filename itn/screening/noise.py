"""Noise that belongs to an image, whatever batch it is in."""

import torch
from torch import Tensor

from itn.stats import generator
from itn.transforms import standard_noise


def noise_of_images(images: Tensor, index: Tensor, seed: int, fresh_at: Tensor | None = None) -> Tensor:
    """Return the noise that belongs to each indexed image, of the shape of the images.

    Args:
        images: What it is added to.
        index: Which images these are.
        seed: Of the run.
        fresh_at: Magnitudes, one or one for each image, each of which has noise of its own; None: an image
            has the same noise at all of them.
    """
    magnitudes = [None] * len(index) if fresh_at is None else fresh_at.expand(len(index)).tolist()

    def noise(image: Tensor, number: int, magnitude: float | None) -> Tensor:
        suffix = "" if magnitude is None else f" at {magnitude:.9g}"
        seed_of_image = generator(seed, f"noise of image {number}{suffix}").initial_seed()
        return standard_noise(image, torch.Generator(images.device).manual_seed(seed_of_image))

    return torch.stack(
        [noise(*of_image) for of_image in zip(images, index.tolist(), magnitudes, strict=True)]
    )
