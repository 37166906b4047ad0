"""A box of magnitudes: one range for each of several transformations that are composed.

Points are given by *ways*, one for each transformation: how far it has gone from its identity, at 0, to the
low end of its range, at -1, or to the high end, at 1; factors on the logarithmic scale. The *scale* of a
point is its largest way without sign: the box shrunk by this factor, towards the identity, just reaches it.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from itn.functional import compose_maps, spatial_identity
from itn.runtime.validation import float_tuple, is_of, require
from itn.screening.summary import unit_text
from itn.transforms import Transform

DIGITS = 6  # significant ones of a magnitude, so that tables hold exactly the points that were tried


@dataclasses.dataclass(frozen=True)
class Box:
    """Ranges of transformations, in the order in which these are applied.

    Raises:
        ValueError: If a range is empty, beyond what its transformation takes, or does not hold its identity.
    """

    transforms: tuple[Transform, ...]
    ranges: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, ranges: Mapping[str, tuple[float, float]], known: Mapping[str, Transform]) -> "Box":
        """Return the box of ranges by name; what does not move pixels is applied first."""
        transforms = sorted((known[name] for name in ranges), key=lambda transform: transform.spatial)
        return cls(tuple(transforms), tuple(ranges[transform.name] for transform in transforms))

    def __post_init__(self) -> None:
        for transform, (low, high) in zip(self.transforms, self.ranges, strict=True):
            _check_range(transform, low, high)

    def __len__(self) -> int:
        return len(self.transforms)

    @property
    def names(self) -> tuple[str, ...]:
        """The transformations by name, in the order in which they are applied."""
        return tuple(transform.name for transform in self.transforms)

    @property
    def by_name(self) -> dict[str, tuple[float, float]]:
        """The ranges by name."""
        return dict(zip(self.names, self.ranges, strict=True))

    def sides(self) -> tuple[tuple[float, ...], ...]:
        """Return for each transformation the ways of those ends of its range that are not its identity."""
        return tuple(
            tuple(way for way, end in ((-1.0, low), (1.0, high)) if end != transform.identity)
            for transform, (low, high) in zip(self.transforms, self.ranges, strict=True)
        )

    def from_shares(self, shares: Tensor) -> Tensor:
        """Return points from shares in [0, 1] of the ranges, M x D: even shares lie evenly in the box."""
        ways = torch.empty_like(shares)
        for n, (transform, (low, high)) in enumerate(zip(self.transforms, self.ranges, strict=True)):
            below, above = transform.distance(low), transform.distance(high)
            signed = shares[:, n] * (below + above) - below
            ways[:, n] = torch.where(signed < 0, signed / (below or 1.0), signed / (above or 1.0))
        return self.snapped(ways)

    def snapped(self, ways: Tensor) -> Tensor:
        """Return points, M x D, moved into the box, and to magnitudes that there are."""
        ways = ways.clone()
        for n, (transform, sides) in enumerate(zip(self.transforms, self.sides(), strict=True)):
            ways[:, n].clamp_(min(0.0, *sides), max(0.0, *sides))
            if transform.discrete:
                known = torch.tensor(self._discrete_ways(n), dtype=ways.dtype)
                ways[:, n] = known[(ways[:, n, None] - known).abs().argmin(1)]
        return ways

    def _discrete_ways(self, number: int) -> list[float]:
        """Return the ways of all magnitudes of a discrete transformation that lie in the box."""
        transform, (low, high) = self.transforms[number], self.ranges[number]
        inside = [v for v in transform.magnitudes if low <= v <= high]
        below, above = transform.distance(low), transform.distance(high)
        return [
            transform.distance(v) / (above if v > transform.identity else -below)
            if v != transform.identity
            else 0.0
            for v in inside
        ]

    def magnitudes(self, ways: Tensor) -> Tensor:
        """Return the magnitudes of points, M x D, float64, to six significant digits; ends are exact."""
        columns = [
            _magnitudes(transform, way, *ends)
            for transform, way, ends in zip(
                self.transforms, ways.double().unbind(1), self.ranges, strict=True
            )
        ]
        return torch.stack(columns, 1)

    def matrix(self, magnitudes: Tensor, aspect: float) -> Tensor:
        """Return the spatial transformations of points as one map each, output to input.

        Args:
            magnitudes: M x D; the columns of what moves no pixels are not looked at.
            aspect: Width over height of the frame.

        Returns:
            M x 2 x 3, or M x 3 x 3 if one of them is a homography.
        """
        product = spatial_identity(magnitudes).expand(len(magnitudes), 2, 3)
        for transform, v in zip(self.transforms, magnitudes.unbind(1), strict=True):
            if transform.spatial:
                product = compose_maps(product, transform.function(v, aspect))
        return product

    def scaled(self, scale: float) -> dict[str, tuple[float, float]]:
        """Return the ranges of the box that is shrunk by a factor towards the identity, by name."""
        ends = torch.tensor([[-scale] * len(self), [scale] * len(self)], dtype=torch.float64)
        low, high = self.magnitudes(ends).tolist()
        return dict(zip(self.names, zip(low, high, strict=True), strict=True))

    def describe(self, magnitudes: Sequence[float]) -> str:
        """Return one point in words, such as "rotate -12.5, zoom 1.1", without what is at its identity."""
        parts = [
            f"{transform.name} {v:.3g}"
            for transform, v in zip(self.transforms, magnitudes, strict=True)
            if v != transform.identity
        ]
        return ", ".join(parts) or "unchanged"

    def text(self) -> str:
        """Return the ranges in words, with their units."""
        return ", ".join(
            f"{transform.name} {low:g} to {high:g} ({unit_text(transform.name, transform.unit)})"
            for transform, (low, high) in zip(self.transforms, self.ranges, strict=True)
        )


def range_of(name: str, ends: object) -> tuple[float, float]:
    """Return the range of a transformation that a user gives.

    Raises:
        ValueError: If it is not two numbers.
    """
    expected = f"the range of {name} is its low and its high end, such as (-20, 20), got {ends!r}"
    require(isinstance(ends, Sequence) and len(ends) == 2 and not isinstance(ends, str), expected)
    assert isinstance(ends, Sequence)
    require(all(is_of(end, (int, float)) or hasattr(end, "item") for end in ends), expected)
    low, high = float_tuple(ends, name)
    return low, high


def _check_range(transform: Transform, low: float, high: float) -> None:
    name, identity = transform.name, transform.identity
    transform.check_magnitudes((low, high))
    require(
        low <= identity <= high,
        f"the range of {name} must hold its identity, {identity:g}, since the box grows from there, got "
        f"{low:g} to {high:g}",
    )
    require(low < high, f"the range of {name} is its identity alone, {identity:g}: leave it out of the box")
    require(
        not transform.logarithmic or low > 0,
        f"{name} is a factor: its range must begin above 0, got {low:g}",
    )


def _magnitudes(transform: Transform, way: Tensor, low: float, high: float) -> Tensor:
    end = torch.where(way < 0, way.new_tensor(low), way.new_tensor(high))
    if transform.logarithmic:
        v = transform.identity * (end / transform.identity) ** way.abs()
    else:
        v = transform.identity + way.abs() * (end - transform.identity)
    v = torch.where(way.abs() == 1, end, _rounded(v).clamp(low, high))
    if transform.discrete:
        valid = torch.tensor(transform.magnitudes, dtype=torch.float64)
        v = valid[(v[:, None] - valid).abs().argmin(1)]
    return torch.where(way == 0, torch.full_like(v, transform.identity), v)


def _rounded(v: Tensor) -> Tensor:
    """Return the nearest numbers of six significant digits."""
    exponent = DIGITS - 1 - v.abs().clamp_min(1e-300).log10().floor()
    exponent = exponent.clamp(-math.inf, 300)
    factor = 10.0 ** exponent.abs()
    return torch.where(exponent >= 0, (v * factor).round() / factor, (v / factor).round() * factor)
