"""One pass of images through a transformation and a frozen classifier: what screening measures."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from itn.functional import (
    Surround,
    compose_maps,
    fill_outside,
    inverse_map,
    map_points,
    pixel_centers,
    warp,
    warp_and_back,
)
from itn.models.backend import check_settings
from itn.models.checked_images import CheckedImages
from itn.models.classifier import Classifier
from itn.models.forward import Change, Output, forward, not_finite, suitable_batch
from itn.models.preflight import SAMPLE
from itn.runtime.batching import map_in_memory
from itn.screening.config import ScreenConfig
from itn.screening.flips import Flips, find_flips
from itn.screening.noise import noise_of_images
from itn.stats import margin_over_rivals
from itn.transforms import Transform

T = TypeVar("T")
Arrays = dict[str, np.ndarray]
ImageStatistic = Callable[[Output, Tensor], Tensor]
"""From the output for B images, and its softmax, B x K, to one number for each image."""
MAGNITUDES_AT_ONCE = 16  # bounds the memory of lost_content, which follows every pixel at every magnitude


def unchanged(images: Tensor, index: Tensor) -> Tensor:
    """Leave the images as they are: the change at the identity."""
    return images


def _prediction(output: Output, softmax: Tensor) -> Tensor:
    return output.logits.argmax(1)


def _softmax_true(output: Output, softmax: Tensor) -> Tensor:
    return softmax.gather(1, output.labels[:, None]).squeeze(1)


IMAGE_STATISTICS: dict[str, ImageStatistic] = {"predictions": _prediction, "softmax_true": _softmax_true}
"""What is measured of every image. Records and rows with a field of that name hold means over images; of
predictions they hold accuracy and agreement. To add a statistic, add it here and to their fields."""
SOFTMAX_CHANGE = "softmax_change"
"""Another one: the total variation distance, half the sum of absolute differences, between the softmax of the
image and that of the unchanged one. It is measured once the latter is known."""


class Screener:
    """A frozen classifier and its images; every method is one pass over images, in batches.

    Args:
        classifier: The classifier to study.
        data: The images.
        config: Settings: batches, padding, precision, noise.
    """

    def __init__(self, classifier: Classifier, data: CheckedImages, config: ScreenConfig) -> None:
        self.classifier = classifier.with_backend(config.precision, config.channels_last, config.compile)
        self.config, self.device = config, classifier.device
        self.data = data.to(self.device)
        self.images = self.data.images
        self.batch_size = config.batch_size or suitable_batch(data.images, self.device)
        self.labels = self.data.labels
        self.classes = self.labels.unique()
        self.all_indices = torch.arange(len(data))
        self.unchanged_softmax: Tensor | None = None
        """Softmax of the unchanged images, N x K."""
        self.images_passed = 0
        """How many images have gone through the classifier so far."""

    def map_batches(self, change: Change, index: Tensor, evaluate_batch: Callable[[Output], T]) -> list[T]:
        """Return the value of a function for each batch of indexed images; processes share the batches.

        Batches that do not fit into the memory are halved, for this pass and all later ones.
        """
        values, self.batch_size = map_in_memory(
            len(index), self.batch_size, lambda rows: evaluate_batch(self.output(change, index[rows]))
        )
        self.images_passed += len(index)
        return values

    def output(self, change: Change, index: Tensor) -> Output:
        """Return the output for one batch of indexed images."""
        return forward(self.classifier, self.data, index, change)

    @torch.inference_mode()
    def check(self) -> None:
        """Raise ValueError unless the network runs with the settings and has more than topk outputs."""
        sample = self.all_indices[: min(SAMPLE, self.batch_size)]
        check_settings(self.classifier.name, self.config, lambda: self.output(unchanged, sample).logits)

    @torch.inference_mode()
    def predictions(self, change: Change, index: Tensor | None = None) -> Tensor:
        """Return the predicted classes, on the CPU, of indexed images; default all."""
        index = self.all_indices if index is None else index
        return torch.cat(self.map_batches(change, index, lambda output: output.logits.argmax(1))).cpu()

    @torch.inference_mode()
    def image_statistics(self, change: Change) -> Arrays:
        """Return for each image its predicted class, the softmax of its true class, and its "top" outputs.

        The last, N x topk, only if more than one counts as right.
        """

        def of_batch(output: Output) -> dict[str, Tensor]:
            return self._image_statistics(output, output.logits.softmax(1))

        return _joined(self.map_batches(change, self.all_indices, of_batch))

    @torch.inference_mode()
    def unchanged_statistics(self) -> Arrays:
        """Return what ``class_statistics`` does of the unchanged images, and the "softmax" of each, N x K."""

        def of_batch(output: Output) -> tuple[Any, Tensor]:
            return self._class_statistics(output), output.logits.softmax(1)

        statistics, softmax = zip(*self.map_batches(unchanged, self.all_indices, of_batch), strict=True)
        together = torch.cat(softmax).cpu().numpy()
        unmoved = np.zeros(len(together), np.float32)
        return self._joined_statistics(statistics) | {SOFTMAX_CHANGE: unmoved, "softmax": together}

    @torch.inference_mode()
    def class_statistics(self, change: Change) -> Arrays:
        """Return what ``image_statistics`` does, and for each class its mean softmax and its margin.

        The margin is the mean softmax of the true class minus the largest one of any other class.
        ``margin_low`` and ``margin_high`` are its approximate pointwise interval, which is corrected for the
        number of classes that may lead (see ``itn.stats.margin_over_rivals``). ``pixel_change`` is the root
        mean square change of the pixels, the mean over images.
        """
        return self._joined_statistics(self.map_batches(change, self.all_indices, self._class_statistics))

    def _joined_statistics(self, batches: Sequence[tuple[Any, ...]]) -> Arrays:
        of_images, pixel_change, *sums_of_batches = zip(*batches, strict=True)
        n = (self.classes[:, None] == self.labels).sum(1).cpu().numpy()
        mean, square, margin_square = (sum(sums).cpu().numpy() / n[:, None] for sums in sums_of_batches)
        if not np.isfinite(mean).all():
            raise not_finite(self.classifier)
        classes = self.classes.cpu().numpy()
        margin = margin_over_rivals(classes, mean, square, margin_square, n, self.config.confidence)
        return {
            **_joined(of_images),
            "class_softmax": mean.astype(np.float32),
            "margin": margin.value,
            "margin_low": margin.ci_low,
            "margin_high": margin.ci_high,
            "pixel_change": torch.cat(pixel_change).double().mean().cpu().numpy(),
        }

    def _class_statistics(self, output: Output) -> tuple[dict[str, Tensor], Tensor, Tensor, Tensor, Tensor]:
        """Return statistics and pixel change by image, and sums by class."""
        softmax = output.logits.softmax(1)
        labels = output.labels[:, None]
        norm = (output.changed - output.images).flatten(1).norm(dim=1)
        pixel_change = norm / output.images[0].numel() ** 0.5
        # Sums by class as products: adding by index is not reproducible on GPUs
        member = (self.classes[:, None] == labels.T).double()
        softmax64 = softmax.double()
        margins = softmax64.gather(1, labels) - softmax64
        return (
            self._image_statistics(output, softmax),
            pixel_change,
            member @ softmax64,
            member @ softmax64.square(),
            member @ margins.square(),
        )

    def _image_statistics(self, output: Output, softmax: Tensor) -> dict[str, Tensor]:
        """Return the image statistics of a batch, and the largest outputs where several count as right."""
        statistics = {name: statistic(output, softmax) for name, statistic in IMAGE_STATISTICS.items()}
        if self.unchanged_softmax is not None:
            before = self.unchanged_softmax[output.rows]
            statistics[SOFTMAX_CHANGE] = (softmax - before).abs().sum(1) / 2
        if self.config.topk > 1:
            statistics["top"] = output.logits.topk(self.config.topk).indices.int()
        return statistics

    def at(self, transform: Transform, v: Tensor | float, *, surround: bool = True) -> Change:
        """Return a transformation at one magnitude, or at one for each of all images.

        Args:
            transform: The transformation; a spatial one brings in what is known around the images.
            v: The magnitude, or magnitudes.
            surround: False: nothing is known around them.
        """
        magnitudes, config = torch.as_tensor(v, dtype=torch.float32).reshape(-1), self.config

        def change(images: Tensor, index: Tensor) -> Tensor:
            of_batch = (magnitudes if len(magnitudes) == 1 else magnitudes[index]).to(images.device)
            if transform.spatial and surround:
                images, around = self._around(images, index)
                return transform.apply(images, of_batch, config.padding, None, around, config.interpolation)
            noise = self._noise(images, index, of_batch) if transform.random else None
            return transform.apply(images, of_batch, config.padding, noise, None, config.interpolation)

        return change

    def _around(self, images: Tensor, index: Tensor) -> tuple[Tensor, Surround | None]:
        """Return the canvases of indexed images with their surround; without one, the images themselves."""
        if self.data.canvases is None:
            return images, None
        return self.data.with_surround(index, images.device)

    def round_trip(self, transform: Transform, v: float) -> Change:
        """Return a spatial transformation followed by its inverse: interpolation and cut-off alone."""
        matrix = self._matrix(transform, v)

        def change(images: Tensor, index: Tensor) -> Tensor:
            images, around = self._around(images, index)
            return warp_and_back(images, matrix, self.config.padding, around, self.config.interpolation)

        return change

    def pair(self, first: Transform, v: float, second: Transform, w: float) -> Change:
        """Return one transformation after another; two spatial ones as a single warp, cutting off once.

        With a surround, the first one changes whole canvases if the second one is spatial.
        """
        if second.spatial and not first.spatial and self.data.canvases is not None:
            return self._in_front_of_warp(first, v, second, w)
        if not (first.spatial and second.spatial):
            change_first, change_second = self.at(first, v), self.at(second, w)
            return lambda images, index: change_second(change_first(images, index), index)
        matrix = compose_maps(self._matrix(first, v), self._matrix(second, w))

        def change(images: Tensor, index: Tensor) -> Tensor:
            images, around = self._around(images, index)
            padding, interpolation = self.config.padding, self.config.interpolation
            return warp(images, matrix.to(images), padding, around, interpolation).clamp(0, 1)

        return change

    def _in_front_of_warp(self, first: Transform, v: float, second: Transform, w: float) -> Change:
        """Return a transformation of whole canvases, followed by a spatial one of their crops."""
        padding = self.config.padding
        first_at, second_at = (torch.tensor([m], dtype=torch.float32) for m in (v, w))

        def change(images: Tensor, index: Tensor) -> Tensor:
            images, around = self._around(images, index)
            assert around is not None
            canvases = fill_outside(images, around, padding)
            noise = self._noise(canvases, index, first_at) if first.random else None
            canvases = first.apply(canvases, first_at.to(images.device), padding, noise, around)
            return second.apply(
                canvases, second_at.to(images.device), padding, None, around, self.config.interpolation
            )

        return change

    def _matrix(self, transform: Transform, *magnitudes: float) -> Tensor:
        return transform.matrix(torch.tensor(magnitudes, dtype=torch.float64), self.images)

    def flips(
        self,
        transform: Transform,
        path: Sequence[float],
        clean: Tensor,
        known: Mapping[float, Tensor] = MappingProxyType({}),
    ) -> Flips:
        """Search along a path of magnitudes where each image's prediction first differs from the clean one.

        Args:
            transform: The transformation.
            path: Magnitudes, from the nearest to the farthest from the identity.
            clean: Predictions at the identity, N.
            known: Predictions, N, at magnitudes that need not be evaluated again.
        """
        unused = torch.zeros(len(self.all_indices), dtype=torch.float32)

        def predict(index: Tensor, v: Tensor) -> Tensor:
            if len(v) == 1 and v.item() in known:
                return known[v.item()][index]
            magnitudes = v if len(v) == 1 else unused.index_copy(0, index, v.float())
            return self.predictions(self.at(transform, magnitudes), index)

        return find_flips(predict, clean, transform, path, self.config.bisections)

    def lost_content(self, transform: Transform, magnitudes: Sequence[float]) -> Arrays:
        """Return which share of the frame's area, and of each image's intensity, leaves the frame.

        This is what the classifier saw before and sees no longer. A surround changes nothing about it: with
        one, more of the photograph comes in instead, without one padding does.

        A pixel leaves when its center is mapped outside the frame. Both arrays have shape M; intensity is
        the mean over images, and an image that is black throughout loses nothing.
        """
        parts = [
            self._lost_content(transform, magnitudes[start : start + MAGNITUDES_AT_ONCE])
            for start in range(0, len(magnitudes), MAGNITUDES_AT_ONCE)
        ]
        return {key: np.concatenate([part[key] for part in parts]) for key in ("area", "intensity")}

    def _lost_content(self, transform: Transform, magnitudes: Sequence[float]) -> Arrays:
        height, width = self.images.shape[-2:]
        matrices = self._matrix(transform, *magnitudes)
        y, x = torch.meshgrid(pixel_centers(height, matrices), pixel_centers(width, matrices), indexing="ij")
        targets = map_points(inverse_map(matrices), torch.stack([x, y]).flatten(1))
        leaves = (targets.abs() > 1 + 1e-9).any(1)  # M x HW
        weights = leaves.T.to(self.device, torch.float32)
        total = torch.zeros(len(magnitudes), dtype=torch.float64)
        for batch in self.images.split(self.batch_size):
            intensity = batch.to(self.device, torch.float32).sum(1).flatten(1)
            share = (intensity @ weights) / intensity.sum(1, keepdim=True).clamp_min(1e-6)
            total += share.double().sum(0).cpu()
        return {"area": leaves.double().mean(1).numpy(), "intensity": (total / len(self.images)).numpy()}

    def _noise(self, images: Tensor, index: Tensor, magnitudes: Tensor) -> Tensor:
        """Return the noise that belongs to each image, whatever batch it is in."""
        return noise_of_images(
            images, index, self.config.seed, magnitudes if self.config.fresh_noise else None
        )


def _joined(batches: Sequence[Mapping[str, Tensor]]) -> Arrays:
    return {name: torch.cat([batch[name] for batch in batches]).cpu().numpy() for name in batches[0]}
