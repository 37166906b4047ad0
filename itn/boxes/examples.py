"""Images unchanged and at their worst points, for the report of a box."""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from itn.boxes.passes import BoxPasses
from itn.boxes.records import WorstRow
from itn.reports.pictures import encoded
from itn.stats import one_per_class

MOST, FEW = 12, 6  # images that are shown, and where none is broken


@dataclasses.dataclass(frozen=True)
class WorstExample:
    """An image unchanged and at its worst point."""

    image: str
    """Its name in worst.csv."""
    class_: str
    answer: str
    """The predicted class of the unchanged image."""
    unchanged: bytes
    """PNG or JPEG; base64 in JSON, likewise the next."""
    worst: bytes


def shown_images(rows: Sequence[WorstRow], labels: Tensor) -> list[int]:
    """Return which images to show: of each class the first that broke; if none has, those nearest to it."""
    searched = [n for n, row in enumerate(rows) if row.searched]
    broken = [n for n in searched if not rows[n].survives]
    if not broken:
        return sorted(searched, key=lambda n: rows[n].margin or 0)[:FEW]
    index = torch.tensor(broken)
    return index[one_per_class(labels[index], MOST)].tolist()


@torch.inference_mode()
def worst_examples(
    passes: BoxPasses, rows: Sequence[WorstRow], numbers: Sequence[int]
) -> tuple[WorstExample, ...]:
    """Return images as examples.

    Args:
        passes: The images under points of the box.
        rows: Of all images.
        numbers: Which of these; all were searched.
    """
    if not numbers:
        return ()
    index = torch.tensor(numbers)
    shown = [rows[number] for number in numbers]
    identity = torch.tensor([[t.identity for t in passes.box.transforms]], dtype=torch.float64)
    points = torch.tensor([row.point for row in shown], dtype=torch.float64)
    unchanged, worst = (passes.pictures(index, v) for v in (identity.expand_as(points), points))
    names = passes.classifier.class_name
    answers = [names(label) for label in passes.data.predictions[index.to(passes.device)].tolist()]
    return tuple(
        WorstExample(row.image, row.class_, answer, encoded(before), encoded(after))
        for row, answer, before, after in zip(shown, answers, unchanged, worst, strict=True)
    )
