"""The worst case in a box: how many images survive all transformations of a frozen classifier together."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import Tensor, nn

from itn.boxes.box import Box
from itn.boxes.config import WorstConfig
from itn.boxes.examples import WorstExample, shown_images, worst_examples
from itn.boxes.growth import growth, share
from itn.boxes.outcomes import box_outcomes
from itn.boxes.passes import BoxPasses
from itn.boxes.records import RoundTrip, WorstRecord, WorstRow
from itn.boxes.result import WorstResult, load_worst, write_tables
from itn.boxes.summary import statement
from itn.boxes.work import Found, round_trip, search_images
from itn.data.inputs import PREDICTED, RunInputs, source_of
from itn.data.loading import ImageSet
from itn.models.classifier import Classifier, as_classifier
from itn.reports.examples import examples_json
from itn.reports.kinds import leave_report
from itn.runtime import distributed
from itn.runtime.errors import NOTHING_KEPT, explained
from itn.runtime.journal import Journal
from itn.runtime.run_dir import RunFolder
from itn.runtime.run_files import EXAMPLES, JOURNAL, FigureFormat
from itn.runtime.validation import config_of
from itn.runtime.wording import counted
from itn.stats import clopper_pearson
from itn.transforms import Transform


def worst_case(
    classifier: nn.Module,
    images: Tensor | ImageSet,
    labels: Tensor | None = None,
    config: WorstConfig | Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    *,
    box: Mapping[str | Transform, tuple[float, float]] | None = None,
    source: str | None = None,
    names: Sequence[str] | NDArray[Any] | None = None,
    overwrite: bool = False,
    figure_format: FigureFormat = "png",
    progress: bool | None = None,
) -> WorstResult:
    """Find how many images survive all transformations together, the worst case of each in a box.

    Each image is searched for a point of the box that breaks it. What survives every point that was tried is
    an upper bound of what survives in the whole box. Transformations that move no pixels are applied first,
    then the spatial ones as a single warp, each group in the order of the box.

    Args:
        classifier: The classifier to study; it is not changed, and its device does the work. Another module
            is taken to expect images in [0, 1], with a warning.
        images: N x C x H x W, uint8 or float in [0, 1]; or an ``ImageSet``, with what its photographs show
            around these.
        labels: N integers in [0, K); None: those of the ``ImageSet``; the criterion agreement needs none.
        config: Settings, or a mapping with some of them; None takes the defaults.
        out: Folder for config.json, result.json, timing.json, worst.csv, examples.json, outcomes.npz,
            figures/ and report.html: a new or empty one, or that of a run with the same settings: an
            unfinished one continues, of a finished one the result is returned. None writes nothing.
        box: The box, in place of that of ``config``: low and high end of each transformation.
        source: Where the images come from, for the record.
        names: Names of the images in worst.csv; default: their paths, or their numbers.
        overwrite: Replace an earlier run in ``out``.
        figure_format: Of the figures: png, pdf or svg.
        progress: Show a progress bar; None does so on a terminal.

    Returns:
        The record of result.json and the rows of worst.csv.

    Raises:
        ValueError: If an input is unusable, with the cause and the cure; nothing is written then.
        RunError: If the work fails later; the message says what is kept.
        Interrupted: On Ctrl-C; likewise.

    Example:
        >>> worst = itn.worst_case(clf, images, labels, box={"rotate": (-20, 20), "zoom": (0.9, 1.1)})
        >>> worst.record.survival
        Share(value=0.412, ci_low=0.367, ci_high=0.458)
    """
    classifier = as_classifier(classifier)
    config = config_of(WorstConfig, config)
    # Resolves its names again, which may be registered anew
    config = replace(config) if box is None else replace(config, box=box)
    run = RunInputs(
        "worst",
        classifier,
        images,
        labels,
        config,
        out,
        source=source,
        overwrite=overwrite,
        figure_format=figure_format,
        settings=_described(config.resolved),
    )
    if run.finished is not None:
        leave_report(run.finished)
        return load_worst(run.finished)
    folder, n = run.folder, len(run.data)
    _check_box(config.resolved, run.data.images.shape[1])
    if names is not None and len(names) != n:
        raise ValueError(f"names must be {n}, one for each image, got {len(names)}")
    if names is None and isinstance(images, ImageSet):
        names = images.paths or None
    passes = BoxPasses(run.classifier, run.data, config)
    passes.check()
    journal = Journal()
    with folder or nullcontext(), journal.opened(folder):
        seconds = {"preparation": run.lap()}
        with explained(partial(_kept, journal, folder), resumable=folder is not None):
            found = search_images(passes, journal, progress)
            control = round_trip(passes, journal, found)
            seconds["search"] = run.lap()
            result = _result(run, config, found, control, classifier, names)
            result = replace(
                result,
                examples=_examples(passes, result),
                settings=run.settings,
                outcomes=box_outcomes(
                    passes,
                    found,
                    [row.image for row in result.images],
                    source=source_of(images, source),
                    labeled=run.provenance.get("labels") != PREDICTED,
                ),
            )
            if folder is not None:
                distributed.on_rank_zero(partial(_finish, run, result, passes, seconds))
    return result


def _described(box: Box) -> dict[str, Any]:
    """Return the transformations in their order, as config.json has them."""
    described = {transform.name: transform.describe() for transform in box.transforms}
    return {"transforms": described, "order": box.names}


def _check_box(box: Box, channels: int) -> None:
    """Raise ValueError if a transformation of the box changes nothing about images of so many channels."""
    for transform in box.transforms:
        if channels == 1 and transform.color_only:
            raise ValueError(f"leave {transform.name} out of the box: images of one channel are gray already")


def _kept(journal: Journal, folder: RunFolder | None) -> str:
    """Return what a run that ends now leaves behind, in words."""
    if folder is None:
        return NOTHING_KEPT
    return f"{counted(journal.count, 'evaluation')} are kept in {folder.path / JOURNAL}"


def _result(
    run: RunInputs,
    config: WorstConfig,
    found: Found,
    control: RoundTrip | None,
    classifier: Classifier,
    names: Sequence[str] | NDArray[Any] | None,
) -> WorstResult:
    """Return the record and the rows of what was found."""
    box, confidence, n = config.resolved, config.confidence, len(run.data)
    searched, right = len(found.index), int(found.right.sum())
    survivors, alone = int((~found.broken).sum()), found.survives_alone
    survival, of_all = (share(survivors, whole, confidence) for whole in (searched, n))
    singles = config.single_steps > 0
    every = float(alone.all(1).double().mean()) if singles else None
    grown = growth(found.scale.numpy(), config.survival_fraction, confidence)
    record = WorstRecord(
        model=classifier.name,
        n=n,
        clean_accuracy=right / n,
        clean_accuracy_ci=clopper_pearson(right, n, confidence),
        confidence=confidence,
        criterion=config.criterion,
        topk=config.topk,
        padding=config.padding,
        interpolation=config.interpolation,
        box=box.by_name,
        units={transform.name: transform.unit for transform in box.transforms},
        statement=statement(survival, of_all, every, box.by_name, config.criterion, searched, n, confidence),
        searched=searched,
        survival=survival,
        survival_of_all=of_all,
        survival_single=dict(zip(box.names, alone.double().mean(0).tolist(), strict=True)) if singles else {},
        survival_every_single=every,
        growth=grown,
        box_at_threshold=None if grown.threshold.value is None else box.scaled(grown.threshold.value),
        passes={phase: int(passes.sum()) for phase, passes in found.passes.items()},
        passes_per_image=float(sum(found.passes.values()).double().mean()),  # type: ignore[union-attr]
        provenance=run.provenance | {"seed": config.seed},
        surround=run.data.surround,
        round_trip=control,
    )
    return WorstResult(record, tuple(_rows(run, found, box, classifier, names)))


def _rows(
    run: RunInputs,
    found: Found,
    box: Box,
    classifier: Classifier,
    names: Sequence[str] | NDArray[Any] | None,
) -> Iterator[WorstRow]:
    place = {number: row for row, number in enumerate(found.index.tolist())}
    magnitudes, broken = box.magnitudes(found.worst).tolist(), found.broken.tolist()
    passes = sum(found.passes.values()).tolist()  # type: ignore[union-attr]
    for number, label in enumerate(run.data.labels.tolist()):
        name, row = str(number if names is None else names[number]), place.get(number)
        if row is None:
            yield WorstRow(name, classifier.class_name(label), False, None, None, "", None, 0, ())
            continue
        yield WorstRow(
            image=name,
            class_=classifier.class_name(label),
            searched=True,
            survives=not broken[row],
            margin=float(found.margin[row]),
            prediction=classifier.class_name(int(found.prediction[row])),
            scale=float(found.scale[row]) if broken[row] else None,
            passes=passes[row],
            point=tuple(magnitudes[row]),
        )


def _examples(passes: BoxPasses, result: WorstResult) -> tuple[WorstExample, ...]:
    """Return images at their worst points, for the report."""
    numbers = shown_images(result.images, passes.data.labels.cpu())
    return distributed.on_rank_zero(lambda: worst_examples(passes, result.images, numbers))


def _finish(run: RunInputs, result: WorstResult, passes: BoxPasses, seconds: dict[str, float]) -> None:
    """Write everything that a finished run leaves, and remove what only an unfinished one needs."""
    from itn.boxes.figures import draw  # noqa: PLC0415  # slow to import

    assert run.folder is not None
    write_tables(run.folder, result)
    run.folder.write_json(EXAMPLES, examples_json(result.examples))
    draw(run.folder, passes, result)
    seconds["figures"] = run.lap()
    run.folder.finish(result.record.to_json(), run.timing(seconds, passes.batch_size))
    leave_report(run.folder.path)
    seconds["figures"] += run.lap()
    run.folder.correct_timing(run.timing(seconds, passes.batch_size))
