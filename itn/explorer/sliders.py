"""Sliders: from where to where a transformation, or a control of a learned family, can be moved."""

import dataclasses
import math
from collections.abc import Mapping

from torch import Tensor

from itn.boxes.box import Box
from itn.nn import InvariantTransformerNet
from itn.runtime.validation import require
from itn.transforms import Transform


@dataclasses.dataclass(frozen=True)
class Slider:
    """One transformation of the table, or one entry of a control of a learned family."""

    name: str
    """That of the transformation; of a family such as k1[0]."""
    unit: str
    low: float
    high: float
    identity: float
    """The value that changes nothing."""
    logarithmic: bool = False
    """Whether the value is a factor, so that 2 and 1/2 are at the same distance from the identity."""
    values: tuple[float, ...] = ()
    """The only values that there are; empty: all between the ends."""
    spatial: bool = False
    """Whether it moves pixels, so that what lies around the image may come in."""
    part: str | None = None
    """The part of a learned family that it drives; None: it is of the table."""
    meaning: str = ""
    """What it does, in a sentence."""

    def position(self, value: float) -> float:
        """Return where a value is, on a scale on which equal steps are equally far."""
        return math.log(value) if self.logarithmic else value

    def value(self, position: Tensor) -> Tensor:
        """Return the values at positions, float64; the identity is exact."""
        value = position.exp() if self.logarithmic else position
        return value.where(position != self.position(self.identity), value.new_tensor(self.identity))

    def text(self, value: float) -> str:
        """Return a value in words, to four digits."""
        return f"{value:.4g}"


def table_box(transforms: Mapping[str, Transform]) -> Box:
    """Return the box of all transformations, each from its first to its last default magnitude.

    Those that have no other magnitude than their identity are left out.
    """
    ranges = {name: _range(transform) for name, transform in transforms.items()}
    return Box.of({name: ends for name, ends in ranges.items() if ends[0] < ends[1]}, transforms)


def table_sliders(box: Box) -> list[Slider]:
    """Return a slider for each transformation of a box."""
    return [
        Slider(
            transform.name,
            transform.unit,
            *ends,
            transform.identity,
            transform.logarithmic,
            tuple(v for v in transform.magnitudes if ends[0] <= v <= ends[1]) if transform.discrete else (),
            transform.spatial,
            meaning=(transform.__doc__ or "").strip().partition("\n")[0],
        )
        for transform, ends in zip(box.transforms, box.ranges, strict=True)
    ]


def family_sliders(net: InvariantTransformerNet) -> list[Slider]:
    """Return two sliders for each part of a learned family, the entries of its control."""
    sliders = []
    for number, part in enumerate(net.controls, 1):
        if part in net.parts:
            sliders += [
                Slider(
                    f"k{number}[{entry}]",
                    part,
                    0.0,
                    1.0,
                    0.0,
                    spatial=moves_pixels(net, part),
                    part=part,
                    meaning=f"Entry {entry} of the control that drives {part}, in the learned family.",
                )
                for entry in (0, 1)
            ]
    return sliders


def moves_pixels(net: InvariantTransformerNet, name: str) -> bool:
    """Return whether a part of a family moves pixels."""
    part = net.part(name)
    size = (1, net.channels or 3, 8, 8)
    k = part.head.bound.new_zeros(1, 2)
    return part.takes_surround or part.rms_shift(part.generate(k), part.frame(size)) is not None


def _range(transform: Transform) -> tuple[float, float]:
    ends = [v for v in (*transform.magnitudes, transform.identity) if v > 0 or not transform.logarithmic]
    return min(ends), max(ends)


def check_values(sliders: Mapping[str, Slider], values: Mapping[str, float]) -> None:
    """Raise ValueError unless values are of sliders, and between their ends."""
    for name, value in values.items():
        require(name in sliders, f"there is no slider {name!r}: there are {', '.join(sliders)}")
        slider = sliders[name]
        inside = value in slider.values if slider.values else slider.low <= value <= slider.high
        require(inside, f"{name} goes from {slider.low:g} to {slider.high:g}, got {value:g}")
