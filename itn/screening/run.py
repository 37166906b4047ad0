"""Screening: how far each transformation goes before the predictions of a frozen classifier break."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from torch import Tensor, nn

from itn.data.inputs import PREDICTED, RunInputs, source_of
from itn.data.loading import ImageSet
from itn.models.classifier import Classifier, as_classifier
from itn.reports.examples import examples_json
from itn.reports.kinds import leave_report
from itn.runtime import distributed
from itn.runtime.errors import explained
from itn.runtime.progress import progress_bar
from itn.runtime.run_files import EXAMPLES, FigureFormat
from itn.runtime.validation import config_of
from itn.screening.config import ScreenConfig
from itn.screening.criteria import is_right
from itn.screening.examples import FlipExample, flip_examples
from itn.screening.outcomes import SweepOutcomes, image_outcomes
from itn.screening.passes import Screener
from itn.screening.records import CurveRow, FlipRow, PairRow, ScreenRecord, SoftmaxRow, SweepRecord
from itn.screening.result import ScreenResult, load_screen, write_tables
from itn.screening.rows import curve_rows, flip_rows, pair_record, pair_rows, softmax_rows
from itn.screening.stored_passes import StoredPasses, count_passes
from itn.screening.sweep import Samples, sweep_record, with_border
from itn.stats import clopper_pearson


def screen(
    classifier: nn.Module,
    images: Tensor | ImageSet,
    labels: Tensor | None = None,
    config: ScreenConfig | Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    *,
    source: str | None = None,
    names: Sequence[str] | NDArray[Any] | None = None,
    overwrite: bool = False,
    figure_format: FigureFormat = "png",
    progress: bool | None = None,
) -> ScreenResult:
    """Find how far each transformation goes before the predictions of a classifier break.

    Args:
        classifier: The classifier to study; it is not changed, and its device does the work. Another module
            is taken to expect images in [0, 1], with a warning.
        images: N x C x H x W, uint8 or float in [0, 1]; or an ``ImageSet``, with what its photographs show
            around these.
        labels: N integers in [0, K); None: those of the ``ImageSet``; the criterion agreement needs none.
        config: Settings, or a mapping with some of them; None takes the defaults. Names mean what is
            registered now.
        out: Folder for config.json, result.json, timing.json, curves.csv, pairs.csv, softmax.csv,
            flips.csv, examples.json, outcomes.npz, figures/ and report.html: a new or empty one, or that of a
            run with the same settings: an unfinished one continues, of a finished one the result is returned.
            None writes nothing.
        source: Where the images come from, for the record.
        names: Names of the images in flips.csv; default: their paths, or their numbers.
        overwrite: Replace an earlier run in ``out``.
        figure_format: Of the figures: png, pdf or svg.
        progress: Show a progress bar; None does so on a terminal.

    Returns:
        The record of result.json and the rows of the tables.

    Raises:
        ValueError: If an input is unusable, with the cause and the cure; nothing is written then.
        RunError: If the work fails later; the message says what is kept.
        Interrupted: On Ctrl-C; likewise.

    Example:
        >>> sweep = itn.screen(clf, images, labels, itn.ScreenConfig(transforms=("rotate",)))
        >>> sweep.record.transforms["rotate"].thresholds.accuracy["above"]
        Threshold(value=41.2, ci_low=39.8, ci_high=42.7)
    """
    classifier = as_classifier(classifier)
    # Resolves its names again, which may be registered anew
    config = replace(config_of(ScreenConfig, config))
    run = RunInputs(
        "screen",
        classifier,
        images,
        labels,
        config,
        out,
        source=source,
        overwrite=overwrite,
        figure_format=figure_format,
        settings=_sweeps(config),
    )
    if run.finished is not None:
        leave_report(run.finished)
        return load_screen(run.finished)
    folder, n = run.folder, len(run.data)
    if names is not None and len(names) != n:
        raise ValueError(f"names must be {n}, one for each image, got {len(names)}")
    if names is None and isinstance(images, ImageSet):
        names = images.paths or None
    screener = Screener(run.classifier, run.data, config)
    screener.check()
    labeled = run.provenance.get("labels") != PREDICTED
    left_out = _left_out(config, run.data.images.shape[1])
    swept = [name for name in config.names if name not in left_out]
    total = count_passes(config, swept)
    with folder or nullcontext(), progress_bar("screen", total, "passes", progress) as bar:
        seconds = {"preparation": run.lap()}
        work = StoredPasses(screener, folder, bar)
        with explained(work.kept, resumable=folder is not None):
            samples = _samples(classifier, run.data.labels, names, work.clean["class_softmax"].shape[1])
            records: dict[str, SweepRecord] = {}
            curves: list[CurveRow] = []
            softmax: list[SoftmaxRow] = []
            flips: list[FlipRow] = []
            outcomes, examples = dict[str, SweepOutcomes](), list[FlipExample]()
            for name in swept:
                sweep = work.sweep(config.resolved[name])
                records[name] = sweep_record(sweep, samples, config)
                if sweep.transform.spatial and run.data.canvases is not None:
                    records[name] = with_border(records[name], partial(work.outcomes_at, sweep.transform))
                curves += curve_rows(sweep, samples, config)
                class_means, changes = tuple(softmax_rows(sweep, samples)), tuple(flip_rows(sweep, samples))
                softmax += class_means
                flips += changes
                outcomes[name] = SweepOutcomes.of(sweep, samples.labels)
                examples += flip_examples(screener, sweep, samples)
                if folder is not None and folder.writes:
                    from itn.screening.figures import draw_sweep  # noqa: PLC0415  # slow to import

                    draw_sweep(
                        folder,
                        screener,
                        sweep,
                        records[name],
                        class_means,
                        changes,
                        samples.outputs,
                        outcomes[name],
                        labeled,
                    )
                del sweep  # frees its measurements before the next ones are made
            pairs: dict[str, tuple[PairRow, ...]] = {}
            for x, y in config.pair_names:
                pair = config.resolved[x], config.resolved[y]
                rows = pair_rows(*pair, work.pair(*pair), work.clean, samples, config)
                pairs[f"{x},{y}"] = tuple(rows)
            right = int(is_right(work.clean, samples.labels).sum())
            record = ScreenRecord(
                model=classifier.name,
                n=n,
                clean_accuracy=right / n,
                clean_accuracy_ci=clopper_pearson(right, n, config.confidence),
                confidence=config.confidence,
                criterion=config.criterion,
                topk=config.topk,
                padding=config.padding,
                interpolation=config.interpolation,
                surround=run.data.surround,
                transforms=records,
                pairs={name: pair_record(rows, config) for name, rows in pairs.items()},
                left_out=left_out,
                provenance=run.provenance | {"seed": config.seed},
            )
            result = ScreenResult(
                record,
                curves=tuple(curves),
                pairs=tuple(row for rows in pairs.values() for row in rows),
                softmax=tuple(softmax),
                flips=tuple(flips),
                outcomes=image_outcomes(
                    run.data,
                    work.clean,
                    samples,
                    outcomes,
                    source=source_of(images, source),
                    labeled=labeled,
                    topk=config.topk,
                ),
                examples=tuple(examples),
                settings=run.settings,
            )
            if folder is not None:
                distributed.on_rank_zero(partial(_finish, run, result, config, seconds, screener.batch_size))
    return result


def _sweeps(config: ScreenConfig) -> dict[str, Any]:
    """Return the transformations and their magnitudes, as config.json has them."""
    magnitudes = {
        "sweeps": {name: config.sweep(name) for name in config.names},
        "pairs": [{name: config.pair_sweep(name) for name in pair} for pair in config.pair_names],
    }
    described = {name: transform.describe() for name, transform in config.resolved.items()}
    return {"transforms": described, "magnitudes": magnitudes}


def _left_out(config: ScreenConfig, channels: int) -> dict[str, str]:
    """Return the transformations that make no sense for the images, and why; raise if that leaves nothing."""
    left_out = {
        name: "images of one channel are gray already"
        for name in config.names
        if channels == 1 and config.resolved[name].color_only
    }
    if len(left_out) == len(config.names) and not config.pairs:
        raise ValueError(f"there is nothing to screen: {'; '.join(left_out.values())}")
    return left_out


def _samples(
    classifier: Classifier, labels: Tensor, names: Sequence[str] | NDArray[Any] | None, outputs: int
) -> Samples:
    classes = [classifier.class_name(k) for k in range(outputs)]
    ambiguous = {name for name, count in Counter(classes).items() if count > 1} | {"all", "others"}
    unique = tuple(f"{name} ({k})" if name in ambiguous else name for k, name in enumerate(classes))
    return Samples(
        labels.numpy(),
        tuple(map(str, range(len(labels)) if names is None else names)),
        {int(label): unique[label] for label in labels.unique()},
        unique,
    )


def _finish(
    run: RunInputs, result: ScreenResult, config: ScreenConfig, seconds: dict[str, float], batch_size: int
) -> None:
    """Write everything that a finished run leaves, and remove what only an unfinished one needs."""
    from itn.screening.figures import draw_overview  # noqa: PLC0415  # slow to import

    assert run.folder is not None
    write_tables(run.folder, result)
    run.folder.write_json(EXAMPLES, examples_json(result.examples))
    draw_overview(run.folder, result.record, config.resolved)
    seconds["screening"] = run.lap()
    run.folder.finish(result.record.to_json(), run.timing(seconds, batch_size))
    leave_report(run.folder.path)
    seconds["screening"] += run.lap()
    run.folder.correct_timing(run.timing(seconds, batch_size))
