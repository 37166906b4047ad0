"""Transformations driven by controls, and which images they break."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from itn.models.classifier import Classifier, margins
from itn.models.preflight import CheckedImages
from itn.nn.net import move
from itn.runtime import distributed
from itn.runtime.batching import map_in_memory


class ParametricTransform(NamedTuple):
    """Transformations driven by controls in [0, 1], which grow with a scale; at 0 nothing moves."""

    controls: int
    """Number of controls."""
    matrices: Callable[[Tensor], tuple[Tensor | None, Tensor | None]]
    """From controls times scale, B x controls, to color and spatial matrices, or None without such a part."""
    padding: str = "zeros"
    """What lies outside the frame."""

    @property
    def corner(self) -> Tensor:
        """All controls at 1, 1 x controls."""
        return torch.ones(1, self.controls)


@torch.inference_mode()
def transformed_margins(
    classifier: Classifier, data: CheckedImages, mover: ParametricTransform, k: Tensor, batch_size: int = 250
) -> Tensor:
    """Return the margins of moved images, N.

    Args:
        classifier: Who looks.
        data: N images with labels.
        mover: What moves them.
        k: Controls times scale, N x controls, or 1 x controls for all.
        batch_size: Images in one forward pass.
    """
    color, spatial = mover.matrices(k.to(classifier.device).expand(len(data), -1))

    def look(rows: slice) -> Tensor:
        images = data.pixels(rows, classifier.device)
        own_color, own_spatial = (None if matrix is None else matrix[rows] for matrix in (color, spatial))
        moved = move(images, own_color, own_spatial, mover.padding).clamp(0, 1)
        labels = data.labels[rows].to(classifier.device)
        return margins(classifier.logits(moved), labels).cpu()

    return torch.cat(map_in_memory(len(data), batch_size, look)[0])


def lost(
    classifier: Classifier, data: CheckedImages, mover: ParametricTransform, k: Tensor, batch_size: int = 250
) -> Tensor:
    """Return which images are lost under controls times scale k, bool, N."""
    gone = torch.zeros(len(data), dtype=torch.bool)
    right = data.clean.nonzero().flatten()
    if not len(right):
        return gone
    own = k if len(k) == 1 else k[right]
    gone[right] = transformed_margins(classifier, data.part(right), mover, own, batch_size) <= 0
    return gone


def break_rate(
    classifier: Classifier,
    data: CheckedImages,
    mover: ParametricTransform,
    k: Tensor,
    enough: float = 1.0,
    batch_size: int = 250,
) -> float:
    """Return the share of images that is lost under controls times scale k, 1 x controls.

    As soon as it is certain to exceed ``enough``, the other images are not looked at, and the share is
    an estimate from those that were, drawn at random.
    """
    right = data.clean.nonzero().flatten()
    order = torch.randperm(len(right), generator=torch.Generator().manual_seed(0))
    gone = seen = 0
    batches = right[order].split(batch_size)
    for start in range(0, len(batches), distributed.world_size()):
        together = batches[start : start + distributed.world_size()]
        counts = distributed.map_batches(
            together, lambda chosen: int(lost(classifier, data.part(chosen), mover, k, batch_size).sum())
        )
        # One after the other: several processes are to see no more than one would
        for chosen, count in zip(together, counts, strict=True):
            if gone <= enough * len(data):
                gone, seen = gone + count, seen + len(chosen)
        if gone > enough * len(data):
            break
    return gone / max(1, seen) * len(right) / len(data)
