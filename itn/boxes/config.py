"""Settings of a search for the worst case in a box."""

import copy
import dataclasses
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Literal, get_args

from itn.boxes.box import Box, range_of
from itn.functional import INTERPOLATIONS, PADDINGS
from itn.models.canvases import SurroundSetting, check_surround
from itn.models.checks import CheckName, check_accept
from itn.runtime.validation import Precision, check_choice, check_fractions, check_types, require
from itn.transforms import Transform
from itn.transforms.registry import find

BoxCriterion = Literal["broken", "agreement"]
DEFAULT_BOX: Mapping[str | Transform, tuple[float, float]] = {
    "rotate": (-20.0, 20.0),
    "translate_x": (-0.1, 0.1),
    "translate_y": (-0.1, 0.1),
    "zoom": (0.9, 1.1),
}


@dataclasses.dataclass(frozen=True)
class WorstConfig:
    """Settings of ``itn.worst_case``.

    Raises:
        ValueError: If a setting is out of its range; the message says which range.
    """

    box: Mapping[str | Transform, tuple[float, float]] = dataclasses.field(
        default_factory=lambda: dict(DEFAULT_BOX)
    )
    """Low and high end of each transformation, by its name in ``itn.TRANSFORMS`` or by itself, in its unit;
    the identity lies between them. They are applied in this order, but those that move no pixels first."""
    passes: int = 300
    """How many points of the box are tried, at most, of each image; fewer of one that breaks earlier."""
    single_steps: int = 8
    """How many magnitudes on each side of each transformation are tried alone, at most; 0: none."""
    growth_passes: int = 40
    """How many further points search, of each image that breaks, the smallest box that breaks it; 0: none."""
    criterion: BoxCriterion = "broken"
    """What has to survive: "broken": that images which are right unchanged stay right; "agreement": the
    predictions, right or wrong."""
    topk: int = 1
    """How many of the largest outputs count as the answer."""
    survival_fraction: float = 0.9
    """The box has grown too large where less than this fraction of the images survives."""
    padding: str = "zeros"
    """What lies outside the frame: zeros, border or reflection; with a surround outside the photograph."""
    interpolation: str = "bilinear"
    """How spatial transformations make values between pixels: bilinear, or bicubic, which softens less. On
    small images softening alone can cost more than the motion."""
    surround: SurroundSetting = "auto"
    """What spatial transformations bring in from around the images of an ``ImageSet``: all that it holds
    (auto), nothing (none), or canvases so many times as large as the crop (a number, at least 1)."""
    precision: Precision = "float32"
    """Precision of the classifier; transformations are always in float32 or more."""
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
    """Seed of the search and the noise and, on the command line, of the subset of the images."""
    accept: tuple[CheckName, ...] = ()
    """Checks of the preflight that do not stop the run; its record then says what they have found."""

    def __post_init__(self) -> None:
        self._check_values()
        require(
            isinstance(self.box, Mapping) and all(isinstance(key, str | Transform) for key in self.box),
            f'a box is a mapping from names to ranges, such as {{"rotate": (-20, 20)}}, got {self.box!r}',
        )
        require(bool(self.box), "the box is empty: give at least one range, such as rotate")
        named = {name_of(key): range_of(name_of(key), ends) for key, ends in self.box.items()}
        require(len(named) == len(self.box), f"the box names one twice: {[name_of(key) for key in self.box]}")
        ordered = zip(self.box, named.values(), strict=True)
        object.__setattr__(self, "box", dict(ordered))
        _ = self.resolved

    def _check_values(self) -> None:
        """Check what does not depend on which transformations there are."""
        check_types(self)
        check_choice("padding", self.padding, PADDINGS)
        check_choice("interpolation", self.interpolation, INTERPOLATIONS)
        check_surround(self.surround)
        object.__setattr__(self, "accept", check_accept(self.accept))
        check_choice("precision", self.precision, get_args(Precision))
        check_choice("criterion", self.criterion, get_args(BoxCriterion))
        check_fractions(self, "survival_fraction", "confidence")
        for name, least in (("topk", 1), ("passes", 1)):
            value = getattr(self, name)
            require(least <= value < 2**31, f"{name} must be at least {least}, got {value}")
        for name in ("single_steps", "growth_passes", "batch_size", "seed"):
            value = getattr(self, name)
            require(0 <= value < 2**63, f"{name} must be at least 0, got {value}")

    @property
    def needs_labels(self) -> bool:
        """Whether the criterion asks for labels."""
        return self.criterion != "agreement"

    @cached_property
    def resolved(self) -> Box:
        """The box, with the transformations as they were registered when these settings were made."""
        known = {name_of(key): find(key) if isinstance(key, str) else key for key in self.box}
        return Box.of({name_of(key): ends for key, ends in self.box.items()}, known)

    def describe(self) -> dict[str, Any]:
        """Return the settings for JSON; of transformations their names."""
        named = copy.copy(self)
        object.__setattr__(named, "box", {name_of(key): ends for key, ends in self.box.items()})
        content = dataclasses.asdict(named)
        del content["accept"]  # what was found, and accepted, is in the provenance
        return content


def name_of(key: str | Transform) -> str:
    """Return the name of a transformation that is given by its name or by itself."""
    return key if isinstance(key, str) else key.name
