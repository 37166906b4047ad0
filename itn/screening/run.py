"""Screening: how far each transformation goes before the predictions of a frozen classifier break."""

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from itn.functional.color import check_images
from itn.learning.config import ScreenConfig
from itn.models.classifier import Classifier, preflight
from itn.plotting import training
from itn.runtime import distributed
from itn.runtime.errors import explained
from itn.runtime.run_dir import POINTS, TIMING, RunFolder, provenance, run_settings, working
from itn.screening.curves import (
    Samples,
    Sweep,
    curve_rows,
    flip_rows,
    pair_record,
    pair_rows,
    softmax_rows,
    sweep_record,
)
from itn.screening.figures import draw_overview, draw_sweep
from itn.screening.passes import Arrays, Change, Screener, suitable_batch
from itn.screening.records import (
    CurveRow,
    FlipRow,
    PairRecord,
    PairRow,
    ScreenRecord,
    ScreenResult,
    SoftmaxRow,
    SweepRecord,
    to_csv,
)
from itn.screening.thresholds import Flips, paths
from itn.stats.sampling import clopper_pearson
from itn.transforms.registry import TRANSFORMS, Transform


def screen(
    classifier: Classifier,
    images: Tensor,
    labels: Tensor,
    config: ScreenConfig | None = None,
    out: str | Path | None = None,
    *,
    source: str | None = None,
    names: Sequence[str] | None = None,
    overwrite: bool = False,
    progress: bool | None = None,
) -> ScreenResult:
    """Find how far each transformation goes before the predictions of a classifier break.

    Args:
        classifier: What is studied; it is not changed. The work is done on its device.
        images: N x C x H x W, uint8 or float in [0, 1].
        labels: N integers in [0, K).
        config: Settings; None takes the defaults.
        out: Folder for config.json, result.json, timing.json, curves.csv, pairs.csv, softmax.csv,
            flips.csv and figures/; new or empty, or that of an unfinished run with the same settings,
            which is then continued. None writes nothing.
        source: What the images are, for the record.
        names: What to call each image in flips.csv; default its number.
        overwrite: Replace an earlier run in ``out``.
        progress: Show a progress bar; None does so on a terminal.

    Returns:
        The record of result.json and the rows of the tables.

    Raises:
        ValueError: If an input is unusable, with the cause and the cure; nothing has been written then.
        RunError: If the work fails on its way; names what was kept.
        Interrupted: On Ctrl-C; likewise.

    Example:
        >>> sweep = itn.screen(clf, images, labels, itn.ScreenConfig(transforms=("rotate",)))
        >>> sweep.record.transforms["rotate"].thresholds.accuracy["above"]
        Threshold(value=41.2, ci_low=39.8, ci_high=42.7)
    """
    config = config or ScreenConfig()
    started, clock = datetime.now(UTC), time.perf_counter()
    check_images(images, classifier.channels)
    origin = provenance(classifier.device)
    settings = run_settings("screen", config, origin, classifier, images, labels, source) | _sweeps(config)
    folder = None if out is None else RunFolder(out, settings, overwrite)
    batch = config.batch_size or suitable_batch(images, classifier.device)
    data = preflight(classifier, images, labels, batch)
    if names is not None and len(names) != len(data):
        raise ValueError(f"names must be {len(data)}, one for each image, got {len(names)}")
    screener = Screener(classifier, data, config)
    screener.check()
    left_out = _left_out(config, images.shape[1])
    swept = [name for name in config.names if name not in left_out]
    with working(folder):
        seconds = {"preparation": time.perf_counter() - clock}
        clock = time.perf_counter()
        sweeps: dict[str, SweepRecord] = {}
        pairs: dict[str, PairRecord] = {}
        curves: list[CurveRow] = []
        softmax: list[SoftmaxRow] = []
        flips: list[FlipRow] = []
        cells: list[PairRow] = []
        work = _Work(screener, folder, swept, progress)
        with explained(work.kept, resumable=folder is not None), work:
            samples = _samples(classifier, data.labels, names, work.clean["class_softmax"].shape[1])
            # One after the other, so that what was seen of one is gone when the next begins
            for name in swept:
                sweep = work.sweep(TRANSFORMS[name])
                sweeps[name] = sweep_record(sweep, samples, config)
                curves += curve_rows(sweep, samples, config)
                means, found = tuple(softmax_rows(sweep, samples)), tuple(flip_rows(sweep, samples))
                softmax += means
                flips += found
                if folder is not None and folder.writes:
                    for file, figure in draw_sweep(screener, sweep, sweeps[name], means, found, data.labels):
                        folder.write(f"figures/{file}.png", partial(training.save, figure))
            for first, second in config.pairs:
                x, y = TRANSFORMS[first], TRANSFORMS[second]
                rows = tuple(pair_rows(x, y, work.pair(x, y), work.clean, samples, config))
                pairs[f"{first},{second}"] = pair_record(rows, config)
                cells += rows
            n, right = len(data), int((work.clean["predictions"] == samples.labels).sum())
            record = ScreenRecord(
                model=classifier.name,
                n=n,
                clean_accuracy=right / n,
                clean_accuracy_ci=clopper_pearson(right, n, config.confidence),
                confidence=config.confidence,
                padding=config.padding,
                transforms=sweeps,
                pairs=pairs,
                left_out=left_out,
                provenance=origin | {"seed": config.seed},
            )
            result = ScreenResult(record, tuple(curves), tuple(cells), tuple(softmax), tuple(flips))
            if folder is not None:
                timing = {
                    "started": started.isoformat(),
                    "seconds": seconds,
                    "batch_size": screener.batch_size,
                }
                distributed.of_first(partial(_finish, folder, result, clock, timing))
    return result


