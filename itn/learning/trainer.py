"""The training loop of all objectives: steps, a progress bar, and checkpoints on the way."""

import math
import time
from collections.abc import Iterable, Sequence
from typing import Protocol

from itn.learning.checkpoint import Resumable, save_checkpoint
from itn.learning.config import LearnConfig
from itn.learning.records import LearnStep
from itn.runtime.errors import RunError
from itn.runtime.progress import progress_bar
from itn.runtime.run_dir import RunFolder
from itn.runtime.sharded_forward import ShardedForward

CHECKPOINT_SECONDS = 5.0


class Learner(Resumable, Protocol):
    """What the training loop needs of an objective."""

    config: LearnConfig
    sharded_forward: ShardedForward
    """What passes transformed images through the classifier."""

    def step(self, number: int) -> LearnStep:
        """Take one step, counted from 0, and return what happened in it."""

    def finish(self) -> None:
        """Leave the net with the weights that were found."""


def train(
    learner: Learner, history: list[LearnStep], folder: RunFolder | None, progress: bool | None
) -> None:
    """Take all steps that the history lacks, and append them to it; leave a checkpoint at the end.

    Raises:
        RunError: If the last step leaves weights that are not finite.
    """
    written = len(history)
    last = -math.inf
    steps = learner.config.steps
    with progress_bar("learn", steps, "steps", progress, done=len(history)) as bar:
        for number in range(len(history), steps):
            if folder is not None and time.monotonic() - last > CHECKPOINT_SECONDS:
                written = save_checkpoint(learner, history, written, folder)
                last = time.monotonic()
            history.append(learner.step(number))
            bar.advance()
            bar.note(_progress(history[-50:]))
    if not learner.is_finite():
        raise RunError("the last step left weights that are not finite")
    if folder is not None:
        save_checkpoint(learner, history, written, folder)


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
