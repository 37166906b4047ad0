"""Tests and bounds of a paired drop: their size by enumeration, against scipy, and by simulation."""

import numpy as np
import pytest
import torch
from scipy.stats import binom, binomtest, multinomial

from itn.stats import DropTest, drop_p_value, drop_upper_bound, max_failures, smallest_tolerance


def chance_to_pass(test: DropTest, broken: float, mended: float) -> float:
    """Return the chance that counts drawn with these shares pass, by summing over all counts."""
    n = test.n
    counts = [(b, m, n - b - m) for b in range(n + 1) for m in range(n + 1 - b)]
    passing = [(b, m, rest) for b, m, rest in counts if test.passes(b, m)]
    chances = multinomial.pmf(passing, n, [broken, mended, 1 - broken - mended]) if passing else np.zeros(1)
    return float(chances.sum())


@pytest.mark.parametrize("n", [40, 90])
@pytest.mark.parametrize("tolerance", [0.05, 0.1])
@pytest.mark.parametrize("confidence", [0.9, 0.96])
def test_a_drop_of_the_tolerance_or_more_passes_as_rarely_as_promised(n, tolerance, confidence):
    test, sizes = DropTest(n, tolerance, confidence), []
    for drop in (tolerance, 1.5 * tolerance):
        for churn in np.linspace(drop, 1, 12):
            sizes.append(chance_to_pass(test, (churn + drop) / 2, (churn - drop) / 2))
    assert max(sizes) <= 1 - confidence
    assert max(sizes) > 0.3 * (1 - confidence)  # and not so rarely that nothing could ever be shown


@pytest.mark.parametrize(
    ("n", "tolerance", "confidence", "churn"),
    [(37, 0.02, 0.96, 0.98), (20, 0.05, 0.96, 0.961), (149, 0.01, 0.96, 0.993), (60, 0.1, 0.95, 0.982)],
)
def test_nor_does_it_pass_more_often_where_nearly_all_images_change(n, tolerance, confidence, churn):
    """The chance then goes up and down with the parity of the churn count."""
    test = DropTest(n, tolerance, confidence)
    for share in np.linspace(churn - 0.01, min(1, churn + 0.01), 7):
        assert chance_to_pass(test, (share + tolerance) / 2, (share - tolerance) / 2) <= 1 - confidence


@pytest.mark.parametrize(("n", "tolerance"), [(100, 0.3), (60, 0.1), (20, 0.05)])
def test_counts_pass_together_as_each_alone(n, tolerance):
    test = DropTest(n, tolerance, 0.96)
    counts = [(b, m) for b in range(n + 1) for m in range(n + 1 - b) if b + m >= 0.8 * n]
    broken, mended = map(torch.tensor, zip(*counts, strict=True))
    alone = [not test.passes(b, m) for b, m in counts]
    assert test.rejected(broken, mended).tolist() == alone
    assert len(set(alone)) == 2


def test_no_drop_passes_nearly_always_with_enough_images():
    test = DropTest(2000, 0.02, 0.96)
    rng = np.random.default_rng(0)
    for churn in (0.02, 0.05):
        draws = rng.multinomial(2000, [churn / 2, churn / 2, 1 - churn], 200)
        assert np.mean([test.passes(b, m) for b, m, _ in draws]) > 0.95


@pytest.mark.parametrize(("n", "tolerance"), [(60, 0.1), (300, 0.02), (3600, 0.02)])
def test_counts_pass_where_the_p_value_is_small(n, tolerance):
    test = DropTest(n, tolerance)
    for churn in (0, 1, round(0.05 * n), round(0.15 * n)):
        largest = min(test.largest(churn), churn)
        for difference in range(max(-churn, largest - 4), min(churn, largest + 4) + 1):
            if (churn - difference) % 2 == 0:
                broken = (churn + difference) // 2
                p = drop_p_value(broken, churn - broken, n, tolerance)
                assert test.passes(broken, churn - broken) == (p <= 0.05)


def test_more_churn_never_makes_it_easier():
    test = DropTest(500, 0.03)
    largest = [test.largest(churn) for churn in range(200)]
    assert largest == sorted(largest, reverse=True)
    broken, mended = torch.arange(200) // 2 + 5, torch.arange(200) - torch.arange(200) // 2
    expected = [not test.passes(b, m) for b, m in zip(broken.tolist(), mended.tolist(), strict=True)]
    assert test.rejected(broken, mended).tolist() == expected
    assert len(set(expected)) == 2


def test_without_mended_images_it_is_the_binomial_test():
    test = DropTest(300, 0.03, 0.95, signed=False)
    for broken in range(20):
        p = binomtest(broken, 300, 0.03, alternative="less").pvalue
        assert test.passes(broken) == (p <= 0.05)
        # What cannot make up for broken images is not counted
        assert test.passes(broken, 10) == test.passes(broken)
    assert test.largest(0) == max_failures(300, 0.03)
    assert smallest_tolerance(300) == pytest.approx(1 - 0.05 ** (1 / 300))
    assert DropTest(300, smallest_tolerance(300) + 1e-9, signed=False).passes(0)
    assert not DropTest(300, smallest_tolerance(300) - 1e-4, signed=False).passes(0)


@pytest.mark.parametrize("churn", [0.02, 0.14])
def test_the_bound_on_the_drop_covers_it(churn):
    n, drop, rng = 600, 0.015, np.random.default_rng(1)
    draws = rng.multinomial(n, [(churn + drop) / 2, (churn - drop) / 2, 1 - churn], 300)
    bounds = np.array([drop_upper_bound(b, m, n, 0.9) for b, m, _ in draws])
    misses = int((bounds < drop).sum())
    assert binom.sf(misses - 1, 300, 0.1) > 1e-3  # not more often than one in ten
    # About as wide as the normal approximation, which is not exact
    normal = drop + 1.2816 * np.sqrt(churn / n)
    assert np.median(bounds) == pytest.approx(normal, rel=0.15)


def test_the_bound_without_mended_images_is_that_of_clopper_and_pearson():
    interval = binomtest(7, 400).proportion_ci(0.9)
    assert drop_upper_bound(7, 0, 400, 0.95, signed=False) == pytest.approx(interval.high)


def test_the_bound_is_the_smallest_tolerance_that_is_proven():
    bound = drop_upper_bound(30, 12, 900)
    assert DropTest(900, bound + 1e-5).passes(30, 12)
    assert not DropTest(900, bound - 1e-5).passes(30, 12)


def test_what_is_expected_to_pass_is_scaled_to_the_images():
    test = DropTest(1000, 0.02)
    assert test.expects(0.01, 0.005)
    assert not test.expects(0.03, 0.005)
    for churn in (0.0, 0.02, 0.2):
        drop = round(1000 * test.target(churn) - 0.5)
        changed = max(drop, round(1000 * churn))
        assert drop <= test.largest(changed)
        assert drop + 1 > test.largest(max(changed, drop + 1))
    assert 0.02 > test.target(0.0) >= test.target(0.02) > test.target(0.2)
    assert DropTest(200, 0.06, signed=False).target(0.5) == (max_failures(200, 0.06) + 0.5) / 200
