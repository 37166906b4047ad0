"""The small networks of the studies: named layers in sequence, so that each output can be inspected.

Each takes normalized images B x 1 x 28 x 28 and returns logits B x 10; the final softmax of a document is
part of the loss.
"""

from collections import OrderedDict
from collections.abc import Callable

from torch import nn

SIZE = 28  # pixels, height and width


def _sequential(**layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


def jennings_cnn() -> nn.Sequential:
    """Return the CNN of Jennings (2019): 5x5 convolutions 20-50, dense 500-10; 431,080 parameters."""
    return _sequential(
        conv1=nn.Conv2d(1, 20, 5),
        pool1=nn.MaxPool2d(2),
        relu1=nn.ReLU(),
        conv2=nn.Conv2d(20, 50, 5),
        drop2d=nn.Dropout2d(),
        pool2=nn.MaxPool2d(2),
        relu2=nn.ReLU(),
        flatten=nn.Flatten(),
        fc1=nn.Linear(50 * 4 * 4, 500),
        relu3=nn.ReLU(),
        drop=nn.Dropout(),
        fc2=nn.Linear(500, 10),
    )


def lenet5() -> nn.Sequential:
    """Return the LeNet-5 variant of Jaloli (2019): padded 5x5 convolutions 6-16-120, dense 120-84-10.

    767,426 parameters. The document names no activation; here it is ReLU.
    """
    return _sequential(
        conv1=nn.Conv2d(1, 6, 5, padding=2),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(6, 16, 5, padding=2),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),
        conv3=nn.Conv2d(16, 120, 5, padding=2),
        relu3=nn.ReLU(),
        flatten=nn.Flatten(),
        fc1=nn.Linear(120 * 7 * 7, 120),
        relu4=nn.ReLU(),
        fc2=nn.Linear(120, 84),
        relu5=nn.ReLU(),
        fc3=nn.Linear(84, 10),
    )


def soni_dense() -> nn.Sequential:
    """Return the standard network of Soni (2019) as coded: dense layers on each pixel; 794,310 parameters.

    A dense layer applied to every pixel of a 28 x 28 x 1 image is a 1x1 convolution.
    """
    return _sequential(
        dense1=nn.Conv2d(1, 100, 1),
        relu1=nn.ReLU(),
        drop1=nn.Dropout(0.5),
        dense2=nn.Conv2d(100, 100, 1),
        relu2=nn.ReLU(),
        drop2=nn.Dropout(0.25),
        flatten=nn.Flatten(),
        dense3=nn.Linear(100 * 28 * 28, 10),
    )


def soni_dense_described() -> nn.Sequential:
    """Return the standard network of Soni (2019) as its text describes it; 89,610 parameters."""
    return _sequential(
        flatten=nn.Flatten(),
        dense1=nn.Linear(28 * 28, 100),
        relu1=nn.ReLU(),
        drop1=nn.Dropout(0.5),
        dense2=nn.Linear(100, 100),
        relu2=nn.ReLU(),
        drop2=nn.Dropout(0.25),
        dense3=nn.Linear(100, 10),
    )


def soni_cnn1() -> nn.Sequential:
    """Return Soni's (2019) network with one convolution and pooling layer; 289,630 parameters."""
    return _sequential(
        conv1=nn.Conv2d(1, 20, 5),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        dense1=nn.Linear(20 * 12 * 12, 100),
        relu2=nn.ReLU(),
        dense2=nn.Linear(100, 10),
    )


def soni_cnn2() -> nn.Sequential:
    """Return Soni's (2019) network with two convolution and pooling layers; 85,670 parameters."""
    return _sequential(
        conv1=nn.Conv2d(1, 20, 5),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(20, 40, 5),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        dense1=nn.Linear(40 * 4 * 4, 100),
        relu3=nn.ReLU(),
        dense2=nn.Linear(100, 10),
    )


def poddar_cnn() -> nn.Sequential:
    """Return the CNN of Poddar (2020): 5x5 convolutions 32-64, dense 500-10; 569,606 parameters.

    Its text says 128 hidden units where its code, and this, has 500.
    """
    return _sequential(
        conv1=nn.Conv2d(1, 32, 5),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(32, 64, 5),
        relu2=nn.ReLU(),
        pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        fc1=nn.Linear(64 * 4 * 4, 500),
        relu3=nn.ReLU(),
        drop1=nn.Dropout(0.4),
        fc2=nn.Linear(500, 10),
    )


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "jennings-cnn": jennings_cnn,
    "lenet5": lenet5,
    "soni-dense": soni_dense,
    "soni-dense-described": soni_dense_described,
    "soni-cnn1": soni_cnn1,
    "soni-cnn2": soni_cnn2,
    "poddar-cnn": poddar_cnn,
}
