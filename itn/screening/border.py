"""What the border of the images costs at a threshold, beside what the transformation itself costs.

A photograph that is turned and then cropped shows more of itself in the corners; a crop that is turned shows
padding there. Where photographs are known around the images, both are measured at the threshold of accuracy.
"""

import dataclasses
from collections.abc import Iterator, Mapping


@dataclasses.dataclass(frozen=True)
class BorderCost:
    """Accuracy at the threshold on one side, with and without what is known around the images."""

    magnitude: float
    accuracy: float
    accuracy_without: float
    """Padding is brought in from outside the images instead of what photographs show there."""


def border_notes(
    costs: Mapping[str, Mapping[str, BorderCost]], clean_accuracy: float, units: Mapping[str, str]
) -> Iterator[str]:
    """Yield a sentence on each threshold.

    Args:
        costs: By transformation and side.
        clean_accuracy: Accuracy on unchanged images.
        units: By transformation, in words.
    """
    for name, sides in costs.items():
        for cost in sides.values():
            lost, without = clean_accuracy - cost.accuracy, clean_accuracy - cost.accuracy_without
            share = f", {100 * (without - lost):.1f} of them from the border" if 0 <= lost <= without else ""
            yield (
                f"at {name} {cost.magnitude:.3g} ({units[name]}) accuracy is {_points_lower(lost)}; without "
                f"the surround it would be {_points_lower(without)}{share}"
            )


def _points_lower(lost: float) -> str:
    return f"{100 * abs(lost):.1f} points {'lower' if round(lost, 3) >= 0 else 'higher'}"
