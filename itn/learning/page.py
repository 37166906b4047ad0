"""What a report says of a run of learning: one family, or one for each class."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from itn.data.inputs import input_notes
from itn.learning.config import LearnConfig
from itn.learning.examples import LearnExamples, read_examples
from itn.learning.load import load_family, model_of, read_results
from itn.learning.records import LearnRecord, LearnStep, PerClassRecord
from itn.learning.run import LEARN, PER_CLASS
from itn.learning.slider_data import slider_data
from itn.learning.summary import (
    accuracy_cells,
    accuracy_readings,
    certified,
    class_cells,
    class_readings,
    in_words,
    of_classes,
    part_cells,
    part_readings,
)
from itn.nn import controls_of_parts
from itn.reports.animations import FILMS
from itn.reports.kinds import PAGES
from itn.reports.page import Figure, RunPage, Section, Sliders, Strips, Table, Text, at_the_change
from itn.reports.sources import python_call, sources
from itn.runtime.config_file import settings_of
from itn.runtime.wording import capitalized, counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

    from itn.plotting.film import Film

TOLERANCE_OF_PAGE = "1/255"
"""By how much a pixel in the browser may differ from that of ``net.transform``: rounding to 8 bits."""


def controls_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what each k drives, from the content of config.json."""
    parts = settings.get("config", {}).get("parts", ())
    return tuple(parts) if isinstance(parts, Mapping) else controls_of_parts(parts)


def _page_of_folder(folder: Path) -> RunPage:
    content, history, _ = read_results(folder)
    record = LearnRecord.from_json(content)
    return learn_page(record, history, read_examples(folder), settings_of(folder))


def _film_of_folder(folder: Path, transform: str | None) -> "Film":
    from itn.learning.film import learn_film  # noqa: PLC0415  # slow to import

    settings = settings_of(folder)
    per_class = settings["command"] == PER_CLASS
    return learn_film(
        read_examples(folder),
        lambda image: load_family(folder, image.label if per_class else None),
        controls_of(settings),
        model_of(settings),
    )


def _page_of_classes(folder: Path) -> RunPage:
    content, history, _ = read_results(folder)
    record = PerClassRecord.from_json(content)
    return class_page(record, history, read_examples(folder), settings_of(folder))


PAGES[LEARN], PAGES[PER_CLASS] = _page_of_folder, _page_of_classes
FILMS[LEARN] = FILMS[PER_CLASS] = _film_of_folder


def learn_page(
    record: LearnRecord,
    history: Sequence[LearnStep],
    examples: LearnExamples | None,
    settings: Mapping[str, Any],
) -> RunPage:
    """Return what a report says of a run with one family."""
    from itn.learning import plots  # noqa: PLC0415  # slow to import
    from itn.plotting.svg import svg_text  # noqa: PLC0415  # slow to import

    controls, model = controls_of(settings), model_of(settings)
    accuracies, parts = accuracy_cells(record), part_cells(record)
    tables = (
        Table(accuracies[0], tuple(accuracies[1:]), (_joined(accuracy_readings(record)),)),
        Table(parts[0], tuple(parts[1:]), (_joined(part_readings(record)),)),
    )
    notes = input_notes(record.provenance)
    overview = (*((Text(tuple(notes), listed=True),) if notes else ()), *tables)
    curves = svg_text(plots.accuracy_and_displacement(record, controls, model), "curves")
    figures = [
        Figure(
            curves,
            "How to read it: from left to right k grows along a ray; accuracy stays near the gray line while "
            "displacement grows, the more the better for the family; bands are 95 % intervals.",
            wide=True,
        )
    ]
    if record.drop_curves:
        rivals = svg_text(plots.baselines(record, model), "baselines")
        reading = (
            "How to read it: at the same loss, left to right, the family (the line with dots) goes farther "
            "than its best rivals where it is higher."
        )
        figures.append(Figure(rivals, reading, wide=True))
    worst = {} if record.certificate is None else {"worst k": record.certificate.worst.k}
    singles = {name: part.member for name, part in record.parts.items() if part.member}
    alike = [name for name, member in singles.items() if " and " not in member]
    sections = [
        Section("overview", "What accuracy it costs, and how far it goes", overview),
        *_moving(examples, controls, worst, alike),
        *_flips(examples),
        Section("figures", "Along k, and beside what needs no learning", tuple(figures)),
        *_steps(record, history, model),
        _limits(record.certificate is not None, record.split["held_out"], record.provenance),
        sources(record.provenance, settings, _call("itn.learn", settings)),
    ]
    return RunPage(_title(settings, record), tuple(_statement(record, settings)), tuple(sections))


