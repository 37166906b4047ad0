"""Names of the classes of ImageNet."""

from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset
from torchvision.models import get_model_weights


def imagenet_names(classes: int) -> tuple[list[str] | None, list[str] | None]:
    """Return class names and WordNet ids in the order of the logits; None where they are unknown."""
    match infer_imagenet_subset({"num_classes": classes}):
        case None:
            return None, None
        case "imagenet-1k":  # torchvision's names are unique
            names = get_model_weights("alexnet").DEFAULT.meta["categories"]
            return names, ImageNetInfo().label_names()
        case subset:
            info = ImageNetInfo(subset)
            return [text.split(",")[0] for text in info.label_descriptions()], info.label_names()
