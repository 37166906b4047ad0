"""The passes of a screen, each done once and kept in its folder."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from itn.runtime import distributed
from itn.runtime.errors import NOTHING_KEPT
from itn.runtime.progress import ProgressBar
from itn.runtime.run_dir import RunFolder
from itn.runtime.run_files import POINTS
from itn.runtime.wording import counted
from itn.screening.config import ScreenConfig
from itn.screening.criteria import Outcomes, kept, outcomes
from itn.screening.flips import Flips
from itn.screening.passes import Arrays, Screener
from itn.screening.sweep import Sweep
from itn.screening.thresholds import paths
from itn.transforms import Transform


class StoredPasses:
    """The passes of a run, each done once: what is already in the folder is read, not repeated."""

    def __init__(self, screener: Screener, folder: RunFolder | None, bar: ProgressBar) -> None:
        self.screener, self.config, self.folder, self.bar = screener, screener.config, folder, bar

    @cached_property
    def clean(self) -> Arrays:
        """The measurement of the unchanged images; from then on later ones are compared with it."""
        arrays = self._once("clean", self.screener.unchanged_statistics)
        self.screener.unchanged_softmax = torch.from_numpy(arrays["softmax"]).to(self.screener.device)
        return {name: array for name, array in arrays.items() if name != "softmax"}

    def sweep(self, transform: Transform) -> Sweep:
        """Return all measurements of one transformation."""
        self.bar.note(transform.name)
        magnitudes = self.config.sweep(transform.name)
        has_round_trip = _has_round_trip(transform, self.config)
        points, round_trip = [], []
        for v in magnitudes:
            points.append(self.clean if v == transform.identity else self._point(transform, v))
            if has_round_trip:
                round_trip.append(points[-1] if v == transform.identity else self._round_trip(transform, v))
        by_magnitude = dict(zip(magnitudes, points, strict=True))
        predictions = {v: torch.from_numpy(point["predictions"]) for v, point in by_magnitude.items()}
        flips = {
            side: self._flips(transform, side, path, predictions)
            for side, path in paths(transform, magnitudes).items()
        }
        return Sweep(
            transform,
            magnitudes,
            self.clean,
            tuple(points),
            self._refinements(transform, by_magnitude),
            tuple(round_trip) if has_round_trip else None,
            self.screener.lost_content(transform, magnitudes) if transform.spatial else None,
            flips,
        )

    def pair(self, x: Transform, y: Transform) -> dict[tuple[float, float], Arrays]:
        """Return the measurements of two transformations at each pair of magnitudes."""
        self.bar.note(f"{x.name} x {y.name}")
        return {
            (v, w): self._once(
                f"{x.name} {y.name}/{v!r} {w!r}",
                partial(self.screener.image_statistics, self.screener.pair(x, v, y, w)),
            )
            for v, w in product(self.config.pair_sweep(x.name), self.config.pair_sweep(y.name))
        }

    def outcomes_at(self, transform: Transform, v: float, surround: bool) -> Outcomes:
        """Return what images do at a magnitude, with what is known around them or without."""
        change = self.screener.at(transform, v, surround=surround)
        self.bar.expect(self.bar.total + 1)
        found = self._once(
            f"{transform.name}/{'with' if surround else 'without'} surround {v!r}",
            partial(self.screener.image_statistics, change),
        )
        return outcomes([found], self.clean, self.screener.labels.cpu().numpy())[0]

    def kept(self) -> str:
        """Return what a run that ends now leaves behind, in words."""
        if self.folder is None:
            return NOTHING_KEPT
        total = counted(self.bar.total, "pass", "passes")
        return f"{self.bar.done} of {total} are kept in {self.folder.path / POINTS}"

    def _point(self, transform: Transform, v: float, kind: str = "") -> Arrays:
        change = self.screener.at(transform, v)
        return self._once(f"{transform.name}/{kind}{v!r}", partial(self.screener.class_statistics, change))

    def _round_trip(self, transform: Transform, v: float) -> Arrays:
        change = self.screener.round_trip(transform, v)
        return self._once(f"{transform.name}/control {v!r}", partial(self.screener.image_statistics, change))

    def _refinements(self, transform: Transform, points: Mapping[float, Arrays]) -> dict[float, Arrays]:
        """Halve, on each side, the bracket where too little is kept first; return what is measured there.

        At last the brackets with the ends of the threshold's interval are halved once, without which large
        screens interpolate the ends over steps that are longer than the interval.
        """
        labels, config = self.screener.labels.cpu().numpy(), self.config
        rounds: list[tuple[str, ...]] = [("share",)] * config.accuracy_bisections
        rounds += [("ci_low", "ci_high")] if rounds else []
        refinements: dict[float, Arrays] = {}
        for curves in () if transform.discrete else rounds:
            known = {transform.identity: self.clean, **points, **refinements}
            for path in paths(transform, tuple(known)).values():
                outward = (transform.identity, *path)
                counts = outcomes([known[v] for v in outward], self.clean, labels)
                judged = kept(config.criterion, counts, config.accuracy_fraction, config.confidence)
                for curve in curves:
                    below = (n for n, value in enumerate(getattr(judged, curve)) if value < judged.level)
                    number = next(below, 0)
                    ends = torch.tensor(outward[max(number - 1, 0) : number + 1], dtype=torch.float64)
                    v = transform.between(ends[0], ends[-1]).item()
                    if number and v not in refinements:
                        self.bar.expect(self.bar.total + 1)
                        refinements[v] = self._point(transform, v, "between ")
        return refinements

    def _flips(
        self, transform: Transform, side: str, path: Sequence[float], known: Mapping[float, Tensor]
    ) -> Flips:
        def search() -> Arrays:
            clean = torch.from_numpy(self.clean["predictions"])
            magnitude, flipped, resolution = self.screener.flips(transform, path, clean, known)
            return {
                "magnitude": magnitude.numpy(),
                "flipped": flipped.numpy(),
                "resolution": np.array(resolution),
            }

        flips = self._once(f"{transform.name}/flips {side}", search)
        magnitude, flipped = (torch.from_numpy(flips[key]) for key in ("magnitude", "flipped"))
        return Flips(magnitude, flipped, float(flips["resolution"]))

    def _once(self, key: str, compute: Callable[[], Arrays]) -> Arrays:
        """Return what is stored under a key, or compute and store it."""
        arrays, folder, name = None, self.folder, f"{POINTS}/{key}.npz"
        if folder is not None:
            arrays = distributed.on_rank_zero(lambda: _read(folder.path / name))
        if arrays is None:
            arrays = compute()
            if folder is not None:
                folder.write(name, partial(_write, arrays))
        self.bar.advance()
        return arrays


def count_passes(config: ScreenConfig, names: Iterable[str]) -> int:
    """Return how many passes a screen takes, without those that refine where accuracy breaks."""
    passes = 1 + sum(len(config.pair_sweep(x)) * len(config.pair_sweep(y)) for x, y in config.pair_names)
    for name in names:
        transform, magnitudes = config.resolved[name], config.sweep(name)
        changing = sum(v != transform.identity for v in magnitudes)
        passes += changing * (2 if _has_round_trip(transform, config) else 1)
        passes += len(paths(transform, magnitudes))  # searches of decision changes
    return passes


def _has_round_trip(transform: Transform, config: ScreenConfig) -> bool:
    return config.round_trip and transform.spatial


def _write(arrays: Mapping[str, Any], path: Path) -> None:
    np.savez(path, **arrays)


def _read(path: Path) -> Arrays | None:
    try:
        # A zip file: it knows if it is damaged
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except Exception:  # missing, or damaged in any way: the pass is repeated
        return None
