"""Families of single classes to figures; each function returns a Figure and shows nothing."""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from itn.learning.plots import displacement_label
from itn.learning.records import PerClassRecord
from itn.plotting.names import AVERAGE, class_label, shortened
from itn.plotting.style import BLUE, INK, WIDTH, headed, heading_height, styled
from itn.transforms import TRANSFORMS

_COLUMNS = 5
_NAMED = 20  # classes that have room for their names


@styled
def families(record: PerClassRecord, model: str = "") -> Figure:
    """Draw the displacement of each class's family at full strength and of its largest baseline."""
    what = (
        "displacement of the family of each class at full strength, its scale certified; lines: of the "
        "largest single transformation of that class, an estimate"
    )
    figure = Figure(figsize=(WIDTH, 2.3 + heading_height(WIDTH, model, what)), layout="constrained")
    panels = figure.subplots(1, len(record.parts), squeeze=False)[0]
    x = np.arange(len(record.classes))
    width = 72 * WIDTH / len(panels) * 0.75 / len(x)  # points for a class
    for ax, part in zip(panels, record.parts, strict=True):
        certified = [family.parts[part].displacement_full for family in record.classes]
        single = [family.largest_baseline(part).estimated_displacement for family in record.classes]
        ax.bar(x, certified, 0.7, color=BLUE)
        ax.plot(x, single, "_", color=INK, markersize=min(14.0, 0.85 * width), markeredgewidth=1.4)
        ax.set(title=f"{part} part", xlabel="class")
        ax.set_ylim(0, 1.05 * max(*certified, *single, 1e-6))
        _classes(ax, record, named=True)
    panels[0].set_ylabel(displacement_label(record.classes[0].parts.values()))
    return headed(figure, model, what)


@styled
def allowed(record: PerClassRecord, model: str = "") -> Figure:
    """Draw between which magnitudes of each single transformation each class keeps to the tolerance."""
    baselines = [
        [single for singles in family.baselines.values() for single in singles] for family in record.classes
    ]
    names = list(dict.fromkeys(single.transform for single in baselines[0]))
    what = (
        "what each class allows of single transformations: the magnitudes at which it loses no more than the "
        f"tolerance of {100 * record.tolerance:g} %, estimated; line: no change"
    )
    rows = -(-len(names) // _COLUMNS)
    named = len(record.classes) <= _NAMED // 2
    beneath = max(map(len, _names(record))) * 6 * AVERAGE / 72 if named else 0  # inches for the names
    height = (1.5 + max(0, beneath - 0.3)) * rows + 0.2 + heading_height(WIDTH, model, what)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
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
        if name in TRANSFORMS and TRANSFORMS[name].logarithmic and low.min() > 0:
            ax.set_yscale("log", base=2)
            ax.yaxis.set_major_locator(LogLocator(2, (1.0, 1.5)))
            ax.yaxis.set_major_formatter(lambda v, _: f"{v:g}")
            ax.yaxis.set_minor_locator(NullLocator())
        ax.bar(x, high - low, 0.7, bottom=low, color=BLUE)
        ax.axhline(first.identity, color=INK, linewidth=0.8)
        ax.set_title(name)
        ax.set_ylabel(textwrap.fill(first.unit, 18), fontsize=6.5)
        ax.tick_params(labelsize=6)
        _classes(ax, record, named)
    figure.supxlabel("class", fontsize=7.5)
    return headed(figure, model, what)


def _number(record: PerClassRecord, x: float) -> str:
    """Return the number of the class that a bar is for."""
    return str(record.classes[int(x)].label) if 0 <= x < len(record.classes) else ""


def _names(record: PerClassRecord) -> list[str]:
    return [shortened(class_label(family.name, family.label)) for family in record.classes]


def _classes(ax: Axes, record: PerClassRecord, named: bool) -> None:
    names = _names(record)
    if named and len(names) <= _NAMED:
        long = max(map(len, names)) > 2
        ax.set_xticks(range(len(names)), names, fontsize=6, rotation=90 if long else 0)
    else:
        ax.xaxis.set_major_locator(MaxNLocator(2, integer=True))
        ax.xaxis.set_major_formatter(lambda x, _: _number(record, x))