def class_page(
    record: PerClassRecord,
    history: Sequence[LearnStep],
    examples: LearnExamples | None,
    settings: Mapping[str, Any],
) -> RunPage:
    """Return what a report says of a run with a family for each class."""
    from itn.learning import class_plots  # noqa: PLC0415  # slow to import
    from itn.plotting.svg import svg_text  # noqa: PLC0415  # slow to import

    model = model_of(settings)
    header, *rows = class_cells(record)
    notes = [*input_notes(record.provenance), *of_classes(record)]
    figures = (
        Figure(
            svg_text(class_plots.families(record, model), "families"),
            "How to read it: the higher a bar, the farther the family of that class goes; a line beside it "
            "is the largest single transformation, an estimate.",
            wide=True,
        ),
        Figure(
            svg_text(class_plots.allowed(record, model), "allowed"),
            "How to read it: each bar is what a class allows of one transformation, an estimate from "
            "training images.",
            wide=True,
        ),
    )
    sections = [
        Section(
            "overview",
            "Class by class",
            (Table(header, tuple(rows), (_joined(class_readings(record)),)), Text(tuple(notes), listed=True)),
        ),
        *_moving(examples, controls_of(settings), {}),
        *_flips(examples),
        Section("figures", "Which classes allow most", figures),
        *_steps(record, history, model),
        _limits(True, record.split["held_out"], record.provenance),
        sources(record.provenance, settings, _call("itn.learn_per_class", settings)),
    ]
    farthest = max(record.classes, key=lambda family: list(family.parts.values())[-1].displacement_full)
    part = list(record.parts)[-1]
    statement = (
        record.certificate.statement,
        f"The {part} part goes farthest for class {farthest.name} (displacement "
        f"{farthest.parts[part].displacement_full:.3f}), picked among {len(record.classes)} classes after "
        "measuring.",
    )
    return RunPage(_title(settings, record), statement, tuple(sections))


def _title(settings: Mapping[str, Any], record: LearnRecord | PerClassRecord) -> str:
    name, source = model_of(settings), settings.get("images", {}).get("source")
    what = "families, one for each class," if isinstance(record, PerClassRecord) else "the family"
    return f"{name}: {what} of transformations it is invariant to" + (f", on {source}" if source else "")


