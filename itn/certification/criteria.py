"""What counts as kept: whether a classifier still does on a transformed image what it did before.

Subclass ``Criterion`` for a question of your own.
"""

import torch
from torch import Tensor

from itn.models.classifier import margins


class Criterion:
    """What is asked of a classifier's answer to a transformed image.

    A subclass needs only ``surrogate``. Where it is above 0 the criterion holds.
    """

    name = ""
    """In records and tables; empty: the name of the class."""

    def reference(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return what is remembered of the unchanged images, one row each: here whether the criterion holds.

        Args:
            logits: Of the unchanged images, B x K.
            labels: B.
        """
        return self.surrogate(logits, torch.ones_like(labels, dtype=torch.bool), labels) > 0

    def held(self, reference: Tensor) -> Tensor:
        """Return for which unchanged images the criterion holds, bool, B; only these can become worse.

        If ``reference`` is yours and returns something else than that, here for all, so may this have to be.
        """
        if reference.dtype == torch.bool and reference.ndim == 1:
            return reference
        return torch.ones(len(reference), dtype=torch.bool, device=reference.device)

    def change(self, logits: Tensor, reference: Tensor, labels: Tensor) -> Tensor:
        """Return 1 for each image that has become worse and 0 for the others, B.

        Args:
            logits: Of the transformed images, B x K.
            reference: What ``reference`` has returned for these images.
            labels: B.
        """
        return (self.held(reference) & ~(self.surrogate(logits, reference, labels) > 0)).long()

    def surrogate(self, logits: Tensor, reference: Tensor, labels: Tensor) -> Tensor:
        """Return a number for each transformed image, B, above 0 where the criterion holds; differentiable.

        Its sigmoid stands in for a count while a family is learned, and it says how near an image is to
        breaking.
        """
        raise NotImplementedError(f"{type(self).__name__} lacks surrogate(logits, reference, labels)")

    def __str__(self) -> str:
        return self.name or type(self).__name__


class Broken(Criterion):
    """An image is broken if the classifier is right about it unchanged, and wrong when it is transformed."""

    name = "broken"

    def reference(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return whether the prediction is right, bool, B."""
        return logits.argmax(1) == labels

    def surrogate(self, logits: Tensor, reference: Tensor, labels: Tensor) -> Tensor:
        """Return by how much the logit of the true class exceeds all others, B."""
        return margins(logits, labels)


def measure_of(criterion: str) -> str:
    """Return what the share of images is called for which a criterion holds."""
    return "accuracy" if criterion in CRITERIA else f"the share of images that meet the criterion {criterion}"


CRITERIA: dict[str, Criterion] = {"broken": Broken()}
"""By the names that settings take."""
