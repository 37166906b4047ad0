"""The small networks of the studies; each takes normalised images and returns logits."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn


class JenningsCNN(nn.Module):
    """The CNN of Jennings (2019): 5x5 convolutions 20-50, dense 500-10; 431,080 parameters.

    Takes B x 1 x 28 x 28, returns B x 10 logits (the document's log-softmax is left to the loss).
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.drop2d = nn.Dropout2d()
        self.fc1 = nn.Linear(50 * 4 * 4, 500)
        self.drop = nn.Dropout()
        self.fc2 = nn.Linear(500, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, B x 10."""
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(self.drop2d(self.conv2(x)), 2))
        x = self.drop(F.relu(self.fc1(x.flatten(1))))
        return self.fc2(x)


class LeNet5(nn.Module):
    """The LeNet-5 variant of Jaloli (2019): padded 5x5 convolutions 6-16-120, dense 120-84-10.

    767,426 parameters. Takes B x 1 x 28 x 28, returns B x 10 logits. The document names no
    activation; here it is ReLU.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5, padding=2)
        self.conv3 = nn.Conv2d(16, 120, 5, padding=2)
        self.fc1 = nn.Linear(120 * 7 * 7, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, B x 10."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.conv3(x)).flatten(1)
        x = F.relu(self.fc2(F.relu(self.fc1(x))))
        return self.fc3(x)


NETWORKS: dict[str, Callable[[], nn.Module]] = {"jennings-cnn": JenningsCNN, "lenet5": LeNet5}
