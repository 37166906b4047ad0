"""torchvision and timm, imported where they are used: each takes a second."""

import difflib
from collections.abc import Mapping
from typing import Any


def torchvision_models() -> Any:
    """Return the module ``torchvision.models``."""
    from torchvision import models  # noqa: PLC0415  # seconds to import

    return models


def unknown(name: str, known: Mapping[str, str]) -> str:
    """Say that a model is unknown, and which are nearest: of what is matched to what is offered."""
    near = difflib.get_close_matches(name.rpartition(":")[2].lower(), known, n=3, cutoff=0.4)
    offered = ", ".join(known[match] for match in near or sorted(known)[:3])
    return f"unknown model {name!r}: nearest are {offered}; or FILE.py:factory"


def timm() -> Any:
    """Return the module ``timm``."""
    import timm  # noqa: PLC0415  takes a second
    import timm.data  # noqa: PLC0415

    return timm


def imagenet_names(classes: int) -> tuple[list[str] | None, list[str] | None]:
    """Return names and WordNet ids in the order of the logits, if a part of ImageNet has as many classes."""
    data = timm().data
    match data.infer_imagenet_subset({"num_classes": classes}):
        case None:
            return None, None
        case "imagenet-1k":  # torchvision's names, of which no two are alike
            names = torchvision_models().get_model_weights("alexnet").DEFAULT.meta["categories"]
            return names, data.ImageNetInfo().label_names()
        case subset:
            info = data.ImageNetInfo(subset)
            return [text.split(",")[0] for text in info.label_descriptions()], info.label_names()
