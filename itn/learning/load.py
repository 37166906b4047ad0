"""Nets with transformers: new ones for a configuration, learned ones from the folder of a finished run."""

import contextlib
import copy
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from itn.functional import INTERPOLATIONS
from itn.learning.config import AUTO, LearnConfig, describe_part
from itn.learning.records import LearnRecord, LearnStep, read_history
from itn.learning.run import PER_CLASS
from itn.learning.transformer_checks import check_transformer
from itn.models.classifier import Classifier, as_classifier
from itn.nn import (
    ColorTransformer,
    Composition,
    Controlled,
    InvariantTransformerNet,
    LearnedAugmentation,
    Parts,
    PartSettings,
    ToneTransformer,
    make_parts,
)
from itn.runtime.records import check_schema
from itn.runtime.validation import user_path
from itn.stats import generator

_SHAPED = (
    *("parts", "family", "color_family", "hidden", "nonnegative", "color_bound", "spatial_bound", "padding"),
)
_TELLING = ("class", "function", "family", "names", "nonnegative", "padding", "interpolation")


def make_net(
    classifier: Classifier,
    config: LearnConfig,
    shape: Sequence[int],
    learned: Mapping[str, Tensor] | None = None,
) -> InvariantTransformerNet:
    """Return the net that a configuration describes, for images of shape ... x C x H x W.

    Its weights depend on the seed of the configuration, unless those that were learned are given.
    Transformers that it holds are copied.

    Raises:
        ValueError: If a transformer breaks its promises, or the objective cannot learn it.
    """
    net = InvariantTransformerNet(classifier, _transformers(config, shape)).to(classifier.device)
    weights = generator(config.seed, "weights")
    for name in net.parts:
        part = net.part(name)
        part.check_frame(shape)
        check_transformer(name, part, shape)
        part.head.requires_grad_().reset(weights)
    config.goal.check_net(net)
    if learned is not None:
        net.load_transformer_state(learned)
    return net


def _transformers(config: LearnConfig, shape: Sequence[int]) -> Controlled:
    """Return the transformers of a net that a configuration describes."""
    if isinstance(config.parts, Mapping):
        return {name: copy.deepcopy(part) for name, part in config.parts.items()}
    settings = PartSettings(
        channels=shape[-3],
        hidden=config.hidden,
        nonnegative=config.nonnegative,
        padding=config.padding,
        interpolation=INTERPOLATIONS[0] if config.interpolation == AUTO else config.interpolation,
        family=config.family,
        spatial_bound=config.spatial_bound,
        color_family=config.color_family,
        color_bound=config.color_bound,
    )
    return make_parts(config.parts, settings)


class _NoClassifier(nn.Module):
    """Stands where no classifier was given."""

    device = torch.device("cpu")

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def forward(self, images: Tensor) -> Tensor:
        raise ValueError(
            "this net transforms images, and does not classify them, since no classifier was given: load it "
            f"with {self.name}"
        )


def load_net(
    folder: str | Path,
    classifier: nn.Module | None,
    label: int | None = None,
    transformers: Parts | None = None,
) -> InvariantTransformerNet:
    """Return the net that a finished run has learned.

    Args:
        folder: The run's output folder.
        classifier: What to put behind the transformers; usually the one that they were learned for. None: the
            net transforms images, and does not classify them.
        label: Whose family, if the run has learned one for each class.
        transformers: Transformers of your own, by name, as the run was given them; their weights are not
            used.

    Raises:
        ValueError: If the folder holds no finished run of ``learn``, one of another schema version, or no
            family of that class, or if transformers are missing or others.
    """
    learned, behind = _learned(folder, label, transformers), _behind(folder, classifier)
    return InvariantTransformerNet(behind, learned).to(behind.device)


def load_nets(
    folder: str | Path, classifier: nn.Module | None, transformers: Parts | None = None
) -> dict[int | None, InvariantTransformerNet]:
    """Return what ``load_net`` does for each family of a run, by label; None: one is for all classes."""
    families, behind = _families(folder, transformers), _behind(folder, classifier)
    return {
        label: InvariantTransformerNet(behind, learned).to(behind.device)
        for label, learned in families.items()
    }


def _behind(folder: str | Path, classifier: nn.Module | None) -> Classifier | _NoClassifier:
    if classifier is None:
        return _NoClassifier(model_of(read_settings(folder)))
    return as_classifier(classifier)


def load_augmentation(
    folder: str | Path,
    scale: float = 1.0,
    label: int | None = None,
    transformers: Parts | None = None,
    crop: tuple[int, int] | None = None,
) -> LearnedAugmentation:
    """Return the family that a finished run has learned, as a random transform.

    Args:
        folder: The run's output folder.
        scale: Factor on k; 1 leaves the family as it was learned, or certified.
        label: Whose family, if the run has learned one for each class.
        transformers: As for ``load_net``.
        crop: Height and width of what it returns, if it is given larger images.

    Raises:
        ValueError: As ``load_net``, or if the scale is negative.
    """
    return LearnedAugmentation(_learned(folder, label, transformers), scale=scale, crop=crop)


