"""Settings of learning: every default written once, every range checked."""

import dataclasses
from numbers import Real
from typing import Literal, get_args

from itn.certification.records import Terms
from itn.functional import COLOR_FAMILIES, FAMILIES, PADDINGS
from itn.models.classifier import Classifier
from itn.runtime.validation import (
    Precision,
    check_choice,
    check_fractions,
    check_names,
    check_types,
    is_of,
    require,
)

Part = Literal["color", "spatial"]


_DEFAULTS: dict[str, dict[str, float]] = {
    "constrained": {"tolerance": 0.01, "steps": 500, "learning_rate": 0.03},
    "switched": {"tolerance": 0.0, "steps": 1000, "learning_rate": 0.005},
}


@dataclasses.dataclass(frozen=True)
class LearnConfig:
    """Settings of ``itn.learn``; the defaults are those of ``itn learn``.

    Raises:
        ValueError: If a setting is out of its range; the message says which range.
    """

    parts: tuple[Part, ...] = ("color", "spatial")
    """Transformers to learn: color, spatial, or both."""
    family: str = "affine"
    """Spatial family: affine, rotation, translation, translation_x, translation_y, scale, zoom, shear or
    similarity."""
    color_family: str = "affine"
    """Color family: affine, or with one parameter for all channels gain or bias."""
    objective: Literal["constrained", "switched"] = "constrained"
    """What is optimized: "constrained", the largest displacement at the tolerance, which is then certified,
    or "switched", the loss of Bunne et al."""
    acc_orig: Literal["paired", "measured"] | float = "paired"
    """switched: what a batch's accuracy is compared with: the same batch's clean accuracy (paired), the clean
    accuracy of all training images (measured), or a number in [0, 1]."""
    tolerance: float | None = None
    """constrained: largest share of the images that may be right unchanged and wrong under F(k); default
    0.01. switched: how far a batch may fall below acc_orig before cross-entropy is asked for; default 0.
    In [0, 1)."""
    confidence: float = 0.95
    """constrained: confidence of the certificate."""
    c_theta: float = 0.01
    """switched: weight of color displacement against spatial displacement, where both are learned."""
    displacement_samples: int = 0
    """switched: random unit vectors per step that estimate displacement, as in the paper; 0: its exact
    value."""
    steps: int = 0
    """Steps of learning; 0: 500, switched 1000."""
    batch_size: int = 256
    """Images in a forward pass, drawn with replacement; constrained: shared by the restarts that remain,
    all of which get the same images."""
    learning_rate: float = 0.0
    """Adam's rate at the start; it falls to zero along a cosine; 0: 0.03, switched 0.005."""
    hidden: int = 32
    """Width of the hidden layer of the control heads."""
    nonnegative: bool = False
    """Rectify the last layer of the control heads too, as the paper's text can be read: no parameter can be
    negative."""
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
    train_fraction: float = 0.4
    """Share of the images that is learned from; the rest is held out for all numbers reported. constrained:
    half of the rest chooses the scale of the family, the other half is held out."""
    seed: int = 0
    """Seed of split, weights, batches and k."""

    def __post_init__(self) -> None:
        check_types(self)
        check_names(self.parts, "parts are")
        object.__setattr__(self, "parts", tuple(self.parts))
        known = get_args(Part)
        require(
            0 < len(self.parts) == len(set(self.parts)) and set(self.parts) <= set(known),
            f"parts must be color, spatial, or both, got {','.join(self.parts) or 'none'}",
        )
        require(
            self.objective in tuple(_DEFAULTS),
            f"objective must be {' or '.join(_DEFAULTS)}, got {self.objective!r}",
        )
        for name, value in _DEFAULTS[self.objective].items():
            if not getattr(self, name) and (name != "tolerance" or self.tolerance is None):
                object.__setattr__(self, name, value)
        check_choice("family", self.family, FAMILIES)
        check_choice("color-family", self.color_family, COLOR_FAMILIES)
        check_choice("padding", self.padding, PADDINGS)
        require(
            self.acc_orig in ("paired", "measured")
            or (is_of(self.acc_orig, (Real,)) and 0 <= float(self.acc_orig) <= 1),
            f"acc-orig must be paired, measured or a number in [0, 1], got {self.acc_orig!r}",
        )
        check_choice("precision", self.precision, get_args(Precision))
        require(0 <= self.tolerated < 1, f"tolerance must lie in [0, 1), got {self.tolerance}")
        require(
            self.objective == "switched" or self.tolerated > 0,
            "a constrained objective needs a tolerance above 0, such as 0.01",
        )
        check_fractions(self, "confidence", "train_fraction")
        for name in ("steps", "batch_size", "hidden"):
            value = getattr(self, name)
            require(value >= 1, f"{name.replace('_', '-')} must be at least 1, got {value}")
        single = {
            "color": self.color_family != "affine",
            "spatial": len(FAMILIES[self.family].parameters) == 1,
        }
        require(
            self.hidden > 1 or self.objective == "switched" or not any(single[part] for part in self.parts),
            "hidden must be at least 2 where a family has one parameter: one unit for each end of its range",
        )
        for name in ("c_theta", "learning_rate", "color_bound"):
            value = getattr(self, name)
            require(0 < value < float("inf"), f"{name.replace('_', '-')} must be positive, got {value}")
        require(
            self.displacement_samples >= 0,
            f"displacement-samples must be 0 (exact) or more, got {self.displacement_samples}",
        )
        bound = self.spatial_bound
        require(bound is None or 0 < bound < float("inf"), f"spatial-bound must be positive, got {bound}")
        require(0 <= self.seed < 2**63, f"seed must be in [0, 2^63), got {self.seed}")

    def backend(self, classifier: Classifier) -> Classifier:
        """Return a classifier that computes as the settings say."""
        return classifier.with_backend(self.precision, self.channels_last, self.compile)

    @property
    def terms(self) -> Terms:
        """What calibration and certificate need of the settings."""
        return Terms(self.tolerated, self.confidence, self.seed)

    @property
    def tolerated(self) -> float:
        """The tolerance as a number."""
        assert self.tolerance is not None
        return self.tolerance
