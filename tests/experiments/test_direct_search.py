"""The search that learning is measured against, where the answer is known on paper."""

import dataclasses

import pytest
import torch

import itn
from itn.certification.family_baselines import estimate_family_baselines
from itn.certification.parametric import EvaluationSet, ParametricTransform
from itn.learning.load import make_net

QUICK = itn.LearnConfig(objective="constrained", tolerance=0.06, batch_size=64)


@pytest.fixture
def searched(experiment, flats, brightness):
    """Return the net that the search has found for colors, its images and the baselines."""
    config = dataclasses.replace(QUICK, parts=("color",))
    data = itn.preflight(brightness, *flats)
    net = make_net(brightness, config, data.images.shape)
    images = EvaluationSet(brightness, data, batch_size=64)
    baselines = estimate_family_baselines(net, images, 200, config.terms)
    search = experiment("largest_family.direct_search").search
    search(net, images, baselines, 400 * len(data))
    return net, images, baselines


def test_it_goes_further_than_any_baseline_and_breaks_no_more_than_the_target(searched):
    """Gain g and bias b hold if and only if 0.25 g + b <= 0.5 <= 0.75 g + b; a gain alone has 0.5."""
    net, images, baselines = searched
    full = itn.displacement(net.color.generate(torch.ones(1, 2))).item()
    assert full > 1.2 * baselines.references["color"]
    family = ParametricTransform.of_net(net)
    assert images.broken(family, family.full_strength).float().mean() <= 0.06


def test_its_family_grows_in_proportion_to_the_mean_of_k(searched):
    net, *_ = searched
    half, likewise, whole = net.color.head(torch.tensor([[1.0, 0.0], [0.25, 0.75], [1.0, 1.0]])).atanh()
    torch.testing.assert_close(half, likewise)
    torch.testing.assert_close(whole, 2 * half, rtol=1e-3, atol=1e-3)
