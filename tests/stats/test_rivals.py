"""The margin over the largest of several means: by hand, and how often its interval holds the truth."""

import numpy as np
import pytest
from scipy.stats import t

from itn.stats.rivals import margin_over_rivals


def interval(values, own=0, confidence=0.95):
    """Return the margin of one sample, n x K."""
    margin = values[:, [own]] - values
    moments = (values.mean(0), (values**2).mean(0), (margin**2).mean(0))
    found = margin_over_rivals(
        np.array([own]), *(moment[None] for moment in moments), np.array([len(values)]), confidence
    )
    return tuple(float(part[0]) for part in found)


def student(difference, error):
    return t.ppf(1 - error, len(difference) - 1) * difference.std(ddof=1) / len(difference) ** 0.5


def test_one_rival_that_leads_has_the_interval_of_two_means():
    values = np.random.default_rng(1).normal([1.0, 0.0, -3.0, -4.0], 1, (50, 4))
    difference = values[:, 0] - values[:, 1]
    assert interval(values) == pytest.approx(
        (
            difference.mean(),
            difference.mean() - student(difference, 0.025),
            difference.mean() + student(difference, 0.025),
        )
    )
    assert interval(values[:, [3, 1, 0, 2]], own=2) == pytest.approx(interval(values))


def test_the_upper_end_alone_is_corrected_for_the_rivals_that_may_lead():
    """Two rivals are about equal, two are far behind: the error of the upper end is halved, less a tenth."""
    values = np.random.default_rng(2).normal([1.0, 0.0, 0.0, -5.0, -6.0], 1, (50, 5))
    differences = values[:, [0]] - values[:, 1:3]
    low = min(d.mean() - student(d, 0.025) for d in differences.T)
    high = min(d.mean() + student(d, 0.9 * 0.025 / 2) for d in differences.T)
    assert interval(values) == pytest.approx((differences.mean(0).min(), low, high))


@pytest.mark.parametrize("ties", [1, 9])
@pytest.mark.parametrize("n", [20, 200])
def test_neither_end_misses_more_often_than_it_says(ties, n):
    """4,000 samples; 3.2 % is three standard errors above 2.5 %."""
    rng, means = np.random.default_rng(ties), np.full(11, -1.0)
    means[0], means[1 : 1 + ties] = 0.1, 0.0
    values = means + 0.3 * rng.standard_normal((4000, n, 11)) + 0.3 * rng.standard_normal((4000, n, 1))
    values[:, :, 0] += 0.2 * rng.standard_normal((4000, n))
    margin = values[..., :1] - values
    moments = (values.mean(1), (values**2).mean(1), (margin**2).mean(1))
    _, low, high = margin_over_rivals(np.zeros(4000, dtype=int), *moments, np.full(4000, n), 0.95)
    assert (low > 0.1).mean() <= 0.032
    assert (high < 0.1).mean() <= 0.032
    uncorrected = t.ppf(0.975, n - 1) * margin[..., 1:].std(1, ddof=1) / n**0.5
    missed = ((margin[..., 1:].mean(1) + uncorrected).min(1) < 0.1).mean()
    assert (missed > 0.08) == (ties == 9)  # what the correction is for


def test_a_single_value_has_no_interval():
    assert interval(np.array([[0.5, 0.3, 0.2]]))[1:] == (-np.inf, np.inf)


def test_two_outputs_leave_one_rival():
    values = np.random.default_rng(3).random((30, 2))
    difference = values[:, 1] - values[:, 0]
    assert interval(values, own=1)[2] == pytest.approx(difference.mean() + student(difference, 0.025))
