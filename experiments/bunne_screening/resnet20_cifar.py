"""ResNet-20 for CIFAR-10 (He et al. 2016, section 4.2), for weights that are not in this repository.

Three stages of three blocks, 16, 32 and 64 channels, shortcuts without parameters (their option A). The
names of its layers are those of the checkpoints of https://github.com/akamaster/pytorch_resnet_cifar10,
which were trained on pixels normalised by the mean and deviation of ImageNet. ``photos/`` holds a folder
for each class, airplane to truck:

    itn screen --model experiments/bunne_screening/resnet20_cifar.py:make --weights resnet20.th --data photos/
"""

import torch.nn.functional as F
from torch import Tensor, nn

import itn

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


class Block(nn.Module):
    """Two convolutions beside a shortcut, which takes every other pixel and fills up with black channels."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.stride, self.extra = width // channels, width - channels
        self.conv1 = nn.Conv2d(channels, width, 3, self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's features, B x width x H / stride x W / stride."""
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, *2 * [self.extra // 2]))
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + shortcut)


class ResNet20(nn.Module):
    """Normalised images, B x 3 x 32 x 32, to logits, B x 10."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16)
        self.layer2 = _stage(16, 32)
        self.layer3 = _stage(32, 64)
        self.linear = nn.Linear(64, len(CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits."""
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn1(self.conv1(x))))))
        return self.linear(x.mean((2, 3)))


def make() -> itn.Classifier:
    """Return the network, without trained weights, as a classifier of images in [0, 1]."""
    return itn.Classifier(
        ResNet20(),
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        name="resnet20-cifar10",
        class_names=CLASSES,
        preprocessing=itn.Preprocessing(32, (32, 32)),
    )


def _stage(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(Block(channels, width), Block(width, width), Block(width, width))
