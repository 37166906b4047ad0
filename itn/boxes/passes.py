"""Images under points of a box, each image under its own, through a frozen classifier."""

from collections.abc import Callable

import torch
from torch import Tensor

from itn.boxes.config import WorstConfig
from itn.functional import Surround, fill_outside, warp, warp_and_back
from itn.models.backend import check_settings
from itn.models.checked_images import CheckedImages
from itn.models.classifier import Classifier, among_first, margins
from itn.models.forward import not_finite, suitable_batch
from itn.models.preflight import SAMPLE
from itn.runtime.batching import map_in_memory
from itn.screening.noise import noise_of_images

LEAST = torch.finfo(torch.float32).tiny


class BoxPasses:
    """A frozen classifier and images in a box: evaluates pairs of an image and a point, in full batches.

    Args:
        classifier: The classifier to study.
        data: The images; their labels are what has to stay among the answers.
        config: Settings: the box, batches, padding, precision, noise.
    """

    def __init__(self, classifier: Classifier, data: CheckedImages, config: WorstConfig) -> None:
        self.classifier = classifier.with_backend(config.precision, config.channels_last, config.compile)
        self.config, self.box, self.device = config, config.resolved, classifier.device
        self.data = data.to(self.device)
        self.references = self.data.labels
        self.batch_size = config.batch_size or suitable_batch(data.images, self.device)
        self.colors = [n for n, transform in enumerate(self.box.transforms) if not transform.spatial]
        self.warps = any(transform.spatial for transform in self.box.transforms)
        height, width = data.images.shape[-2:]
        self.aspect = width / height

    @torch.inference_mode()
    def check(self) -> None:
        """Raise ValueError unless the network runs with the settings and has more than topk outputs."""
        sample = slice(min(SAMPLE, self.batch_size))
        pixels = self.data.pixels(sample, self.device)
        check_settings(self.classifier.name, self.config, lambda: self.classifier.logits(pixels))

    @torch.inference_mode()
    def answers(self, index: Tensor, ways: Tensor) -> Tensor:
        """Return for images under their points the margin and the predicted class, M x 2, on the CPU.

        The margin is how much the logit of the reference exceeds the ``topk``-th largest other one. It is
        below 0 where the image breaks, and nowhere else.

        Args:
            index: Which images, M.
            ways: Their points, M x D.
        """
        return self._answers(index, self.box.magnitudes(ways), self.change)

    @torch.inference_mode()
    def round_trip(self, index: Tensor, ways: Tensor) -> Tensor:
        """Return what ``answers`` does for images that are only warped to their points and back."""
        return self._answers(index, self.box.magnitudes(ways), self._back)

    def _answers(
        self, index: Tensor, magnitudes: Tensor, change: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        def evaluate_batch(rows: slice) -> Tensor:
            logits = self.classifier.logits(change(index[rows], magnitudes[rows])).float()
            if not logits.isfinite().all():
                raise not_finite(self.classifier)
            references = self.references[index[rows].to(self.device)]
            margin, kept = (f(logits, references, self.config.topk) for f in (margins, among_first))
            margin = torch.where(kept, margin.clamp_min(0), margin.clamp_max(-LEAST))
            return torch.stack([margin, logits.argmax(1).float()], 1).cpu()

        values, self.batch_size = map_in_memory(len(index), self.batch_size, evaluate_batch)
        return torch.cat(values)

    @torch.inference_mode()
    def pictures(self, index: Tensor, magnitudes: Tensor) -> Tensor:
        """Return a few images under magnitudes, M x D, float64, on the CPU."""
        return self.change(index, magnitudes).cpu()

    def change(self, index: Tensor, magnitudes: Tensor) -> Tensor:
        """Return images under magnitudes, M x D, float64: what moves no pixels first, then a single warp.

        With a surround and a warp, all of it happens to whole canvases.
        """
        if not self.warps:
            return self._color(self.data.pixels(index, self.device), index, magnitudes, None)
        images, around = self.data.with_surround(index, self.device)
        if self.colors:
            images = images if around is None else fill_outside(images, around, self.config.padding)
            images = self._color(images, index, magnitudes, around)
        matrix, config = self.box.matrix(magnitudes, self.aspect).to(images), self.config
        return warp(images, matrix, config.padding, around, config.interpolation).clamp(0, 1)

    def _back(self, index: Tensor, magnitudes: Tensor) -> Tensor:
        images, around = self.data.with_surround(index, self.device)
        matrix = self.box.matrix(magnitudes, self.aspect)
        return warp_and_back(images, matrix, self.config.padding, around, self.config.interpolation)

    def _color(self, images: Tensor, index: Tensor, magnitudes: Tensor, around: Surround | None) -> Tensor:
        for n in self.colors:
            transform, v = self.box.transforms[n], magnitudes[:, n].to(self.device, torch.float32)
            noise = noise_of_images(images, index, self.config.seed) if transform.random else None
            images = transform.apply(images, v, self.config.padding, noise, around)
        return images
