"""A learned family in words: matrices in a sentence, and the closing tables."""

from collections.abc import Iterator

from itn.certification.records import Baseline, Headline
from itn.certification.rivals import JOINT
from itn.data.inputs import input_notes
from itn.learning.records import ChangeShares, LearnRecord, PerClassRecord
from itn.models.canvases import surround_text
from itn.runtime.tables import text_table
from itn.runtime.wording import counted
from itn.stats import clopper_pearson

_SHIFT = "pixels shift: root mean square over all pixels, at full strength"
_BOUND = "bound: what no parameter of the part can exceed"
_DISPLACEMENT = "displacement: mean of ||A x - x||^2 over unit vectors x, A the matrix of the transformation"


def summary(record: LearnRecord) -> str:
    """Return the closing table of a run: accuracies, displacements, what was learned, what is certified."""
    header, *parts = part_cells(record)
    return "\n".join(
        [
            *_accuracies(record),
            "",
            text_table(parts, header),
            *part_readings(record),
            "",
            *in_words(record),
            *certified(record),
        ]
    )


def part_cells(record: LearnRecord) -> list[tuple[str, ...]]:
    """Return the header and the rows of the table of displacements."""
    return [
        ("displacement", "k uniform", "full strength", "pixels shift", "bound"),
        *(
            (
                name,
                f"{part.displacement_uniform:.4f}",
                f"{part.displacement_full:.4f}",
                "" if part.rms_shift_full is None else f"{100 * part.rms_shift_full:.1f} % of the width",
                _bound(part.bound),
            )
            for name, part in record.parts.items()
        ),
    ]


def in_words(record: LearnRecord) -> Iterator[str]:
    """Yield what each part does."""
    for part in record.parts.values():
        if part.description:
            yield f"at full strength, {part.description}"
    for name, part in record.parts.items():
        if part.member:
            yield (
                f"{name}: the family goes along {part.member} (+: its magnitude rises, -: it falls) instead "
                "of along what was learned: on training images that was estimated to go farther"
            )
    for part in record.parts.values():
        if part.range:
            yield (
                f"over all k, {part.range.transform} from {part.range.low:.3g} to {part.range.high:.3g}"
                + (f" ({part.range.unit})" if part.range.unit else "")
            )


def _accuracies(record: LearnRecord) -> Iterator[str]:
    """Yield the table of accuracies and of images that change, and what its rows mean."""
    header, *rows = accuracy_cells(record)
    yield from input_notes(record.provenance)
    yield text_table(rows, header)
    yield from accuracy_readings(record)


def accuracy_cells(record: LearnRecord) -> list[tuple[str, ...]]:
    """Return the header and the rows of the table of accuracies and of images that change."""
    n = record.split["held_out"]

    def row(name: str, accuracy: str, changes: ChangeShares | None) -> tuple[str, ...]:
        if changes is None:
            return (name, accuracy, "", "", "", "")
        fall = 100 * (changes.broken - changes.mended)
        shares = (f"{100 * share:.2f} %" for share in (changes.broken, changes.mended, changes.agreement))
        return (name, accuracy, f"{fall:.2f}", *shares)

    changes, certificate = record.changes, record.certificate
    measure = "accuracy" if record.topk == 1 else f"top-{record.topk} accuracy"
    columns = (
        counted(n, "held-out image"),
        f"{measure} [95 % interval]",
        "falls by (points)",
        "broken",
        "mended",
    )
    rows = [
        (*columns, "same prediction"),
        row("unchanged", _percent(record.clean_accuracy, record.clean_accuracy_ci), None),
        row("k uniform", _percent(record.accuracy_uniform, record.accuracy_uniform_ci), changes["uniform"]),
        row("full strength", _percent(record.accuracy_full, record.accuracy_full_ci), changes["full"]),
    ]
    if certificate is not None:
        worst, searched = certificate.worst.accuracy, certificate.searched
        rows += [
            row("worst k", _percent(worst, _interval(worst, n)), changes["worst"]),
            row("searched k", f"{100 * searched.accuracy:.2f} %", changes["searched"]),
            row("worst of each image", f"{100 * searched.accuracy_per_image:.2f} %", None),
        ]
    return rows