class _Work:
    """The passes of a run, each done once: what is already in the folder is read, not repeated."""

    def __init__(
        self, screener: Screener, folder: RunFolder | None, names: Sequence[str], progress: bool | None
    ) -> None:
        self.screener, self.config, self.folder = screener, screener.config, folder
        self.done = 0
        total = 1 + sum(self._passes(name) for name in names)
        total += sum(
            len(self.config.pair_sweep(x)) * len(self.config.pair_sweep(y)) for x, y in self.config.pairs
        )
        self.bar = tqdm(total=total, desc="screen", unit="pass", disable=distributed.bar_disabled(progress))
        self.clean: Arrays = {}

    def __enter__(self) -> "_Work":
        self.clean = self._once("clean", lambda: self.screener.observe(lambda images, index: images))
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def sweep(self, transform: Transform) -> Sweep:
        """Return all that is to be seen of one transformation."""
        name, magnitudes = transform.name, self.config.sweep(transform.name)
        self.bar.set_postfix_str(name, refresh=False)
        points, controls = [], []
        for v in magnitudes:
            if v == transform.identity:
                points.append(self.clean)
                controls.append(self.clean["predictions"])
                continue
            points.append(self._once(f"{name}/{v!r}", partial(self._observe, self.screener.at(transform, v))))
            if self._controls(transform):
                back = self.screener.there_and_back(transform, v)
                controls.append(
                    self._once(f"{name}/control {v!r}", partial(self._predict, back))["predictions"]
                )
        seen = {
            v: torch.from_numpy(point["predictions"]) for v, point in zip(magnitudes, points, strict=True)
        }
        flips = {
            side: self._flips(transform, side, path, seen)
            for side, path in paths(transform, magnitudes).items()
        }
        return Sweep(
            transform,
            magnitudes,
            self.clean,
            tuple(points),
            self._between(transform, dict(zip(magnitudes, points, strict=True))),
            tuple(controls) if self._controls(transform) else None,
            self.screener.lost(transform, magnitudes) if transform.spatial else None,
            flips,
        )

    def _between(self, transform: Transform, seen: dict[float, Arrays]) -> dict[float, Arrays]:
        """Halve, on each side, the bracket in which accuracy breaks; return what was seen on the way."""
        labels = self.screener.labels.cpu().numpy()
        level = self.config.accuracy_fraction * (self.clean["predictions"] == labels).mean()
        found: dict[float, Arrays] = {}
        for _ in range(0 if transform.discrete else self.config.accuracy_bisections):
            known = {transform.identity: self.clean, **seen, **found}
            for path in paths(transform, tuple(known)).values():
                outward = (transform.identity, *path)
                right = [(known[v]["predictions"] == labels).mean() for v in outward]
                number = next((n for n, share in enumerate(right) if share < level), 0)
                if number:
                    v = transform.between(
                        *torch.tensor(outward[number - 1 : number + 1], dtype=torch.float64)
                    ).item()
                    change = self.screener.at(transform, v)
                    found[v] = self._once(f"{transform.name}/between {v!r}", partial(self._observe, change))
        self.bar.total -= self._between_at_most(transform, tuple(seen)) - len(found)
        return found

    def _between_at_most(self, transform: Transform, magnitudes: Sequence[float]) -> int:
        return (
            0 if transform.discrete else len(paths(transform, magnitudes)) * self.config.accuracy_bisections
        )

    def pair(self, x: Transform, y: Transform) -> dict[tuple[float, float], Arrays]:
        """Return what is to be seen of two transformations at each pair of magnitudes."""
        self.bar.set_postfix_str(f"{x.name} x {y.name}", refresh=False)
        return {
            (v, w): self._once(
                f"{x.name} {y.name}/{v!r} {w!r}",
                partial(self.screener.glance, self.screener.pair(x, v, y, w)),
            )
            for v, w in product(self.config.pair_sweep(x.name), self.config.pair_sweep(y.name))
        }

    def kept(self) -> str:
        """Return what a run that ends now leaves behind."""
        if self.folder is None:
            return "nothing was kept"
        return f"{self.done} of {self.bar.total} passes are kept in {self.folder.path / POINTS}"

    def _passes(self, name: str) -> int:
        transform, magnitudes = TRANSFORMS[name], self.config.sweep(name)
        moving = sum(v != transform.identity for v in magnitudes)
        passes = moving * (2 if self._controls(transform) else 1) + len(paths(transform, magnitudes))
        return passes + self._between_at_most(transform, magnitudes)

    def _controls(self, transform: Transform) -> bool:
        return self.config.control and transform.spatial

    def _observe(self, change: Change) -> Arrays:
        return self.screener.observe(change)

    def _predict(self, change: Change) -> Arrays:
        return {"predictions": self.screener.predictions(change).numpy()}

    def _flips(
        self, transform: Transform, side: str, path: Sequence[float], seen: Mapping[float, Tensor]
    ) -> Flips:
        def search() -> Arrays:
            clean = torch.from_numpy(self.clean["predictions"])
            magnitude, flipped, resolution = self.screener.flips(transform, path, clean, seen)
            return {
                "magnitude": magnitude.numpy(),
                "flipped": flipped.numpy(),
                "resolution": np.array(resolution),
            }

        found = self._once(f"{transform.name}/flips {side}", search)
        magnitude, flipped = (torch.from_numpy(found[key]) for key in ("magnitude", "flipped"))
        return Flips(magnitude, flipped, float(found["resolution"]))

    def _once(self, key: str, compute: Callable[[], Arrays]) -> Arrays:
        """Return what is stored under a key, or compute and store it."""
        arrays, folder, name = None, self.folder, f"{POINTS}/{key}.npz"
        if folder is not None:
            arrays = distributed.of_first(lambda: _read(folder.path / name))
        if arrays is None:
            arrays = compute()
            if folder is not None:
                folder.write(name, partial(_write, arrays))
        self.done += 1
        self.bar.update()
        return arrays


