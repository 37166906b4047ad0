"""What learning returns: one family, or one for each class."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from itn.learning.examples import LearnExamples, read_examples
from itn.learning.load import load_nets, read_results
from itn.learning.page import class_page, learn_page
from itn.learning.records import LearnRecord, LearnStep, PerClassRecord
from itn.learning.run import PER_CLASS
from itn.nn import InvariantTransformerNet, Parts
from itn.reports.page import RunPage
from itn.runtime.config_file import settings_of
from itn.runtime.frames import data_frame
from itn.runtime.records import Result
from itn.runtime.validation import user_path

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

    from itn.plotting.film import Film


class StepsResult(Result):
    """What both have: the steps of learning."""

    history: tuple[LearnStep, ...]

    def to_frame(self) -> "pandas.DataFrame":
        """Return a row for each step of learning: displacement by part, and what the objective reports.

        Raises:
            ImportError: If pandas, an extra, is not installed.
        """
        return data_frame([step.columns() for step in self.history])


@dataclasses.dataclass(frozen=True, repr=False)
class LearnResult(StepsResult):
    """What ``itn.learn`` returns; ``print`` shows the closing table."""

    net: InvariantTransformerNet
    record: LearnRecord
    history: tuple[LearnStep, ...]
    examples: LearnExamples | None = dataclasses.field(default=None, compare=False)
    """Images under what was learned, for the report."""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict, compare=False)
    """The content of config.json."""

    def page(self) -> RunPage:
        """Return what a report says of it, see ``itn.report``."""
        return learn_page(self.record, self.history, self.examples, self.settings)

    def film(self, transform: str | None = None) -> "Film":
        """Return the frames of ``itn.animate``."""
        from itn.learning.film import film_of_nets  # noqa: PLC0415  # slow to import

        return film_of_nets(self.examples, {None: self.net})

    def plot(self, what: str = "curves") -> "Figure":
        """Return a figure; nothing is written.

        Args:
            what: curves (accuracy and displacement along k), baselines (the family beside its rivals), or
                losses.

        Raises:
            ValueError: If the run has no such figure.
        """
        from itn.learning.result_plots import plot  # noqa: PLC0415  # slow to import

        return plot(self.record, self.history, self.net, what)


@dataclasses.dataclass(frozen=True, repr=False)
class PerClassResult(StepsResult):
    """What ``itn.learn_per_class`` returns; ``print`` shows the closing table."""

    nets: dict[int, InvariantTransformerNet]
    """By label."""
    record: PerClassRecord
    history: tuple[LearnStep, ...]
    examples: LearnExamples | None = dataclasses.field(default=None, compare=False)
    """Images under what was learned, for the report."""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict, compare=False)
    """The content of config.json."""

    def page(self) -> RunPage:
        """Return what a report says of it, see ``itn.report``."""
        return class_page(self.record, self.history, self.examples, self.settings)

    def film(self, transform: str | None = None) -> "Film":
        """Return the frames of ``itn.animate``."""
        from itn.learning.film import film_of_nets  # noqa: PLC0415  # slow to import

        return film_of_nets(self.examples, self.nets)

    def plot(self, what: str = "families") -> "Figure":
        """Return a figure; nothing is written.

        Args:
            what: families (how far each class goes), allowed (between which magnitudes), or losses.

        Raises:
            ValueError: If the run has no such figure.
        """
        from itn.learning.result_plots import plot_classes  # noqa: PLC0415  # slow to import

        return plot_classes(self.record, self.history, next(iter(self.nets.values())), what)


def load_run(
    folder: str | Path, classifier: nn.Module | None = None, transformers: Parts | None = None
) -> LearnResult | PerClassResult:
    """Return the result of a finished run of learning from its folder.

    Args:
        folder: The output folder of ``itn.learn``, ``itn.learn_per_class`` or ``itn learn``.
        classifier: What its nets classify with; None: they transform images, and do not classify them.
        transformers: Transformers of your own, by name, as the run was given them.

    Raises:
        ValueError: As ``itn.load_net``.

    Example:
        >>> run = itn.load_run("runs/learn")
        >>> print(run.record.certificate.statement)
    """
    path = user_path(folder)
    content, history, _ = read_results(path)
    settings = settings_of(path)
    examples = read_examples(path)
    nets = load_nets(path, classifier, transformers)
    if settings["command"] == PER_CLASS:
        record = PerClassRecord.from_json(content)
        of_classes = {label: net for label, net in nets.items() if label is not None}
        return PerClassResult(of_classes, record, history, examples, settings)
    return LearnResult(nets[None], LearnRecord.from_json(content), history, examples, settings)
