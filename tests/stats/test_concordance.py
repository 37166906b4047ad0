"""The rank correlation of censored distances, against loops over all pairs and against scipy."""

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from itn.stats import censored_tau
from itn.stats.concordance import LARGEST_TABLE, _tau, _tau_of_many


def drawn(n, seed, end=(1.0, 0.8)):
    """Distances that go together, rounded so that some tie, observed up to an end."""
    rng = np.random.default_rng(seed)
    first = np.abs(rng.normal(size=n)).round(1)
    second = np.abs(0.6 * first + 0.6 * rng.normal(size=n)).round(1)
    both = [(np.minimum(each, last), each <= last) for each, last in zip((first, second), end, strict=True)]
    return [array for each in both for array in each]


def resampled(n, seed=0, resamples=200):
    return torch.from_numpy(np.random.default_rng(seed).multinomial(n, np.ones(n) / n, size=resamples))


def by_pairs(first, first_ended, second, second_ended):
    """Brown, Hollander and Korwar: each pair of images is first, second, or uncertain."""

    def order(v, ended, i, j):
        if ended[i] and ended[j]:
            return int(np.sign(v[i] - v[j]))
        if ended[i] != ended[j]:  # observed up to the same end, so the censored one is beyond
            return -1 if ended[i] else 1
        return 0

    product = squares_a = squares_b = 0
    for i in range(len(first)):
        for j in range(len(first)):
            a, b = order(first, first_ended, i, j), order(second, second_ended, i, j)
            product, squares_a, squares_b = product + a * b, squares_a + a * a, squares_b + b * b
    return product / np.sqrt(squares_a * squares_b)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_what_a_loop_over_all_pairs_counts(seed):
    sample = drawn(40, seed)
    assert not sample[1].all()
    assert not sample[3].all()
    found = censored_tau(*sample, resampled(40))
    assert found.value == pytest.approx(by_pairs(*sample), abs=1e-12)
    assert found.ci_low < found.value < found.ci_high
    assert found.n == 40


def test_without_censoring_it_is_kendalls_tau_b_of_scipy():
    first, _, second, _ = drawn(300, 7, (9.0, 9.0))
    ended = np.ones(300, dtype=bool)
    found = censored_tau(first, ended, second, ended, resampled(300))
    assert found.value == pytest.approx(kendalltau(first, second).statistic, abs=1e-12)


def test_resamples_are_what_scipy_says_of_repeated_images():
    first, first_ended, second, second_ended = drawn(60, 3)
    x, y = (
        torch.from_numpy(np.unique(np.where(ended, v, np.inf), return_inverse=True)[1])
        for v, ended in ((first, first_ended), (second, second_ended))
    )
    weights = resampled(60, resamples=20).double()
    torch.testing.assert_close(_tau(x, y, weights), _tau_of_many(x, y, weights))
    assert LARGEST_TABLE > 60


def test_signs_and_what_is_not_defined():
    first, ended = np.arange(1.0, 31), np.ones(30, dtype=bool)
    assert censored_tau(first, ended, first, ended, resampled(30)).value == 1
    assert censored_tau(first, ended, -first, ended, resampled(30)).value == -1
    never = np.zeros(30, dtype=bool)
    assert censored_tau(first, ended, np.full(30, 9.0), never, resampled(30))[:3] == (None, None, None)
    once = np.arange(30) == 3
    rare = censored_tau(first, ended, np.full(30, 9.0), once, resampled(30))
    assert rare.value is not None
    assert rare.ci_low is None  # a third of the resamples lack the one that changes


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    """Of independent distances tau is 0, however many are censored."""
    held = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        first, second = rng.exponential(size=(2, 100))
        found = censored_tau(
            np.minimum(first, 1), first < 1, np.minimum(second, 0.5), second < 0.5, resampled(100, seed)
        )
        held.append(found.ci_low <= 0 <= found.ci_high)
    assert 0.88 <= np.mean(held) <= 0.99
