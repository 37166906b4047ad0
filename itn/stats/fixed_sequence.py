"""A scale chosen with a guarantee: exact tests in a fixed sequence.

Learn then Test with a fixed sequence (Angelopoulos et al. 2021, https://arxiv.org/abs/2110.01052): growing
scales are tested until one fails. With the stated confidence the drop at the last one that passed is at most
the tolerance. That holds whether or not the drop grows with the scale.
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
    """Ascending, in the order of the tests."""
    changes: Tensor
    """1 for an image that has become worse, -1 for a better one, else 0; int8, scales x conditions x N."""
    test: DropTest
    """Of one scale under one condition. All conditions must pass, so none needs a correction."""

    @property
    def scale(self) -> float:
        """The last scale before the first one that does not pass its test; 0 if the first one does not.

        The tests are exact: if the drop under any condition were the tolerance or more, counts as good as
        these would have a probability of at most 1 - confidence.
        """
        return (0.0, *self.scales)[self.count]

    @property
    def count(self) -> int:
        """How many scales pass."""
        broken, mended = ((self.changes == sign).sum(-1) for sign in (1, -1))
        passed = ~self.test.rejected(broken, mended).any(-1)
        return int(passed.cumprod(0).sum())

    @property
    def drops(self) -> Tensor:
        """Share of worse images minus that of better ones, scales x conditions."""
        return self.changes.double().mean(-1)


def fixed_sequence_test(
    changes_at: Callable[[float], Tensor],
    scales: Sequence[float],
    test: DropTest,
) -> FixedSequence:
    """Test growing scales until one does not pass.

    Args:
        changes_at: Returns how N images change at a scale, numbers in {-1, 0, 1}, conditions x N. Its random
            draws must be the same for an image at all scales and independent between images.
        scales: Ascending, chosen without using these images.
        test: Of N images.
    """
    tried: list[Tensor] = []
    for scale in scales:
        tried.append(changes_at(scale).to(torch.int8))
        if test.rejected((tried[-1] > 0).sum(1), (tried[-1] < 0).sum(1)).any():
            break
    return FixedSequence(tuple(scales[: len(tried)]), torch.stack(tried), test)


# Scales to test, as multiples of an estimate. The chosen scale is on average half a step below the largest
# that would pass. The first are so small that they only fail where
# hardly any motion is harmless. The last, up to 5.7, are for estimates from few images that were too small
_FIRST = (0.02, 0.15, 0.45, 0.65)
_LAST = tuple(1.9 * 1.2**i for i in range(7))
SEQUENCE = (*_FIRST, *(0.8 * 1.06**i for i in range(15)), *_LAST)


# Finer, for a single parameter, whose range is reported
FINE = (*_FIRST, *(0.8 * 1.025**i for i in range(35)), *_LAST)
