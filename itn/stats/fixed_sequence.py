"""A scale chosen with a guarantee: exact tests in a fixed sequence.

Learn then Test with a fixed sequence (Angelopoulos et al. 2021, https://arxiv.org/abs/2110.01052): growing
scales are tested until one fails. With the stated confidence the drop at the last one that passed is at most
the tolerance. That holds whether or not the drop grows with the scale.

Where it does not grow, as where a motion by half a pixel blurs more than one by many, a small scale may fail
before large ones that would pass. Hence half of what the tests may err is kept for a second beginning (the
fallback procedure of Wiens 2003, https://doi.org/10.1002/pst.64): it takes over where the first sequence has
failed, and adds to it otherwise.
"""

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from itn.stats.paired import DropTest


@dataclasses.dataclass(frozen=True)
class FixedSequence:
    """How N images change at each of a fixed sequence of scales, and what that certifies."""

    scales: tuple[float, ...]
    """Those that were tried, ascending, in the order of the tests."""
    changes: Tensor
    """1 for an image that has become worse, -1 for a better one, else 0; int8, scales x conditions x N."""
    tests: tuple[DropTest, ...]
    """Of each scale under one condition. All conditions must pass, so none needs a correction."""

    @property
    def scale(self) -> float:
        """The largest scale that passes its test; 0 if none does.

        The tests are exact: if the drop under any condition were the tolerance or more, the chance that a
        scale passes all the same is at most 1 - confidence for the whole sequence.
        """
        passing = [scale for scale, passed in zip(self.scales, self.passed, strict=True) if passed]
        return max(passing, default=0.0)

    @property
    def passed(self) -> list[bool]:
        """Whether each scale passes its test under all conditions."""
        return [passes(test, changes) for test, changes in zip(self.tests, self.changes, strict=True)]

    @property
    def comparable(self) -> range:
        """The numbers of the scales after the last one that fails below the chosen scale.

        A curve of growing transformations, as rivals have it, does not look for small ones that fail.
        """
        below = [n for n, passed in enumerate(self.passed) if not passed and self.scales[n] < self.scale]
        return range(below[-1] + 1 if below else 0, len(self.scales))

    @property
    def drops(self) -> Tensor:
        """Share of worse images minus that of better ones, scales x conditions."""
        return self.changes.double().mean(-1)


def passes(test: DropTest, changes: Tensor) -> bool:
    """Return whether images pass a test under all conditions; changes are conditions x N."""
    return not test.rejected((changes > 0).sum(1), (changes < 0).sum(1)).any()


def fixed_sequence_test(
    changes_at: Callable[[float], Tensor],
    scales: Sequence[float],
    test: DropTest,
    second: int = 0,
) -> FixedSequence:
    """Test growing scales until one does not pass, then, from a second beginning on, once more.

    Args:
        changes_at: Returns how N images change at a scale, numbers in {-1, 0, 1}, conditions x N. Its random
            draws must be the same for an image at all scales and independent between images.
        scales: Ascending, chosen without using these images.
        test: Of N images, with the confidence of the whole sequence.
        second: Number of the scale that half of what the tests may err is kept for. If a smaller one fails,
            it is the next one with that half, otherwise it has all. 0: there is one beginning, with all; so
            there is if N images are too few to pass with half, even if none changes.
    """
    half = test._replace(confidence=(1 + test.confidence) / 2)
    if not half.passes(0):
        second = 0
    tried: list[tuple[float, Tensor, DropTest]] = []
    failed = False
    for number, scale in enumerate(scales):
        if failed and number < second:
            continue
        if number <= second:
            current = half if failed or number < second else test
        changes = changes_at(scale).to(torch.int8)
        tried.append((scale, changes, current))
        if not passes(current, changes):
            if failed or number >= second:
                break
            failed = True
    chosen, changed, tests = zip(*tried, strict=True)
    return FixedSequence(chosen, torch.stack(changed), tests)


# Scales to test, as multiples of an estimate. The chosen scale is on average half a step below the largest
# that would pass. The first are so small that they only fail where
# hardly any motion is harmless. The last, up to 5.7, are for estimates from few images that were too small
_FIRST = (0.02, 0.15, 0.45, 0.65)
_LAST = tuple(1.9 * 1.2**i for i in range(7))
SEQUENCE = (*_FIRST, *(0.8 * 1.06**i for i in range(15)), *_LAST)


# Finer, for a single parameter, whose range is reported
FINE = (*_FIRST, *(0.8 * 1.025**i for i in range(35)), *_LAST)

SECOND = len(_FIRST) - 1
"""Number of the scale at which either begins anew."""
