"""Labeled images that belong to a classifier, with its predictions on them."""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from itn.functional import Surround, unit_float
from itn.models.canvases import Canvases


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
    canvases: Canvases | None = None
    """The photographs that the images are crops of, if they are to be seen around these."""

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
        names = ("labels", "predictions", "reference")
        labels, predictions, reference = (torch.cat([getattr(part, name) for part in sets]) for name in names)
        known = [part.canvases for part in sets if part.canvases is not None]
        canvases = Canvases.joined(known) if len(known) == len(sets) else None
        images = torch.cat([part.images for part in sets]) if canvases is None else canvases.crops
        return cls(images, labels, predictions, reference, canvases)

    def part(self, index: Tensor) -> "CheckedImages":
        """Return the images at an index tensor."""
        remembered = None if self.remembered is None else self.remembered[index]
        canvases = None if self.canvases is None else self.canvases.part(index)
        images = self.images[index] if canvases is None else canvases.crops
        return CheckedImages(images, self.labels[index], self.predictions[index], remembered, canvases)

    def spread(self, most: int) -> "CheckedImages":
        """Return at most ``most`` images, evenly spaced, so that sorted images keep all classes."""
        return self.part(torch.linspace(0, len(self) - 1, min(most, len(self))).long())

    def to(self, device: torch.device) -> "CheckedImages":
        """Return a copy on another device; images that need over a quarter of its free memory stay."""
        fits = device.type != "cuda" or 4 * self.stored[0].nbytes <= torch.cuda.mem_get_info(device)[0]
        remembered = None if self.remembered is None else self.remembered.to(device)
        if self.canvases is not None:
            canvases = self.canvases.to(device, fits)
            images = canvases.crops
        else:
            canvases, images = None, self.images.to(device) if fits else self.images
        labels, predictions = self.labels.to(device), self.predictions.to(device)
        return CheckedImages(images, labels, predictions, remembered, canvases)

    @property
    def stored(self) -> tuple[Tensor, Surround | None]:
        """The canvases, N x C x H' x W', with their surround; without these the images, and None."""
        if self.canvases is None:
            return self.images, None
        return self.canvases.pixels, self.canvases.surround

    @property
    def surround(self) -> float | None:
        """Size of the canvases over that of the images; None if nothing is known around these."""
        return None if self.canvases is None else self.canvases.ratio

    def pixels(self, index: Tensor | slice, device: torch.device) -> Tensor:
        """Return some images as floats in [0, 1] on a device, whichever device the set is on."""
        return _floats(self.images, index, device)

    def with_surround(self, index: Tensor | slice, device: torch.device) -> tuple[Tensor, Surround | None]:
        """Return the canvases of some images as ``pixels`` does, and their surround.

        Without canvases these are the images themselves, and None.
        """
        pixels, surround = self.stored
        if surround is None:
            return self.pixels(index, device), None
        rows = index if isinstance(index, slice) else index.to(surround.boxes.device)
        return _floats(pixels, index, device), surround.part(rows).to(device)

    def __len__(self) -> int:
        return len(self.labels)


def _floats(images: Tensor, index: Tensor | slice, device: torch.device) -> Tensor:
    chosen = images[index if isinstance(index, slice) else index.to(images.device)]
    if device.type == "cuda" and chosen.device.type == "cpu":
        chosen = chosen.pin_memory()  # copied while the GPU computes
    return unit_float(chosen.to(device, non_blocking=True))
