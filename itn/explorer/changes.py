"""Where along one slider the answer for one image changes."""

import dataclasses
import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from itn.explorer.sliders import Slider
from itn.runtime.wording import counted

COARSE = 33  # values of the first pass, evenly spaced
HALVINGS = 8  # of the nearest bracket on either side

Point = tuple[float, int]
"""A value of the slider, and the answer there."""

Classify = Callable[[Tensor], Tensor]
"""From values of the slider, M, float64, to the predicted classes, M."""


@dataclasses.dataclass(frozen=True)
class Change:
    """Two neighboring values of a slider between which the answer changes."""

    low: float
    high: float
    before: str
    """The answer at the low one."""
    after: str
    """The answer at the high one."""
    value: float
    """The middle of the two; of a discrete slider the high one."""

    def __str__(self) -> str:
        """Return where it is, to the digits that are known, and from which answer to which."""
        value = self.value
        if value != self.high:
            value = round(value, -math.ceil(math.log10(self.high - self.low))) + 0.0  # no -0
        return f"{value:.6g} ({self.before} to {self.after})"


@dataclasses.dataclass(frozen=True)
class Changes:
    """All changes of the answer that were found along a slider, the other sliders as they were."""

    slider: Slider
    at: float
    """Where the slider was."""
    answer: str
    """The answer there."""
    found: tuple[Change, ...]
    """In ascending order."""
    tried: int
    """Number of values in the first pass; all passes after it look only for the nearest changes."""

    @property
    def nearest(self) -> tuple[Change | None, Change | None]:
        """The changes nearest to where the slider was, below and above; None where none was found."""
        below = [change for change in self.found if change.high <= self.at]
        above = [change for change in self.found if change.low >= self.at]
        return (below[-1] if below else None), (above[0] if above else None)

    def __str__(self) -> str:
        slider, text = self.slider, self.slider.text
        between = f"between {text(slider.low)} and {text(slider.high)}"
        if slider.values:
            tried = f"All values were tried: {', '.join(map(text, slider.values))}."
        else:
            tried = f"{self.tried} values were tried, and finer islands of other answers can be missed."
        if not self.found:
            return f"{slider.name}: no change of the answer {self.answer} was found {between}. {tried}"
        times = counted(len(self.found), "time")
        sides = [
            f"{side} at {change}"
            for side, change in zip(("below", "above"), self.nearest, strict=True)
            if change is not None
        ]
        return (
            f"{slider.name}: the answer changes {times if slider.values else f'at least {times}'} {between}; "
            f"nearest to {text(self.at)}: {', '.join(sides)}. {tried}"
        )


def find_changes(classify: Classify, slider: Slider, at: float, name: Callable[[int], str]) -> Changes:
    """Try a slider's whole range in one pass, then halve the nearest bracket between two different answers.

    That is done on either side of where the slider is; changes farther away stay known to a step of the
    first pass. A bracket holds at least one change: between values with the same answer there can be others.
    Where a third answer lies in the middle of a bracket, the nearer half is followed.

    Args:
        classify: The classifier along the slider.
        slider: The slider.
        at: Where it is; tried as well, like its identity.
        name: From a class to its name.
    """
    values = _first_values(slider, at)
    points = list(zip(values.tolist(), classify(values).tolist(), strict=True))
    here = dict(points)[at]
    brackets = [(a, b) for a, b in itertools.pairwise(points) if a[1] != b[1]]
    for _ in range(0 if slider.values else HALVINGS):
        below = [number for number, (_, high) in enumerate(brackets) if high[0] <= at]
        above = [number for number, (low, _) in enumerate(brackets) if low[0] >= at]
        nearest = below[-1:] + above[:1]
        if not nearest:
            break
        values = values.new_tensor([_middle(slider, *brackets[number]) for number in nearest])
        middles = zip(values.tolist(), classify(values).tolist(), strict=True)
        # From the last one on, so that the numbers of those before it stay what they are
        for number, middle in [*zip(nearest, middles, strict=True)][::-1]:
            low, high = brackets[number]
            halves = [(a, b) for a, b in ((low, middle), (middle, high)) if a[1] != b[1]]
            brackets[number : number + 1] = halves
    found = tuple(_change(slider, *bracket, name) for bracket in brackets)
    return Changes(slider, at, name(here), found, len(points))


def _first_values(slider: Slider, at: float) -> Tensor:
    """Return the values of the first pass, ascending, without two that are the same."""
    if slider.values:
        return torch.tensor(slider.values, dtype=torch.float64)
    ends = slider.position(slider.low), slider.position(slider.high)
    even = slider.value(torch.linspace(*ends, COARSE, dtype=torch.float64))
    even[0], even[-1] = slider.low, slider.high  # exactly, whatever logarithms make of them
    return torch.cat([even, even.new_tensor([slider.identity, at])]).unique()


def _middle(slider: Slider, low: Point, high: Point) -> float:
    """Return the value halfway between two; of a discrete slider the high one."""
    if slider.values:
        return high[0]
    return math.sqrt(low[0] * high[0]) if slider.logarithmic else (low[0] + high[0]) / 2


def _change(slider: Slider, low: Point, high: Point, name: Callable[[int], str]) -> Change:
    return Change(low[0], high[0], name(low[1]), name(high[1]), _middle(slider, low, high))
