"""Settings of learning: every default written once, every range checked."""

import dataclasses
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, get_args

from torch import nn

from itn.certification.criteria import CRITERIA, Accuracy, Agreement, Broken, Criterion
from itn.certification.records import Terms
from itn.functional import COLOR_FAMILIES, FAMILIES, INTERPOLATIONS, PADDINGS
from itn.learning.constrained.objective import Constrained
from itn.learning.objective import Objective
from itn.learning.switched import Switched
from itn.models.canvases import SurroundSetting, check_surround
from itn.models.checks import CheckName, check_accept
from itn.models.classifier import Classifier
from itn.nn import NAMED_CLASSES, NAMED_PARTS, PAPER_PARTS, Composition, Transformer
from itn.runtime.source_text import code_sha256, source_text, state_text
from itn.runtime.validation import (
    Precision,
    check_choice,
    check_fractions,
    check_names,
    check_types,
    require,
)

OBJECTIVES: dict[str, type[Objective]] = {"constrained": Constrained, "switched": Switched}
"""By the names that settings take."""
AUTO = "auto"
"""Interpolation that is chosen on training images."""
_OF_OBJECTIVE = ("tolerance", "steps", "learning_rate")


@dataclasses.dataclass(frozen=True)
class LearnConfig:
    """Settings of ``itn.learn``; the defaults are those of ``itn learn``.

    Raises:
        ValueError: If a setting is out of its range; the message says which range.
    """

    parts: tuple[str, ...] | Mapping[str, Transformer] = ("color", "spatial")
    """Transformers to learn: color, spatial, or both, color first; with any of filter, homography, elastic
    and tone, applied in the order in which they are named; or a mapping from names to transformers of your
    own, applied in its order. Copies of these are learned, with new weights of their heads."""
    family: str = "affine"
    """Spatial family: affine, rotation, translation, translation_x, translation_y, scale, zoom, shear,
    similarity, or one of your own (``itn.nn.register_family``)."""
    color_family: str = "affine"
    """Color family: affine, or with one parameter for all channels gain or bias."""
    objective: str | Objective = "constrained"
    """What is optimized: "constrained", the largest displacement at the tolerance, which is then certified,
    "switched", the loss of Bunne et al., or an ``Objective`` with its settings, such as
    ``itn.Switched(c_theta=0.1)``."""
    criterion: str | Criterion = "accuracy"
    """What the tolerance is of: "accuracy", how far it may fall, images that become right making up for those
    that become wrong; "broken", the share of images that are right unchanged and wrong transformed;
    "agreement", the share of predictions that change; or a ``Criterion``. The switched objective always
    compares accuracies."""
    topk: int = 1
    """An image is right if its class is among so many with the largest logits; with agreement, the
    prediction for the unchanged image has to be among them."""
    tolerance: float | None = None
    """constrained: how much may be lost by the criterion, as a share of the images; default 0.01. switched:
    how far a batch may fall below acc_orig before cross-entropy is asked for; default 0. In [0, 1)."""
    steps: int | None = None
    """Steps of learning; default 500, switched 1000."""
    learning_rate: float | None = None
    """Adam's rate at the start; it falls to zero along a cosine. Default 0.03, switched 0.005."""
    confidence: float = 0.95
    """constrained: confidence of the certificate."""
    batch_size: int = 256
    """Images in a forward pass, drawn with replacement; constrained: shared by the restarts that remain,
    all of which get the same images."""
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
    """What lies outside the frame, with a surround outside the photograph: zeros, border or reflection.
    Transformers that are given as objects have their own padding, interpolation, family, bounds and hidden
    width."""
    interpolation: str = "auto"
    """How transformers that move pixels make values between them: bilinear; bicubic, which softens less; or
    auto: with the constrained objective bicubic if a shift by half a pixel loses, sampled bilinearly, more
    than it does bicubically by a quarter of the tolerance, else bilinear."""
    surround: SurroundSetting = "auto"
    """What geometry brings in from around the images of an ``ImageSet``: all that it holds (auto), nothing
    (none), or canvases so many times as large as the crop (a number, at least 1)."""
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
    the scale of the family is chosen on the rest too."""
    seed: int = 0
    """Seed of split, weights, batches and k."""
    accept: tuple[CheckName, ...] = ()
    """Checks of the preflight that do not stop the run; its record then says what they have found."""

    def __post_init__(self) -> None:
        check_types(self)
        self._check_parts()
        check_choice("family", self.family, FAMILIES)
        check_choice("color_family", self.color_family, COLOR_FAMILIES)
        check_choice("padding", self.padding, PADDINGS)
        check_choice("interpolation", self.interpolation, (AUTO, *INTERPOLATIONS))
        check_surround(self.surround)
        object.__setattr__(self, "accept", check_accept(self.accept))
        check_choice("precision", self.precision, get_args(Precision))
        check_fractions(self, "confidence", "train_fraction")
        for name in ("batch_size", "hidden", "topk"):
            value = getattr(self, name)
            require(value >= 1, f"{name} must be at least 1, got {value}")
        require(0 < self.color_bound < float("inf"), f"color_bound must be positive, got {self.color_bound}")
        bound = self.spatial_bound
        require(bound is None or 0 < bound < float("inf"), f"spatial_bound must be positive, got {bound}")
        require(0 <= self.seed < 2**63, f"seed must be in [0, 2^63), got {self.seed}")
        require(
            isinstance(self.objective, Objective) or self.objective in tuple(OBJECTIVES),
            f"objective must be {' or '.join(OBJECTIVES)}, or an itn.Objective, got {self.objective!r}",
        )
        require(
            isinstance(self.criterion, Criterion) or self.criterion in tuple(CRITERIA),
            f"criterion must be {', '.join(CRITERIA)}, or an itn.Criterion, got {self.criterion!r}",
        )
        require(
            self.topk == 1 or not isinstance(self.criterion, Criterion),
            "topk belongs to criteria that are named: give it to the criterion itself",
        )
        require(
            self.goal.asks or self.asks == Accuracy(),
            f"the objective {self.goal} compares accuracies: criterion and topk belong to others",
        )
        self.goal.check(self._single(), self._narrowest())

    @property
    def goal(self) -> Objective:
        """The objective, with the tolerance, the steps and the learning rate that hold."""
        objective = self.objective
        if not isinstance(objective, Objective):
            objective = OBJECTIVES[objective]()
        given = {name: getattr(self, name) for name in _OF_OBJECTIVE if getattr(self, name) is not None}
        return dataclasses.replace(objective, **given)

    @property
    def chooses_interpolation(self) -> bool:
        """Whether the interpolation is chosen on training images."""
        named = () if isinstance(self.parts, Mapping) else self.parts
        samples = any(part.samples for part in NAMED_CLASSES if part.part in named)
        return self.interpolation == AUTO and samples and self.goal.certifies

    @property
    def asks(self) -> Criterion:
        """The criterion."""
        return (
            self.criterion if isinstance(self.criterion, Criterion) else CRITERIA[self.criterion](self.topk)
        )

    @property
    def needs_labels(self) -> bool:
        """Whether the criterion asks for labels."""
        return self.asks.needs_labels

    @property
    def shown_topk(self) -> int:
        """How many of the largest logits count as right in what is shown."""
        return getattr(self.asks, "topk", self.topk)

    @property
    def terms(self) -> Terms:
        """What calibration and certificate need of the settings."""
        return Terms(self.goal.tolerance, self.confidence, self.seed)

    def backend(self, classifier: Classifier) -> Classifier:
        """Return a classifier that computes as the settings say."""
        return classifier.with_backend(self.precision, self.channels_last, self.compile)

    def describe(self) -> dict[str, Any]:
        """Return the settings for JSON; of objects their class, its settings and a hash of its code."""
        content = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        del content["accept"]  # what was found, and accepted, is in the provenance
        goal = self.goal
        settings = dataclasses.asdict(goal)
        content |= {name: settings.pop(name) for name in _OF_OBJECTIVE}
        content["objective"] = {"name": str(goal), **settings} | _code(goal, tuple(OBJECTIVES.values()))
        content["criterion"] = {"name": str(self.asks)} | _code(self.asks, (Accuracy, Broken, Agreement))
        if own := self._own_families():
            content["families"] = own
        if isinstance(self.parts, Mapping):
            content["parts"] = {name: describe_part(part) for name, part in self.parts.items()}
        return content

    def _own_families(self) -> dict[str, str]:
        """Return a hash of the matrix of each spatial family that the package does not bring."""
        objects = self.parts.values() if isinstance(self.parts, Mapping) else ()
        families = {self.family, *(getattr(part, "family", self.family) for part in objects)}
        matrices = {name: FAMILIES[name].deviation for name in sorted(families & set(FAMILIES))}
        return {
            name: sha256(f"{source_text(matrix)} {state_text(matrix)}".encode()).hexdigest()
            for name, matrix in matrices.items()
            if not matrix.__module__.startswith("itn.")
        }

    def _check_parts(self) -> None:
        if isinstance(self.parts, Mapping):
            object.__setattr__(self, "parts", dict(self.parts))
            Composition(self.parts)
            return
        check_names(self.parts, "parts are")
        object.__setattr__(self, "parts", tuple(self.parts))
        require(
            0 < len(self.parts) == len(set(self.parts)) and set(self.parts) <= set(NAMED_PARTS),
            f"parts must be among {', '.join(NAMED_PARTS)}, each once, got {','.join(self.parts) or 'none'}; "
            "transformers of your own are given in Python, as a mapping from names to them",
        )

    def _single(self) -> dict[str, bool]:
        """Return whether each part has a single parameter."""
        if isinstance(self.parts, Mapping):
            return {name: part.single for name, part in self.parts.items()}
        single = (self.color_family != "affine", len(FAMILIES[self.family].parameters) == 1)
        known = dict(zip(PAPER_PARTS, single, strict=True))
        return {name: known.get(name, False) for name in self.parts}

    def _narrowest(self) -> int:
        if isinstance(self.parts, Mapping):
            return min(part.head.hidden.out_features for part in self.parts.values())
        return self.hidden


def _code(thing: object, known: tuple[type, ...]) -> dict[str, str]:
    """Return a hash of the code and the settings of an object, unless its class is a known one."""
    if type(thing) in known:
        return {}
    settings = dict(getattr(thing, "__dict__", {}))
    if isinstance(thing, nn.Module):  # its own attributes and buffers, not the weights of its head
        settings = {name: value for name, value in settings.items() if name not in vars(nn.Module())}
        tensors = {**dict(thing.named_buffers()), **thing.state_dict()}
        settings |= {k: v for k, v in tensors.items() if not k.startswith("head.")}
    return {"code_sha256": code_sha256(thing, settings)}


def describe_part(part: Transformer) -> dict[str, Any]:
    """Return what tells one transformer from another, besides its weights, for JSON."""
    head = part.head
    of_some = {"family": getattr(part, "family", None), "function": getattr(part, "function_name", None)}
    return (
        {name: value for name, value in of_some.items() if value is not None}
        | {
            "class": type(part).__name__,
            "names": list(part.names),
            "bound": head.bound.tolist(),
            "hidden": head.hidden.out_features,
            "nonnegative": head.nonnegative,
            "padding": part.padding,
            "interpolation": part.interpolation,
        }
        | _code(part, NAMED_CLASSES)
    )
