"""The magnitudes at which the predictions of single images change, without a whole screen."""

from collections.abc import Sequence

import torch
from torch import Tensor

from itn.functional import check_images
from itn.models.checked_images import CheckedImages
from itn.models.classifier import Classifier
from itn.screening.config import ScreenConfig
from itn.screening.flips import Flips
from itn.screening.passes import Screener, unchanged
from itn.screening.thresholds import paths
from itn.transforms import Transform


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
    """Find, for each image, the smallest magnitude on each side at which its prediction changes.

    Args:
        classifier: The classifier to study; its device does the work.
        images: N x C x H x W, uint8 or float in [0, 1].
        transform: A transformation, or a name from ``itn.TRANSFORMS``.
        magnitudes: Magnitudes to try, on either side of the identity or both; default its own.
        bisections: How often to halve the bracket that holds a flip.
        batch_size: Images in one forward pass.
        padding: What lies outside the frame: zeros, border or reflection.
        seed: Seed of the noise, if the transformation needs any.

    Returns:
        The flips "below" and "above" the identity; a side without magnitudes is absent.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> flips = flip_magnitudes(clf, images, "rotate", range(-180, 181, 5))
        >>> flips["above"].magnitude[flips["above"].flipped]  # degrees
    """
    check_images(images, classifier.channels)
    name = transform if isinstance(transform, str) else transform.name
    config = ScreenConfig(
        transforms=(transform,),
        magnitudes={} if magnitudes is None else {name: tuple(map(float, magnitudes))},
        bisections=bisections,
        batch_size=batch_size,
        padding=padding,
        seed=seed,
    )
    unused = torch.zeros(len(images), dtype=torch.int64)  # neither labels nor clean predictions are needed
    screener = Screener(classifier, CheckedImages(images, unused, unused), config)
    clean = screener.predictions(unchanged)
    resolved = config.resolved[name]
    return {
        side: screener.flips(resolved, path, clean)
        for side, path in paths(resolved, config.sweep(name)).items()
    }
