"""Images that can be had without end: shapes and colored digits, drawn from a seed."""

import torch
from torch import Tensor

import itn

SHAPES = ("circle", "square", "triangle", "cross", "ring")
SIZE, EDGE = 32, 12.0
NOISE = (0.02, 0.12)  # deviation of the noise of pixels, different in each image


def draw(kind: str, channels: int, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return n images, n x channels x H x W, uint8, and labels.

    Args:
        kind: "shapes" or "digits".
        channels: 1 or 3.
        n: How many; of digits at most 20,000 for each seed.
        seed: Of the images; digits of seeds 0, 1 and 2 are different ones of MNIST's training images.
    """
    random = torch.Generator().manual_seed(seed)
    masks, labels = _shapes(n, random) if kind == "shapes" else _digits(n, seed)
    dark, light = torch.rand(2, n, channels, 1, 1, generator=random)
    dark, light = 0.35 * dark, 0.6 + 0.4 * light
    low, high = NOISE
    noise = low + (high - low) * torch.rand(n, 1, 1, 1, generator=random)
    images = dark + masks[:, None] * (light - dark)
    images += noise * torch.randn(images.shape, generator=random)
    return (255 * images.clamp(0, 1)).round().to(torch.uint8), labels


def _digits(n: int, seed: int) -> tuple[Tensor, Tensor]:
    images, labels = itn.load_images("mnist:train")
    rows = slice(20_000 * seed, 20_000 * seed + n)
    return images[rows, 0] / 255, labels[rows]


def _shapes(n: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return shapes of random place, size and angle, n x SIZE x SIZE in [0, 1], and labels."""
    labels = torch.arange(n) % len(SHAPES)
    place = 0.7 * torch.rand(2, n, 1, 1, generator=random) - 0.35
    size, angle = torch.rand(2, n, 1, 1, generator=random)
    size, angle = 0.25 + 0.3 * size, 0.5 * angle - 0.25
    line = torch.linspace(-1, 1, SIZE)
    y, x = torch.meshgrid(line, line, indexing="ij")
    x, y = (x - place[0]) / size, (y - place[1]) / size
    x, y = x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()
    radius = (x.square() + y.square()).sqrt()
    square = torch.maximum(x.abs(), y.abs()) / 0.89
    arms = [torch.maximum(x.abs() / a, y.abs() / b) for a, b in ((0.3, 1.0), (1.0, 0.3))]
    triangle = torch.stack([2 * y, 1.73 * x - y, -1.73 * x - y]).amax(0)
    distances = torch.stack([radius, square, triangle, torch.minimum(*arms), (radius - 0.75).abs() / 0.25])
    of_class = distances[labels, torch.arange(n)]
    return torch.sigmoid(EDGE * size * (1 - of_class)), labels
