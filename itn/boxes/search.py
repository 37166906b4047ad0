"""The search for the worst case of each image: in a box, by each transformation alone, in smaller boxes.

Images of a block are searched side by side, each by itself: what is tried of an image depends on its own
answers and the seed alone. An image is dropped as soon as it breaks.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from itn.boxes.box import Box
from itn.boxes.proposals import TOGETHER, Points, first_points, proposed
from itn.stats import generator

Phase = Literal["search", "single", "growth"]
PHASES: tuple[Phase, ...] = ("search", "single", "growth")
ALONE = 8  # points that are tried one by one, before several at a time
HALVINGS = 4  # of the way to the point that breaks an image
SHRINKS, LEAST_SHRINK, MOST_SHRINK = 0.25, 0.01, 0.5  # by which share smaller boxes are tried
AFTER_SUCCESS, AFTER_FAILURE = 1.5, 0.6  # what that share is multiplied by

Ask = Callable[[Tensor, Tensor], Tensor]
"""From images, M, and their points, M x D, to margins and predictions, M x 2."""


class Budget(NamedTuple):
    """How many points are tried of an image, at most."""

    search: int
    """Of all transformations together."""
    steps: int
    """Of each transformation alone, on each side."""
    growth: int
    """In smaller boxes, if the image breaks."""

    def by_phase(self, box: Box) -> dict[Phase, int]:
        """Return the largest number of points in each phase."""
        return {
            "search": self.search,
            "single": self.steps * sum(map(len, box.sides())),
            "growth": self.growth,
        }


class BlockSearch:
    """What was tried of some images, and what came of it.

    Args:
        index: Which images, N.
        box: The box.
        ask: Answers for images under points.
        budget: How many points are tried of an image.
        seed: Of the search.
        advance: Told how many points of each image a round has tried, and how many images survive.
    """

    def __init__(
        self,
        index: Tensor,
        box: Box,
        ask: Ask,
        budget: Budget,
        seed: int,
        advance: Callable[[int, int], None] = lambda count, left: None,
    ) -> None:
        n, d = len(index), len(box)
        self.index, self.box, self.ask, self.budget, self.seed = index, box, ask, budget, seed
        self.advance = advance
        self.margin = torch.full((n,), torch.inf)
        """The least one that was found; of an image that breaks, that at the first point that breaks it."""
        self.worst = torch.zeros(n, d, dtype=torch.float64)
        """The point of that margin, N x D."""
        self.prediction = torch.full((n,), -1)
        """The predicted class there."""
        self.scale = torch.full((n,), torch.inf, dtype=torch.float64)
        """The least scale of a point that breaks the image."""
        self.smallest = torch.zeros(n, d, dtype=torch.float64)
        """That point, N x D."""
        self.passes = {phase: torch.zeros(n, dtype=torch.int64) for phase in PHASES}
        self.survives_alone = torch.ones(n, d, dtype=torch.bool)
        """Whether each transformation alone left the image unbroken, N x D."""
        room = sum(budget.by_phase(box).values())
        self._ways = torch.zeros(n, room, d, dtype=torch.float64)
        self._margins = torch.full((n, room), torch.inf, dtype=torch.float64)

    @property
    def broken(self) -> Tensor:
        """Whether anything that was tried has broken the image, bool, N."""
        return self.scale.isfinite()

    def run(self) -> None:
        """Do all that there is to do."""
        self.search()
        self.search_alone()
        self.search_smallest()

    def search(self) -> None:
        """Look for a point of the box that breaks each image."""
        first = first_points(self.box, self.budget.search, self.seed)
        sizes = [1] * min(ALONE, len(first))
        done = 0
        while done < len(first):
            size = sizes.pop() if sizes else TOGETHER
            rows = (~self.broken).nonzero()[:, 0]
            points = first[done : done + size]
            self._evaluate("search", rows, points.expand(len(rows), *points.shape))
            done += len(points)
        random, turn = generator(self.seed, "box: search"), 0
        while done < self.budget.search:
            rows, count = (~self.broken).nonzero()[:, 0], min(TOGETHER, self.budget.search - done)
            if len(rows):
                points = proposed(self._points(rows, done), count, turn, random)
                self._evaluate("search", rows, self._snapped(points))
            else:
                self.advance(count, 0)
            done, turn = done + count, turn + 1

    def search_alone(self) -> None:
        """Try magnitudes of each transformation alone, the ends first, until one breaks the image."""
        d, tried = len(self.box), {(0.0,) * len(self.box)}
        for step in _spread_order(self.budget.steps):
            for n, way in ((n, way) for n, ends in enumerate(self.box.sides()) for way in ends):
                point = torch.zeros(1, d, dtype=torch.float64)
                point[0, n] = way * step / self.budget.steps
                point = self.box.snapped(point)
                rows = self.survives_alone[:, n].nonzero()[:, 0]
                if (key := tuple(point[0].tolist())) in tried:  # of a discrete transformation
                    rows = rows[:0]
                tried.add(key)
                margins = self._evaluate("single", rows, point.expand(len(rows), 1, d))
                self.survives_alone[rows, n] = margins[:, 0] >= 0

    def search_smallest(self) -> None:
        """Look for the smallest box that breaks each image that breaks."""
        rows, most = self.broken.nonzero()[:, 0], self.budget.growth
        start = self.smallest[rows]
        low, high = torch.zeros_like(start[:, :1]), torch.ones_like(start[:, :1])
        for _ in range(min(HALVINGS, most)):
            middle = (low + high) / 2
            breaks = self._evaluate("growth", rows, self._snapped((middle * start)[:, None]))[:, :1] < 0
            low, high = torch.where(breaks, low, middle), torch.where(breaks, middle, high)
        random, turn, done = generator(self.seed, "box: growth"), 0, min(HALVINGS, most)
        shrink = torch.full((len(rows),), SHRINKS, dtype=torch.float64)
        while done < most:
            before, count = self.scale[rows], min(TOGETHER, most - done)
            if len(rows):
                points = proposed(self._points(rows), count, turn, random, before * (1 - shrink))
                self._evaluate("growth", rows, self._snapped(points))
            else:
                self.advance(count, len(self.index))
            factor = torch.where(self.scale[rows] < before, AFTER_SUCCESS, AFTER_FAILURE)
            shrink = (shrink * factor).clamp(LEAST_SHRINK, MOST_SHRINK)
            done, turn = done + count, turn + 1

    def _points(self, rows: Tensor, count: int | None = None) -> Points:
        """Return what was tried of some images; if ``count`` is known, so many points of each."""
        if count is None:
            count = int(sum(self.passes.values())[rows].max()) if len(rows) else 0  # type: ignore[index]
        return Points(self._ways[rows, :count], self._margins[rows, :count])

    def _snapped(self, points: Tensor) -> Tensor:
        return self.box.snapped(points.flatten(0, 1)).view_as(points)

    def _evaluate(self, phase: Phase, rows: Tensor, ways: Tensor) -> Tensor:
        """Try points, A x k x D, of some images, A; return the margins, A x k, and note what they show."""
        count = ways.shape[1]
        margins = torch.empty(0, count)
        if len(rows):
            answers = self.ask(self.index[rows].repeat_interleave(count), ways.flatten(0, 1))
            margins, predictions = answers.view(len(rows), count, 2).unbind(2)
            self._note(rows, ways, margins, predictions)
            self.passes[phase][rows] += count
        self.advance(count, int((~self.broken).sum()))
        return margins

    def _note(self, rows: Tensor, ways: Tensor, margins: Tensor, predictions: Tensor) -> None:
        tried = sum(self.passes.values())[rows]  # type: ignore[index]
        columns = tried[:, None] + torch.arange(ways.shape[1])
        self._ways[rows[:, None], columns], self._margins[rows[:, None], columns] = ways, margins.double()
        each = torch.arange(len(rows))
        # Of an image that breaks, the first point that breaks it stays the worst one
        least = torch.where((margins < 0).any(1), (margins < 0).int().argmax(1), margins.argmin(1))
        nearer = (margins[each, least] < self.margin[rows]) & ~self.broken[rows]
        at = rows[nearer]
        self.margin[at], self.worst[at] = margins[each, least][nearer], ways[each, least][nearer]
        self.prediction[at] = predictions[each, least][nearer].long()
        scales = ways.abs().amax(2).where(margins < 0, torch.inf)
        smallest, place = scales.min(1)
        smaller = smallest < self.scale[rows]
        at = rows[smaller]
        self.scale[at], self.smallest[at] = smallest[smaller], ways[each, place][smaller]


def _spread_order(n: int) -> list[int]:
    """Return 1 to n, the last one first, then each as far as can be from those before."""
    order = list(range(n, 0, -max(n, 1)))
    while len(order) < n:
        left = [k for k in range(1, n + 1) if k not in order]
        order.append(max(left, key=lambda k: min(abs(k - known) for known in (0, *order))))
    return order