def read_results(folder: Path) -> tuple[Any, tuple[LearnStep, ...], dict[Any, dict[str, Tensor]]]:
    """Return what a finished run has left: its record as JSON, the steps, and the weights by label.

    Raises:
        ValueError: If they cannot be read.
    """
    with _reading(folder):
        record = json.loads((folder / "result.json").read_text())
        settings = json.loads((folder / "config.json").read_text())
        families = _by_label(load_file(folder / "model.safetensors"), settings["command"] == PER_CLASS)
        return record, tuple(read_history(folder)), families


def read_settings(folder: str | Path) -> dict[str, Any]:
    """Return the content of config.json of a run that ``load_net`` takes."""
    folder = user_path(folder)
    with _reading(folder):
        settings: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return settings


def model_of(settings: Mapping[str, Any]) -> str:
    """Return the name of the classifier, from the content of config.json."""
    return str(settings.get("classifier", {}).get("name", "a classifier"))


def _learned(folder: str | Path, label: int | None, transformers: Parts | None) -> Controlled:
    """Return the transformers of one family of a finished run."""
    families = _families(folder, transformers)
    if label not in families:
        labels = ", ".join(str(known) for known in families if known is not None)
        cure = f"has a family for each class: give its label, one of {labels}" if labels else "has one family"
        raise ValueError(f"label {label}: {user_path(folder)} {cure}")
    return families[label]


def _families(folder: str | Path, transformers: Parts | None) -> dict[int | None, Controlled]:
    """Return the transformers of each family of a finished run, by label; None: one is for all classes."""
    folder = user_path(folder)
    with _reading(folder):
        result = json.loads((folder / "result.json").read_text())
    check_schema(result, LearnRecord.command)
    with _reading(folder):
        settings = json.loads((folder / "config.json").read_text())
        described, shape = settings["config"]["parts"], settings["images"]["shape"]
        state = load_file(folder / "model.safetensors")
        weights = _by_label(state, settings["command"] == PER_CLASS)
    given = _given(folder, described, transformers)
    with _reading(folder):
        content = {name: settings["config"][name] for name in _SHAPED if name in settings["config"]}
        content["interpolation"] = result["interpolation"]
        # An objective that asks nothing of the parts: they have been learned
        config = LearnConfig(**content | {"parts": given or tuple(described)}, objective="switched")
        _check_shape(shape, config, state)
        parts = _transformers(config, shape)
        families = {label: copy.deepcopy(parts) for label in weights}
        for label, learned in families.items():
            InvariantTransformerNet(nn.Identity(), learned).load_transformer_state(weights[label])
    return families


def _check_shape(shape: Sequence[int], config: LearnConfig, state: Mapping[str, Tensor]) -> None:
    """Raise ValueError if no images have a shape, or more channels than there are weights."""
    named = () if isinstance(config.parts, Mapping) else config.parts
    by_channel = ToneTransformer.part in named
    by_channel |= ColorTransformer.part in named and config.color_family == "affine"
    rows = [len(weight) for name, weight in state.items() if name.endswith("output.weight")]
    if len(shape) != 4 or min(shape) < 1 or (by_channel and shape[1] > max(rows)):
        raise ValueError(f"no images have the shape {shape}")


def _given(folder: Path, described: Any, transformers: Parts | None) -> Parts | None:
    """Return the transformers that a run was given as objects, None if it had none."""
    if not isinstance(described, dict):
        if transformers is not None:
            raise ValueError(f"{folder} was learned with {', '.join(described)} alone: give no transformers")
        return None
    if transformers is None or list(transformers) != list(described):
        names = ", ".join(f'"{name}": {_call_of(part)}' for name, part in described.items())
        raise ValueError(
            f"{folder} was learned with transformers of your own, which are not read from files: give "
            f"transformers={{{names}}}, in this order"
        )
    for name, part in transformers.items():
        now, then = describe_part(part), described[name]
        differing = [key for key in _TELLING if now.get(key) != then.get(key)]
        if differing:
            raise ValueError(
                f"{folder} was learned with another transformer {name}: its {differing[0]} was "
                f"{then.get(differing[0])}, that of the one given is {now.get(differing[0])}"
            )
        if now.get("code_sha256") != then.get("code_sha256"):
            warnings.warn(
                f"the code or the settings of {name} have changed since {folder} was learned: what it does "
                "may not be what was certified",
                stacklevel=4,
            )
    return transformers


def _call_of(described: Mapping[str, Any]) -> str:
    """Return how a transformer was made, without its settings."""
    if "function" in described:
        return f"itn.transformer_from({described['function']}, ...)"
    return f"{described.get('class')}(...)"


@contextlib.contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """Raise ValueError if what is read inside is not what a run of ``learn`` has written."""
    try:
        yield
    except Exception as error:  # whatever files say that something else has written
        raise ValueError(f"{folder} holds no finished run of itn learn ({error})") from error


def _by_label(state: dict[str, Tensor], per_class: bool) -> dict[int | None, dict[str, Tensor]]:
    """Return the weights of each family by its label; None if one is for all classes."""
    if not per_class:
        return {None: state}
    families: dict[int | None, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        label, _, rest = name.partition(".")
        families.setdefault(int(label), {})[rest] = tensor
    return dict(sorted(families.items(), key=lambda item: item[0] or 0))


def load_family(folder: Path, label: int | None = None) -> Composition:
    """Return the transformers that a finished run has learned, without a classifier.

    Raises:
        ValueError: As ``load_net``.
    """
    return Composition(_learned(folder, label, None))
