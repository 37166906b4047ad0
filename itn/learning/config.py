"""Settings of runs: every default written once, every range checked."""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from types import NoneType
from typing import Any, Literal, get_args

from itn.functional.color import COLOR_FAMILIES
from itn.functional.spatial import FAMILIES, PADDINGS
from itn.transforms.registry import PAPER, TRANSFORMS, Transform

Part = Literal["color", "space"]
Precision = Literal["float32", "bfloat16", "float16"]


_KINDS: dict[Any, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "True or False"),
    int: ((Integral,), "an integer"),
    float: ((Real,), "a number"),
    float | None: ((Real, NoneType), "a number"),
    str: ((str,), "text"),
}
_DEFAULTS: dict[str, dict[str, float]] = {
    "constrained": {"tolerance": 0.01, "steps": 500, "learning_rate": 0.03},
    "switched": {"tolerance": 0.0, "steps": 1000, "learning_rate": 0.005},
}


@dataclasses.dataclass(frozen=True)
class LearnConfig:
    """Settings of ``itn.learn``; the defaults are those of the main job.

    Raises:
        ValueError: If a setting is out of its range; the message says which range.
    """

    parts: tuple[Part, ...] = ("color", "space")
    """Transformers to learn: color, space, or both."""
    family: str = "affine"
    """Spatial family: affine, rotation, translation, translation_x, translation_y, scale, zoom, shear or
    similarity."""
    color_family: str = "affine"
    """Color family: affine, or with one parameter for all channels gain or bias."""
    objective: Literal["constrained", "switched"] = "constrained"
    """What is optimised: "constrained", the largest displacement at the tolerance, which is then certified,
    or "switched", the loss of Bunne et al."""
    acc_orig: Literal["paired", "measured"] | float = "paired"
    """switched: what a batch's accuracy is compared with: the same batch's clean accuracy (paired), the clean
    accuracy of all learning images (measured), or a number in [0, 1]."""
    tolerance: float | None = None
    """constrained: largest share of the images that may be right unchanged and wrong under F(k); default
    0.01. switched: how far a batch may fall below acc_orig before cross-entropy is asked for; default 0.
    In [0, 1)."""
    confidence: float = 0.95
    """constrained: confidence of the certificate."""
    c_theta: float = 0.01
    """switched: weight of color displacement against spatial displacement, where both are learned."""
    vectors: int = 0
    """switched: random unit vectors per step that estimate displacement, as in the paper; 0: its exact
    value."""
    steps: int = 0
    """Steps of learning; 0: 500, switched 1000."""
    batch_size: int = 256
    """Images in a forward pass, drawn with replacement; constrained: shared by the starts that are left,
    each of which sees the same images."""
    learning_rate: float = 0.0
    """Adam's rate at the start; it falls to zero along a cosine; 0: 0.03, switched 0.005."""
    hidden: int = 32
    """Width of the hidden layer of the control heads."""
    rectified: bool = False
    """Rectify the last layer of the control heads too, as the paper's text can be read: no parameter can
    fall below its identity."""
    color_bound: float = 1.0
    """Bound on each entry of the color matrix minus identity: at 1, gains lie in (0, 2)."""
    spatial_bound: float | None = None
    """Bound on each spatial parameter; default the family's own (1; pi for the rotation's angle)."""
    padding: str = "zeros"
    """What lies outside the frame: zeros, border or reflection."""
    precision: Precision = "float32"
    """Precision of the classifier; matrices and statistics are always in float32 or more. Gradients can be
    too small for float16: prefer bfloat16."""
    channels_last: bool = False
    """Whether to hand images to the classifier in that memory format: faster for many convolutional
    networks, an error in those that call view()."""
    compile: bool = False
    """Whether to run the classifier by torch.compile, which takes up to minutes before the first step."""
    learn_fraction: float = 0.4
    """Share of the images that is learned from; the rest is held out for all figures reported. constrained:
    half of the rest chooses the scale, the other half is held out."""
    seed: int = 0
    """Seed of split, weights, batches and k."""

    def __post_init__(self) -> None:
        _check_kinds(self)
        _check_names(self.parts, "parts are")
        object.__setattr__(self, "parts", tuple(self.parts))
        known = get_args(Part)
        _require(
            0 < len(self.parts) == len(set(self.parts)) and set(self.parts) <= set(known),
            f"parts must be color, space, or both, got {','.join(self.parts) or 'none'}",
        )
        _require(
            self.objective in tuple(_DEFAULTS),
            f"objective must be {' or '.join(_DEFAULTS)}, got {self.objective!r}",
        )
        for name, value in _DEFAULTS[self.objective].items():
            if not getattr(self, name) and (name != "tolerance" or self.tolerance is None):
                object.__setattr__(self, name, value)
        _require(self.family in FAMILIES, f"family must be one of {', '.join(FAMILIES)}, got {self.family!r}")
        _require(
            self.color_family in COLOR_FAMILIES,
            f"color-family must be one of {', '.join(COLOR_FAMILIES)}, got {self.color_family!r}",
        )
        _require(
            self.padding in PADDINGS, f"padding must be one of {', '.join(PADDINGS)}, got {self.padding!r}"
        )
        _require(
            self.acc_orig in ("paired", "measured")
            or (_fits(self.acc_orig, (Real,)) and 0 <= float(self.acc_orig) <= 1),
            f"acc-orig must be paired, measured or a number in [0, 1], got {self.acc_orig!r}",
        )
        _check_precision(self.precision)
        _require(0 <= self.tolerated < 1, f"tolerance must lie in [0, 1), got {self.tolerance}")
        _require(
            self.objective == "switched" or self.tolerated > 0,
            "a constrained objective needs a tolerance above 0, such as 0.01",
        )
        _require(0 < self.confidence < 1, f"confidence must lie in (0, 1), got {self.confidence}")
        _require(0 < self.learn_fraction < 1, f"learn-fraction must lie in (0, 1), got {self.learn_fraction}")
        for name in ("steps", "batch_size", "hidden"):
            value = getattr(self, name)
            _require(value >= 1, f"{name.replace('_', '-')} must be at least 1, got {value}")
        single = {
            "color": self.color_family != "affine",
            "space": len(FAMILIES[self.family].parameters) == 1,
        }
        _require(
            self.hidden > 1 or self.objective == "switched" or not any(single[part] for part in self.parts),
            "hidden must be at least 2 where a family has one parameter: one unit for each end of its range",
        )
        for name in ("c_theta", "learning_rate", "color_bound"):
            value = getattr(self, name)
            _require(0 < value < float("inf"), f"{name.replace('_', '-')} must be positive, got {value}")
        _require(self.vectors >= 0, f"vectors must be 0 (exact) or more, got {self.vectors}")
        bound = self.spatial_bound
        _require(bound is None or 0 < bound < float("inf"), f"spatial-bound must be positive, got {bound}")
        _require(0 <= self.seed < 2**63, f"seed must be in [0, 2^63), got {self.seed}")

    @property
    def tolerated(self) -> float:
        """The tolerance as a number."""
        assert self.tolerance is not None
        return self.tolerance


