"""The interval of a ratio of paired proportions, against optimizers, closed forms and enumeration."""

import itertools

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multinomial, norm

from itn.stats.ratio import likeliest, paired_ratio

COUNTS = [(80, 12, 3), (80, 0, 3), (80, 12, 0), (80, 0, 0), (0, 12, 3), (0, 12, 0), (5, 90, 40)]


def log_likelihood(counts, chances):
    return sum(count * np.log(chance) for count, chance in zip(counts, chances, strict=True) if count)


@pytest.mark.parametrize("ratio", [0.3, 0.9, 0.999, 1.0, 1.25, 3.0])
@pytest.mark.parametrize("counts", COUNTS)
def test_no_probabilities_with_the_ratio_are_likelier(ratio, counts):
    """An optimizer over all such probabilities; 10 images are wrong both times."""
    n = sum(counts) + 10
    both, broken, mended = (float(count) / n for count in likeliest(ratio, *counts))
    assert min(both, broken, mended) >= 0
    assert both + mended == pytest.approx(ratio * (both + broken), abs=1e-12)
    found = log_likelihood((*counts, 10), (both, broken, mended, 1 - both - broken - mended))

    def negative(free):
        broken, mended = np.exp(free)
        # Where the ratio is 1, broken and mended are equal, and both is free
        both, mended = (broken, mended) if ratio == 1 else ((ratio * broken - mended) / (1 - ratio), mended)
        broken = mended if ratio == 1 else broken
        chances = (both, broken, mended, 1 - both - broken - mended)
        if min(chances) <= 0:
            return 1e9
        return -log_likelihood((*counts, 10), chances)

    starts = itertools.product(np.log([0.3, 0.05, 0.001]), repeat=2)
    options = {"xatol": 1e-9, "fatol": 1e-9, "maxiter": 4000}
    best = -min(minimize(negative, start, method="Nelder-Mead", options=options).fun for start in starts)
    assert found >= best - 1e-6


@pytest.mark.parametrize(("kept", "n"), [(45, 50), (49, 50), (180, 200), (10, 40)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_where_all_are_right_before_the_lower_end_is_that_of_one_proportion(kept, n, confidence):
    """There the variance and the skewness are binomial; at the upper end some might have been mended."""
    z = norm.ppf((1 + confidence) / 2)
    end, _ = paired_ratio(kept, n - kept, 0, confidence)
    spread = np.sqrt(n * end * (1 - end))
    quantile = z + (1 - 2 * end) / spread * (z**2 - 1) / 6
    assert (kept - n * end) / spread == pytest.approx(quantile, abs=1e-9)


@pytest.mark.parametrize(
    "chances",
    [(0.63, 0.07, 0.0), (0.61, 0.09, 0.02), (0.891, 0.099, 0.0), (0.5, 0.2, 0.17), (0.98, 0.01, 0.005)],
)
def test_each_end_misses_as_often_as_it_says_by_enumeration(chances):
    """All outcomes of 60 images, each with its probability: 2.5 %, and 4 % at most where counts are small."""
    n, (both, broken, mended) = 60, chances
    counts = np.array(
        [c for c in itertools.product(range(n + 1), repeat=3) if c[0] + c[1] > 0 and sum(c) <= n]
    )
    weights = multinomial.pmf(np.column_stack([counts, n - counts.sum(1)]), n, (*chances, 1 - sum(chances)))
    low, high = paired_ratio(*counts.T)
    truth = (both + mended) / (both + broken)
    assert weights[low > truth].sum() <= 0.04
    assert weights[high < truth].sum() <= 0.04
    if broken * n >= 4:
        assert weights[low > truth].sum() >= 0.013
        assert weights[high < truth].sum() >= 0.013


@pytest.mark.parametrize("counts", COUNTS)
def test_the_interval_holds_the_ratio_and_grows_with_confidence(counts):
    both, broken, mended = counts
    ratio = (both + mended) / (both + broken)
    ends = [paired_ratio(*counts, confidence) for confidence in (0.5, 0.9, 0.999)]
    lows, highs = ([float(end[k]) for end in ends] for k in (0, 1))
    assert 0 <= lows[2] <= lows[1] <= lows[0] <= ratio <= highs[0] <= highs[1] <= highs[2] < np.inf


def test_images_that_break_and_mend_alike_widen_it_about_one():
    narrow, wide = paired_ratio(900, 4, 4), paired_ratio(800, 104, 104)
    assert narrow[0] < 1 < narrow[1]
    assert wide[0] < narrow[0]
    assert narrow[1] < wide[1]
    assert narrow[0] * narrow[1] == pytest.approx(1, abs=1e-4)  # which of both is first plays no part


def test_arrays_are_the_same_as_single_counts():
    columns = np.array(COUNTS).T
    together = np.array(paired_ratio(*columns))
    apart = np.array([paired_ratio(*counts) for counts in COUNTS]).T
    np.testing.assert_array_equal(together, apart)


@pytest.mark.parametrize("counts", [(-1, 2, 0), (3, 2, -1), (0, 0, 4)])
def test_counts_without_a_ratio_are_refused(counts):
    with pytest.raises(ValueError, match="counts must be at least 0, and some images right before"):
        paired_ratio(*counts)
