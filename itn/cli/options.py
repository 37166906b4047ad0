"""Options that commands share, and how text becomes settings."""

import dataclasses
import os
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import torch
from cyclopts import Parameter, Token

from itn.boxes.config import DEFAULT_BOX, BoxCriterion, WorstConfig
from itn.data.class_folders import refuse_results_inside
from itn.data.digits import SOURCES
from itn.data.loading import ImageSet, ImagesWarning, load_images
from itn.learning.config import LearnConfig
from itn.learning.switched import Switched
from itn.models.canvases import SurroundSetting
from itn.models.classifier import Classifier
from itn.models.sources import load_classifier, model_cards
from itn.nn import PAPER_PARTS
from itn.runtime import distributed
from itn.runtime.run_files import REPORT, FigureFormat
from itn.screening.config import ScreenConfig
from itn.transforms import Transform, steps


def split_at_commas(type_: object, tokens: Sequence[Token]) -> tuple[str, ...]:
    """Read ``a,b`` as a list."""
    return tuple(item for token in tokens for item in token.value.split(","))


def parse_magnitudes(texts: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Read ``NAME=START:STOP:STEP`` or ``NAME=V,V,...``, once for each name."""
    magnitudes: dict[str, tuple[float, ...]] = {}
    for argument in texts:
        name, _, text = argument.partition("=")
        if name in magnitudes:
            raise ValueError(f"--magnitudes {argument}: {name} has its magnitudes already")
        try:
            if ":" in text:
                start, stop, step = map(float, text.split(":"))
                magnitudes[name] = steps(start, stop, step)
            else:
                magnitudes[name] = tuple(map(float, text.split(",")))
        except ValueError as error:
            expected = "expected NAME=START:STOP:STEP or NAME=V,V,..., such as rotate=-180:180:5"
            raise ValueError(f"--magnitudes {argument}: {expected} ({error})") from None
    return magnitudes


def parse_box(texts: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Read ``NAME=LOW:HIGH,NAME=LOW:HIGH,...``, from one text or several."""
    box: dict[str, tuple[float, float]] = {}
    for argument in (part for text in texts for part in text.split(",")):
        name, _, ends = argument.partition("=")
        if name in box:
            raise ValueError(f"--box {argument}: {name} has its range already")
        try:
            low, high = map(float, ends.split(":"))
        except ValueError:
            raise ValueError(
                f"--box {argument}: expected NAME=LOW:HIGH,NAME=LOW:HIGH, such as rotate=-20:20,zoom=0.9:1.1"
            ) from None
        box[name] = low, high
    return box


def parse_surround(type_: object, tokens: Sequence[Token]) -> SurroundSetting:
    """Read ``auto``, ``none`` or a number."""
    match tokens[0].value:
        case "auto" | "none" as word:
            return word
        case text:
            pass
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"expected auto, none or a number, canvas over crop, got {text}") from None


Surrounding = Annotated[SurroundSetting, Parameter(converter=parse_surround, n_tokens=1)]


@dataclasses.dataclass(frozen=True)
class LearnOptions(LearnConfig):
    """The settings of learning as options."""

    parts: Annotated[tuple[str, ...], Parameter(converter=split_at_commas, n_tokens=1)] = PAPER_PARTS
    """Transformers to learn, separated by commas: color, spatial, filter (blur, sharpening and the like),
    homography (perspective), elastic (smooth deformations) or tone (curves of values); color comes before
    spatial if there are no others, otherwise they are applied in the order given."""
    objective: Literal["constrained", "switched"] = "constrained"
    """What is optimized: "constrained", the largest displacement at the tolerance, which is then certified,
    or "switched", the loss of Bunne et al."""
    criterion: Literal["accuracy", "broken", "agreement"] = "accuracy"
    """What the tolerance is of: how far accuracy may fall, the share of images that are right unchanged and
    wrong transformed (broken), or the share of predictions that change (agreement)."""
    surround: Surrounding = "auto"
    """What geometry brings in from around the crop of photographs: auto (canvases 1.5 times the crop; digits
    have none), none (padding), or a number, canvas over crop."""
    acc_orig: Literal["paired", "measured"] | float | None = None
    """switched: what a batch's accuracy is compared with: the same batch's clean accuracy (paired, the
    default), the clean accuracy of all training images (measured), or a number in [0, 1]."""
    c_theta: float | None = None
    """switched: weight of color displacement against spatial displacement, where both are learned; default
    0.01."""
    displacement_samples: int | None = None
    """switched: random unit vectors per step that estimate displacement, as in the paper; default 0: its
    exact value."""

    @property
    def config(self) -> LearnConfig:
        """The settings for ``itn.learn``."""
        settings = {field.name: getattr(self, field.name) for field in dataclasses.fields(LearnConfig)}
        given = {
            name: value
            for name in ("acc_orig", "c_theta", "displacement_samples")
            if (value := getattr(self, name)) is not None
        }
        if given and self.objective != "switched":
            raise ValueError(f"--{next(iter(given)).replace('_', '-')} belongs to --objective switched")
        return LearnConfig(**settings | ({"objective": Switched(**given)} if given else {}))


