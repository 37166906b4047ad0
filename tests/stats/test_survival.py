import math
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest

from itn.stats import kaplan_meier


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
    # At first all survive, and n bounds the share from below
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


def test_images_censored_at_an_event_are_still_at_risk_at_it():
    curve = kaplan_meier(np.array([1.0, 1.0, 2.0]), np.array([True, False, True]))
    assert curve.share.tolist() == pytest.approx([1, 2 / 3, 0])


def test_survival_if_all_survive():
    """The share is bounded from below by a binomial tail: 20 of 20."""
    curve = kaplan_meier(np.full(20, 0.5), np.zeros(20, dtype=bool))
    assert curve.times.tolist() == [0, 0.5]
    assert curve.share.tolist() == curve.ci_high.tolist() == [1, 1]
    assert curve.ci_low.tolist() == [pytest.approx(0.025 ** (1 / 20))] * 2
    assert curve.median() == (None, None, None)
    wider = kaplan_meier(np.full(20, 0.5), np.zeros(20, dtype=bool), 0.99)
    assert wider.ci_low[1] == pytest.approx(0.005 ** (1 / 20))
    # four may all survive although fewer than half would: 0.025 ** (1 / 4) is 0.4
    assert kaplan_meier(np.full(4, 0.5), np.zeros(4, dtype=bool)).median() == (None, 0, None)


def test_survival_if_none_survives():
    curve = kaplan_meier(np.full(20, 0.5), np.ones(20, dtype=bool))
    assert curve.times.tolist() == [0, 0.5]
    assert curve.share.tolist() == [1, 0]
    assert curve.median() == (0.5, 0.5, 0.5)


def test_survival_of_a_single_image():
    ended, censored_life = (kaplan_meier(np.array([0.3]), np.array([end])) for end in (True, False))
    assert ended.share.tolist() == [1, 0]
    assert ended.median()[0] == 0.3
    assert censored_life.share.tolist() == [1, 1]
    assert censored_life.median() == (None, 0, None)  # nothing is known of others


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
    """Exponential lives, median ln 2, all observed to the end or censored at 1.6 (20 %).

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
