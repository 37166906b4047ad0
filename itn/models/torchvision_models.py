"""Classifiers of torchvision."""

import textwrap
from pathlib import Path
from typing import Any

from torchvision import models

from itn.models.checkpoints import hub_file, read_state_dict, unwrap
from itn.models.classifier import Classifier
from itn.models.imagenet import imagenet_names
from itn.models.libraries import unknown_model
from itn.models.preprocessing import Preprocessing


def torchvision_classifier(name: str, weights: str | Path | None = None) -> Classifier:
    """Load a classifier of torchvision with its default weights, or with a local file that fits them.

    Raises:
        ValueError: If the name is unknown, or the weights cannot be obtained or do not fit.
    """
    full = f"torchvision:{name}"
    if name not in (names := models.list_models(module=models)):
        raise ValueError(unknown_model(full, {other: f"torchvision:{other}" for other in names}))
    default = models.get_model_weights(name).DEFAULT
    path = hub_file(default.url, full) if weights is None else weights
    state = read_state_dict(path)
    unwrap(state)
    # torchvision's builder loads the weights, as it handles renamed layers, auxiliary heads and input sizes.
    # It requires a member of its enum: here one that returns these tensors instead of downloading them.
    member = object.__new__(type(default))
    member._name_, member._value_ = default.name, default.value
    member.get_state_dict = lambda **_: state
    try:
        net = models.get_model(name, weights=member)
    except (RuntimeError, ValueError) as error:
        faults = textwrap.shorten(str(error), 300, placeholder=" ...")
        raise ValueError(f"weights do not fit ({path} for {full}): {faults}") from None
    transforms, class_names = default.transforms(), default.meta["categories"]
    return Classifier(
        net,
        transforms.mean,
        transforms.std,
        name=full,
        class_names=class_names,
        class_ids=imagenet_names(len(class_names))[1],
        preprocessing=torchvision_preprocessing(transforms),
    )


def torchvision_preprocessing(transforms: Any) -> Preprocessing:
    """Return what the ``transforms()`` of torchvision's weights do to a photograph before normalization."""
    crop = (*transforms.crop_size, *transforms.crop_size)[:2]
    return Preprocessing(transforms.resize_size[0], crop, transforms.interpolation.value)