def _write(arrays: Mapping[str, Any], path: Path) -> None:
    np.savez(path, **arrays)


def _read(path: Path) -> Arrays | None:
    try:
        # A zip file: it knows if it is damaged
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except Exception:  # not there, or whatever chance has made of it: it is done again
        return None


def _sweeps(config: ScreenConfig) -> dict[str, Any]:
    """Return what is swept and where, as it stands in config.json."""
    used = dict.fromkeys((*config.names, *(name for pair in config.pairs for name in pair)))
    magnitudes = {
        "sweeps": {name: config.sweep(name) for name in config.names},
        "pairs": [{name: config.pair_sweep(name) for name in pair} for pair in config.pairs],
    }
    return {"transforms": {name: TRANSFORMS[name].describe() for name in used}, "magnitudes": magnitudes}


def _left_out(config: ScreenConfig, channels: int) -> dict[str, str]:
    """Return which transformations there is no point in sweeping, and why; raise if that leaves nothing."""
    why = {"grayscale": "images of one channel are gray already"} if channels == 1 else {}
    left_out = {name: why[name] for name in config.names if name in why}
    if len(left_out) == len(config.names) and not config.pairs:
        raise ValueError(f"there is nothing to screen: {'; '.join(left_out.values())}")
    return left_out


def _samples(classifier: Classifier, labels: Tensor, names: Sequence[str] | None, outputs: int) -> Samples:
    known = [classifier.class_name(k) for k in range(outputs)]
    taken = {name for name, count in Counter(known).items() if count > 1} | {"all", "others"}
    unique = tuple(f"{name} ({k})" if name in taken else name for k, name in enumerate(known))
    return Samples(
        labels.numpy(),
        tuple(names or map(str, range(len(labels)))),
        {int(label): unique[label] for label in labels.unique()},
        unique,
    )


def _finish(folder: RunFolder, result: ScreenResult, clock: float, timing: dict[str, Any]) -> None:
    """Write all that a finished run leaves, and remove what only an unfinished one needs."""
    _write_tables(folder, result)
    for file, figure in draw_overview(result.record):
        folder.write(f"figures/{file}.png", partial(training.save, figure))
    timing["seconds"]["screening"] = time.perf_counter() - clock
    folder.write_json(TIMING, timing)
    folder.write_json("result.json", result.record.to_json())  # last: it says that the run is finished
    folder.remove_leftovers()


def _write_tables(folder: RunFolder, result: ScreenResult) -> None:
    tables: dict[str, tuple[Sequence[Any], type]] = {
        "curves": (result.curves, CurveRow),
        "softmax": (result.softmax, SoftmaxRow),
        "flips": (result.flips, FlipRow),
    }
    if result.pairs:
        tables["pairs"] = result.pairs, PairRow
    for name, (rows, kind) in tables.items():
        text = to_csv(rows, kind)
        # Whatever the locale, and whatever bytes a file is called by
        write = partial(Path.write_text, data=text, encoding="utf-8", errors="backslashreplace")
        folder.write(f"{name}.csv", write)
