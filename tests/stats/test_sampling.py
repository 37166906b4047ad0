import math
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest
import torch
from scipy.stats import binomtest

from itn.stats.intervals import binomial_tail, clopper_pearson
from itn.stats.sampling import generator, stratified_split, stratified_subset
from itn.stats.survival import kaplan_meier


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


@pytest.mark.parametrize(
    ("sizes", "n", "shares"),
    [
        ([50, 30, 20], 10, {(5, 3, 2)}),
        ([50, 30, 20], 7, {(4, 2, 1)}),  # quotas 3.5, 2.1, 1.4
        ([97, 2, 1], 50, {(48, 1, 1), (49, 1, 0)}),  # 48.5, 1, 0.5: chance decides
        ([5, 5, 5], 14, {(4, 5, 5), (5, 4, 5), (5, 5, 4)}),
        ([1, 1, 1, 1], 1, {(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)}),
    ],
)
def test_subset_has_the_shares_of_the_whole(sizes, n, shares):
    labels = torch.tensor([4, 0, 9, 2])[: len(sizes)].repeat_interleave(torch.tensor(sizes))
    labels = labels[torch.randperm(len(labels), generator=generator(0, "test"))]
    values = [4, 0, 9, 2][: len(sizes)]
    seen = set()
    for seed in range(60):
        index = stratified_subset(labels, n, seed)
        assert index.tolist() == sorted(set(index.tolist()))
        seen.add(tuple(int((labels[index] == value).sum()) for value in values))
    assert seen == shares


def test_subset_members_are_random_seeded_and_all_reached():
    labels = torch.arange(40) % 4
    drawn = [stratified_subset(labels, 8, seed) for seed in range(60)]
    assert torch.equal(drawn[3], stratified_subset(labels, 8, 3))
    assert torch.cat(drawn).unique().tolist() == list(range(40))
    assert stratified_subset(labels, 40, 0).tolist() == list(range(40))
    assert stratified_subset(labels, 99, 0).tolist() == list(range(40))
    with pytest.raises(ValueError, match="a subset needs at least 1 image, got 0"):
        stratified_subset(labels, 0, 0)


