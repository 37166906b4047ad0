"""The figures that results of learning return."""

from collections.abc import Callable, Mapping, Sequence

from matplotlib.figure import Figure

from itn.learning import class_plots, plots
from itn.learning.figures import model_name
from itn.learning.page import loss_figure
from itn.learning.records import LearnRecord, LearnStep, PerClassRecord
from itn.nn import InvariantTransformerNet


def plot(
    record: LearnRecord, history: Sequence[LearnStep], net: InvariantTransformerNet, what: str
) -> Figure:
    """Return a figure of a run with one family.

    Raises:
        ValueError: If there is none of that name.
    """
    model = model_name(net)
    figures: dict[str, Callable[[], Figure | None]] = {
        "curves": lambda: plots.accuracy_and_displacement(record, net.controls, model),
        "losses": lambda: loss_figure(record, history, model),
    }
    if record.drop_curves:
        figures["baselines"] = lambda: plots.baselines(record, model)
    return _drawn(figures, what)


def plot_classes(
    record: PerClassRecord, history: Sequence[LearnStep], net: InvariantTransformerNet, what: str
) -> Figure:
    """Return a figure of a run with a family for each class.

    Raises:
        ValueError: If there is none of that name.
    """
    model = model_name(net)
    figures: dict[str, Callable[[], Figure | None]] = {
        "families": lambda: class_plots.families(record, model),
        "allowed": lambda: class_plots.allowed(record, model),
        "losses": lambda: loss_figure(record, history, model),
    }
    return _drawn(figures, what)


def _drawn(figures: Mapping[str, Callable[[], Figure | None]], what: str) -> Figure:
    figure = figures.get(what, lambda: None)()
    if figure is None:
        raise ValueError(f"this run has no figure {what!r}: give one of {', '.join(figures)}")
    return figure
