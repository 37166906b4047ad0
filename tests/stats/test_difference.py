"""The score interval of a paired difference, against a numerical likelihood and by simulation."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from itn.stats import paired_difference
from itn.stats.difference import likeliest_loss


@pytest.mark.parametrize(("gained", "lost", "n"), [(9, 4, 40), (0, 3, 25), (12, 0, 30), (5, 5, 200)])
@pytest.mark.parametrize("difference", [-0.3, -0.01, 0.0, 0.2])
def test_the_likeliest_chance_maximizes_the_likelihood(gained, lost, n, difference):
    def loss(chance):
        cells = (
            (gained, chance + difference),
            (lost, chance),
            (n - gained - lost, 1 - 2 * chance - difference),
        )
        return -sum(count * np.log(max(p, 1e-300)) for count, p in cells if count)

    low, high = max(0.0, -difference), (1 - difference) / 2
    best = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-10})
    found = float(likeliest_loss(np.array(difference), np.array(float(gained)), np.array(float(lost)), n))
    assert low - 1e-9 <= found <= high + 1e-9
    assert loss(found) <= best.fun + 1e-6


def test_intervals_of_known_counts():
    """Ends where the score is the quantile; mirrored when the roles are."""
    low, high = paired_difference([9, 0, 5], [4, 0, 5], 40)
    assert low[0] < 5 / 40 < high[0]
    assert low[1] < 0 < high[1]  # nothing changed in 40 images: less than a tenth may
    assert high[1] == pytest.approx(-low[1])
    assert high[1] == pytest.approx(1.96**2 / (40 + 1.96**2), rel=1e-3)
    mirrored = paired_difference([4, 0, 5], [9, 0, 5], 40)
    np.testing.assert_allclose(mirrored[0], -high)
    np.testing.assert_allclose(mirrored[1], -low)
    everything = paired_difference(40, 0, 40)
    assert everything[1] == pytest.approx(1)
    assert 0.8 < everything[0] < 1


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    for gain, loss in ((0.02, 0.05), (0.1, 0.1), (0.0, 0.03)):
        gained, lost, _ = rng.multinomial(200, [gain, loss, 1 - gain - loss], size=2000).T
        low, high = paired_difference(gained, lost, 200)
        held = ((low <= gain - loss) & (gain - loss <= high)).mean()
        assert 0.935 <= held <= 0.985
