"""Checkpoints of learning: how an unfinished run is kept and resumed."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import torch

from itn.learning.objective import Steps
from itn.learning.records import LearnStep
from itn.runtime import distributed
from itn.runtime.errors import NOTHING_KEPT, RunError
from itn.runtime.journal import Journal
from itn.runtime.run_dir import RunFolder
from itn.runtime.run_files import CHECKPOINT, JOURNAL, PREVIOUS_CHECKPOINT
from itn.runtime.wording import counted


def save_checkpoint(learner: Steps, history: Sequence[LearnStep], written: int, folder: RunFolder) -> int:
    """Append new steps to history.jsonl and save the state, keeping the previous checkpoint.

    Nothing is saved if a weight is not finite.

    Args:
        learner: Whose state to save.
        history: All steps so far.
        written: How many of them are in history.jsonl already.
        folder: The folder of the run.

    Returns:
        How many steps are in history.jsonl now.
    """
    if not learner.is_finite():
        return written
    folder.append_history([step.to_json() for step in history[written:]])

    def write(path: Path) -> None:
        content = {"step": len(history), "history": folder.history_digest(), "learner": learner.state()}
        torch.save(content, path)

    folder.rename(CHECKPOINT, PREVIOUS_CHECKPOINT)
    folder.write(CHECKPOINT, write)
    return len(history)


def resume(learner: Steps, folder: RunFolder, journal: Journal) -> list[LearnStep]:
    """Restore the newest undamaged checkpoint of an unfinished run, if any; return the steps taken so far.

    Raises:
        ValueError: If there are checkpoints and all are damaged.
        RunError: If the folder cannot be written.
    """
    names, newest = distributed.on_rank_zero(lambda: _newest(folder)) if folder.resumes else ([], None)
    if not names:
        folder.cut_history(0)
        return []
    try:
        if newest is None:
            raise ValueError("no part of it can be read")
        name, checkpoint = newest
        if name == PREVIOUS_CHECKPOINT:
            folder.remove(CHECKPOINT)  # damaged: it must not take the place of the undamaged one
        learner.load_state(checkpoint["learner"])
        lines = folder.cut_history(checkpoint["step"], checkpoint["history"])
        return [LearnStep.from_json(line) for line in lines]
    except OSError as error:
        raise RunError(f"cannot write ({error}); {kept(folder, journal)}") from error
    except (RuntimeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{folder.path / names[0]} is damaged ({error}): start again with overwrite=True"
        ) from None


def kept(folder: RunFolder | None, journal: Journal) -> str:
    """Return in words what an unfinished run has left."""
    newest = None if folder is None else _newest(folder)[1]
    if folder is None or not (newest or journal.count):
        return NOTHING_KEPT
    if newest is None:
        kept = "is kept" if journal.count == 1 else "are kept"
        return f"{counted(journal.count, 'evaluation')} {kept} in {folder.path / JOURNAL}"
    name, checkpoint = newest
    return f"the state after {counted(checkpoint['step'], 'step')} is kept in {folder.path / name}"


def _newest(folder: RunFolder) -> tuple[list[str], tuple[str, dict[str, Any]] | None]:
    """Return the names of the checkpoints, and the newest undamaged one with its name."""
    names = [name for name in (CHECKPOINT, PREVIOUS_CHECKPOINT) if (folder.path / name).exists()]
    for name in names:
        with contextlib.suppress(Exception):  # whatever a damaged zip file raises
            with ZipFile(folder.path / name) as archive:
                if archive.testzip() is not None:  # torch itself does not check the checksums
                    continue
            return names, (name, torch.load(folder.path / name, map_location="cpu", weights_only=True))
    return names, None
