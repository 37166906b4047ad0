"""Thresholds of resampled images are those of the screen itself."""

import numpy as np
import pytest
import torch

import itn
from itn.screening.comparison.thresholds import Side, median_distance, reached, sides_of
from itn.stats import kaplan_meier


@pytest.fixture(scope="module")
def screens(folders):
    return [itn.load_screen(folder) for folder in folders]


def magnitude(sweep, distance, side):
    """The magnitude at a distance; None where it is infinite."""
    if np.isinf(distance):
        return None
    signed = -distance if side == "below" else distance
    return sweep.identity * np.exp(signed) if sweep.logarithmic else sweep.identity + signed


@pytest.mark.parametrize("criterion", ["accuracy", "broken", "agreement"])
def test_as_they_are_the_images_have_the_thresholds_of_the_screen(screens, criterion):
    for screen in screens:
        for name in ("rotate", "zoom"):
            sweep = screen.outcomes.sweeps[name]
            for side, of_side in sides_of(sweep).items():
                found = reached(of_side, criterion, torch.ones(1, 120), 0.9)[0].item()
                expected = getattr(screen.record.transforms[name].thresholds, criterion)[side].value
                assert magnitude(sweep, found, side) == (
                    expected if expected is None else pytest.approx(expected)
                )


def test_a_resample_has_the_threshold_of_the_images_repeated(screens):
    """Counted one by one, by interpolating where the share of 90 % is crossed first."""
    outcomes = screens[0].outcomes
    times = torch.from_numpy(np.random.default_rng(0).multinomial(120, np.ones(120) / 120, size=3))
    rows = [np.repeat(np.arange(120), each) for each in times.numpy()]
    for side, of_side in sides_of(outcomes.sweeps["rotate"]).items():
        found = reached(of_side, "accuracy", times, 0.9)
        for number, repeated in enumerate(rows):
            shares = of_side.right.numpy()[:, repeated].mean(1)
            level = 0.9 * outcomes.right[repeated].mean()
            below = next(k for k, share in enumerate(shares) if share < level)
            curve, at = shares[below - 1 : below + 1], of_side.distances[below - 1 : below + 1]
            assert found[number].item() == pytest.approx(np.interp(-level, -curve, at)), side


def test_a_discrete_transformation_goes_as_far_as_it_is_kept(screens):
    side = sides_of(screens[0].outcomes.sweeps["horizontal_flip"])["above"]
    assert reached(side, "accuracy", torch.ones(1, 120), 0.9).tolist() == [0]
    assert reached(side, "accuracy", torch.ones(1, 120), 0.01).tolist() == [np.inf]


def test_the_median_is_that_of_kaplan_and_meier():
    rng = np.random.default_rng(1)
    for end in (0.5, 1.0, 3.0):
        distance = rng.exponential(size=51).round(2)
        ended = distance <= end
        found = median_distance(np.minimum(distance, end), ended, torch.ones(1, 51))[0].item()
        expected = kaplan_meier(np.minimum(distance, end), ended).median()[0]
        assert found == (np.inf if expected is None else pytest.approx(expected))


def test_the_interval_of_a_difference_holds_the_truth_about_as_often_as_it_says():
    """Images that break at uniform magnitudes in the one, and 1.5 times as far out in the other."""
    grid, truth, held = np.linspace(0, 1, 21), 0.05, []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        breaks = rng.uniform(size=150)
        weights = torch.from_numpy(rng.multinomial(150, np.ones(150) / 150, size=200))
        found = []
        for factor in (1.0, 1.5):
            right = torch.from_numpy(grid[:, None] <= factor * breaks)
            found.append(reached(Side(grid, right, right, False), "accuracy", weights, 0.9))
        low, high = (found[1] - found[0]).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
        held.append(low <= truth <= high)
    assert 0.88 <= np.mean(held) <= 1
