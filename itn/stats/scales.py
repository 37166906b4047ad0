"""Where something ends to hold, as a scale grows."""

from collections.abc import Callable


def last_scale(
    holds: Callable[[float], bool],
    largest: float,
    smallest: float = 0.0,
    strides: int = 4,
    bisections: int = 5,
) -> float:
    """Return the last scale that holds before the first that does not: by strides, then by bisection.

    Args:
        holds: Whether a scale holds.
        largest: The result if every stride holds.
        smallest: A scale that is known to hold.
        strides: In how many strides to go outwards: a digit upside down may be recognized again.
        bisections: Halvings of the first stride that does not hold; more if they leave a bracket of more than
            an eighth, down to a thousandth of ``largest``.
    """
    low = high = smallest
    for stride in range(1, strides + 1):
        high = smallest + (largest - smallest) * stride / strides
        if not holds(high):
            break
        low = high
    else:
        return largest
    halvings = 0
    while halvings < bisections or (high - low > high / 8 and high > 1e-3 * largest):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
        halvings += 1
    return low
