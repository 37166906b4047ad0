import math

import pytest
from scipy.stats import binomtest

from itn.stats import binomial_tail, clopper_pearson


def tail(successes, n, p):
    """P(X >= successes) for X ~ Binomial(n, p), summed term by term."""
    return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(successes, n + 1))


@pytest.mark.parametrize(("successes", "n"), [(3, 10), (9, 10), (49, 50)])
def test_interval_ends_are_where_each_tail_is_a_fortieth(successes, n):
    low, high = clopper_pearson(successes, n)
    assert tail(successes, n, low) == pytest.approx(0.025, rel=1e-6)
    assert 1 - tail(successes + 1, n, high) == pytest.approx(0.025, rel=1e-6)


@pytest.mark.parametrize("n", [1, 2, 17, 2000])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_interval_is_the_exact_one_of_scipy(n, confidence):
    for successes in {0, 1, n // 3, n - 1, n}:
        low, high = binomtest(successes, n).proportion_ci(confidence, method="exact")
        assert clopper_pearson(successes, n, confidence) == pytest.approx((low, high), abs=1e-9)


def test_interval_at_the_ends():
    assert clopper_pearson(0, 20) == (0, pytest.approx(1 - 0.025 ** (1 / 20)))
    assert clopper_pearson(20, 20) == (pytest.approx(0.025 ** (1 / 20)), 1)


@pytest.mark.parametrize(("successes", "n"), [(0, 5), (1, 5), (3, 10), (50, 50)])
@pytest.mark.parametrize("p", [0.01, 0.3])
def test_binomial_tail_is_the_sum_of_its_terms(successes, n, p):
    assert binomial_tail(successes, n, p) == pytest.approx(tail(successes, n, p), rel=1e-9)