def product_limit(times, ended, confidence=0.95):
    """Kaplan and Meier by hand: times, exact shares, and log-log ends with Greenwood's variance.

    The ends are nan where the share is 0 or 1.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, greenwood, rows = Fraction(1), 0.0, []
    for time in sorted(set(times)):
        at_risk = sum(t >= time for t in times)
        events = sum(t == time and bool(e) for t, e in zip(times, ended, strict=True))
        share *= Fraction(at_risk - events, at_risk)
        low = high = math.nan
        if 0 < share < 1:
            greenwood += events / (at_risk * (at_risk - events))
            width = z * math.sqrt(greenwood) / abs(math.log(share))
            low, high = (float(share) ** math.exp(sign * width) for sign in (1, -1))
        rows.append((time, share, low, high))
    return rows


def censored(n, seed, grid=8):
    """Times with many ties, of which about a third are censored."""
    randomness = np.random.default_rng(seed)
    return randomness.integers(1, grid, n) / 4, randomness.random(n) < 0.65


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("n", "confidence"), [(7, 0.95), (40, 0.95), (40, 0.5)])
def test_survival_matches_a_loop(n, seed, confidence):
    times, ended = censored(n, seed)
    curve = kaplan_meier(times, ended, confidence)
    rows = product_limit(times.tolist(), ended, confidence)
    assert curve.times.tolist() == [0, *(row[0] for row in rows)]
    # All survive at first, and n of them say how surely
    assert [end[0] for end in curve[1:]] == [1, pytest.approx(((1 - confidence) / 2) ** (1 / n)), 1]
    np.testing.assert_allclose(curve.share[1:], [float(row[1]) for row in rows], atol=1e-12)
    defined = [math.isfinite(row[2]) for row in rows]
    assert any(defined)
    for got, column in ((curve.ci_low, 2), (curve.ci_high, 3)):
        expected = np.array([row[column] for row in rows])
        np.testing.assert_allclose(got[1:][defined], expected[defined], atol=1e-12)
    assert (curve.ci_low <= curve.share).all()
    assert (curve.share <= curve.ci_high).all()


def test_survival_without_censoring_is_a_share():
    times = np.array([3.0, 1.0, 2.0, 2.0, 5.0])
    curve = kaplan_meier(times, np.ones(5, dtype=bool))
    assert curve.times.tolist() == [0, 1, 2, 3, 5]
    assert curve.share.tolist() == pytest.approx([1, 0.8, 0.4, 0.2, 0])


def test_those_censored_at_an_event_are_still_at_risk_there():
    curve = kaplan_meier(np.array([1.0, 1.0, 2.0]), np.array([True, False, True]))
    assert curve.share.tolist() == pytest.approx([1, 2 / 3, 0])


def test_survival_of_all():
    """The last look bounds the share from below, by a binomial tail: 20 of 20."""
    curve = kaplan_meier(np.full(20, 0.5), np.zeros(20, dtype=bool))
    assert curve.times.tolist() == [0, 0.5]
    assert curve.share.tolist() == curve.ci_high.tolist() == [1, 1]
    assert curve.ci_low.tolist() == [pytest.approx(0.025 ** (1 / 20))] * 2
    assert curve.median() == (None, None, None)
    wider = kaplan_meier(np.full(20, 0.5), np.zeros(20, dtype=bool), 0.99)
    assert wider.ci_low[1] == pytest.approx(0.005 ** (1 / 20))
    # four may all survive although fewer than half would: 0.025 ** (1 / 4) is 0.4
    assert kaplan_meier(np.full(4, 0.5), np.zeros(4, dtype=bool)).median() == (None, 0, None)


def test_survival_of_none():
    curve = kaplan_meier(np.full(20, 0.5), np.ones(20, dtype=bool))
    assert curve.times.tolist() == [0, 0.5]
    assert curve.share.tolist() == [1, 0]
    assert curve.median() == (0.5, 0.5, 0.5)


def test_survival_of_one():
    ended, standing = (kaplan_meier(np.array([0.3]), np.array([end])) for end in (True, False))
    assert ended.share.tolist() == [1, 0]
    assert ended.median()[0] == 0.3
    assert standing.share.tolist() == [1, 1]
    assert standing.median() == (None, 0, None)  # nothing is known of others


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_few_images_do_not_bound_the_median_from_above(n):
    """All n may lie below the median by chance, with probability 2^-n, which is more than a fortieth."""
    assert kaplan_meier(np.arange(1.0, n + 1), np.ones(n, dtype=bool)).median()[2] is None


@pytest.mark.parametrize("seed", range(20))
def test_median_is_the_first_time_with_half_or_less(seed):
    """In exact fractions: a share of one half is often 0.5000000000000001 as a product of floats."""
    for n in range(2, 24):
        times, ended = censored(n, 100 * seed + n, grid=12)
        rows = product_limit(times.tolist(), ended)
        expected = next((time for time, share, *_ in rows if share <= Fraction(1, 2)), None)
        assert kaplan_meier(times, ended).median()[0] == expected, (times, ended)


def test_half_is_half_whatever_its_rounding():
    """8/10 * 7/8 * 5/7 is one half, and as a product of floats a little more."""
    times = np.array([4.0, 4, 5, 6, 6, 7, 8, 8, 8, 10])
    ended = np.array([True] * 8 + [False] * 2)
    assert kaplan_meier(times, ended).median()[0] == 6


def test_median_is_read_off_each_curve():
    """The low curve reaches one half first, the high one last."""
    times = np.array([1.0, 1, 2, 3, 3, 4, 5, 6, 6, 6])
    ended = np.array([1, 1, 0, 1, 1, 1, 1, 0, 0, 0], dtype=bool)
    rows = product_limit(times.tolist(), ended, 0.5)
    first = [next(row[0] for row in rows if row[column] <= 0.5) for column in (1, 2, 3)]
    assert first == [4, 3, 5]
    assert list(kaplan_meier(times, ended, 0.5).median()) == first
    assert kaplan_meier(times, ended).median() == (4, 1, None)


@pytest.mark.parametrize(("last", "seed"), [(9.0, 0), (1.6, 1)])
def test_median_interval_covers_the_truth(last, seed):
    """Exponential lives, median ln 2, all seen to the end or lost from sight at 1.6 (20 %).

    Of 300 intervals that cover with probability 0.95, fewer than 273 do in 1 of 1,000 tries, and all
    300 in 1 of 5 million.
    """
    randomness, covered, widths = np.random.default_rng(seed), 0, []
    for _ in range(300):
        life = randomness.exponential(size=60)
        _, low, high = kaplan_meier(np.minimum(life, last), life <= last).median()
        covered += low <= math.log(2) <= (math.inf if high is None else high)
        widths.append((math.inf if high is None else high) - low)
    assert 273 <= covered < 300
    # the large-sample width, 2 * 1.96 / sqrt(60), is that of a median of a unit exponential
    assert np.median(widths) == pytest.approx(0.51, abs=0.1)