@dataclasses.dataclass(frozen=True)
class ScreenConfig:
    """Settings of ``itn.screen``.

    Raises:
        ValueError: If a setting is out of its range; the message says which range.
    """

    transforms: tuple[str, ...] | None = None
    """Names from ``itn.TRANSFORMS`` to sweep; default the eleven of the paper, or none if there are pairs."""
    pairs: tuple[tuple[str, ...], ...] = ()
    """Pairs of names to sweep in two dimensions, the first applied first."""
    magnitudes: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)
    """Magnitudes by name, in the transformation's own unit; default ``Transform.magnitudes``, in pairs every
    other one."""
    accuracy_fraction: float = 0.9
    """A transformation breaks the classifier where accuracy falls below this fraction of the clean one."""
    bisections: int = 4
    """How often the bracket around each image's flip is halved."""
    accuracy_bisections: int = 3
    """How often the bracket around the magnitude where accuracy breaks is halved, before interpolating."""
    control: bool = True
    """Whether to classify, beside each spatial curve, the same images warped there and back."""
    fresh_noise: bool = False
    """Whether to draw new noise at every magnitude instead of the same for an image throughout."""
    padding: str = "zeros"
    """What lies outside the frame: zeros, border or reflection."""
    precision: Precision = "float32"
    """Precision of the classifier; transformations and statistics are always in float32 or more."""
    channels_last: bool = False
    """Whether to hand images to the classifier in that memory format: faster for many convolutional
    networks, an error in those that call view()."""
    compile: bool = False
    """Whether to run the classifier by torch.compile, which takes up to minutes before the first pass."""
    batch_size: int = 0
    """Images in one forward pass; 0: as many as suit their size, 250 digits or 27 photographs of 224 pixels
    on a CPU, eight times as many photographs on a GPU."""
    confidence: float = 0.95
    """Confidence of all intervals, pointwise."""
    seed: int = 0
    """Seed of the noise, and of the subset of the images on the command line."""

    def __post_init__(self) -> None:
        _check_kinds(self)
        if self.transforms is not None:
            _check_names(self.transforms, "transforms are")
            object.__setattr__(self, "transforms", tuple(self.transforms))
        _require(isinstance(self.pairs, tuple | list), f"pairs are a tuple of pairs, got {self.pairs!r}")
        for pair in self.pairs:
            _check_names(pair, "a pair is")
        _require(
            isinstance(self.magnitudes, Mapping) and all(isinstance(name, str) for name in self.magnitudes),
            f"magnitudes are a mapping from names to numbers, got {self.magnitudes!r}",
        )
        magnitudes = {name: _numbers(values, name) for name, values in self.magnitudes.items()}
        object.__setattr__(self, "magnitudes", magnitudes)
        object.__setattr__(self, "pairs", tuple(tuple(pair) for pair in self.pairs))
        used = {*self.names, *(name for pair in self.pairs for name in pair)}
        for name in sorted(used | set(self.magnitudes)):
            near = ", ".join(difflib.get_close_matches(name, TRANSFORMS, n=3, cutoff=0.4) or TRANSFORMS)
            _require(name in TRANSFORMS, f"unknown transformation {name!r}: nearest are {near}")
        _require(len(set(self.names)) == len(self.names), f"transforms name one twice: {self.names}")
        _require(bool(self.names or self.pairs), "there is nothing to screen: give transforms or pairs")
        for pair in self.pairs:
            _require(len(pair) == len(set(pair)) == 2, f"a pair is two different names, got {','.join(pair)}")
        _require(len(set(self.pairs)) == len(self.pairs), f"pairs name one twice: {self.pairs}")
        for name in self.magnitudes:
            _require(name in used, f"magnitudes are given for {name!r}, which is not screened: add it")
        for name in sorted(used):
            _check_sweep(TRANSFORMS[name], self.sweep(name))
        _require(
            self.padding in PADDINGS, f"padding must be one of {', '.join(PADDINGS)}, got {self.padding!r}"
        )
        _check_precision(self.precision)
        for name in ("accuracy_fraction", "confidence"):
            value = getattr(self, name)
            _require(0 < value < 1, f"{name.replace('_', '-')} must lie in (0, 1), got {value}")
        for name, least in (("bisections", 0), ("accuracy_bisections", 0), ("batch_size", 0), ("seed", 0)):
            value = getattr(self, name)
            _require(
                least <= value < 2**63, f"{name.replace('_', '-')} must be at least {least}, got {value}"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The transformations to sweep in one dimension."""
        if self.transforms is None:
            return () if self.pairs else PAPER
        return self.transforms

    def sweep(self, name: str) -> tuple[float, ...]:
        """Return the magnitudes of a one-dimensional sweep, ascending."""
        return tuple(sorted(set(map(float, self.magnitudes.get(name, TRANSFORMS[name].magnitudes)))))

    def pair_sweep(self, name: str) -> tuple[float, ...]:
        """Return the magnitudes of one axis of a two-dimensional sweep, ascending."""
        if name in self.magnitudes or TRANSFORMS[name].discrete:
            return self.sweep(name)
        magnitudes, identity = self.sweep(name), TRANSFORMS[name].identity
        start = magnitudes.index(identity) % 2 if identity in magnitudes else 0
        return magnitudes[start::2]


def _check_sweep(transform: Transform, magnitudes: tuple[float, ...]) -> None:
    transform.check_magnitudes(magnitudes)
    _require(
        any(v != transform.identity for v in magnitudes),
        f"{transform.name} needs a magnitude other than its identity, {transform.identity:g}",
    )
    _require(
        not transform.logarithmic or min(magnitudes) > 0,
        f"{transform.name} is a factor: magnitudes to sweep must be above 0, got {min(magnitudes):g}",
    )


def _check_kinds(config: object) -> None:
    """Raise ValueError unless numbers are numbers, names are text, and switches are True or False."""
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        if field.type in _KINDS:
            value, (kinds, expected) = getattr(config, field.name), _KINDS[field.type]
            _require(_fits(value, kinds), f"{field.name.replace('_', '-')} must be {expected}, got {value!r}")
            if isinstance(value, Real) and not isinstance(value, bool | int | float):  # numpy's
                plain = int(value) if isinstance(value, Integral) else float(value)
                object.__setattr__(config, field.name, plain)


def _fits(value: object, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def _check_names(names: object, what: str) -> None:
    listed = isinstance(names, tuple | list) and all(isinstance(name, str) for name in names)
    _require(listed, f"{what} a tuple of names, got {names!r}")


def _numbers(values: Iterable[float], name: str) -> tuple[float, ...]:
    """Return magnitudes as one number in all files, however they were given."""
    try:
        if isinstance(values, str):
            raise TypeError
        return tuple(float(v) + 0.0 for v in values)
    except (TypeError, ValueError, ArithmeticError, RuntimeError):
        raise ValueError(f"magnitudes of {name} must be numbers, got {values!r}") from None


def _check_precision(precision: str) -> None:
    known = get_args(Precision)
    _require(precision in known, f"precision must be one of {', '.join(known)}, got {precision!r}")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
