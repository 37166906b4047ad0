"""The one pass that all measurements share: images, changed, through the classifier under study."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from itn.models.checked_images import CheckedImages
from itn.models.classifier import Classifier
from itn.runtime.errors import RunError

Change = Callable[[Tensor, Any], Tensor]
"""From float images and their index in the data, a tensor or a slice, to changed images."""


class Output(NamedTuple):
    """Changed images, their labels and logits."""

    images: Tensor
    changed: Tensor
    labels: Tensor
    logits: Tensor
    """Float32."""
    rows: Tensor | slice
    """Which of the data they are."""


def not_finite(classifier: Classifier) -> RunError:
    """Return the error for answers that are no numbers."""
    return RunError(
        f"the logits of {classifier.name} are not finite on transformed images: check its weights, or use "
        'precision="float32"'
    )


def forward(classifier: Classifier, data: CheckedImages, index: Tensor | slice, change: Change) -> Output:
    """Change some images and classify them.

    Args:
        classifier: The classifier under study; the work is done on its device.
        data: The images.
        index: Which of them, one batch.
        change: What to do to them.
    """
    images = data.pixels(index, classifier.device)
    changed = change(images, index)
    labels = data.labels[index].to(classifier.device)
    return Output(images, changed, labels, classifier.logits(changed).float(), index)


def suitable_batch(images: Tensor, device: torch.device) -> int:
    """Return how many images to pass at once; larger batches of photographs only cost memory and time."""
    values = 2**22 if device.type == "cpu" else 2**25
    return max(1, min(250, values // images[0].numel()))
