"""What became of every image of a search in a box, for comparisons: the box as one transformation.

Its magnitude is the size of the box, from 0, the identity, to 1, the full box. An image is right, and agrees,
in every box smaller than the one that was found to break it.
"""

from collections.abc import Sequence

import numpy as np
import torch

from itn.boxes.growth import SCALES
from itn.boxes.passes import BoxPasses
from itn.boxes.work import Found
from itn.runtime.arrays import smallest
from itn.screening.outcomes import ImageOutcomes, SweepOutcomes, digests_of

BOX = "box"
"""What the box is called among transformations."""


def box_outcomes(
    passes: BoxPasses,
    found: Found,
    names: Sequence[str],
    *,
    source: str | None,
    labeled: bool,
) -> ImageOutcomes:
    """Return what became of every image.

    Args:
        passes: The images, with the classifier.
        found: What was found of those that were searched.
        names: Of all images.
        source: Where they come from, if that is known.
        labeled: Whether labels were given.
    """
    data = passes.data
    labels, predictions = data.labels.cpu(), data.predictions.cpu()
    scale, worst = torch.full((len(data),), torch.inf, dtype=torch.float64), predictions.clone()
    scale[found.index] = found.scale.double()
    worst[found.index] = torch.where(found.broken, found.prediction.long(), predictions[found.index])
    survives = scale > torch.tensor(SCALES, dtype=torch.float64)[:, None]
    broken = scale.isfinite()
    flips = torch.where(broken, scale, SCALES[-1]).numpy(), broken.numpy()
    class_name = passes.classifier.class_name
    sweep = SweepOutcomes(
        identity=0.0,
        logarithmic=False,
        discrete=False,
        magnitudes=np.array(SCALES),
        swept=np.ones(len(SCALES), dtype=bool),
        predictions=smallest(torch.where(survives, predictions, worst).numpy()),
        right=(survives & found.right).numpy(),
        agrees=survives.numpy(),
        flips={"above": flips},
    )
    return ImageOutcomes(
        source=source or "",
        shape=tuple(data.images.shape[1:]),
        images=tuple(names),
        digests=digests_of(data),
        labels=smallest(labels.numpy()),
        labeled=labeled,
        classes={label: class_name(label) for label in labels.unique().tolist()},
        predictions=smallest(predictions.numpy()),
        right=found.right.numpy(),
        topk=passes.config.topk,
        sweeps={BOX: sweep},
    )
