"""Settings of a screen."""

import copy
import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import Any, get_args

from itn.functional import INTERPOLATIONS, PADDINGS
from itn.models.canvases import SurroundSetting, check_surround
from itn.models.checks import CheckName, check_accept
from itn.runtime.validation import (
    Precision,
    check_choice,
    check_fractions,
    check_types,
    float_tuple,
    require,
)
from itn.screening.criteria import CriterionName
from itn.transforms import PAPER, Transform, expand
from itn.transforms.registry import find


@dataclasses.dataclass(frozen=True)
class ScreenConfig:
    """Settings of ``itn.screen``.

    Raises:
        ValueError: If a setting is out of its range; the message says which range.
    """

    transforms: tuple[str | Transform, ...] | None = None
    """Names from ``itn.TRANSFORMS``, or transformations, to sweep; paper, spatial, color, detail, noises,
    imagenet-c and all are several at once; default: the eleven of the paper, none if there are pairs."""
    pairs: tuple[tuple[str | Transform, ...], ...] = ()
    """Pairs of them to sweep in two dimensions, the first applied first."""
    magnitudes: Mapping[str, tuple[float, ...]] = dataclasses.field(default_factory=dict)
    """Magnitudes by name, in the unit of the transformation; default: ``Transform.magnitudes``, of which
    pairs take every other one."""
    criterion: CriterionName = "accuracy"
    """What has to be kept: accuracy; "broken": that images which are right unchanged stay right, whatever
    others become right; "agreement": the predictions, right or wrong."""
    topk: int = 1
    """How many of the largest outputs count as the answer: an image is right if its true class, and agrees
    if its clean prediction, is among them."""
    accuracy_fraction: float = 0.9
    """A transformation breaks the classifier where less than this fraction is kept: of clean accuracy, of the
    images that are right unchanged, or of the predictions."""
    bisections: int = 4
    """How finely to look for the magnitude at which an image's prediction changes: how often to halve the
    step between two magnitudes around it."""
    accuracy_bisections: int = 3
    """How finely to look for the threshold of the criterion: how often to halve the step around it, before
    interpolating; then the steps around the ends of its interval are halved once. 0: neither."""
    round_trip: bool = True
    """Whether to classify, as a control of each spatial transformation, the images warped and warped back."""
    fresh_noise: bool = False
    """Whether to draw new noise at each magnitude; otherwise each image has the same noise at all of them."""
    padding: str = "zeros"
    """What lies outside the frame: zeros, border or reflection; with a surround outside the photograph."""
    interpolation: str = "bilinear"
    """How spatial transformations make values between pixels: bilinear, or bicubic, which softens less. On
    small images softening alone can cost more than the motion."""
    surround: SurroundSetting = "auto"
    """What spatial transformations bring in from around the images of an ``ImageSet``: all that it holds
    (auto), nothing (none), or canvases so many times as large as the crop (a number, at least 1)."""
    precision: Precision = "float32"
    """Precision of the classifier; transformations and statistics are always in float32 or more."""
    channels_last: bool = False
    """Whether to pass images to the classifier in this memory format: faster for many convolutional
    networks, an error in those that call view()."""
    compile: bool = False
    """Whether to run the classifier through torch.compile, which may take minutes before the first pass."""
    batch_size: int = 0
    """Images in one forward pass; 0: a number that suits their size, 250 digits or 27 photographs of 224
    pixels on a CPU, eight times as many photographs on a GPU."""
    confidence: float = 0.95
    """Confidence of each interval, pointwise."""
    seed: int = 0
    """Seed of the noise and, on the command line, of the subset of the images."""
    accept: tuple[CheckName, ...] = ()
    """Checks of the preflight that do not stop the run; its record then says what they have found."""

    def __post_init__(self) -> None:
        self._check_values()
        self._check_members()
        used = self.resolved
        for name in self.magnitudes:
            find(name, used)
            require(name in used, f"magnitudes are given for {name!r}, which is not screened: add it")
        require(bool(used), "there is nothing to screen: give transforms or pairs")
        require(len(set(self.names)) == len(self.names), f"transforms name one twice: {self.names}")
        for pair in self.pair_names:
            require(len(pair) == len(set(pair)) == 2, f"a pair is two different names, got {','.join(pair)}")
        require(len(set(self.pair_names)) == len(self.pairs), f"pairs name one twice: {self.pair_names}")
        for name, transform in used.items():
            _check_sweep(transform, self.sweep(name))

    def _check_values(self) -> None:
        """Check what does not depend on which transformations there are."""
        check_types(self)
        check_choice("padding", self.padding, PADDINGS)
        check_choice("interpolation", self.interpolation, INTERPOLATIONS)
        check_surround(self.surround)
        object.__setattr__(self, "accept", check_accept(self.accept))
        check_choice("precision", self.precision, get_args(Precision))
        check_choice("criterion", self.criterion, get_args(CriterionName))
        require(self.topk >= 1, f"topk must be at least 1, got {self.topk}")
        check_fractions(self, "accuracy_fraction", "confidence")
        for name in ("bisections", "accuracy_bisections", "batch_size", "seed"):
            value = getattr(self, name)
            require(0 <= value < 2**63, f"{name} must be at least 0, got {value}")

    def _check_members(self) -> None:
        """Check that there are names and transformations, and put them and their magnitudes into tuples."""
        if self.transforms is not None:
            _check_members(self.transforms, "transforms are")
            object.__setattr__(self, "transforms", expand(self.transforms))
        require(isinstance(self.pairs, tuple | list), f"pairs are a tuple of pairs, got {self.pairs!r}")
        for pair in self.pairs:
            _check_members(pair, "a pair is")
        require(
            isinstance(self.magnitudes, Mapping) and all(isinstance(name, str) for name in self.magnitudes),
            f"magnitudes are a mapping from names to numbers, got {self.magnitudes!r}",
        )
        magnitudes = {name: float_tuple(values, name) for name, values in self.magnitudes.items()}
        object.__setattr__(self, "magnitudes", magnitudes)
        object.__setattr__(self, "pairs", tuple(tuple(pair) for pair in self.pairs))

    @property
    def needs_labels(self) -> bool:
        """Whether the criterion asks for labels."""
        return self.criterion != "agreement"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the transformations to sweep in one dimension."""
        return tuple(_name(member) for member in self._swept)

    @property
    def pair_names(self) -> tuple[tuple[str, ...], ...]:
        """The pairs, by name."""
        return tuple(tuple(_name(member) for member in pair) for pair in self.pairs)

    @property
    def _swept(self) -> tuple[str | Transform, ...]:
        if self.transforms is None:
            return () if self.pairs else PAPER
        return self.transforms

    @cached_property
    def resolved(self) -> Mapping[str, Transform]:
        """The transformations by name, as they were registered when these settings were made."""
        resolved: dict[str, Transform] = {}
        for member in (*self._swept, *(member for pair in self.pairs for member in pair)):
            transform = find(member) if isinstance(member, str) else member
            same = transform.same_as(resolved.setdefault(transform.name, transform))
            require(same, f"two different transformations are called {transform.name!r}: rename one of them")
        return resolved

    def by_name(self) -> "ScreenConfig":
        """Return these settings with the names of the transformations, as config.json has them."""
        named = copy.copy(self)
        if self.transforms is not None:
            object.__setattr__(named, "transforms", self.names)
        object.__setattr__(named, "pairs", self.pair_names)
        return named

    def describe(self) -> dict[str, Any]:
        """Return the settings for JSON; of transformations their names."""
        content = dataclasses.asdict(self.by_name())
        del content["accept"]  # what was found, and accepted, is in the provenance
        return content

    def sweep(self, name: str) -> tuple[float, ...]:
        """Return the magnitudes of a one-dimensional sweep, ascending.

        The identity is among them, unless there is nothing between them: curves go through it.
        """
        transform, given = self.resolved[name], self._given(name)
        return given if transform.discrete else tuple(sorted({*given, transform.identity}))

    def _given(self, name: str) -> tuple[float, ...]:
        return tuple(sorted(set(map(float, self.magnitudes.get(name, self.resolved[name].magnitudes)))))

    def pair_sweep(self, name: str) -> tuple[float, ...]:
        """Return the magnitudes of a transformation in a two-dimensional sweep, ascending."""
        transform, magnitudes = self.resolved[name], self._given(name)
        if name in self.magnitudes or transform.discrete:
            return magnitudes
        identity = transform.identity
        start = magnitudes.index(identity) % 2 if identity in magnitudes else 0
        return magnitudes[start::2]


def _check_members(members: object, what: str) -> None:
    require(
        isinstance(members, tuple | list) and all(isinstance(each, str | Transform) for each in members),
        f"{what} a tuple of names, got {members!r}: give ('rotate',), or what itn.register has returned",
    )


def _name(member: str | Transform) -> str:
    return member if isinstance(member, str) else member.name


def _check_sweep(transform: Transform, magnitudes: tuple[float, ...]) -> None:
    transform.check_magnitudes(magnitudes)
    require(
        any(v != transform.identity for v in magnitudes),
        f"{transform.name} needs a magnitude other than its identity, {transform.identity:g}",
    )
    require(
        not transform.logarithmic or min(magnitudes) > 0,
        f"{transform.name} is a factor: magnitudes to sweep must be above 0, got {min(magnitudes):g}",
    )
