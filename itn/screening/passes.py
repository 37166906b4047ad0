"""One pass of images through a transformation and a frozen classifier: what screening measures."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

from itn.functional.color import check_images
from itn.functional.spatial import pixel_centres, warp
from itn.models.classifier import Classifier, first_line
from itn.models.preflight import SAMPLE, CheckedImages
from itn.runtime.batching import map_in_memory
from itn.runtime.errors import RunError
from itn.screening.config import ScreenConfig
from itn.screening.flips import Flips, find_flips
from itn.screening.thresholds import paths
from itn.stats.sampling import generator
from itn.transforms.registry import TRANSFORMS, Transform

T = TypeVar("T")
Change = Callable[[Tensor, Tensor], Tensor]
"""From float images and their indices in the data to changed images."""
Arrays = dict[str, np.ndarray]
MAGNITUDES_AT_ONCE = 16  # where the content goes is known for a frame of pixels and each magnitude


class Output(NamedTuple):
    """A batch that has gone through a transformation and the classifier."""

    rows: Tensor
    """Indices of the images in the data."""
    images: Tensor
    changed: Tensor
    logits: Tensor
    """Float32."""


class Screener:
    """A frozen classifier and its images; every method is one pass over images, in batches.

    Args:
        classifier: What is studied.
        data: Its images.
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
        self.everything = torch.arange(len(data))
        self.seen = 0
        """Images that have gone through the classifier so far."""

    def each(self, change: Change, index: Tensor, look: Callable[[Output], T]) -> list[T]:
        """Return what is seen in each batch of indexed images; several processes share the batches.

        Batches that are too large for the memory are halved, for this pass and those that follow.
        """
        found, self.batch_size = map_in_memory(
            len(index), self.batch_size, lambda rows: look(self.output(change, index[rows]))
        )
        self.seen += len(index)
        return found

    def output(self, change: Change, chosen: Tensor) -> Output:
        """Return what becomes of a batch of chosen images."""
        images = self.data.pixels(chosen, self.device)
        changed = change(images, chosen)
        return Output(chosen.to(self.device), images, changed, self.classifier.logits(changed).float())

    @torch.inference_mode()
    def check(self) -> None:
        """Raise ValueError unless the network takes what the settings make of its images."""
        few = min(SAMPLE, self.batch_size)
        try:
            logits = self.output(lambda images, index: images, self.everything[:few]).logits
        except Exception as error:  # whatever a user's network raises
            raise ValueError(
                f"{self.classifier.name} cannot run with channels_last={self.config.channels_last}, "
                f"compile={self.config.compile} and precision={self.config.precision}, "
                f"though it can without: {first_line(error)}"
            ) from None
        if not logits.isfinite().all():
            raise ValueError(f"{self.classifier.name} overflows in {self.config.precision}: take float32")

    @torch.inference_mode()
    def predictions(self, change: Change, index: Tensor | None = None) -> Tensor:
        """Return the predicted classes, on the CPU, of indexed images; default all."""
        index = self.everything if index is None else index
        return torch.cat(self.each(change, index, lambda seen: seen.logits.argmax(1))).cpu()

    @torch.inference_mode()
    def glance(self, change: Change) -> Arrays:
        """Return predictions and the softmax of the true class, for each image."""

        def look(seen: Output) -> tuple[Tensor, Tensor]:
            true = seen.logits.softmax(1).gather(1, self.labels[seen.rows, None])
            return seen.logits.argmax(1), true.squeeze(1)

        predictions, true = zip(*self.each(change, self.everything, look), strict=True)
        return {
            "predictions": torch.cat(predictions).cpu().numpy(),
            "softmax_true": torch.cat(true).cpu().numpy(),
        }

    @torch.inference_mode()
    def observe(self, change: Change) -> Arrays:
        """Return what ``glance`` does, and for each class its mean softmax and its margin.

        The margin is the mean softmax of the true class minus the largest of the others; ``margin_low``
        and ``margin_high`` are its approximate pointwise interval: the least of Student's over the other
        classes, not corrected for their number.
        """
        predictions, true, change_of_pixels, of_softmax, of_squares = zip(
            *self.each(change, self.everything, self._observed), strict=True
        )
        sums, squares = sum(of_softmax), sum(of_squares)
        if not sums.isfinite().all():
            raise RunError(
                f"the logits of {self.classifier.name} are not finite on transformed images: "
                "look at its weights, or take --precision float32"
            )
        n = (self.classes[:, None] == self.labels).sum(1, keepdim=True).cpu()
        mean = sums.cpu() / n
        rivals, width = self._margins(mean, squares.cpu() / n, n)
        return {
            "predictions": torch.cat(predictions).cpu().numpy(),
            "softmax_true": torch.cat(true).cpu().numpy(),
            "class_softmax": mean.float().numpy(),
            "margin": rivals.amin(1).numpy(),
            "margin_low": (rivals - width).amin(1).numpy(),
            "margin_high": (rivals + width).amin(1).numpy(),
            "pixel_change": torch.cat(change_of_pixels).double().mean().cpu().numpy(),
        }

    def _observed(self, seen: Output) -> tuple[Tensor, ...]:
        """Return predictions, softmax of the true class, change of pixels, and sums over each class."""
        softmax = seen.logits.softmax(1)
        labels = self.labels[seen.rows, None]
        own = softmax.gather(1, labels)
        moved = (seen.changed - seen.images).flatten(1).norm(dim=1) / seen.images[0].numel() ** 0.5
        # Sums by class as products: adding by index is not reproducible on GPUs
        member = (self.classes[:, None] == labels.T).double()
        wide = softmax.double()
        margins = own.double() - wide
        return seen.logits.argmax(1), own.squeeze(1), moved, member @ wide, member @ margins.square()

    def _margins(self, mean: Tensor, square: Tensor, n: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean margins over each other class, and the half widths of their intervals, both L x K."""
        own = self.classes.cpu()[:, None]
        margin = mean.gather(1, own) - mean
        quantile = torch.from_numpy(stdtrit(n.clamp_min(2).numpy() - 1, (1 + self.config.confidence) / 2))
        width = quantile * ((square - margin.square()).clamp_min(0) / (n - 1).clamp_min(1)).sqrt()
        width = torch.where(n > 1, width, torch.inf)  # a single image has no spread
        return margin.scatter(1, own, torch.inf), width.scatter(1, own, 0)

    def at(self, transform: Transform, v: Tensor | float) -> Change:
        """Return a transformation at one magnitude, or at one for each of all images."""
        magnitudes = torch.as_tensor(v, dtype=torch.float32).reshape(-1)

        def change(images: Tensor, index: Tensor) -> Tensor:
            chosen = magnitudes if len(magnitudes) == 1 else magnitudes[index]
            noise = self._noise(images, index, chosen) if transform.random else None
            return transform.apply(images, chosen.to(images.device), self.config.padding, noise)

        return change

    def round_trip(self, transform: Transform, v: float) -> Change:
        """Return a spatial transformation followed by its inverse: interpolation and cut-off alone."""
        there = transform.matrix(torch.tensor([v], dtype=torch.float64), self.images)
        back = torch.linalg.inv(_square(there))[:, :2]
        padding = self.config.padding

        def change(images: Tensor, index: Tensor) -> Tensor:
            return warp(warp(images, there.to(images), padding), back.to(images), padding).clamp(0, 1)

        return change

    def pair(self, first: Transform, v: float, second: Transform, w: float) -> Change:
        """Return one transformation after another; two spatial ones as a single warp, cutting off once."""
        if not (first.spatial and second.spatial):
            one, other = self.at(first, v), self.at(second, w)
            return lambda images, index: other(one(images, index), index)

        a, b = (
            _square(transform.matrix(torch.tensor([value], dtype=torch.float64), self.images))
            for transform, value in ((first, v), (second, w))
        )
        matrix = (a @ b)[:, :2]
        return lambda images, index: warp(images, matrix.to(images), self.config.padding).clamp(0, 1)

    def flips(
        self,
        transform: Transform,
        path: Sequence[float],
        clean: Tensor,
        known: Mapping[float, Tensor] = MappingProxyType({}),
    ) -> Flips:
        """Search where each image's prediction leaves the clean one, along a path of magnitudes.

        Args:
            transform: What to do to the images.
            path: Magnitudes, from the nearest to the farthest from the identity.
            clean: Predictions at the identity, N.
            known: Predictions, N, at magnitudes that need not be looked at again.
        """
        everywhere = torch.zeros(len(self.everything), dtype=torch.float32)

        def predict(index: Tensor, v: Tensor) -> Tensor:
            if len(v) == 1 and v.item() in known:
                return known[v.item()][index]
            magnitudes = v if len(v) == 1 else everywhere.index_copy(0, index, v.float())
            return self.predictions(self.at(transform, magnitudes), index)

        return find_flips(predict, clean, transform, path, self.config.bisections)

    def lost(self, transform: Transform, magnitudes: Sequence[float]) -> Arrays:
        """Return which share of the frame's area, and of each image's intensity, has left the frame.

        A pixel has left when its centre is mapped outside the frame. Area has shape M, intensity M, the
        mean over images; an image that is black throughout loses nothing.
        """
        parts = [
            self._lost(transform, magnitudes[start : start + MAGNITUDES_AT_ONCE])
            for start in range(0, len(magnitudes), MAGNITUDES_AT_ONCE)
        ]
        return {key: np.concatenate([part[key] for part in parts]) for key in ("area", "intensity")}

    def _lost(self, transform: Transform, magnitudes: Sequence[float]) -> Arrays:
        height, width = self.images.shape[-2:]
        there = transform.matrix(torch.tensor(magnitudes, dtype=torch.float64), self.images)
        y, x = torch.meshgrid(pixel_centres(height, there), pixel_centres(width, there), indexing="ij")
        centres = torch.stack([x, y, torch.ones_like(x)])
        where = torch.linalg.inv(_square(there))[:, :2] @ centres.flatten(1)
        gone = (where.abs() > 1 + 1e-9).any(1)
        outside = gone.T.to(self.device, torch.float32)
        total = torch.zeros(len(magnitudes), dtype=torch.float64)
        for batch in self.images.split(self.batch_size):
            intensity = batch.to(self.device, torch.float32).sum(1).flatten(1)
            share = (intensity @ outside) / intensity.sum(1, keepdim=True).clamp_min(1e-6)
            total += share.double().sum(0).cpu()
        return {"area": gone.double().mean(1).numpy(), "intensity": (total / len(self.images)).numpy()}

    def _noise(self, images: Tensor, index: Tensor, v: Tensor) -> Tensor:
        """Return each image's own noise, whatever batch it is in."""
        noise = torch.empty_like(images)
        magnitudes = v.expand(len(index)).tolist()
        for place, number, magnitude in zip(noise, index.tolist(), magnitudes, strict=True):
            draw = f" at {magnitude:.9g}" if self.config.fresh_noise else ""
            seed = generator(self.config.seed, f"noise of image {number}{draw}").initial_seed()
            place.normal_(generator=torch.Generator(images.device).manual_seed(seed))
        return noise


def suitable_batch(images: Tensor, device: torch.device) -> int:
    """Return how many images to pass at once: larger batches of photographs only cost memory and time."""
    values = 2**22 if device.type == "cpu" else 2**25
    return max(1, min(250, values // images[0].numel()))


def _square(matrix: Tensor) -> Tensor:
    """Return spatial matrices, B x 2 x 3, as B x 3 x 3."""
    last = matrix.new_tensor([0.0, 0.0, 1.0]).expand(len(matrix), 1, 3)
    return torch.cat([matrix, last], 1)


def flip_magnitudes(
    classifier: Classifier,
    images: Tensor,
    transform: Transform | str,
    magnitudes: Sequence[float] | None = None,
    *,
    bisections: int = ScreenConfig.bisections,
    batch_size: int = ScreenConfig.batch_size,
    padding: str = ScreenConfig.padding,
    seed: int = ScreenConfig.seed,
) -> dict[str, Flips]:
    """Find, for each image, the smallest magnitude on each side at which its prediction flips.

    Args:
        classifier: What is studied, on its device.
        images: N x C x H x W, uint8 or float in [0, 1].
        transform: A record or a name of ``itn.TRANSFORMS``.
        magnitudes: Where to look, on either side of the identity or both; default those of the record.
        bisections: How often to halve the bracket in which a flip was found.
        batch_size: Images in one forward pass.
        padding: What lies outside the frame: zeros, border or reflection.
        seed: Of the noise, where the transformation needs it.

    Returns:
        What was found "below" and "above" the identity, where there are magnitudes.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> found = flip_magnitudes(clf, images, "rotate", range(-180, 181, 5))
        >>> found["above"].magnitude[found["above"].flipped]  # degrees
    """
    check_images(images, classifier.channels)
    name = transform if isinstance(transform, str) else transform.name
    asked = None if magnitudes is None else tuple(map(float, magnitudes))
    config = ScreenConfig(
        transforms=(name,),
        magnitudes={} if asked is None else {name: asked},
        bisections=bisections,
        batch_size=batch_size,
        padding=padding,
        seed=seed,
    )
    nothing = torch.zeros(len(images), dtype=torch.int64)
    screener = Screener(classifier, CheckedImages(images, nothing, nothing), config)
    clean = screener.predictions(lambda unchanged, index: unchanged)
    known = TRANSFORMS[name]
    if transform not in (name, known):
        raise ValueError(f"{name!r} in itn.TRANSFORMS is another transformation: register this one")
    return {
        side: screener.flips(known, path, clean) for side, path in paths(known, config.sweep(name)).items()
    }
