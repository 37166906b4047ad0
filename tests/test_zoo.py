import pytest
import torch

import itn
from itn.zoo import NETWORKS


@pytest.mark.parametrize(("name", "parameters"), [("jennings-cnn", 431_080), ("lenet5", 767_426)])
def test_parameter_counts_are_the_published_ones(name, parameters):
    assert sum(p.numel() for p in NETWORKS[name]().parameters()) == parameters


@pytest.mark.parametrize("name", itn.model_cards())
def test_shipped_classifiers_are_as_good_as_their_cards_say(name):
    """Measured again, on all test digits: at least 98 %, and what the card says up to rounding."""
    images, labels = itn.load_images("mnist")
    accuracy = (itn.predict(itn.load_classifier(name), images) == labels).double().mean().item()
    assert accuracy >= 0.98
    assert accuracy == pytest.approx(itn.model_cards()[name]["test_accuracy"], abs=2e-4)


def test_networks_return_logits_not_probabilities():
    for name in NETWORKS:
        logits = NETWORKS[name]().eval()(torch.rand(4, 1, 28, 28))
        assert logits.shape == (4, 10)
        assert (logits < 0).any()
