"""What a report says of a screen."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from itn.data.inputs import PREDICTED, input_notes
from itn.models.canvases import surround_text
from itn.reports.classes import FEWEST_IMAGES, caution, extremes
from itn.reports.page import (
    Block,
    Figure,
    RunPage,
    Section,
    Strips,
    Table,
    Text,
    at_the_change,
)
from itn.reports.sources import python_call, sources
from itn.runtime.wording import capitalized, counted
from itn.screening.config import ScreenConfig
from itn.screening.criteria import measure
from itn.screening.examples import FlipExample
from itn.screening.records import ScreenRecord, SweepRecord
from itn.screening.summary import (
    breaking_order,
    extents,
    findings,
    has_geometry,
    pair_text,
    percent_text,
    range_text,
    readings,
    statement,
    table_cells,
    tested_text,
    unit_text,
)
from itn.screening.transforms import drawn_as
from itn.transforms import Transform

if TYPE_CHECKING:
    from itn.screening.result import ScreenResult

MOST_NAMED = 3
"""Transformations that the statement says the range of."""


def screen_page(result: "ScreenResult") -> RunPage:
    """Return what a report says of a screen."""
    record, settings = result.record, result.settings
    source = settings.get("images", {}).get("source")
    transforms = {name: drawn_as(name, sweep, settings) for name, sweep in record.transforms.items()}
    defaults = ScreenConfig().describe()
    call = python_call("itn.screen", "itn.ScreenConfig", settings, defaults)
    sections = [
        *_overview(record, transforms),
        *(_of_transform(result, name, transforms[name]) for name, _ in breaking_order(record)),
        *_pairs(record, settings),
        _limits(record),
        sources(record.provenance, settings, call),
    ]
    title = f"{record.model}: to which transformations it is invariant, and how far"
    return RunPage(title, tuple(_statement(record, source)), tuple(sections))


def _statement(record: ScreenRecord, source: str | None) -> Iterator[str]:
    """Yield the sentences to quote: what is kept, how far, and what breaks first."""
    low, high = map(percent_text, record.clean_accuracy_ci)
    of = f"{record.model} on {counted(record.n, 'image')}" + (f" ({source})" if source else "")
    clean = f"{percent_text(record.clean_accuracy)} [{low}, {high}] unchanged"
    order, sweeps = breaking_order(record), record.transforms
    if not sweeps:
        yield f"{of}: {measure('accuracy', record.topk)} is {clean}."
        return
    watched = measure(record.criterion, record.topk)
    level = f"{100 * next(iter(sweeps.values())).thresholds.accuracy_fraction:g} %"
    if record.criterion == "accuracy":
        watched, level = f"{watched}, {clean},", f"{level} of that"
    elif record.provenance.get("labels") != PREDICTED:
        watched = f"{watched} ({measure('accuracy', record.topk)} {clean})"
    subject = f"{of}: {watched} stays at or above {level}"
    brackets = f"in brackets {100 * record.confidence:g} % intervals"
    broken = {name: change for name, change in order if change is not None}
    kept = [name for name, change in order if change is None]
    named = list(broken) if len(broken) <= MOST_NAMED else list(broken)[:1]
    if named:
        ranges = "; ".join(f"under {name} {_range(name, sweeps[name])}" for name in named)
        yield f"{subject} {ranges}; {brackets}."
    if broken and len(sweeps) > 1:
        first, change = next(iter(broken.items()))
        yield (
            f"It breaks first under {first}, that is, with the least change of the pixels: {change:.3f} of "
            "the full range, root mean square."
        )
    if kept:
        tested = ", ".join(f"{name} ({_reach(name, sweeps[name])})" for name in kept)
        yield f"{'It stays there' if named else subject} under all that was tested of {tested}."
    if len(named) < len(broken):
        yield f"The table has the ranges of all {len(sweeps)} transformations."


def _range(name: str, sweep: SweepRecord) -> str:
    """Return from where to where enough is kept, in words."""
    unit = unit_text(name, sweep.unit)
    if sweep.kept is not None:
        return f"as follows: {extents(sweep)[0]} ({unit})"
    return f"from {range_text(sweep.thresholds.of_criterion, sweep.magnitudes, sweep.identity)} ({unit})"


def _reach(name: str, sweep: SweepRecord) -> str:
    return f"{tested_text(sweep)}, {unit_text(name, sweep.unit)}"


def _overview(record: ScreenRecord, transforms: Mapping[str, Transform]) -> Iterator[Section]:
    """Yield the closing table and the figure of all thresholds."""
    notes = input_notes(record.provenance)
    if not record.transforms:
        if notes:
            yield Section("overview", "What breaks it", (Text(tuple(notes)),))
        return
    from itn.plotting.svg import svg_text  # noqa: PLC0415  # slow to import
    from itn.screening.plot_overview import thresholds  # noqa: PLC0415

    header, *rows = table_cells(record)
    notes += [f"{name} is left out: {reason}" for name, reason in record.left_out.items()]
    blocks: tuple[Block, ...] = (
        Table(header, tuple(rows), ("On top is what breaks it first.", *readings(record))),
        *((Text(tuple(notes), listed=True),) if notes else ()),
        Figure(
            svg_text(thresholds(record, transforms), "thresholds"),
            "How to read it: each bar reaches from one threshold to the other, on the scale of its own row; "
            "an arrow means that the end of what was tested was reached first.",
            wide=True,
        ),
    )
    yield Section("overview", "What breaks it, and where", blocks)


def _of_transform(result: "ScreenResult", name: str, transform: Transform) -> Section:
    """Return the section of one transformation: its curve, images, classes."""
    from itn.plotting.svg import svg_text  # noqa: PLC0415  # slow to import
    from itn.screening.plots import plot_sweep  # noqa: PLC0415

    record = result.record
    sweep = record.transforms[name]
    curve = plot_sweep(record, result.outcomes, transform)
    blocks = [
        Text((f"{statement(name, sweep, record.confidence)}.",)),
        *(Text((f"{capitalized(text)}.",)) for text in findings(record, name)),
        Figure(
            svg_text(curve, f"curve-{name}"),
            f"How to read it: at the thin vertical line nothing is changed; at the dotted vertical lines "
            f"{measure(record.criterion, record.topk)} falls below the dotted level; bands are "
            f"{100 * record.confidence:g} % intervals.",
        ),
        *_strips(name, sweep, result.examples),
        *_classes(record, name, transform),
    ]
    return Section(f"transform {name}", f"Under {name}", tuple(blocks))


def _strips(name: str, sweep: SweepRecord, examples: tuple[FlipExample, ...]) -> Iterator[Block]:
    """Yield images at the point where their prediction changes."""
    sides = sweep.thresholds.flips.items()
    never = [f"{f.n - f.flipped:,} of {counted(f.n, 'image')} {side} the identity" for side, f in sides]
    unchanged = f"Predictions that never change within what was tested: {', '.join(never)}."
    of_transform = [example for example in examples if example.transform == name]
    if not of_transform:
        yield Text((f"No image is shown at the point where its prediction changes. {unchanged}",))
        return
    strips = tuple(
        at_the_change(
            f"{example.rank}: image {example.image}, class {example.class_}",
            [(m.picture, f"{m.magnitude:.4g}", m.answer) for m in example.moments],
        )
        for example in of_transform
    )
    yield Strips(
        strips,
        "How to read it: an image unchanged, at the last magnitude tried that keeps its prediction, and at "
        f"the first that changes it ({unit_text(name, sweep.unit)}); chosen for that, so not typical. "
        f"{unchanged}",
    )


def _classes(record: ScreenRecord, name: str, transform: Transform) -> Iterator[Block]:
    """Yield the classes that are affected most and least."""
    sweep = record.transforms[name]
    thresholds = sweep.thresholds
    images = {c: max(flips.n for flips in sides.values()) for c, sides in thresholds.flips_by_class.items()}
    enough = [c for c, n in images.items() if n >= FEWEST_IMAGES]
    if len(enough) < 3 or sweep.kept is not None:
        if len(images) > 1 and sweep.kept is None:
            yield Text((f"Classes are not compared: fewer than three have {FEWEST_IMAGES} images each.",))
        return

    def nearest(class_: str) -> float:
        ends = [t.value for t in thresholds.classes[class_].values() if t.value is not None]
        return min((transform.distance(v) for v in ends), default=float("inf"))

    order = sorted(enough, key=nearest)
    if nearest(order[0]) == nearest(order[-1]):
        yield Text(("No class stops leading sooner than another within what was tested.",))
        return
    frame = sweep.magnitudes, sweep.identity
    rows = [
        (
            class_,
            rank,
            f"{images[class_]:,}",
            range_text(thresholds.classes[class_], *frame),
            range_text({s: f.median for s, f in thresholds.flips_by_class[class_].items()}, *frame),
        )
        for class_, rank in extremes(order)
    ]
    unit = unit_text(name, sweep.unit)
    header = (
        *("class", "affected", "images"),
        f"true class leads from, to ({unit})",
        f"half of the predictions unchanged from, to ({unit})",
    )
    reading = (
        "How to read it: a class leads while its mean softmax over its images is the largest; most affected "
        "is what stops leading at the smallest change; "
        f"{caution(len(order), len(images) - len(order), record.confidence)}"
    )
    yield Table(header, tuple(rows), (reading,))


def _pairs(record: ScreenRecord, settings: Mapping[str, Any]) -> Iterator[Section]:
    """Yield a section for each pair."""
    for pair in record.pairs.values():
        from itn.plotting.svg import svg_text  # noqa: PLC0415  # slow to import
        from itn.screening.plot_overview import pair_map  # noqa: PLC0415

        x, y = (drawn_as(name, record.transforms.get(name), settings) for name in (pair.x, pair.y))
        figure = svg_text(
            pair_map(pair, x, y, record.clean_accuracy, record.model), f"pair-{pair.x}-{pair.y}"
        )
        reading = (
            f"How to read it: each cell is a pair of magnitudes, {pair.x} is applied first; the lighter a "
            "cell, the more images are right."
        )
        blocks = (Text((f"{pair_text(pair, record.clean_accuracy)}.",)), Figure(figure, reading))
        yield Section(f"pair {pair.x},{pair.y}", f"Under {pair.x} and {pair.y} together", blocks)


def _limits(record: ScreenRecord) -> Section:
    """Return what the numbers do not say."""
    lines = [
        f"Everything is measured on these {counted(record.n, 'image')}: on others of the same kind it "
        "differs by about the intervals, on images of another kind by more. On images that the classifier "
        "was trained on, accuracy is too good.",
        f"An interval holds with {100 * record.confidence:g} % confidence for itself, not all at once.",
        "One transformation changes at a time. Several together may break the classifier earlier.",
        "Between the magnitudes that were tried, curves are interpolated: a narrow dip would not be seen.",
        "A threshold is about many images. Single images and classes break earlier, and some later.",
    ]
    if has_geometry(record):
        geometry = surround_text(record.surround, record.interpolation, record.padding)
        lines.append(f"{geometry}; padding: {record.padding}.")
    return Section("limits", "What these numbers do not say", (Text(tuple(lines), listed=True),))
