"""The training loop of all objectives: steps, a progress bar, and checkpoints on the way."""

import math
import time

from itn.learning.checkpoint import save_checkpoint
from itn.learning.objective import Objective, Steps, mean_displacements
from itn.learning.records import LearnStep
from itn.runtime.errors import RunError
from itn.runtime.progress import progress_bar
from itn.runtime.run_dir import RunFolder

CHECKPOINT_SECONDS = 5.0


def train(
    learner: Steps,
    objective: Objective,
    history: list[LearnStep],
    folder: RunFolder | None,
    progress: bool | None,
) -> None:
    """Take all steps that the history lacks, and append them to it; leave a checkpoint at the end.

    Raises:
        RunError: If the last step leaves weights that are not finite.
    """
    written = len(history)
    last = -math.inf
    steps = objective.steps
    with progress_bar("learn", steps, "steps", progress, done=len(history)) as bar:
        for number in range(len(history), steps):
            if folder is not None and time.monotonic() - last > CHECKPOINT_SECONDS:
                written = save_checkpoint(learner, history, written, folder)
                last = time.monotonic()
            history.append(learner.step(number))
            bar.advance()
            recent = history[-50:]
            bar.note(", ".join(filter(None, (objective.progress(recent), mean_displacements(recent)))))
    if not learner.is_finite():
        raise RunError("the last step left weights that are not finite")
    if folder is not None:
        save_checkpoint(learner, history, written, folder)
