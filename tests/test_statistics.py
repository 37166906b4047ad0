import math

import pytest
import torch

from itn.statistics import clopper_pearson, generator, stratified_split


def tail(successes, n, p):
    """P(X >= successes) for X ~ Binomial(n, p), summed term by term."""
    return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(successes, n + 1))


@pytest.mark.parametrize(("successes", "n"), [(3, 10), (9, 10), (49, 50)])
def test_interval_ends_are_where_each_tail_is_a_fortieth(successes, n):
    low, high = clopper_pearson(successes, n)
    assert tail(successes, n, low) == pytest.approx(0.025, rel=1e-6)
    assert 1 - tail(successes + 1, n, high) == pytest.approx(0.025, rel=1e-6)


def test_interval_at_the_ends():
    assert clopper_pearson(0, 20) == (0, pytest.approx(1 - 0.025 ** (1 / 20)))
    assert clopper_pearson(20, 20) == (pytest.approx(0.025 ** (1 / 20)), 1)


def test_purposes_have_their_own_randomness():
    draws = {
        (seed, purpose): torch.rand(4, generator=generator(seed, purpose))
        for seed in (0, 1)
        for purpose in "ab"
    }
    assert torch.equal(draws[0, "a"], torch.rand(4, generator=generator(0, "a")))
    assert len({tuple(draw.tolist()) for draw in draws.values()}) == 4


def test_split_is_stratified_disjoint_complete_and_seeded():
    labels = torch.tensor([0] * 50 + [1] * 30 + [7] * 5)[torch.randperm(85)]
    first, second = stratified_split(labels, 0.4, seed=3)
    assert torch.equal(torch.cat([first, second]).sort().values, torch.arange(85))
    assert labels[first].bincount()[[0, 1, 7]].tolist() == [20, 12, 2]
    again, _ = stratified_split(labels, 0.4, seed=3)
    other, _ = stratified_split(labels, 0.4, seed=4)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_split_of_too_few_images_is_refused():
    with pytest.raises(ValueError, match=r"1 images are too few to split 0\.4 to 0\.6"):
        stratified_split(torch.tensor([3]), 0.4, seed=0)
