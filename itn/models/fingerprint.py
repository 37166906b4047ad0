"""What a classifier answers to a few images, to tell it from another one with the same weights."""

import torch

from itn.models.checked_images import CheckedImages
from itn.models.classifier import Classifier, margins

SAMPLE = 8  # images
_TF32 = 2.0**-10  # relative rounding of float32 products on GPUs


@torch.no_grad()
def answers(classifier: Classifier, data: CheckedImages, batch_size: int = 256) -> list[float]:
    """Return the margins of the labels on a few of the images, with four digits.

    Margins, unlike predicted classes, change little where logits change little. Each process classifies the
    same batch, so that they do not depend on how many there are.
    """
    sample = data.spread(SAMPLE)
    # Compiling takes up to a minute, and changes nothing here
    plain = classifier.with_backend(classifier.precision, classifier.channels_last)
    batches = sample.pixels(slice(None), classifier.device).split(batch_size)
    logits = torch.cat([plain.logits(batch) for batch in batches])
    found = margins(logits, sample.labels.to(classifier.device)).nan_to_num()
    return [float(f"{margin:.4g}") for margin in found.tolist()]


def rounding(classifier: Classifier) -> float:
    """Return how far answers may differ by rounding alone, on other processors, as a share of the largest."""
    reduced = classifier.precision != "float32"
    dtype = getattr(torch, classifier.precision) if reduced else classifier.mean.dtype
    return 4 * max(_TF32, torch.finfo(dtype).eps)
