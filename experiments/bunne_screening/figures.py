"""The figures of the screening study, from its result.json: small panels, one for each transformation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, MultipleLocator

import itn
from itn.plotting import BROKEN, WIDTH
from itn.plotting.names import shortened
from itn.plotting.style import BLUE, GRAY, GREEN, ORANGE
from itn.screening.plot_scales import cell_edges, draw_band, mark_identity, set_scale

Record = dict[str, Any]
COLUMNS = 3
MOST_NAMES = 20


def class_panels(record: Record, names: Sequence[str], with_map: bool) -> Figure | None:
    """Draw mean softmax over magnitude for one class under each transformation, and the map of the pair."""
    drawn = [name for name in names if name in record["transforms"]]
    count = len(drawn) + (with_map and record["pair"] is not None)
    if not count:
        return None
    rows = -(-count // 2)
    figure = Figure(figsize=(WIDTH, 2.55 * rows + 0.15), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.1, w_pad=0.08)
    panels = figure.subplots(rows, 2, squeeze=False)
    for ax in panels.flat[count:]:
        ax.axis("off")
    for number, ax in enumerate(panels.flat[:count]):
        letter = f"({chr(ord('a') + number)}) "
        if number < len(drawn):
            _softmax(ax, record, drawn[number], letter)
        else:
            _map(figure, ax, record, letter)
    return figure


def accuracy(record: Record) -> Figure:
    """Draw accuracy over all images for every transformation, with its interval and where it breaks."""
    figure, panels = _small_multiples(record, 1.75)
    for (name, sweep), ax in zip(record["transforms"].items(), panels, strict=True):
        transform, x = itn.TRANSFORMS[name], sweep["magnitudes"]
        draw_band(ax, x, sweep["ci_low"], sweep["ci_high"], BLUE)
        if sweep["control_accuracy"] is not None:
            control = 100 * np.array(sweep["control_accuracy"])
            ax.plot(x, control, "--", color=GREEN, linewidth=1, label="accuracy, round trip")
        ax.plot(x, 100 * np.array(sweep["accuracy"]), "o-", color=BLUE, markersize=2.5, label="accuracy")
        label = f"{100 * record['settings']['accuracy_fraction']:g} % of the clean accuracy"
        for threshold in sweep["accuracy_thresholds"].values():
            if threshold["value"] is not None:
                ax.axvline(threshold["value"], color=BROKEN, linewidth=1, linestyle=":", label=label)
        mark_identity(ax, transform)
        set_scale(ax, transform, x, sparse=True)
        ax.set_ylim(0, 102)
    data, confidence = record["data"], 100 * record["settings"]["confidence"]
    figure.supylabel(f"% of {data['images']:,} images, bands: {confidence:g} % intervals", fontsize=8)
    _legend(figure, panels)
    return figure


def class_thresholds(record: Record) -> Figure | None:
    """Draw where each class stops being recognized, on both sides of the identity of each transformation."""
    if any(sweep["class_thresholds"] is None for sweep in record["transforms"].values()):
        return None
    classes = len(next(iter(record["transforms"].values()))["class_thresholds"])
    figure, panels = _small_multiples(record, max(1.75, 0.5 + 0.13 * min(classes, MOST_NAMES)))
    for (name, sweep), ax in zip(record["transforms"].items(), panels, strict=True):
        transform, thresholds = itn.TRANSFORMS[name], sweep["class_thresholds"]
        ends = {"below": sweep["magnitudes"][0], "above": sweep["magnitudes"][-1]}
        order = (
            list(thresholds)
            if classes <= MOST_NAMES
            else sorted(thresholds, key=lambda k: _farthest(thresholds[k], ends))
        )
        for y, class_ in enumerate(order):
            for side, threshold in thresholds[class_].items():
                _dot(ax, y, threshold, ends[side], sweep["identity"])
        mark_identity(ax, transform)
        set_scale(ax, transform, sweep["magnitudes"], sparse=True)
        ax.set(ylim=(classes - 0.5, -0.5), yticks=[])
        if classes <= MOST_NAMES:
            ax.set_yticks(range(classes), [shortened(class_, 11) for class_ in order], fontsize=6)
            ax.yaxis.grid(linewidth=0.3)
    many = ", in the order of their thresholds" if classes > MOST_NAMES else ""
    confidence = 100 * record["settings"]["confidence"]
    figure.supylabel(f"{classes} classes{many}; lines: {confidence:g} % intervals", fontsize=8)
    _legend(figure, panels)
    return figure


def _softmax(ax: Axes, record: Record, name: str, letter: str) -> None:
    sweep, class_, transform = record["transforms"][name], record["panels"][name], itn.TRANSFORMS[name]
    rivals = iter((ORANGE, GREEN))
    for output, values in sweep["softmax"][class_].items():
        true, rest = output == class_, output == "others"
        ax.plot(
            sweep["magnitudes"],
            values,
            "--" if rest else "-",
            color=BLUE if true else GRAY if rest else next(rivals),
            linewidth=2 if true else 1.2,
            marker="o",
            markersize=2.5,
            label=shortened(output, 22),
        )
    mark_identity(ax, transform)
    set_scale(ax, transform, sweep["magnitudes"], sparse=True)
    if not transform.logarithmic:
        ax.xaxis.set_major_locator(
            MultipleLocator(90) if transform.unit == "degrees" else MaxNLocator(6, steps=(1, 2, 5, 10))
        )
    ax.set_ylim(0, 1.02)
    ax.set_xlabel(f"{name} ({transform.unit})", fontsize=8)
    ax.set_ylabel("mean softmax" if record["shown"][class_] > 1 else "softmax", fontsize=8)
    _title(ax, f"{letter}{name}: {_who(record, class_)}")
    ax.legend(
        loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, fontsize=6.5, frameon=False,
        borderaxespad=0.1, handlelength=1.6, columnspacing=1, labelspacing=0.25,
    )  # fmt: skip


def _map(figure: Figure, ax: Axes, record: Record, letter: str) -> None:
    pair, class_ = record["pair"], record["panels"]["translate_x,translate_y"]
    x, y = (itn.TRANSFORMS[name] for name in ("translate_x", "translate_y"))
    edges = cell_edges(x, pair["magnitudes_x"]), cell_edges(y, pair["magnitudes_y"])
    mesh = ax.pcolormesh(*edges, pair["softmax_true"], cmap="cividis", vmin=0, vmax=1)
    ax.plot(0, 0, "+", color="black", markersize=7)
    ax.invert_yaxis()  # y points down, in images
    ax.set_xlabel(f"translate_x ({x.unit})", fontsize=8)
    ax.set_ylabel(f"translate_y ({y.unit})", fontsize=8)
    ax.tick_params(labelsize=7)
    bar = figure.colorbar(mesh, ax=ax)
    bar.set_label("mean softmax of the true class" if record["shown"][class_] > 1 else "softmax", fontsize=7)
    bar.ax.tick_params(labelsize=6.5)
    _title(ax, f"{letter}translation: {_who(record, class_)}")


def _dot(ax: Axes, y: int, threshold: Record, end: float, identity: float) -> None:
    value, low, high = (threshold[key] for key in ("value", "ci_low", "ci_high"))
    if value is None:
        marker = ">" if end > identity else "<"
        ax.plot(end, y, marker, color=GRAY, markersize=3, label="beyond what was swept")
    elif value == identity:
        ax.plot(value, y, "x", color=BROKEN, markersize=3.5, label="not recognized unchanged")
    else:
        whisker = [end if v is None else v for v in (low, high)]
        ax.plot(whisker, [y, y], color=BLUE, linewidth=1, alpha=0.6)
        ax.plot(value, y, "o", color=BLUE, markersize=3, label="another class has a larger mean softmax")


def _farthest(sides: dict[str, Record], ends: dict[str, float]) -> float:
    return max(abs(ends[side] if t["value"] is None else t["value"]) for side, t in sides.items())


def _small_multiples(record: Record, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with a titled panel for each transformation, three in a row."""
    names = list(record["transforms"])
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(WIDTH * max(columns, 2) / COLUMNS, height * rows + 0.5), layout="constrained")
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - 0.3 / figure.get_figheight()))
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for ax in panels.flat[len(names) :]:
        ax.axis("off")
    for name, ax in zip(names, panels.flat, strict=False):
        ax.set_title(name, fontsize=8, pad=3)
        ax.set_xlabel(shortened(itn.TRANSFORMS[name].unit, 34), fontsize=7, labelpad=1)
        ax.tick_params(labelsize=6.5)
    return figure, list(panels.flat[: len(names)])


def _legend(figure: Figure, panels: Sequence[Axes]) -> None:
    shown = {
        label: handle for ax in panels for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    figure.legend(shown.values(), shown, loc="upper center", ncols=4, fontsize=7.5, frameon=False)


def _title(ax: Axes, text: str) -> None:
    ax.set_title(text, fontsize=8, loc="left", pad=24)
    ax.tick_params(labelsize=7)


def _who(record: Record, class_: str) -> str:
    n = record["shown"][class_]
    return f"{shortened(class_, 17)} ({f'{n:,} images' if n > 1 else 'one image'})"
