"""A run of learning, from inputs to files; ``Families`` says what is learned."""

import functools
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from itn.certification.parametric import EvaluationSet, remember
from itn.data.inputs import RunInputs
from itn.learning.checkpoint import kept, resume
from itn.learning.config import LearnConfig
from itn.learning.examples import LearnExamples, examples_json
from itn.learning.objective import Steps
from itn.learning.records import LearnRecord, LearnStep, PerClassRecord
from itn.learning.split import Split, split_images
from itn.learning.trainer import train
from itn.models.checked_images import CheckedImages
from itn.reports.kinds import leave_report
from itn.runtime import distributed
from itn.runtime.arrays import write_arrays
from itn.runtime.errors import explained
from itn.runtime.journal import Journal
from itn.runtime.run_files import EXAMPLES, OUTCOMES
from itn.stats import training_split

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEARN, PER_CLASS = "learn", "learn --per-class"  # values of "command" in config.json

R = TypeVar("R", bound=LearnRecord | PerClassRecord)


class Families(Protocol[R]):
    """What is learned in a run: one family for all images, or one for each class.

    Called in this order; ``calibrate`` and ``compare`` only if the objective certifies, ``weights`` and
    ``figures`` only with a folder.
    """

    def prepare(self) -> Steps:
        """Return what learns the families."""

    def calibrate(self) -> None:
        """Choose how far they go, when they are learned."""

    def compare(self) -> None:
        """Measure how far they go beside what needs no learning."""

    def evaluate(self, history: Sequence[LearnStep], split: dict[str, Any], provenance: dict[str, Any]) -> R:
        """Return the record of what they do to held-out images."""

    def weights(self) -> dict[str, Tensor]:
        """Return the content of model.safetensors."""

    def outcomes(self) -> dict[str, NDArray[Any]]:
        """Return the content of outcomes.npz; empty if nothing was calibrated."""

    def examples(self) -> LearnExamples:
        """Return images under the families, for the report."""

    def figures(self, history: Sequence[LearnStep], record: R) -> "Mapping[str, Figure]":
        """Return figures by the names of their files."""


class Run(RunInputs):
    """A run of learning."""

    config: LearnConfig
    needs_gradient = True

    @functools.cached_property
    def journal(self) -> Journal:
        """What has been evaluated."""
        return Journal()

    @functools.cached_property
    def split(self) -> Split:
        """The images in their parts.

        Raises:
            ValueError: If there are too few of them.
        """
        return split_images(remember(self.evaluation_set(self.data)), self.config)

    @functools.cached_property
    def held_out_index(self) -> Tensor:
        """Which of the images of a run that certifies are held out."""
        return training_split(self.data.labels, self.config.train_fraction, self.config.seed)[1]

    def evaluation_set(self, data: CheckedImages) -> EvaluationSet:
        """Return images with the classifier of the run."""
        config = self.config
        return EvaluationSet(
            self.classifier, data, config.batch_size, config.asks, self.journal, config.shown_topk
        )

    def learn(
        self, families: Families[R], progress: bool | None
    ) -> tuple[R, tuple[LearnStep, ...], LearnExamples]:
        """Learn, calibrate, evaluate and write; return the record, the steps, and images for the report.

        Raises:
            RunError: If the run cannot go on; names the last good state.
            Interrupted: On Ctrl-C; likewise.
        """
        folder, journal, seconds = self.folder, self.journal, {}
        ending = partial(explained, lambda: kept(folder, journal), resumable=folder is not None)
        with folder or nullcontext(), journal.opened(folder):
            with ending(), journal.phase("prepare", progress):
                learner = families.prepare()
            seconds["preparation"] = self.lap()
            history = [] if folder is None else resume(learner, folder, journal)
            self.lap()
            with ending():
                train(learner, self.config.goal, history, folder, progress)
                learner.finish()
                seconds["learning"] = self.lap()
                if self.config.goal.certifies:
                    with journal.phase("calibrate", progress):
                        families.calibrate()
                    seconds["calibration"] = self.lap()
                    with journal.phase("compare", progress):
                        families.compare()
                    seconds["comparison"] = self.lap()
                with journal.phase("evaluate", progress):
                    split = self.split.record(self.config.seed)
                    record = families.evaluate(history, split, self.provenance)
                    examples = distributed.on_rank_zero(families.examples)
                seconds["evaluation"] = self.lap()
                if folder is not None:
                    chunk = learner.images_at_once or self.config.batch_size
                    finish = partial(self._finish, families, history, record, examples, seconds, chunk)
                    distributed.on_rank_zero(finish)  # all wait until the files are there
        return record, tuple(history), examples

    def _finish(
        self,
        families: Families[R],
        history: Sequence[LearnStep],
        record: R,
        examples: LearnExamples,
        seconds: dict[str, float],
        batch_size: int,
    ) -> None:
        """Write everything that a finished run leaves; drawing and the report count as evaluation."""
        from itn.plotting.style import write_figures  # noqa: PLC0415  # slow to import

        assert self.folder is not None
        self.folder.write("model.safetensors", partial(save_file, families.weights()))
        if outcomes := families.outcomes():
            self.folder.write(OUTCOMES, partial(write_arrays, outcomes))
        self.folder.write_json(EXAMPLES, examples_json(examples))
        write_figures(self.folder, families.figures(history, record))
        seconds["evaluation"] += self.lap()
        self.folder.finish(record.to_json(), self.timing(seconds, batch_size))
        leave_report(self.folder.path)
        seconds["evaluation"] += self.lap()
        self.folder.correct_timing(self.timing(seconds, batch_size))
