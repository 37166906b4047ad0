"""Classifiers of torchvision."""

import textwrap
from pathlib import Path

from itn.models.checkpoints import hub_file, read_state_dict, unwrap
from itn.models.classifier import Classifier
from itn.models.libraries import imagenet_names, torchvision_models, unknown
from itn.models.preprocessing import Preprocessing


def torchvision_classifier(name: str, weights: str | Path | None = None) -> Classifier:
    """Load a classifier of torchvision with its default weights, or with a local file that fits them.

    Raises:
        ValueError: If the name is unknown, or the weights cannot be had or do not fit.
    """
    models = torchvision_models()
    full = f"torchvision:{name}"
    if name not in (known := torchvision_names()):
        raise ValueError(unknown(full, {other: f"torchvision:{other}" for other in known}))
    default = models.get_model_weights(name).DEFAULT
    path = hub_file(default.url, full) if weights is None else weights
    state = read_state_dict(path)
    unwrap(state)
    # torchvision's builder loads them itself, as it knows of renamed layers, auxiliary heads and input sizes;
    # it insists on a member of its enum: here one that brings tensors instead of downloading them.
    bearer = object.__new__(type(default))
    bearer._name_, bearer._value_ = default.name, default.value
    bearer.get_state_dict = lambda **_: state
    try:
        net = models.get_model(name, weights=bearer)
    except (RuntimeError, ValueError) as error:
        faults = textwrap.shorten(str(error), 300, placeholder=" ...")
        raise ValueError(f"weights do not fit ({path} for {full}): {faults}") from None
    transforms, names = default.transforms(), default.meta["categories"]
    crop = (*transforms.crop_size, *transforms.crop_size)[:2]
    return Classifier(
        net,
        transforms.mean,
        transforms.std,
        name=full,
        class_names=names,
        class_ids=imagenet_names(len(names))[1],
        preprocessing=Preprocessing(transforms.resize_size[0], crop, transforms.interpolation.value),
    )


def torchvision_names() -> list[str]:
    """Return the names of torchvision's classifiers."""
    models = torchvision_models()
    names: list[str] = models.list_models(module=models)
    return names
