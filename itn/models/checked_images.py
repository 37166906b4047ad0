"""Labeled images that belong to a classifier, with its predictions on them."""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from itn.functional import unit_float


@dataclasses.dataclass(frozen=True)
class CheckedImages:
    """Labeled images that passed ``preflight``, with the classifier's predictions on them."""

    images: Tensor
    """N x C x H x W, uint8 or float in [0, 1]."""
    labels: Tensor
    """N, int64."""
    predictions: Tensor
    """Predictions on the unchanged images, N, int64."""
    remembered: Tensor | None = None
    """What a criterion remembers of the unchanged images, N rows; None: whether they are recognized."""

    @property
    def reference(self) -> Tensor:
        """What a criterion remembers of the unchanged images, N rows."""
        return self.clean if self.remembered is None else self.remembered

    @property
    def clean(self) -> Tensor:
        """Whether the prediction on the unchanged image is right, bool, N."""
        return self.predictions == self.labels

    @classmethod
    def joined(cls, sets: "Sequence[CheckedImages]") -> "CheckedImages":
        """Return the images of several sets, one after the other."""
        names = ("images", "labels", "predictions", "reference")
        return cls(*(torch.cat([getattr(part, name) for part in sets]) for name in names))

    def part(self, index: Tensor) -> "CheckedImages":
        """Return the images at an index tensor."""
        remembered = None if self.remembered is None else self.remembered[index]
        return CheckedImages(self.images[index], self.labels[index], self.predictions[index], remembered)

    def spread(self, most: int) -> "CheckedImages":
        """Return at most ``most`` images, evenly spaced, so that sorted images keep all classes."""
        return self.part(torch.linspace(0, len(self) - 1, min(most, len(self))).long())

    def to(self, device: torch.device) -> "CheckedImages":
        """Return a copy on another device; images that need over a quarter of its free memory stay."""
        fits = device.type != "cuda" or 4 * self.images.nbytes <= torch.cuda.mem_get_info(device)[0]
        images = self.images.to(device) if fits else self.images
        remembered = None if self.remembered is None else self.remembered.to(device)
        return CheckedImages(images, self.labels.to(device), self.predictions.to(device), remembered)

    def pixels(self, index: Tensor | slice, device: torch.device) -> Tensor:
        """Return some images as floats in [0, 1] on a device, whichever device the set is on."""
        chosen = self.images[index if isinstance(index, slice) else index.to(self.images.device)]
        if device.type == "cuda" and chosen.device.type == "cpu":
            chosen = chosen.pin_memory()  # copied while the GPU computes
        return unit_float(chosen.to(device, non_blocking=True))

    def __len__(self) -> int:
        return len(self.labels)
