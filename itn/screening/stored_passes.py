"""The passes of a screen, each done once and kept in its folder."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from itn.runtime import distributed
from itn.runtime.run_dir import POINTS, RunFolder
from itn.screening.curves import Sweep
from itn.screening.flips import Flips
from itn.screening.passes import Arrays, Change, Screener, unchanged
from itn.screening.thresholds import paths
from itn.transforms.registry import TRANSFORMS, Transform


class StoredPasses:
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

    def __enter__(self) -> "StoredPasses":
        self.clean = self._once("clean", lambda: self.screener.class_statistics(unchanged))
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
                back = self.screener.round_trip(transform, v)
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
            self.screener.lost_content(transform, magnitudes) if transform.spatial else None,
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
                partial(self.screener.image_statistics, self.screener.pair(x, v, y, w)),
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
        return self.config.round_trip and transform.spatial

    def _observe(self, change: Change) -> Arrays:
        return self.screener.class_statistics(change)

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
            arrays = distributed.on_rank_zero(lambda: _read(folder.path / name))
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
