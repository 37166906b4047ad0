"""Comparing runs on the same images: paired differences, rank correlations, images that break in one."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from itn.runtime import distributed
from itn.runtime.errors import NOTHING_KEPT, explained
from itn.runtime.progress import progress_bar
from itn.runtime.provenance import package_version, provenance
from itn.runtime.records import SCHEMA_VERSION
from itn.runtime.run_dir import RunFolder
from itn.runtime.run_files import FigureFormat
from itn.runtime.validation import require, user_path
from itn.screening.comparison.matching import matched
from itn.screening.comparison.pairs import Bootstrap, compare_pair, image_rows
from itn.screening.comparison.records import Compared, ComparisonRecord
from itn.screening.comparison.result import ComparisonResult, load_comparison, write_tables
from itn.screening.comparison.rows import comparison_rows
from itn.screening.comparison.subject import Comparable, Subject, load_subject
from itn.screening.outcomes import ImageOutcomes
from itn.stats import generator

RESAMPLES = 1000


def compare(
    runs: Sequence[Comparable | str | Path],
    out: str | Path | None = None,
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    images: Tensor | None = None,
    overwrite: bool = False,
    figure_format: FigureFormat = "png",
    progress: bool | None = None,
) -> ComparisonResult:
    """Compare two or more screens of the same images, or searches in the same box, image by image.

    Args:
        runs: Results of ``itn.screen`` or of ``itn.worst_case``, or their folders. Images are matched by
            their paths or numbers.
        out: Folder for config.json, result.json, timing.json, comparison.csv, images.csv and figures/: new or
            empty, or that of the same comparison. None writes nothing.
        confidence: Of all intervals, pointwise.
        resamples: Of the bootstrap over images.
        seed: Of the resamples.
        images: The images of the first run, in its order, for the figure of images that break in one
            alone; None: they are loaded from where that run has them from, if they are still there.
        overwrite: Replace an earlier comparison in ``out``.
        figure_format: Of the figures: png, pdf or svg.
        progress: Show a progress bar; None does so on a terminal.

    Returns:
        The record of result.json and the rows of the tables.

    Raises:
        ValueError: If the runs cannot be compared; the message says why, and what to do.

    Example:
        >>> found = itn.compare(["runs/lenet5", "runs/jennings"], out="runs/both")
        >>> found.record.pairs[0].transforms["rotate"].thresholds["accuracy"]["above"].value  # degrees
    """
    clock, started = time.perf_counter(), datetime.now(UTC)
    require(0 < confidence < 1, f"confidence must lie in (0, 1), got {confidence}")
    require(resamples >= 100, f"resamples must be at least 100, got {resamples}")
    require(isinstance(runs, Sequence) and not isinstance(runs, str), f"runs must be a list, got {runs!r}")
    require(len(runs) >= 2, f"give at least two runs to compare, got {len(runs)}")
    subjects = [
        run.subject() if isinstance(run, Comparable) else load_subject(user_path(run)) for run in runs
    ]
    names = run_names(runs, subjects)
    outcomes, notes = matched(names, subjects)
    settings = {
        "command": "compare",
        "schema_version": SCHEMA_VERSION,
        "version": package_version("itn"),
        "config": {"confidence": confidence, "resamples": resamples, "seed": seed},
        "runs": [
            {"name": name, "sha256": subject.sha256()} for name, subject in zip(names, subjects, strict=True)
        ],
    }
    folder = None if out is None else RunFolder(out, settings, overwrite, figure_format)
    if folder is not None and folder.finished:
        return load_comparison(folder.path)
    first, n = subjects[0], len(outcomes[0].images)
    assert first.fraction is not None  # or there would be nothing in common
    random = generator(seed, "compare")
    pairs = list(combinations(range(len(subjects)), 2))
    bar_of_pairs = progress_bar("compare", len(pairs), "pairs", progress)
    with folder or nullcontext(), bar_of_pairs as bar, explained(lambda: NOTHING_KEPT, resumable=False):
        bootstrap = Bootstrap.drawn(n, resamples, confidence, random)
        compared, of_images = [], []
        for a, b in pairs:
            of_pair = (names[a], names[b]), (outcomes[a], outcomes[b])
            compared.append(compare_pair(*of_pair, first, bootstrap))
            of_images += list(image_rows(*of_pair, compared[-1]))
            bar.advance()
        record = ComparisonRecord(
            screens=tuple(
                Compared(name, subject.model, subject.n, float(each.right.mean()))
                for name, subject, each in zip(names, subjects, outcomes, strict=True)
            ),
            n=n,
            source=outcomes[0].source,
            labeled=outcomes[0].labeled,
            criterion=first.criterion,
            topk=first.topk,
            accuracy_fraction=first.fraction,
            confidence=confidence,
            resamples=resamples,
            pairs=tuple(compared),
            notes=tuple(notes),
            provenance=provenance(torch.device("cpu")) | {"seed": seed},
        )
        result = ComparisonResult(record, tuple(comparison_rows(record)), tuple(of_images))
        if folder is not None:
            timing = {"started": started.isoformat()}
            finish = partial(_finish, folder, result, outcomes, images, first.settings, timing, clock)
            distributed.on_rank_zero(finish)
    return result


def run_names(runs: Sequence[Comparable | str | Path], subjects: Sequence[Subject]) -> list[str]:
    """Return what to call the runs: their classifiers, with folder or number where these are alike."""
    models = [subject.model for subject in subjects]
    folders = [None if isinstance(run, Comparable) else user_path(run).name for run in runs]
    names = [
        model if count == 1 else f"{model} ({folder or number})"
        for number, (model, folder) in enumerate(zip(models, folders, strict=True), start=1)
        for count in [Counter(models)[model]]
    ]
    alike = {name for name, count in Counter(names).items() if count > 1}
    return [f"{name} {number}" if name in alike else name for number, name in enumerate(names, start=1)]


def _finish(
    folder: RunFolder,
    result: ComparisonResult,
    outcomes: Sequence[ImageOutcomes],
    images: Tensor | None,
    settings: Mapping[str, Any],
    timing: dict[str, Any],
    clock: float,
) -> None:
    """Write everything that a comparison leaves."""
    from itn.screening.comparison.figures import draw_comparison  # noqa: PLC0415  # slow to import

    write_tables(folder, result)
    draw_comparison(folder, result, outcomes, images, settings)
    folder.finish(result.record.to_json(), timing | {"seconds": {"comparison": time.perf_counter() - clock}})
