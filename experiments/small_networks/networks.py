"""Small networks of several kinds, trained in seconds."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from small_networks.pools import draw
from torch import Tensor, nn

import itn

EPOCHS, BATCH, RATE = 6, 100, 2e-3


def strided(channels: int, size: int, classes: int) -> nn.Module:
    """Return a network without pooling: it knows where things are."""
    rest = (size + 7) // 8
    return nn.Sequential(
        *(nn.Conv2d(channels, 16, 5, 2, 2), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()),
        *(nn.Conv2d(32, 32, 3, 2, 1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(32 * rest * rest, classes)),
    )


def pooled(channels: int, size: int, classes: int) -> nn.Module:
    """Return a network with pooling, batch normalisation, and a mean over places."""
    return nn.Sequential(
        *(nn.Conv2d(channels, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 48, 3, padding=1), nn.BatchNorm2d(48), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(48, classes)),
    )


def dense(channels: int, size: int, classes: int) -> nn.Module:
    """Return fully connected layers."""
    return nn.Sequential(
        *(nn.Flatten(), nn.Linear(channels * size * size, 128), nn.ReLU()),
        *(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, classes)),
    )


NETWORKS: dict[str, Callable[[int, int, int], nn.Module]] = {
    "strided": strided,
    "pooled": pooled,
    "dense": dense,
}
AUGMENTED = {"strided": (False, True), "pooled": (False, True), "dense": (False,)}


def train(network: str, augmented: bool, kind: str, channels: int, images: int = 10_000) -> itn.Classifier:
    """Return a trained network as a classifier; augmentation is random affine maps, gains and biases."""
    pixels, labels = draw(kind, channels, images, 0)
    torch.manual_seed(0)
    net = NETWORKS[network](channels, pixels.shape[-1], len(labels.unique()))
    optimizer = torch.optim.Adam(net.parameters(), RATE)
    for epoch in range(EPOCHS):
        optimizer.param_groups[0]["lr"] = RATE * (1 - epoch / EPOCHS)
        for rows in torch.randperm(len(pixels)).split(BATCH):
            batch = pixels[rows] / 255
            batch = changed(batch) if augmented else batch
            loss = F.cross_entropy(net(batch - 0.5), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    name = "-".join([kind, str(channels), network, *(["augmented"] if augmented else [])])
    return itn.Classifier(net.eval(), (0.5,) * channels, (1.0,) * channels, name=name)


def changed(pixels: Tensor) -> Tensor:
    """Return images under random maps: affine entries off by up to 0.15, gains and biases by 0.2."""
    matrices = torch.eye(2, 3) + 0.15 * (2 * torch.rand(len(pixels), 2, 3) - 1)
    gain, bias = 0.4 * torch.rand(2, len(pixels), 1, 1, 1) - 0.2
    return itn.warp((1 + gain) * pixels + bias, matrices).clamp(0, 1)
