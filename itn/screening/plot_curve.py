"""The curves of one transformation: what all figures of it draw, and a figure of them alone."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from itn.plotting.style import BLUE, COLUMN, CYAN, GREEN, ORANGE, headed, heading_height, styled
from itn.runtime.wording import counted
from itn.screening.criteria import agreement_text, measure
from itn.screening.outcomes import SweepOutcomes
from itn.screening.plot_points import Points, curve_points
from itn.screening.plot_scales import (
    axis_label,
    breaks_handle,
    draw_curve,
    mark_breaks,
    mark_identity,
    percent,
    set_scale,
)
from itn.screening.records import SweepRecord
from itn.transforms import Transform

LEFT, RIGHT, BOTTOM, CURVE = 0.42, 0.08, 0.36, 1.75  # inches: of the curve, and its height


@styled
def sweep_curve(
    transform: Transform,
    sweep: SweepRecord,
    clean_accuracy: float,
    confidence: float,
    model: str = "",
    outcomes: SweepOutcomes | None = None,
    labeled: bool = True,
) -> Figure:
    """Draw accuracy and agreement over magnitude, for reports and notebooks.

    Args:
        transform: The transformation.
        sweep: Its record.
        clean_accuracy: Accuracy on unchanged images.
        confidence: Confidence of the bands.
        model: Name of the classifier.
        outcomes: What each image does, also at the magnitudes that were measured to find thresholds.
        labeled: Whether labels were given; if not, accuracy is agreement, and not drawn.
    """
    what = curve_heading(transform, labeled)
    figure = Figure(figsize=(COLUMN, 1))
    ax = figure.add_axes((0, 0, 1, 1))
    draw_outcomes(ax, transform, sweep, clean_accuracy, confidence, labeled, outcomes)
    if sweep.control_accuracy is not None and not transform.discrete:
        draw_control(ax, transform, sweep, labeled)
    if sweep.lost_content is not None and not transform.discrete:
        draw_lost(ax, transform, sweep)
    handles = [*ax.get_legend_handles_labels()[0], breaks_handle(sweep)]
    mark_curve(ax, transform, sweep, clean_accuracy, sparse=len(sweep.magnitudes) > 7)
    ax.set_xlabel(axis_label(transform), labelpad=2)
    top = heading_height(COLUMN, model, what)
    key = 0.13 * len(handles) + 0.06
    height = top + key + CURVE + BOTTOM
    figure.set_size_inches(COLUMN, height)
    ax.set_position(
        (LEFT / COLUMN, BOTTOM / height, 1 - (LEFT + RIGHT) / COLUMN, CURVE / height),
    )
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0.01, 1 - top / height)}
    figure.legend(handles=handles, borderaxespad=0, borderpad=0, labelspacing=0.25, **place)
    return headed(figure, model, what)


def curve_heading(transform: Transform, labeled: bool) -> str:
    """Return what a figure of one transformation shows; without labels there is no accuracy."""
    return f"{'accuracy and' if labeled else 'unchanged'} predictions under {transform.name}"


def mark_curve(
    ax: Axes, transform: Transform, sweep: SweepRecord, clean_accuracy: float, sparse: bool = False
) -> None:
    """Mark where images are unchanged and where the classifier breaks, and scale both axes."""
    mark_identity(ax, transform)
    mark_breaks(ax, sweep, clean_accuracy)
    set_scale(ax, transform, sweep.magnitudes, sparse=sparse)
    ax.set(ylim=(0, 103), ylabel=f"% of {counted(sweep.n, 'image')}")


def draw_outcomes(
    ax: Axes,
    transform: Transform,
    sweep: SweepRecord,
    clean_accuracy: float,
    confidence: float,
    labeled: bool,
    outcomes: SweepOutcomes | None,
) -> None:
    """Draw accuracy, what the criterion watches, and agreement, through every magnitude that was measured."""
    topk = sweep.thresholds.topk
    styles: dict[str, dict[str, Any]] = {
        "accuracy": {"color": BLUE, "marker": "o", "label": measure("accuracy", topk)},
        "broken": {"color": CYAN, "marker": "^", "label": "right unchanged, and still right"},
        "agreement": {"color": ORANGE, "marker": "s", "label": f"predictions {agreement_text(topk)}"},
    }
    drawn = ["accuracy"] * labeled + ["broken"] * (sweep.thresholds.criterion == "broken") + ["agreement"]
    for number, criterion in enumerate(drawn):
        style = styles[criterion] | {
            "linewidth": 1.0 if number else 1.8,
            "markersize": 2.0 if number else 3.0,
        }
        points = curve_points(criterion, sweep, clean_accuracy, confidence, outcomes)
        x = points.magnitudes
        if transform.discrete:  # points at one magnitude stand side by side
            x = tuple(v + 0.03 * number * (x[-1] - x[0]) for v in x)
            style["markersize"] = 4
        _draw(ax, transform, points._replace(magnitudes=x), **style)


def _draw(ax: Axes, transform: Transform, points: Points, color: str, marker: str, **style: Any) -> None:
    interval = points.ci_low, points.ci_high
    draw_curve(ax, transform, points.magnitudes, points.share, interval, color, marker, **style)


def draw_control(ax: Axes, transform: Transform, sweep: SweepRecord, labeled: bool) -> None:
    """Draw what interpolation and cut-off alone cost."""
    assert sweep.control_accuracy is not None
    what = measure("accuracy", sweep.thresholds.topk) if labeled else "predictions unchanged"
    style: dict[str, Any] = {"markersize": 4, "linewidth": 1, "label": f"{what} after a round trip"}
    marks = "^" if transform.discrete else "--"
    ax.plot(sweep.magnitudes, percent(sweep.control_accuracy), marks, color=GREEN, **style)


def draw_lost(ax: Axes, transform: Transform, sweep: SweepRecord) -> None:
    """Shade how much of the frame has left it."""
    assert sweep.lost_content is not None
    lost, label = percent(sweep.lost_content), "area moved out of the frame, in %"
    if transform.discrete:
        ax.vlines(sweep.magnitudes, 0, lost, color="0.88", linewidth=12, zorder=0, label=label)
    else:
        ax.fill_between(sweep.magnitudes, 0, lost, color="0.88", zorder=0, label=label)
