"""torchvision and timm, imported only where they are used: each takes more than a second."""

import difflib
from collections.abc import Mapping
from typing import Any

# Suggested for a misspelled name without importing torchvision
TORCHVISION_EXAMPLES = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3"),
    *("mobilenet_v2", "mobilenet_v3_large", "regnet_y_400mf", "resnet18", "resnet34", "resnet50"),
    *("resnet101", "squeezenet1_1", "swin_t", "vgg16", "vit_b_16", "wide_resnet50_2"),
)


def torchvision_models() -> Any:
    """Return the module ``torchvision.models``."""
    from torchvision import models  # noqa: PLC0415  # slow to import

    return models


def unknown_model(name: str, suggestions: Mapping[str, str]) -> str:
    """Return the message for an unknown model, with the nearest suggestions.

    Args:
        name: The unknown name.
        suggestions: From what the name is compared with to what is suggested.
    """
    nearest = difflib.get_close_matches(name.rpartition(":")[2].lower(), suggestions, n=3, cutoff=0.4)
    offered = ", ".join(suggestions[match] for match in nearest or sorted(suggestions)[:3])
    return f"unknown model {name!r}: nearest are {offered}; or FILE.py:factory"


def timm() -> Any:
    """Return the module ``timm``."""
    import timm  # noqa: PLC0415  # slow to import
    import timm.data  # noqa: PLC0415

    return timm


def imagenet_names(classes: int) -> tuple[list[str] | None, list[str] | None]:
    """Return class names and WordNet ids in the order of the logits; None where they are unknown."""
    data = timm().data
    match data.infer_imagenet_subset({"num_classes": classes}):
        case None:
            return None, None
        case "imagenet-1k":  # torchvision's names are unique
            names = torchvision_models().get_model_weights("alexnet").DEFAULT.meta["categories"]
            return names, data.ImageNetInfo().label_names()
        case subset:
            info = data.ImageNetInfo(subset)
            return [text.split(",")[0] for text in info.label_descriptions()], info.label_names()
