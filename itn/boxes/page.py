"""What a report says of a search in a box."""

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from itn.boxes.config import WorstConfig
from itn.boxes.growth import share
from itn.boxes.records import WorstRecord, WorstRow
from itn.boxes.summary import (
    geometry_text,
    growth_text,
    passes_text,
    round_trip_text,
    sampling_text,
    share_text,
    table_cells,
)
from itn.data.inputs import input_notes
from itn.reports.classes import FEWEST_IMAGES, caution, extremes
from itn.reports.page import Block, Figure, Picture, RunPage, Section, Strip, Strips, Table, Text
from itn.reports.sources import python_call, sources
from itn.runtime.wording import capitalized, counted
from itn.screening.summary import unit_text

if TYPE_CHECKING:
    from itn.boxes.result import WorstResult


def worst_page(result: "WorstResult") -> RunPage:
    """Return what a report says of a search in a box."""
    record, settings = result.record, result.settings
    defaults = WorstConfig({"rotate": (-1, 1)}).describe() | {"box": None}
    call = python_call("itn.worst_case", "itn.WorstConfig", settings, defaults)
    source = settings.get("images", {}).get("source")
    of = f"{record.model} on {counted(record.n, 'image')}" + (f" ({source})" if source else "")
    sections = (
        _overview(record),
        *_images(result),
        *_classes(record, result.images),
        _limits(record),
        sources(record.provenance, settings, call),
    )
    title = f"{record.model}: what survives all transformations together"
    return RunPage(title, (f"{of}: {record.statement}.", f"{capitalized(growth_text(record))}."), sections)


def _overview(record: WorstRecord) -> Section:
    """Return the closing table and the figure of the growing box."""
    from itn.boxes.figures import growth_figure  # noqa: PLC0415  # slow to import
    from itn.plotting.svg import svg_text  # noqa: PLC0415

    header, *rows = table_cells(record)
    notes = [*input_notes(record.provenance), *filter(None, [sampling_text(record)])]
    blocks: tuple[Block, ...] = (
        Table(header, tuple(rows), ("Shares are upper bounds: only some points of the box were tried.",)),
        *((Text(tuple(notes), listed=True),) if notes else ()),
        Figure(
            svg_text(growth_figure(record), "growth"),
            "How to read it: on the left the box grows from nothing, 0, to its full size, 1, and fewer "
            "images survive; on the right the full box stands beside each transformation alone.",
            wide=True,
        ),
    )
    return Section("overview", "How many survive", blocks)


def _images(result: "WorstResult") -> Iterator[Section]:
    """Yield images unchanged and at their worst points."""
    rows = {row.image: row for row in result.images}
    names = {name: unit_text(name, unit) for name, unit in result.record.units.items()}
    strips = []
    for example in result.examples:
        row = rows[example.image]
        where = tuple(f"{name} {value:.3g}" for name, value in zip(names, row.point, strict=True))
        verdict = f"{'still says' if row.survives else 'says'} {row.prediction}"
        strips.append(
            Strip(
                f"image {example.image}, class {example.class_}",
                (
                    Picture(example.unchanged, ("unchanged", f"says {example.answer}"), "kept"),
                    Picture(example.worst, (*where, verdict), "kept" if row.survives else "broken"),
                ),
            )
        )
    if strips:
        reading = (
            "How to read it: an image unchanged, and at the first point of the box that was found to break "
            "it, or, if none was, at the one that comes nearest to it; chosen for that, so not typical. "
            f"Units: {', '.join(f'{name} {unit}' for name, unit in names.items())}."
        )
        yield Section("images", "Images at their worst points", (Strips(tuple(strips), reading),))


def _classes(record: WorstRecord, rows: tuple[WorstRow, ...]) -> Iterator[Section]:
    """Yield the classes of which the most and the fewest images survive."""
    survivors = defaultdict[str, list[bool]](list)
    for row in rows:
        if row.survives is not None:
            survivors[row.class_].append(row.survives)
    enough = {name: found for name, found in survivors.items() if len(found) >= FEWEST_IMAGES}
    if len(enough) < 3:
        return
    order = sorted(enough, key=lambda name: sum(enough[name]) / len(enough[name]))
    cells = []
    for name, rank in extremes(order):
        n = len(enough[name])
        survive = share_text(share(sum(enough[name]), n, record.confidence))
        cells.append((name, rank, f"{n:,}", survive))
    known = caution(len(order), len(survivors) - len(order), record.confidence)
    table = Table(
        ("class", "affected", "images searched", "survive, at most"),
        tuple(cells),
        (f"How to read it: {known}",),
    )
    yield Section("classes", "Which classes are affected most", (table,))


def _limits(record: WorstRecord) -> Section:
    """Return what the numbers do not say."""
    lines = [
        "The search finds points that break an image, and may miss some: fewer images survive the whole box "
        f"than is said here, or as many ({passes_text(record)}).",
        f"Everything is measured on these {counted(record.n, 'image')}: on others of the same kind it "
        "differs by about the intervals, on images of another kind by more.",
        "A worst point is the first that was found to break an image; others may change it less.",
        f"An interval holds with {100 * record.confidence:g} % confidence for itself, not all at once.",
    ]
    if record.round_trip is not None:
        control = capitalized(round_trip_text(record.round_trip))
        lines.append(f"{control}: there interpolation, or what is cut off, is enough.")
    if geometry := geometry_text(record):
        lines.append(f"{capitalized(geometry)}; padding: {record.padding}.")
    return Section("limits", "What these numbers do not say", (Text(tuple(lines), listed=True),))