@dataclasses.dataclass(frozen=True)
class ScreenOptions(ScreenConfig):
    """The settings of screening as options; which names there are is known once the model is loaded."""

    transforms: Annotated[tuple[str, ...] | None, Parameter(converter=split_at_commas, n_tokens=1)] = None
    """Transformations to sweep, separated by commas: those of itn transforms, and those that the file of the
    model registers; paper, spatial, color, detail, noises, imagenet-c and all are several at once; default
    paper, its eleven, or none if there is a pair."""
    pairs: Annotated[tuple[tuple[str, ...], ...], Parameter(parse=False)] = ()
    magnitudes: Annotated[Mapping[str, tuple[float, ...]], Parameter(parse=False)] = dataclasses.field(
        default_factory=dict
    )
    surround: Surrounding = "auto"
    """What geometry brings in from around the crop of photographs: auto (canvases 1.5 times the crop; digits
    have none), none (padding), or a number, canvas over crop."""
    round_trip: Annotated[bool, Parameter(negative="--no-round-trip")] = ScreenConfig.round_trip
    """Classify, beside each spatial curve, the same images warped and warped back, which shows what
    interpolation and cut-off alone cost."""

    def __post_init__(self) -> None:
        self._check_values()

    def settings(self, pairs: Sequence[str], magnitudes: Sequence[str]) -> ScreenConfig:
        """Return the settings, with ``--pair`` and ``--magnitudes``; all names must be registered by now."""
        options = {field.name: getattr(self, field.name) for field in dataclasses.fields(ScreenConfig)}
        options["pairs"] = tuple(tuple(names.split(",")) for names in pairs)
        options["magnitudes"] = parse_magnitudes(magnitudes)
        return ScreenConfig(**options)


@dataclasses.dataclass(frozen=True)
class WorstOptions(WorstConfig):
    """The settings of a search in a box as options; its names are known once the model is loaded."""

    box: Annotated[Mapping[str | Transform, tuple[float, float]], Parameter(parse=False)] = dataclasses.field(
        default_factory=dict
    )
    criterion: BoxCriterion = "broken"
    """What has to survive: that images which are right unchanged stay right (broken), or predictions, right
    or wrong (agreement)."""
    surround: Surrounding = "auto"
    """What geometry brings in from around the crop of photographs: auto (canvases 1.5 times the crop; digits
    have none), none (padding), or a number, canvas over crop."""

    def __post_init__(self) -> None:
        self._check_values()

    def settings(self, box: Sequence[str]) -> WorstConfig:
        """Return the settings, with ``--box``; all names must be registered by now."""
        options = {field.name: getattr(self, field.name) for field in dataclasses.fields(WorstConfig)}
        return WorstConfig(**options | {"box": parse_box(box) if box else DEFAULT_BOX})


