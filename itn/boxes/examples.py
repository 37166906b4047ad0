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


def unchanged_and_worst(passes: BoxPasses, rows: Sequence[WorstRow], numbers: Sequence[int]) -> Tensor:
    """Return images unchanged and at their worst points, 2 x M x C x H x W, on the CPU.

    Args:
        passes: The images under points of the box.
        rows: Of all images.
        numbers: Which of these; all were searched.
    """
    points = torch.tensor([rows[number].point for number in numbers], dtype=torch.float64)
    identity = torch.tensor([[t.identity for t in passes.box.transforms]], dtype=torch.float64)
    index = torch.tensor(numbers)
    return torch.stack([passes.pictures(index, v) for v in (identity.expand_as(points), points)])


@torch.inference_mode()
def worst_examples(
    passes: BoxPasses, rows: Sequence[WorstRow], numbers: Sequence[int]
) -> tuple[WorstExample, ...]:
    """Return images as examples; the arguments are those of ``unchanged_and_worst``."""
    if not numbers:
        return ()
    shown = [rows[number] for number in numbers]
    unchanged, worst = unchanged_and_worst(passes, rows, numbers)
    names = passes.classifier.class_name
    answers = [names(label) for label in passes.data.predictions[list(numbers)].tolist()]
    return tuple(
        WorstExample(row.image, row.class_, answer, encoded(before), encoded(after))
        for row, answer, before, after in zip(shown, answers, unchanged, worst, strict=True)
    )
