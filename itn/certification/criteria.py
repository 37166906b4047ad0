"""What counts as kept: whether a classifier still does on a transformed image what it did before.

``Accuracy`` asks the question of Bunne et al., ``Broken`` a harsher one, ``Agreement`` one that needs no
labels. Subclass ``Criterion`` for a question of your own.
"""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from itn.models.classifier import among_first, margins
from itn.runtime.validation import require


class Criterion:
    """What is asked of a classifier's answer to a transformed image.

    A subclass needs only ``surrogate``. Where it is above 0 the criterion holds.
    """

    name: ClassVar[str] = ""
    """In records and tables; empty: the name of the class."""
    needs_labels: ClassVar[bool] = True
    """Whether it asks for the true classes."""
    mends: ClassVar[bool] = False
    """Whether an image that becomes better makes up for one that becomes worse."""

    def reference(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return what is remembered of the unchanged images, one row each: here whether the criterion holds.

        Args:
            logits: Of the unchanged images, B x K.
            labels: B.
        """
        return self.holds(logits, torch.ones_like(labels, dtype=torch.bool), labels)

    def held(self, reference: Tensor) -> Tensor:
        """Return for which unchanged images the criterion holds, bool, B; only these can become worse.

        If ``reference`` is yours and returns something else than that, here for all, so may this have to be.
        """
        if reference.dtype == torch.bool and reference.ndim == 1:
            return reference
        return torch.ones(len(reference), dtype=torch.bool, device=reference.device)

    def change(self, logits: Tensor, reference: Tensor, labels: Tensor) -> Tensor:
        """Return 1 for each image that has become worse, -1 for better ones if they count, else 0; int64, B.

        Args:
            logits: Of the transformed images, B x K.
            reference: What ``reference`` has returned for these images.
            labels: B.
        """
        before, now = self.held(reference), self.holds(logits, reference, labels)
        worse = (before & ~now).long()
        return worse - (~before & now).long() if self.mends else worse

    def holds(self, logits: Tensor, reference: Tensor, labels: Tensor) -> Tensor:
        """Return for which transformed images the criterion holds, bool, B."""
        return self.surrogate(logits, reference, labels) > 0

    def surrogate(self, logits: Tensor, reference: Tensor, labels: Tensor) -> Tensor:
        """Return a number for each transformed image, B, above 0 where the criterion holds; differentiable.

        Its sigmoid stands in for a count while a family is learned, and it says how near an image is to
        changing.
        """
        raise NotImplementedError(f"{type(self).__name__} lacks surrogate(logits, reference, labels)")

    def claim(self, percent: str) -> str:
        """Return the sentence that a certificate proves, such as "accuracy falls by at most 1 point".

        Args:
            percent: The tolerance in percent.
        """
        return f"at most {percent} % of images like these stop meeting the criterion {self}"

    def __str__(self) -> str:
        return self.name or type(self).__name__


@dataclasses.dataclass(frozen=True)
class _OfPredictions(Criterion):
    """A criterion about the ``topk`` classes with the largest logits."""

    topk: int = 1
    """How many of the largest logits count as predicted."""

    def __post_init__(self) -> None:
        require(self.topk >= 1, f"topk must be at least 1, got {self.topk}")

    def holds(self, logits: Tensor, reference: Tensor, labels: Tensor) -> Tensor:
        """Return whether the true class is among the ``topk`` first, bool, B."""
        return among_first(logits, labels, self.topk)

    def surrogate(self, logits: Tensor, reference: Tensor, labels: Tensor) -> Tensor:
        """Return by how much the logit of the true class exceeds the k-th largest of all others, B."""
        return margins(logits, labels, self.topk)

    def __str__(self) -> str:
        return self.name if self.topk == 1 else f"top-{self.topk} {self.name}"


@dataclasses.dataclass(frozen=True)
class Broken(_OfPredictions):
    """An image is broken if the classifier is right about it unchanged, and wrong when it is transformed."""

    name: ClassVar[str] = "broken"

    def claim(self, percent: str) -> str:
        """Return the sentence that a certificate proves."""
        return f"at most {percent} % of images like these turn from right to wrong" + _among(self.topk)


@dataclasses.dataclass(frozen=True)
class Accuracy(Broken):
    """Images that become right make up for those that become wrong: the condition of Bunne et al."""

    name: ClassVar[str] = "accuracy"
    mends: ClassVar[bool] = True

    def claim(self, percent: str) -> str:
        """Return the sentence that a certificate proves."""
        return f"{self} falls by at most {percent} point{'' if percent == '1' else 's'}"


@dataclasses.dataclass(frozen=True)
class Agreement(_OfPredictions):
    """The prediction stays what it was, right or wrong; labels are not needed.

    With ``topk`` the prediction for the unchanged image is among the ``topk`` first of the transformed one.
    """

    name: ClassVar[str] = "agreement"
    needs_labels: ClassVar[bool] = False

    def reference(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the predictions, int64, B."""
        return logits.argmax(1)

    def holds(self, logits: Tensor, reference: Tensor, labels: Tensor) -> Tensor:
        """Return whether the former prediction is among the ``topk`` first, bool, B."""
        return among_first(logits, reference, self.topk)

    def surrogate(self, logits: Tensor, reference: Tensor, labels: Tensor) -> Tensor:
        """Return by how much the logit of the former prediction exceeds the k-th largest of all others, B."""
        return margins(logits, reference, self.topk)

    def claim(self, percent: str) -> str:
        """Return the sentence that a certificate proves."""
        if self.topk == 1:
            return f"at most {percent} % of predictions on images like these change"
        return (
            f"at most {percent} % of predictions on images like these are no longer among the {self.topk} "
            "first"
        )


def _among(topk: int) -> str:
    return "" if topk == 1 else f" (right: the true class is among the {topk} first)"


CRITERIA: dict[str, Callable[[int], Criterion]] = {kind.name: kind for kind in (Accuracy, Broken, Agreement)}
"""By the names that settings take: from how many of the largest logits count to the criterion."""
