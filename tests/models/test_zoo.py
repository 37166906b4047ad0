import pytest
import torch

import itn
from itn.models.zoo import NETWORKS

PARAMETERS = {
    "jennings-cnn": 431_080,  # published
    "lenet5": 767_426,  # published
    "soni-dense": (1 + 1) * 100 + (100 + 1) * 100 + (78_400 + 1) * 10,
    "soni-dense-described": (784 + 1) * 100 + (100 + 1) * 100 + (100 + 1) * 10,
    "soni-cnn1": 26 * 20 + (20 * 12 * 12 + 1) * 100 + (100 + 1) * 10,
    "soni-cnn2": 26 * 20 + (20 * 25 + 1) * 40 + (40 * 4 * 4 + 1) * 100 + (100 + 1) * 10,
    "poddar-cnn": 26 * 32 + (32 * 25 + 1) * 64 + (64 * 4 * 4 + 1) * 500 + (500 + 1) * 10,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_parameter_counts_are_those_of_the_documents(name):
    assert sum(p.numel() for p in NETWORKS[name]().parameters()) == PARAMETERS[name]


def test_a_dense_layer_on_each_pixel_is_what_the_1x1_convolution_computes():
    net = NETWORKS["soni-dense"]().eval()
    images = torch.rand(3, 1, 28, 28)
    pixels = images.permute(0, 2, 3, 1)  # B x 28 x 28 x 1, as a dense layer takes it
    for layer in (net.dense1, net.dense2):
        pixels = (pixels @ layer.weight[:, :, 0, 0].T + layer.bias).relu()
    flat = pixels.permute(0, 3, 1, 2).flatten(1)
    torch.testing.assert_close(net(images), flat @ net.dense3.weight.T + net.dense3.bias)


@pytest.mark.parametrize("name", itn.model_cards())
def test_shipped_classifiers_are_as_good_as_their_cards_say(name):
    """Measured again, on all test digits: what the card says up to rounding, and above chance by far."""
    images, labels = itn.load_images("mnist")
    # Small batches, since soni-dense makes a hundred values of every pixel
    accuracy = (itn.predict(itn.load_classifier(name), images, 32) == labels).double().mean().item()
    assert accuracy >= 0.92  # a linear classifier
    assert accuracy == pytest.approx(itn.model_cards()[name]["test_accuracy"], abs=2e-4)


def test_networks_return_logits_not_probabilities():
    for name in NETWORKS:
        logits = NETWORKS[name]().eval()(torch.rand(4, 1, 28, 28))
        assert logits.shape == (4, 10)
        assert (logits < 0).any()