def _statement(record: LearnRecord, settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield the sentences to quote."""
    if record.certificate is None:
        low, high = (f"{100 * end:.2f} %" for end in record.accuracy_full_ci)
        name = model_of(settings)
        yield (
            f"Measured, not certified: on {counted(record.split['held_out'], 'held-out image')} accuracy of "
            f"{name} is {100 * record.clean_accuracy:.2f} % unchanged and {100 * record.accuracy_full:.2f} % "
            f"[{low}, {high}] at full strength of the learned family (objective {record.objective})."
        )
    else:
        statement, *rest = certified(record)
        yield statement
        yield from (f"{capitalized(line)}." for line in rest if " times the displacement" in line)
    for line in in_words(record):
        yield f"{capitalized(line)}."


def _moving(
    examples: LearnExamples | None,
    controls: Sequence[str],
    marks: Mapping[str, Sequence[float] | None],
    alike: Sequence[str] = (),
) -> Iterator[Section]:
    """Yield the section with sliders for k; of the parts that are alike, both entries do the same."""
    title = "Move the images yourself"
    if examples is None:
        yield Section("sliders", title, (Text(("This run has left no images for its report.",)),))
        return
    if examples.lattice is not None:
        points = len(examples.lattice.points)
        reading: tuple[str, ...] = (
            "How to read it: each slider is one entry of a k; at 0 nothing is changed, with all at 1 the "
            "family is at full strength. A green frame: the prediction is that on the unchanged image; red "
            f"and dashed: it is another. Pictures are computed here, within {TOLERANCE_OF_PAGE} of what the "
            f"classifier was given; answers were computed beforehand at {points} values of each entry, and "
            "the nearest of them is shown.",
        )
    else:
        reading = (
            "How to read it: pictures and answers along rays of one k, the others at 0, all computed "
            "beforehand; at t = 0 nothing is changed. A green frame: the prediction is that on the unchanged "
            "image; red and dashed: it is another.",
        )
    if alike:
        names = [f"k{list(controls).index(part) + 1} ({part})" for part in alike]
        reading = (
            *reading,
            f"Both entries of {' and of '.join(names)} do the same: a single transformation.",
        )
    full = {"unchanged": (0.0,), "full strength": (1.0,)}
    yield Section("sliders", title, (Sliders(slider_data(examples, controls, full | dict(marks)), reading),))


def _flips(examples: LearnExamples | None) -> Iterator[Section]:
    """Yield images at the point where their prediction changes."""
    if examples is None:
        return
    counts = (
        f"Of {counted(examples.examined, 'held-out image')} that it was tried on, full strength changes the "
        f"prediction of {examples.changed:,} that are right unchanged."
    )
    title = "Where predictions change"
    if not examples.flips:
        yield Section("flips", title, (Text((counts,)),))
        return
    names = examples.names
    strips = tuple(
        at_the_change(
            f"{flip.rank}: held-out image {flip.image}, class {names[flip.label]}",
            [(m.picture, f"t = {m.t:.3g}", names[m.answer]) for m in flip.moments],
        )
        for flip in examples.flips
    )
    reading = (
        "How to read it: all entries of k are t; an image unchanged, at the last t tried that keeps its "
        f"prediction, and at the first that changes it; chosen for that, so not typical. {counts}"
    )
    yield Section("flips", title, (Strips(strips, reading),))


def _steps(
    record: LearnRecord | PerClassRecord, history: Sequence[LearnStep], model: str
) -> Iterator[Section]:
    """Yield the steps of learning, if the objective is one of the package."""
    drawing = loss_figure(record, history, model)
    if drawing is not None:
        from itn.plotting.svg import svg_text  # noqa: PLC0415  # slow to import

        reading = "How to read it: from left to right the steps of learning, before the scale was chosen."
        figure = Figure(svg_text(drawing, "losses"), reading, wide=True)
        yield Section("steps", "How it was learned", (figure,), folded=True)


def loss_figure(
    record: LearnRecord | PerClassRecord, history: Sequence[LearnStep], model: str
) -> "Drawing | None":
    """Return the figure of the steps; None of an objective of the user's."""
    from itn.learning import step_plots  # noqa: PLC0415  # slow to import
    from itn.plotting.style import named  # noqa: PLC0415  # slow to import

    match record.objective:
        case "constrained":
            return named(step_plots.constrained_curves(history, record.tolerance), model)
        case "switched":
            return named(step_plots.loss_curves(history), model)
    return None


def _limits(certifies: bool, n: int, provenance: Mapping[str, Any]) -> Section:
    """Return what the numbers do not say."""
    proven = (
        "What is certified is certified at full strength and at the k that is named, not at every k. The "
        "worst k was found by a search, which may have missed a worse one."
        if certifies
        else "Nothing is certified: the objective does not choose how far the family may go."
    )
    lines = (
        proven,
        f"It is certified for images drawn like these {counted(n, 'held-out image')}, not for images of "
        "another kind, and not for each image: some become wrong, others right."
        if certifies
        else f"It is measured on these {counted(n, 'held-out image')}, not on images of another kind.",
        "The family is one of those that the classifier is invariant to, not all of them: another run may "
        "find another one that goes as far.",
        "Displacement is not motion in the image, and is a square: twice the displacement is 1.4 times as "
        "far.",
        "If the classifier was trained on these images, accuracy and certificate are too good.",
    )
    return Section("limits", "What these numbers do not say", (Text(lines, listed=True),))


def _call(function: str, settings: Mapping[str, Any]) -> str:
    return python_call(function, "itn.LearnConfig", settings, LearnConfig().describe())


def _joined(lines: Iterator[str]) -> str:
    """Return notes in brackets as one paragraph."""
    return " ".join(lines).replace(") (", "; ").replace(") surround", "; surround").strip("()")
