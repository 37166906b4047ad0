"""Transformations driven by controls, and which images they break.

An image is broken if the classifier is right about it unchanged, and wrong when it is transformed.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from itn.functional import displacement
from itn.models.checked_images import CheckedImages
from itn.models.classifier import Classifier, margins
from itn.models.forward import forward
from itn.nn import CONTROLS, InvariantTransformerNet, apply_matrices
from itn.runtime import distributed
from itn.runtime.batching import map_in_memory


class ParametricTransform(NamedTuple):
    """A transformation driven by controls in [0, 1] that grows with a scale; at 0 nothing changes."""

    controls: int
    """Number of controls."""
    matrices: Callable[[Tensor], dict[str, Tensor]]
    """From controls times scale, B x controls, to matrices by part, "color" or "spatial" or both."""
    padding: str = "zeros"
    """What lies outside the frame."""

    @property
    def full_strength(self) -> Tensor:
        """All controls at 1, 1 x controls."""
        return torch.ones(1, self.controls)

    @classmethod
    def of_net(cls, net: InvariantTransformerNet) -> "ParametricTransform":
        """Return a net as such a transformation; its controls are k1, then k2, of the parts that it has."""
        both = len(net.parts) == 2
        return cls(
            CONTROLS * len(net.parts),
            lambda k: net.matrices(k[:, :CONTROLS], k[:, CONTROLS:] if both else k),
            net.padding,
        )


class EvaluationSet(NamedTuple):
    """Images and the classifier under study, to count what transformations break."""

    classifier: Classifier
    data: CheckedImages
    batch_size: int = 250
    """Images in one forward pass."""

    def part(self, index: Tensor) -> "EvaluationSet":
        """Return the images at an index tensor."""
        return self._replace(data=self.data.part(index))

    def spread(self, most: int) -> "EvaluationSet":
        """Return at most so many images, evenly spaced."""
        return self._replace(data=self.data.spread(most))

    @torch.inference_mode()
    def margins(self, transform: ParametricTransform, k: Tensor) -> Tensor:
        """Return the margins of transformed images, N: above 0 the classifier is right.

        Args:
            transform: What to apply to them.
            k: Controls times scale, N x controls, or 1 x controls for all images.
        """
        matrices = transform.matrices(k.to(self.classifier.device).expand(len(self.data), -1))

        def change(images: Tensor, rows: slice) -> Tensor:
            by_part = {part: matrix[rows] for part, matrix in matrices.items()}
            return apply_matrices(images, by_part, transform.padding).clamp(0, 1)

        def evaluate_batch(rows: slice) -> Tensor:
            output = forward(self.classifier, self.data, rows, change)
            return margins(output.logits, output.labels).cpu()

        return torch.cat(map_in_memory(len(self.data), self.batch_size, evaluate_batch)[0])

    def broken(self, transform: ParametricTransform, k: Tensor) -> Tensor:
        """Return which images are broken under controls times scale k, bool, N."""
        result = torch.zeros(len(self.data), dtype=torch.bool)
        right = self.data.clean.nonzero().flatten()
        if len(right):
            result[right] = self.part(right).margins(transform, k if len(k) == 1 else k[right]) <= 0
        return result

    def broken_at(self, transform: ParametricTransform, scale: float, worst_k: Tensor) -> Tensor:
        """Return which images are broken at a scale, at full strength and at the worst k, bool, 2 x N."""
        ks = (transform.full_strength, worst_k)
        return torch.stack([self.broken(transform, scale * k) for k in ks])

    def break_rate(self, transform: ParametricTransform, k: Tensor, enough: float = 1.0) -> float:
        """Return the share of images that is broken under controls times scale k, 1 x controls.

        As soon as the share is certain to exceed ``enough``, no further image is evaluated, and what is
        returned is an estimate from those that were, drawn at random.
        """
        n, right = len(self.data), self.data.clean.nonzero().flatten()
        order = torch.randperm(len(right), generator=torch.Generator().manual_seed(0))
        batches = right[order].split(self.batch_size)
        breaks = evaluated = 0
        for start in range(0, len(batches), distributed.world_size()):
            together = batches[start : start + distributed.world_size()]
            counts = distributed.map_batches(
                together, lambda index: int(self.part(index).broken(transform, k).sum())
            )
            # Counted one after the other: several processes must stop where one would
            for index, count in zip(together, counts, strict=True):
                if breaks <= enough * n:
                    breaks, evaluated = breaks + count, evaluated + len(index)
            if breaks > enough * n:
                break
        return breaks / max(1, evaluated) * len(right) / n


@torch.no_grad()
def rescale(net: InvariantTransformerNet, scale: float) -> None:
    """Make a family at k what it was at k times the scale."""
    for part in net.parts:
        getattr(net, part).head.output.weight.mul_(scale)


@torch.no_grad()
def displacements_full(net: InvariantTransformerNet, scale: float = 1.0) -> dict[str, float]:
    """Return the displacement of each part of a net at full strength times the scale."""
    k = torch.full((1, CONTROLS), scale, device=classifier_of(net).device)
    return {part: displacement(matrix).item() for part, matrix in net.matrices(k, k).items()}


def classifier_of(net: InvariantTransformerNet) -> Classifier:
    """Return the classifier of a net that was made for one."""
    assert isinstance(net.classifier, Classifier)
    return net.classifier
