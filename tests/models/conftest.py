"""Networks that the tests of the preflight put together."""

import pytest
from torch import nn


class Through(nn.Module):
    """Another network, between functions that prepare the images and that change what it returns."""

    def __init__(self, net, prepare, change):
        super().__init__()
        self.net, self.prepare, self.change = net, prepare, change

    def forward(self, images):
        return self.change(self.net(self.prepare(images)))


def unchanged(values):
    return values


@pytest.fixture
def through():
    """Return a function from a network and two functions to the network between them."""

    def make(net, prepare=unchanged, change=unchanged):
        return Through(net, prepare, change)

    return make
