"""The magnitudes at which the predictions of single images change, without a whole screen."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from itn.data.loading import ImageSet
from itn.functional import check_images
from itn.models.canvases import SurroundSetting, chosen_canvases
from itn.models.checked_images import CheckedImages
from itn.models.classifier import as_classifier
from itn.screening.config import ScreenConfig
from itn.screening.flips import Flips
from itn.screening.passes import Screener, unchanged
from itn.screening.thresholds import paths
from itn.transforms import Transform


def flip_magnitudes(
    classifier: nn.Module,
    images: Tensor | ImageSet,
    transform: Transform | str,
    magnitudes: Sequence[float] | None = None,
    *,
    bisections: int = ScreenConfig.bisections,
    batch_size: int = ScreenConfig.batch_size,
    padding: str = ScreenConfig.padding,
    surround: SurroundSetting = ScreenConfig.surround,
    interpolation: str = ScreenConfig.interpolation,
    seed: int = ScreenConfig.seed,
) -> dict[str, Flips]:
    """Find, for each image, the smallest magnitude on each side at which its prediction changes.

    Args:
        classifier: The classifier to study; its device does the work.
        images: N x C x H x W, uint8 or float in [0, 1]; or an ``ImageSet``, with what its photographs show
            around these.
        transform: A transformation, or a name from ``itn.TRANSFORMS``.
        magnitudes: Magnitudes to try, on either side of the identity or both; default its own.
        bisections: How often to halve the bracket that holds a flip.
        batch_size: Images in one forward pass.
        padding: What lies outside the frame: zeros, border or reflection.
        surround: What is looked at around the images of an ``ImageSet``, as in ``ScreenConfig``.
        interpolation: Bilinear or bicubic, as in ``ScreenConfig``.
        seed: Seed of the noise, if the transformation needs any.

    Returns:
        The flips "below" and "above" the identity; a side without magnitudes is absent.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> flips = flip_magnitudes(clf, images, "rotate", range(-180, 181, 5))
        >>> flips["above"].magnitude[flips["above"].flipped]  # degrees
    """
    classifier = as_classifier(classifier)
    known = images.canvases if isinstance(images, ImageSet) else None
    images = images.images if isinstance(images, ImageSet) else images
    check_images(images, classifier.channels)
    name = transform if isinstance(transform, str) else transform.name
    config = ScreenConfig(
        transforms=(transform,),
        magnitudes={} if magnitudes is None else {name: tuple(map(float, magnitudes))},
        bisections=bisections,
        batch_size=batch_size,
        padding=padding,
        surround=surround,
        interpolation=interpolation,
        seed=seed,
    )
    unused = torch.zeros(len(images), dtype=torch.int64)  # neither labels nor clean predictions are needed
    canvases = chosen_canvases(known, surround, classifier.preprocessing)
    images = images if canvases is None else canvases.crops
    data = CheckedImages(images, unused, unused, canvases=canvases)
    screener = Screener(classifier, data, config)
    clean = screener.predictions(unchanged)
    resolved = config.resolved[name]
    return {
        side: screener.flips(resolved, path, clean)
        for side, path in paths(resolved, config.sweep(name)).items()
    }
