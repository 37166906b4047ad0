"""The curve of one transformation, without images: for reports and notebooks."""

from typing import Any

from matplotlib.figure import Figure

from itn.plotting.style import BLUE, GREEN, ORANGE
from itn.runtime.wording import counted
from itn.screening.criteria import level_of, measure
from itn.screening.plot_scales import axis_label, draw_curve, mark_identity, percent, set_scale
from itn.screening.plot_sweep import mark_breaks
from itn.screening.records import SweepRecord
from itn.stats import clopper_pearson
from itn.transforms import Transform

SIZE = (4.6, 2.9)  # inches: legible on a telephone


def sweep_curve(
    transform: Transform, sweep: SweepRecord, clean_accuracy: float, confidence: float, model: str = ""
) -> Figure:
    """Draw accuracy and agreement over magnitude.

    Args:
        transform: The transformation.
        sweep: Its record.
        clean_accuracy: Accuracy on unchanged images.
        confidence: Confidence of the bands.
        model: What is above it.
    """
    figure = Figure(figsize=SIZE)
    ax = figure.add_axes((0.11, 0.15, 0.87, 0.65))
    topk = sweep.thresholds.topk
    agreement = f"predictions {'unchanged' if topk == 1 else f'among the top {topk}'}"
    if sweep.lost_content is not None and not transform.discrete:
        lost = percent(sweep.lost_content)
        ax.fill_between(
            sweep.magnitudes, 0, lost, color="0.88", zorder=0, label="area moved out of the frame"
        )
    style: dict[str, Any] = {"markersize": 3, "linewidth": 1.8, "label": measure("accuracy", topk)}
    x, share, low, high = _with_thresholds(sweep, clean_accuracy, confidence)
    draw_curve(ax, transform, x, share, (low, high), BLUE, "o", **style)
    interval = sweep.agreement_ci_low, sweep.agreement_ci_high
    style = {"markersize": 3, "linewidth": 1, "label": agreement}
    draw_curve(ax, transform, sweep.magnitudes, sweep.agreement, interval, ORANGE, "", **style)
    if sweep.control_accuracy is not None and not transform.discrete:
        style = {"linewidth": 1, "label": "accuracy, round trip"}
        ax.plot(sweep.magnitudes, percent(sweep.control_accuracy), "--", color=GREEN, **style)
    mark_identity(ax, transform)
    mark_breaks(ax, sweep)
    set_scale(ax, transform, sweep.magnitudes)
    ax.set(ylim=(0, 102))
    ax.tick_params(labelsize=8)
    ax.set_xlabel(axis_label(transform), fontsize=8, labelpad=2)
    ax.set_ylabel(f"% of {counted(sweep.n, 'image')}", fontsize=8)
    figure.legend(loc="upper left", ncols=2, fontsize=7, frameon=False, bbox_to_anchor=(0.08, 1.0))
    if model:
        figure.text(0.99, 0.01, model, ha="right", fontsize=6)
    return figure


def _with_thresholds(
    sweep: SweepRecord, clean_accuracy: float, confidence: float
) -> tuple[tuple[float, ...], ...]:
    """Return magnitudes, accuracies and ends of intervals, with the points at which accuracy breaks.

    Those were measured between the magnitudes of the sweep, and a line that leaves them out would cross the
    level elsewhere.
    """
    points = dict(
        zip(sweep.magnitudes, zip(sweep.accuracy, sweep.ci_low, sweep.ci_high, strict=True), strict=True)
    )
    if sweep.thresholds.criterion == "accuracy" and sweep.kept is None:
        level = level_of(sweep.thresholds.accuracy_fraction, round(clean_accuracy * sweep.n), sweep.n)
        for threshold in sweep.thresholds.accuracy.values():
            if threshold.value is not None:
                ends = clopper_pearson(round(level * sweep.n), sweep.n, confidence)
                points.setdefault(threshold.value, (level, *ends))
    return tuple(zip(*((v, *points[v]) for v in sorted(points)), strict=True))