def accuracy_readings(record: LearnRecord) -> Iterator[str]:
    """Yield what the rows and columns of the table of accuracies mean."""
    yield "(k uniform: each image transformed with k1 and k2 drawn at random from [0, 1]^2; full strength:"
    yield "k1 = k2 = (1, 1), the strongest transformation of the family; broken: right unchanged, wrong"
    yield "transformed; mended: wrong unchanged, right transformed)"
    if record.certificate is not None:
        yield "(worst k: of all images at once, found by a search on training images; searched k: found by a"
        yield "search on these images, an estimate; worst of each image: at the k found for it, an estimate)"
        yield "(the family's scale was chosen on these images: all of this is measured after that choice)"


def _interval(share: float, n: int) -> tuple[float, float]:
    return clopper_pearson(round(share * n), n)


def part_readings(record: LearnRecord) -> Iterator[str]:
    """Yield what the columns of the table of displacements mean."""
    matrices = [name for name, part in record.parts.items() if part.matrix_full]
    others = {name: part for name, part in record.parts.items() if name not in matrices}
    if matrices:
        yield f"({_DISPLACEMENT}{' (' + ', '.join(matrices) + ')' if others else ''})"
    for name, part in others.items():
        yield f"(displacement of {name}: {part.displacement_text})"
    if any(part.rms_shift_full is not None for part in record.parts.values()):
        yield f"({_SHIFT}; {_BOUND})"
        yield _geometry(record)
    else:
        yield f"({_BOUND})"


def _geometry(record: LearnRecord | PerClassRecord) -> str:
    """Return what geometry brings in, how it samples, and why, if that was chosen for a reason."""
    text = surround_text(record.surround, record.interpolation)
    if record.softening is None or record.interpolation == "bilinear":
        return text
    return f"{text}, since {record.softening.text}"


def class_summary(record: PerClassRecord) -> str:
    """Return the closing table of a run: a row for each class, then what is certified of all together."""
    header, *rows = class_cells(record)
    return "\n".join(
        [
            *input_notes(record.provenance),
            text_table(rows, header),
            *class_readings(record),
            *of_classes(record),
        ]
    )


def class_cells(record: PerClassRecord) -> list[tuple[str, ...]]:
    """Return the header and the rows of the table of classes."""
    names = list(record.parts)
    header = (
        *("class", "held-out images", "accuracy unchanged", "at full strength", "at its worst k"),
        *("drop there", "at most"),
        *(f"{name} displacement" for name in names),
        f"largest single {names[-1]} transformation, estimated",
    )
    rows: list[tuple[str, ...]] = [header]
    for family in record.classes:
        baseline = family.largest_baseline(names[-1])
        rows.append(
            (
                family.name,
                f"{family.images:,}",
                f"{100 * family.clean_accuracy:.2f} %",
                f"{100 * family.full.accuracy:.2f} %",
                f"{100 * family.worst.accuracy:.2f} %",
                f"{100 * family.worst.drop:.2f} %",
                f"{100 * family.worst.drop_upper_bound:.2f} %",
                *(f"{family.parts[name].displacement_full:.4f}" for name in names),
                _baseline_text(baseline, baseline.estimated_magnitude),
            )
        )
    return rows


def class_readings(record: PerClassRecord) -> Iterator[str]:
    """Yield what the columns of the table of classes mean."""
    yield (
        "(full strength: k1 = k2 = (1, 1), the strongest transformation of a family; worst k: found by a "
        f"search on training images; drop: what is lost by the criterion {record.criterion})"
    )
    if all(part.matrix_full for family in record.classes for part in family.parts.values()):
        yield f"({_DISPLACEMENT}; at full strength)"
    if _moves_pixels(record):
        yield _geometry(record)


