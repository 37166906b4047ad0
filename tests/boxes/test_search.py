"""The search on margins that are known on paper: planted wells, and what a dense grid finds of them."""

import itertools

import numpy as np
import pytest
import torch

from itn import WorstConfig
from itn.boxes.growth import growth
from itn.boxes.search import BlockSearch, Budget, _spread_order

SPACES = {
    2: {"rotate": (-30, 30), "translate_x": (-0.2, 0.2)},
    3: {"rotate": (-30, 30), "translate_x": (-0.2, 0.2), "brightness": (-0.3, 0.3)},
    4: {"rotate": (-30, 30), "translate_x": (-0.2, 0.2), "brightness": (-0.3, 0.3), "zoom": (0.5, 2)},
}
PER_SIDE = {2: 101, 3: 31, 4: 15}


class Wells:
    """Margins of planted classifiers: two wells for each image, one of them too shallow, and ripples."""

    def __init__(self, n, d, radius):
        random = torch.Generator().manual_seed(d)
        self.centers = 1.9 * torch.rand(n, 2, d, generator=random, dtype=torch.float64) - 0.95
        self.stretch = 0.5 + torch.rand(n, 1, d, generator=random, dtype=torch.float64)
        self.depth = torch.tensor([radius, 0.0], dtype=torch.float64)
        self.asked = torch.zeros(n, dtype=torch.int64)

    def margins(self, index, ways):
        offset = (ways[..., None, :] - self.centers[index]) * self.stretch[index]
        wells = offset.square().sum(-1) - self.depth.square()
        ripples = 0.02 * (1 + torch.sin(9 * ways).prod(-1))
        return wells.amin(-1) + ripples

    def __call__(self, index, ways):
        self.asked += index.bincount(minlength=len(self.asked))
        margins = self.margins(index, ways)
        return torch.stack([margins, (margins < 0).double()], 1).float()


def searched(ask, n, box, budget, seed=0):
    search = BlockSearch(torch.arange(n), box, ask, budget, seed)
    search.run()
    return search


@pytest.mark.parametrize("d", SPACES)
def test_what_a_dense_grid_breaks_the_search_breaks(d):
    """Wells of which a grid of up to 50,000 points finds a few points each: 300 passes find 99 %."""
    n, box = 120, WorstConfig(box=SPACES[d]).resolved
    wells = Wells(n, d, {2: 0.2, 3: 0.3, 4: 0.4}[d])
    line = torch.linspace(-1, 1, PER_SIDE[d], dtype=torch.float64)
    grid = torch.cartesian_prod(*[line] * d)
    by_grid = torch.stack([(wells.margins(torch.tensor([k]), grid) < 0).any() for k in range(n)])
    search = searched(wells, n, box, Budget(300, 0, 0))
    assert by_grid.sum() >= 100
    assert (search.broken & by_grid).sum() >= 0.99 * by_grid.sum()
    # What it says is so: the worst point has the margin that is noted
    there = wells.margins(torch.arange(n), search.worst)
    assert search.margin.double() == pytest.approx(there.numpy(), abs=1e-5)
    assert torch.equal(there < 0, search.broken)


def test_passes_are_counted_as_they_are_made_and_images_dropped_as_they_break():
    n, box = 80, WorstConfig(box=SPACES[3]).resolved
    wells = Wells(n, 3, 0.12)
    search = searched(wells, n, box, Budget(120, 4, 20))
    total = sum(search.passes.values())
    assert torch.equal(total, wells.asked)
    found = search.passes["search"]
    assert int(found[~search.broken].min()) == int(found.max()) == 120
    assert found[search.broken].float().mean() < 110
    assert int(search.passes["single"].max()) <= 4 * 6
    assert torch.equal(search.passes["growth"] > 0, search.broken)
    assert int(search.passes["growth"].max()) == 20


def test_each_image_is_searched_by_itself():
    n, box = 40, WorstConfig(box=SPACES[3]).resolved
    wells = Wells(n, 3, 0.25)
    whole = searched(wells, n, box, Budget(80, 3, 20))
    rows = torch.tensor([3, 17, 31])
    part = BlockSearch(rows, box, wells, Budget(80, 3, 20), 0)
    part.run()
    for name in ("margin", "worst", "scale", "broken", "survives_alone"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[rows]), name
    other = searched(wells, n, box, Budget(80, 3, 20), seed=1)
    assert not torch.equal(other.worst, whole.worst)


def test_the_smallest_box_is_that_of_a_known_distance():
    """Images break beyond a corner of a box whose scale is known: all ways large enough at once."""
    n, box = 60, WorstConfig(box=SPACES[3]).resolved
    limits = torch.linspace(0.1, 0.95, n, dtype=torch.float64)
    signs = torch.tensor([1, -1, 1], dtype=torch.float64)

    def ask(index, ways):
        margins = limits[index] - (signs * ways).amin(1)
        return torch.stack([margins, margins], 1).float()

    search = searched(ask, n, box, Budget(100, 4, 40))
    assert search.broken.all()
    assert search.survives_alone.all()
    assert (search.scale >= limits - 1e-6).all()  # never below the truth: an upper bound of survival
    assert (search.scale - limits).max() < 0.12
    assert (search.scale - limits).median() < 0.04


def test_alone_the_ends_come_first_then_the_middle():
    assert _spread_order(8)[:3] == [8, 4, 2]
    assert sorted(_spread_order(8)) == list(range(1, 9))
    assert _spread_order(0) == []
    tried = []

    def ask(index, ways):
        tried.extend(ways.tolist())
        margins = 0.7 - ways[:, 0]  # rotations beyond 21 degrees break
        return torch.stack([margins, margins], 1).float()

    box = WorstConfig(box={"rotate": (-30, 30), "horizontal_flip": (0, 1)}).resolved
    search = searched(lambda index, ways: -ask(index, ways[:, [1, 0]]), 1, box, Budget(1, 4, 0))
    alone = tried[1:]
    assert len(alone) == len(set(map(tuple, alone)))  # the only flip that there is, once
    assert search.passes["single"].tolist() == [len(alone)]


def test_growth_counts_images_by_the_scales_at_which_they_break():
    scales = np.array([0.2, 0.4, 0.4, 0.8, *[np.inf] * 6])
    curve = growth(scales, 0.75, 0.95)
    at = dict(zip(curve.scales, curve.survival, strict=True))
    assert (at[0.0], at[0.2], at[0.38], at[0.4], at[0.8], at[1.0]) == (1, 0.9, 0.9, 0.7, 0.6, 0.6)
    assert curve.threshold.value == 0.4
    assert curve.threshold.ci_low == 0.0  # ten images cannot say that 75 % survive
    assert curve.threshold.ci_high is None
    assert growth(scales, 0.9, 0.95).threshold.value == 0.4  # 90 % is not below 90 %
    assert growth(scales, 0.55, 0.95).threshold.value is None
    for low, value, high in zip(curve.ci_low, curve.survival, curve.ci_high, strict=True):
        assert low <= value <= high
    pairs = itertools.pairwise(curve.survival)
    assert all(before >= after for before, after in pairs)
