"""The loop of every objective: steps, checkpoints, and going on where a run was left."""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from zipfile import ZipFile

import torch
from safetensors.torch import save_file
from torch import Tensor

from itn.learning.config import LearnConfig
from itn.learning.records import LearnStep
from itn.plotting import style
from itn.runtime import distributed
from itn.runtime.errors import RunError
from itn.runtime.progress import progress_bar
from itn.runtime.run_dir import CHECKPOINT, PREVIOUS_CHECKPOINT, TIMING, RunFolder
from itn.runtime.sharded_forward import ShardedForward

CHECKPOINT_SECONDS = 5.0


class Learner(Protocol):
    """An objective, as the loop sees it."""

    config: LearnConfig
    rows: ShardedForward
    """What takes moved images through the classifier."""

    def step(self, number: int) -> LearnStep:
        """Take one step, counted from 0, and return what happened in it."""

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Go back to a state."""

    def is_finite(self) -> bool:
        """Return whether all weights are finite."""

    def finish(self) -> None:
        """Leave the net with the weights that were found."""


def train(
    learner: Learner, history: list[LearnStep], folder: RunFolder | None, progress: bool | None
) -> None:
    """Take all steps that the history lacks, and append them to it; leave a checkpoint at the end."""
    written = len(history)
    last = -math.inf
    steps = learner.config.steps
    with progress_bar("learn", steps, "steps", progress, done=len(history)) as bar:
        for number in range(len(history), steps):
            if folder is not None and time.monotonic() - last > CHECKPOINT_SECONDS:
                written = _checkpoint(learner, history, written, folder)
                last = time.monotonic()
            history.append(learner.step(number))
            bar.advance()
            bar.note(_progress(history[-50:]))
    if not learner.is_finite():
        raise RunError("the last step left weights that are not finite")
    if folder is not None:
        _checkpoint(learner, history, written, folder)


def resume(learner: Learner, folder: RunFolder) -> list[LearnStep]:
    """Go back to the newest whole checkpoint of an unfinished run, if any; return the steps taken so far."""
    if not folder.resumes:
        folder.cut_history(0)
        return []
    there, found = distributed.on_rank_zero(lambda: _newest(folder))
    if not there:
        folder.cut_history(0)
        return []
    try:
        if found is None:
            raise ValueError("no part of it can be read")
        name, checkpoint = found
        if name == PREVIOUS_CHECKPOINT:
            folder.remove(CHECKPOINT)  # damaged: it is not to take the place of the one that is whole
        learner.load_state(checkpoint["learner"])
        rows = folder.cut_history(checkpoint["step"], checkpoint["history"])
        return [LearnStep(**row) for row in rows]
    except OSError as error:
        raise RunError(f"cannot write ({error}); {kept(folder)}") from error
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{folder.path / there[0]} is damaged ({error}): start again with --overwrite"
        ) from None


def _newest(folder: RunFolder) -> tuple[list[str], tuple[str, dict[str, Any]] | None]:
    """Return which checkpoints there are, and the newest that is whole, with its name."""
    there = [name for name in (CHECKPOINT, PREVIOUS_CHECKPOINT) if (folder.path / name).exists()]
    for name in there:
        with contextlib.suppress(Exception):  # whatever chance makes of a zip file
            with ZipFile(folder.path / name) as archive:
                if archive.testzip() is not None:  # torch itself does not look at the checksums
                    continue
            return there, (name, torch.load(folder.path / name, map_location="cpu", weights_only=True))
    return there, None


def _checkpoint(learner: Learner, history: Sequence[LearnStep], written: int, folder: RunFolder) -> int:
    """Save history and state if the state is good, beside the state before; return how much is on disk."""
    if not learner.is_finite():
        return written
    folder.append_history([dataclasses.asdict(step) for step in history[written:]])

    def write(path: Path) -> None:
        content = {"step": len(history), "history": folder.history_digest(), "learner": learner.state()}
        torch.save(content, path)

    folder.rename(CHECKPOINT, PREVIOUS_CHECKPOINT)
    folder.write(CHECKPOINT, write)
    return len(history)


def finish(
    folder: RunFolder,
    weights: Mapping[str, Tensor],
    figures: Callable[[], style.Figures],
    record: Mapping[str, Any],
    timing: Mapping[str, Any],
) -> None:
    """Write all that a finished run leaves, and remove its checkpoint; drawing counts as evaluation."""

    def write() -> None:
        clock = time.perf_counter()
        folder.write("model.safetensors", partial(save_file, dict(weights)))
        for name, figure in figures().items():
            folder.write(f"figures/{name}.png", partial(style.save, figure))
        seconds = timing["seconds"]
        drawn = seconds["evaluation"] + time.perf_counter() - clock
        folder.write_json(TIMING, {**timing, "seconds": {**seconds, "evaluation": drawn}})
        folder.write_json("result.json", record)  # last: it says that the run is finished
        folder.remove_leftovers()

    distributed.on_rank_zero(write)  # all wait until the files are there


def timing_record(started: datetime, seconds: dict[str, float], learner: Learner) -> dict[str, Any]:
    """Return what timing.json holds: when, how long, and how many images were in a forward pass at last."""
    size = learner.rows.last_chunk or learner.config.batch_size
    return {"started": started.isoformat(), "seconds": seconds, "batch_size": size}


def kept(folder: RunFolder | None) -> str:
    """Return in words what an unfinished run has left."""
    if folder is not None and (found := _newest(folder)[1]) is not None:
        name, checkpoint = found
        return f"the state after {checkpoint['step']} steps is kept in {folder.path / name}"
    return "nothing was kept"


def _progress(steps: Sequence[LearnStep]) -> str:
    """Return the mean of the last steps in words."""

    def mean(values: Iterable[float | None]) -> float:
        numbers = [value for value in values if value is not None]
        return sum(numbers) / len(numbers)

    switched = steps[0].asked_cross_entropy is not None
    if switched:
        accuracy, clean = (
            mean(getattr(step, name) for step in steps) for name in ("accuracy", "clean_accuracy")
        )
        text = f"accuracy {accuracy:.3f} (clean {clean:.3f})"
    else:
        text = f"broken {mean(step.break_rate for step in steps):.2%}"
    for part in steps[0].displacement:
        text += f", {part} {mean(step.displacement[part] for step in steps):.4f}"
    return text + (f", cross-entropy {mean(s.asked_cross_entropy for s in steps):.0%}" if switched else "")
