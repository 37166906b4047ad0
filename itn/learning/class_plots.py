"""Families of single classes to figures; each function returns a Figure and shows nothing."""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from itn.learning.records import PerClassRecord
from itn.plotting.names import AVERAGE, class_label, shortened
from itn.plotting.style import BLUE, INK, WIDTH

_COLUMNS = 5
_NAMED = 20  # classes that have room for their names


def families(record: PerClassRecord) -> Figure:
    """Draw the displacement of each class's family at full strength and of its largest baseline."""
    figure = Figure(figsize=(WIDTH, 2.8), layout="constrained")
    panels = figure.subplots(1, len(record.parts), squeeze=False)[0]
    x = np.arange(len(record.classes))
    for ax, part in zip(panels, record.parts, strict=True):
        certified = [family.parts[part].displacement_full for family in record.classes]
        single = [family.largest_baseline(part).estimated_displacement for family in record.classes]
        ax.bar(x, certified, 0.7, color=BLUE, label="family of the class, scale certified")
        ax.plot(x, single, "_", color=INK, markersize=12, label="largest single transformation, estimated")
        ax.set(title=part, ylabel=r"displacement $\|\hat A - I\|_F^2 / n$")
        ax.set_ylim(0, 1.45 * max(*certified, *single, 1e-6))
        ax.legend(frameon=False, fontsize=7, loc="upper left")
        _classes(ax, record, named=True)
    return figure


def allowed(record: PerClassRecord) -> Figure:
    """Draw between which magnitudes of each single transformation each class keeps to the tolerance."""
    baselines = [
        [single for singles in family.baselines.values() for single in singles] for family in record.classes
    ]
    names = list(dict.fromkeys(single.transform for single in baselines[0]))
    rows = -(-len(names) // _COLUMNS)
    named = len(record.classes) <= _NAMED // 2
    beneath = max(map(len, _names(record))) * 6 * AVERAGE / 72 if named else 0  # inches for the names
    figure = Figure(figsize=(WIDTH, (1.6 + max(0, beneath - 0.3)) * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, min(_COLUMNS, len(names)), squeeze=False).flatten()
    for ax in panels[len(names) :]:
        ax.axis("off")
    x = np.arange(len(record.classes))
    for ax, name in zip(panels, names, strict=False):
        first = next(single for single in baselines[0] if single.transform == name)
        ends = [
            [first.identity, *(s.estimated_magnitude for s in singles if s.transform == name)]
            for singles in baselines
        ]
        low, high = (np.array([end(magnitudes) for magnitudes in ends]) for end in (min, max))
        ax.use_sticky_edges = False  # no bar ends on the frame
        ax.bar(x, high - low, 0.7, bottom=low, color=BLUE)
        ax.axhline(first.identity, color=INK, linewidth=0.8)
        ax.set_title(name, fontsize=7)
        ax.set_ylabel(textwrap.fill(first.unit, 18), fontsize=6)
        ax.tick_params(labelsize=6)
        _classes(ax, record, named)
    figure.supxlabel(
        "class; bars: magnitudes at which it keeps to the tolerance of "
        f"{100 * record.tolerance:g} %, estimated",
        fontsize=8,
    )
    return figure


def _number(record: PerClassRecord, x: float) -> str:
    """Return the number of the class that a bar is for."""
    return str(record.classes[int(x)].label) if 0 <= x < len(record.classes) else ""


def _names(record: PerClassRecord) -> list[str]:
    return [shortened(class_label(family.name, family.label)) for family in record.classes]


def _classes(ax: Axes, record: PerClassRecord, named: bool) -> None:
    names = _names(record)
    if named and len(names) <= _NAMED:
        long = max(map(len, names)) > 2
        ax.set_xticks(range(len(names)), names, fontsize=7 if not long else 6, rotation=90 if long else 0)
    else:
        ax.xaxis.set_major_locator(MaxNLocator(2, integer=True))
        ax.xaxis.set_major_formatter(lambda x, _: _number(record, x))