@dataclasses.dataclass(frozen=True)
class InputOptions:
    """Where models and images come from, and where to compute."""

    weights: Path | None = None
    """A local file of weights (safetensors, or what torch.save wrote) to load into the model."""
    weights_key: str | None = None
    """Which state dict in the file of weights; default: moving averages first, as timm does."""
    class_map: Path | None = None
    """What class folders mean to the model, if their names do not say so: lines folder,class,
    with the number or the name of the class; one folder a line, in the order of the logits; or a JSON object
    from folders to classes, or from numbers to folders."""
    labels: Path | None = None
    """The class of each photograph, for a folder that has no class folders: lines file,label, with the path
    of the file in the folder, and the number or the name of the class."""
    background: str | None = None
    """Color that is seen through transparent pixels, such as white or #808080; default: the color that they
    have themselves, as in torchvision and timm."""
    skip_bad: bool = False
    """List and leave out photographs that cannot be read, instead of stopping."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute; auto takes a GPU of CUDA if there is one; mps, the GPU of a Mac, is untested."""
    deterministic: bool = False
    """Use algorithms that repeat their results on a GPU, where there are any: slower."""
    overwrite: bool = False
    """Replace an earlier run in the folder."""
    figure_format: Annotated[FigureFormat, Parameter(name="--format")] = "png"
    """What figures are made as: png for the screen, pdf or svg for print."""

    def load(
        self, model: str, data: str, out: Path, limit: int, seed: int, surround: SurroundSetting
    ) -> tuple[Classifier, ImageSet]:
        """Return the classifier and its images; list those that were left out."""
        classifier = self.load_model(model, data, out)
        return classifier, self.load_data(data, classifier, limit, seed, surround)

    def load_model(self, model: str, data: str, out: Path) -> Classifier:
        """Return the classifier; its file may register transformations."""
        if data not in SOURCES:
            refuse_results_inside(out, data)
        distributed.join_processes()
        if self.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # which cuBLAS asks for
            torch.use_deterministic_algorithms(True, warn_only=True)
        heldout = None if self.weights else model_cards().get(model, {}).get("heldout")
        if data == "mnist:heldout" and heldout not in (None, data):
            raise ValueError(f"{model} was trained on half of mnist:heldout: use --data {heldout}")
        if data == "mnist:train" and heldout and distributed.rank() == 0:
            print(
                f"itn: warning: {model} was trained on these digits, so accuracies and certificates are too "
                f"good: use --data {heldout}",
                file=sys.stderr,
            )
        return load_classifier(model, self.weights, self.weights_key).to(chosen_device(self.device))

    def load_data(
        self, data: str, classifier: Classifier, limit: int, seed: int, surround: SurroundSetting
    ) -> ImageSet:
        """Return the images for a classifier; list those that were left out."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImagesWarning)  # said below
            images = load_images(
                data,
                classifier,
                self.class_map,
                labels_file=self.labels,
                surround=surround,
                background=self.background,
                limit=limit,
                seed=seed,
                skip_bad=self.skip_bad,
            )
        for text in (*images.notes, *(f"left out {path}" for path in images.skipped)):
            if distributed.rank() == 0:
                print(text, file=sys.stderr)
        return images


INPUT_DEFAULTS, LEARN_DEFAULTS, SCREEN_DEFAULTS = InputOptions(), LearnOptions(), ScreenOptions()
WORST_DEFAULTS = WorstOptions()

_OPTIONS = {
    field.name
    for kind in (InputOptions, LearnOptions, ScreenOptions, WorstOptions)
    for field in dataclasses.fields(kind)
}
_ARGUMENT = re.compile(
    rf"(?<![\w/.-])(?P<name>limit|out|{'|'.join(sorted(_OPTIONS))})"
    r"""(?:=True|=\(?"(?P<text>[^"]*)",?\)?|=(?P<word>[A-Z]+)\b|(?= must ))"""
)


def in_options(message: str) -> str:
    """Return a message of the package with options of the command line in place of Python's arguments.

    Example:
        >>> in_options('add overwrite=True, or take surround="none"; batch_size must be at least 1')
        'add --overwrite, or take --surround none; --batch-size must be at least 1'
    """

    def option(found: re.Match[str]) -> str:
        value = found["text"] or found["word"]
        return f"--{found['name'].replace('_', '-')}" + (f" {value}" if value else "")

    return _ARGUMENT.sub(option, message)


def is_file(model: str) -> bool:
    """Return whether a model is FILE.py:factory."""
    return model.rpartition(":")[0].endswith(".py")


def say(text: str) -> None:
    """Print a text, once among several processes."""
    if distributed.rank() == 0:
        print(text)


def say_report(out: Path) -> None:
    """Print where the report of a run is, if it could be made."""
    if (out / REPORT).exists():
        say(f"report: {out / REPORT}")


def chosen_device(name: str) -> torch.device:
    """Return the device of a name; raise ValueError if there is none here."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(name, True):
        raise ValueError(f"--device {name}: no {name.upper()} device is available here; use --device cpu")
    if name in ("cpu", "mps") or not torch.cuda.is_available():
        return torch.device("cpu" if name == "auto" else name)
    return torch.device("cuda", distributed.local_rank() % torch.cuda.device_count())
