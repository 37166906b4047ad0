"""Nets with transformers: new ones for a configuration, learned ones from the folder of a finished run."""

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from safetensors.torch import load_file
from torch import Tensor, nn

from itn.learning.config import LearnConfig
from itn.learning.records import LearnRecord
from itn.learning.run import PER_CLASS
from itn.models.classifier import Classifier
from itn.nn import ColorTransformer, InvariantTransformerNet, LearnedAugmentation, SpatialTransformer
from itn.runtime.records import check_schema
from itn.stats import generator


def make_net(
    classifier: Classifier, config: LearnConfig, shape: Sequence[int], restart: int = 0
) -> InvariantTransformerNet:
    """Return an untrained net that a configuration describes, for images of shape N x C x H x W.

    Its weights depend on the seed of the configuration and on the number of the restart.
    """
    return InvariantTransformerNet(classifier, *_transformers(config, shape, restart)).to(classifier.device)


def _transformers(
    config: LearnConfig, shape: Sequence[int], restart: int = 0
) -> tuple[ColorTransformer | None, SpatialTransformer | None]:
    _, channels, height, width = shape
    weights = generator(config.seed, f"weights {restart}" if restart else "weights")
    color = spatial = None
    if "color" in config.parts:
        color = ColorTransformer(
            channels, config.hidden, config.color_bound, weights, config.nonnegative, config.color_family
        )
    if "spatial" in config.parts:
        spatial = SpatialTransformer(
            config.family,
            config.hidden,
            config.spatial_bound,
            config.padding,
            width / height,
            weights,
            config.nonnegative,
        )
    return color, spatial


def load_net(folder: str | Path, classifier: Classifier, label: int | None = None) -> InvariantTransformerNet:
    """Return the net that a finished run has learned.

    Args:
        folder: The run's output folder.
        classifier: What to put behind the transformers; usually the one that they were learned for.
        label: Whose family, if the run has learned one for each class.

    Raises:
        ValueError: If the folder holds no finished run of ``learn``, one of another schema version, or no
            family of that class.
    """
    return InvariantTransformerNet(classifier, *_learned(folder, label)).to(classifier.device)


def load_augmentation(
    folder: str | Path, scale: float = 1.0, label: int | None = None
) -> LearnedAugmentation:
    """Return the family that a finished run has learned, as a random transform.

    Args:
        folder: The run's output folder.
        scale: Factor on k; 1 leaves the family as it was learned, or certified.
        label: Whose family, if the run has learned one for each class.

    Raises:
        ValueError: If the folder holds no finished run of ``learn``, one of another schema version, or no
            family of that class, or if the scale is negative.
    """
    return LearnedAugmentation(*_learned(folder, label), scale=scale)


def _learned(
    folder: str | Path, label: int | None
) -> tuple[ColorTransformer | None, SpatialTransformer | None]:
    """Return the transformers of a finished run."""
    folder = Path(folder).expanduser()
    with _reading(folder):
        result = json.loads((folder / "result.json").read_text())
    check_schema(result, LearnRecord.command)
    with _reading(folder):
        settings = json.loads((folder / "config.json").read_text())
        state = load_file(folder / "model.safetensors")
        config = msgspec.convert(settings["config"], LearnConfig)
        families = _by_label(state, settings["command"] == PER_CLASS)
        color, spatial = _transformers(config, settings["images"]["shape"])
        for weights in families.values():
            InvariantTransformerNet(nn.Identity(), color, spatial).load_transformer_state(weights)
    if label not in families:
        labels = ", ".join(str(known) for known in families if known is not None)
        cure = f"has a family for each class: give its label, one of {labels}" if labels else "has one family"
        raise ValueError(f"label {label}: {folder} {cure}")
    InvariantTransformerNet(nn.Identity(), color, spatial).load_transformer_state(families[label])
    return color, spatial


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
