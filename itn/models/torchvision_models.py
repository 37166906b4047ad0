"""Classifiers of torchvision."""

import dataclasses
import textwrap
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision import models

from itn.models.checkpoints import read_checkpoint
from itn.models.classifier import Classifier
from itn.models.downloads import hub_file
from itn.models.imagenet import imagenet_names
from itn.models.libraries import unknown_model
from itn.models.preprocessing import Preprocessing
from itn.models.state_dicts import CURE, head_classes, matched


def torchvision_classifier(
    name: str, weights: str | Path | None = None, weights_key: str | None = None
) -> Classifier:
    """Load a classifier of torchvision with its default weights, or with a local file that fits them.

    Args:
        name: A name of torchvision.
        weights: A file of weights, also of the network fine-tuned to other classes.
        weights_key: Which state dict in the file.

    Raises:
        ValueError: If the name is unknown, or the weights cannot be obtained or do not fit.
    """
    full = f"torchvision:{name}"
    if name not in (names := models.list_models(module=models)):
        raise ValueError(unknown_model(full, {other: f"torchvision:{other}" for other in names}))
    default = models.get_model_weights(name).DEFAULT
    path = hub_file(default.url, full) if weights is None else weights
    expected = list(_untrained(name).state_dict())
    checkpoint = matched(read_checkpoint(path, weights_key), expected)
    transforms, class_names = default.transforms(), default.meta["categories"]
    classes = (weights and head_classes(checkpoint.state, expected[-1:])) or len(class_names)
    if classes != len(class_names):
        class_names = None
    if missing := [name for name in expected if name not in checkpoint.state and name[:3].lower() == "aux"]:
        # Heads that only training uses, which the builder loads, and then drops
        other = models.get_model(name, weights=None, num_classes=classes, init_weights=False).state_dict()
        checkpoint.state.update({each: other[each] for each in missing})
    # torchvision's builder loads the weights, as it handles renamed layers, auxiliary heads and input sizes.
    # It requires a member of its enum: here one that returns these tensors instead of downloading them.
    member = object.__new__(type(default))
    meta = default.meta | {"categories": class_names or [None] * classes}
    member._name_, member._value_ = default.name, dataclasses.replace(default.value, meta=meta)
    member.get_state_dict = lambda **_: checkpoint.state
    try:
        net = models.get_model(name, weights=member)
    except Exception as error:  # of its builders and of state dicts
        faults = textwrap.shorten(str(error), 300, placeholder=" ...")
        raise ValueError(f"weights do not fit ({path} for {full}): {faults}: {CURE}") from None
    classifier = Classifier(
        net,
        transforms.mean,
        transforms.std,
        name=full,
        class_names=class_names,
        class_ids=class_names and imagenet_names(classes)[1],
        preprocessing=torchvision_preprocessing(transforms),
    )
    if weights is not None:
        classifier.weights = checkpoint.record(classes=classes)
    return classifier


def torchvision_preprocessing(transforms: Any) -> Preprocessing:
    """Return what the ``transforms()`` of torchvision's weights do to a photograph before normalization."""
    crop = (*transforms.crop_size, *transforms.crop_size)[:2]
    return Preprocessing(transforms.resize_size[0], crop, transforms.interpolation.value)


def _untrained(name: str) -> nn.Module:
    """Return a network whose tensors have names; without values, where it can be made so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of random weights
        try:
            with torch.device("meta"):
                return models.get_model(name, weights=None)
        except RuntimeError:  # it computes with numbers of its own
            return models.get_model(name, weights=None)