def of_classes(record: PerClassRecord) -> Iterator[str]:
    """Yield what holds of the classes, and what is proven of all together."""
    certificate = record.certificate
    if certificate.scale:
        yield (
            f"The tolerance of {100 * certificate.tolerance:g} % is proven for all classes together, not for "
            "each. A single class has fewer images, so its own bound on the drop is wider; it holds with "
            f"{100 * certificate.confidence:g} % confidence for each class by itself."
        )
    members = {
        family.name: [f"{part}: {of.member}" for part, of in family.parts.items() if of.member]
        for family in record.classes
    }
    if plain := [f"{name} ({'; '.join(of_class)})" for name, of_class in members.items() if of_class]:
        yield f"In place of what was learned, estimated to go farther: {', '.join(plain)}."
    if beyond := [
        f.name for f in record.classes if max(f.worst.drop, f.full.drop) > 2 * certificate.tolerance
    ]:
        yield f"More than twice the tolerance is lost, there or at full strength, by {', '.join(beyond)}."
    for where, shares in (
        ("at full strength", record.changes["full"]),
        ("each at its worst k", record.changes["worst"]),
    ):
        yield (
            f"All classes, {where}: {100 * shares.broken:.2f} % broken, {100 * shares.mended:.2f} % "
            f"mended, {100 * shares.agreement:.2f} % of predictions unchanged."
        )
    yield certificate.statement
    if certificate.obstacle is not None:
        yield certificate.obstacle
    yield (
        f"Searched on these images, an estimate: accuracy {100 * certificate.searched.accuracy:.2f} % "
        "with each class at its own worst k, "
        f"{100 * certificate.searched.accuracy_per_image:.2f} % with each image at its own."
    )


def _moves_pixels(record: PerClassRecord) -> bool:
    return any(part.rms_shift_uniform is not None for part in record.parts.values())


def certified(record: LearnRecord) -> Iterator[str]:
    """Yield the statement to quote, and how the family compares with single transformations."""
    certificate = record.certificate
    if certificate is None:
        return
    yield certificate.statement
    if certificate.obstacle is not None:
        yield certificate.obstacle
    conditions = {
        "full strength": certificate.full,
        "worst k": certificate.worst,
        "k uniform": certificate.uniform,
    }
    bounds = (
        f"{name} {100 * condition.drop:.2f} %, at most {100 * condition.drop_upper_bound:.2f} %"
        for name, condition in conditions.items()
    )
    yield (
        f"what is lost ({certificate.criterion}), measured, and at most with "
        f"{100 * certificate.confidence:g} % confidence: {'; '.join(bounds)}"
    )
    for name, headline in (record.headline or {}).items():
        yield _compared(record, name, headline)


def _compared(record: LearnRecord, name: str, headline: Headline | None) -> str:
    """Return how far the family goes beside its best rival, or why that is not said."""
    whose = "together" if name == JOINT else name
    if headline is None:
        return f"{whose}: no ratio to what needs no learning, since {record.no_headline}"
    low, high = (f"{100 * drop:.2g}" for drop in (headline.drops[0], headline.drops[-1]))
    best = "best single transformation" + (" of each part" if name == JOINT else "")
    limit = "" if headline.limit is None else f"{headline.limit} "
    left_out = [part for part in record.parts if part not in headline.parts]
    without = f" (without {', '.join(left_out)}, which is as large as it may be in both)" if left_out else ""
    return (
        f"{whose}: {limit}{headline.value:.2f} [{headline.ci_low:.2f}, {headline.ci_high:.2f}] times the "
        f"displacement{without} of the {best}, {headline.rival}, where both lose equally much, {low} to "
        f"{high} %; measured, not certified{_verdict(record, headline)}"
    )


def _verdict(record: LearnRecord, headline: Headline) -> str:
    """Return what the interval says of who goes farther."""
    if all(record.parts[part].member for part in headline.parts):
        return (
            ": both are single transformations, as nothing was found that goes farther, so this compares "
            "their proportions, or nothing but chance"
        )
    if headline.ci_low > 1:
        return "" if headline.limit != "at most" else ": the other ends at its bound, so this may be less"
    if headline.ci_high < 1 and headline.limit != "at least":
        return ": below 1, but the family is measured at its worst k too, the other is not"
    return ": the interval holds 1, so which of them goes farther is not known"


def _baseline_text(baseline: Baseline, magnitude: float) -> str:
    return f"{baseline.transform} {'up' if baseline.sign == '+' else 'down'} to {magnitude:.3g}"


def _bound(bound: float | list[float]) -> str:
    return f"{bound:.4g}" if isinstance(bound, float) else " / ".join(f"{value:.4g}" for value in bound)


def _percent(value: float, interval: tuple[float, float]) -> str:
    return f"{100 * value:.2f} % [{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]"
