"""The work of a run: all images, block by block, with what was evaluated kept in the folder."""

import dataclasses
from functools import partial

import torch
from torch import Tensor

from itn.boxes.passes import BoxPasses
from itn.boxes.records import RoundTrip
from itn.boxes.search import PHASES, BlockSearch, Budget, Phase
from itn.runtime.journal import Journal
from itn.runtime.progress import progress_bar
from itn.runtime.wording import counted

BLOCK = 1024  # images that are searched side by side; it bounds the memory of what was tried
KEPT_TOGETHER = 2000  # forward passes between two moments from which an interrupted run goes on, at least


@dataclasses.dataclass(frozen=True)
class Found:
    """What was found of the images that were searched, S of N; ``BlockSearch`` explains it."""

    right: Tensor
    """Whether each of all images is right unchanged, bool, N."""
    index: Tensor
    """Which images were searched, S."""
    margin: Tensor
    worst: Tensor
    prediction: Tensor
    scale: Tensor
    broken: Tensor
    survives_alone: Tensor
    passes: dict[Phase, Tensor]


def search_images(passes: BoxPasses, journal: Journal, progress: bool | None = None) -> Found:
    """Search all images that are asked about, those right unchanged or all.

    Raises:
        ValueError: If no image is right unchanged.
    """
    config, box = passes.config, passes.box
    rows = passes.batch_size * max(1, KEPT_TOGETHER // passes.batch_size)  # whatever fits into memory later

    def ask(index: Tensor, ways: Tensor) -> Tensor:
        parts = zip(index.split(rows), ways.split(rows), strict=True)
        return torch.cat([journal.once(partial(passes.answers, *part)) for part in parts])

    everything = torch.arange(len(passes.data))
    clean = ask(everything, torch.zeros(len(everything), len(box), dtype=torch.float64))
    right = clean[:, 0] >= 0
    if config.needs_labels:
        index = right.nonzero()[:, 0]
    else:
        index, passes.references = everything, clean[:, 1].long().to(passes.device)
    if not len(index):
        raise ValueError("no image is right unchanged, so none can break: check the labels")
    budget = Budget(config.passes, config.single_steps, config.growth_passes)
    blocks = index.split(BLOCK)
    room = sum(budget.by_phase(box).values())
    searches = []
    with progress_bar("search", room * len(blocks), "points", progress) as bar:
        for number, part in enumerate(blocks):

            def advance(count: int, left: int, number: int = number, part: Tensor = part) -> None:
                bar.advance(count)
                where = f"block {number + 1} of {len(blocks)}: " if len(blocks) > 1 else ""
                bar.note(f"{where}{left:,} of {counted(len(part), 'image')} survive")

            search = BlockSearch(part, box, ask, budget, config.seed, advance)
            search.run()
            searches.append(search)
    return Found(
        right,
        index,
        passes={phase: torch.cat([search.passes[phase] for search in searches]) for phase in PHASES},
        **{
            name: torch.cat([getattr(search, name) for search in searches])
            for name in ("margin", "worst", "prediction", "scale", "broken", "survives_alone")
        },
    )


def round_trip(passes: BoxPasses, journal: Journal, found: Found) -> RoundTrip | None:
    """Return what a warp to their worst points and back does to images that break; None without a warp."""
    if not (passes.warps and found.broken.any()):
        return None
    answers = journal.once(partial(passes.round_trip, found.index[found.broken], found.worst[found.broken]))
    return RoundTrip(len(answers), int((answers[:, 0] < 0).sum()))
