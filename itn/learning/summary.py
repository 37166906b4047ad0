"""A learned family in words: matrices in a sentence, and the closing tables."""

from collections.abc import Iterator, Sequence

from itn.certification.criteria import CRITERIA, measure_of
from itn.certification.records import Baseline, Certificate, Headline
from itn.learning.records import LearnRecord, PerClassRecord
from itn.runtime.tables import text_table

_BELOW = ": below 1, so this transformation by itself goes further than the learned family"
_NAMED = 4  # baselines that a sentence names, at most
_SHIFT = "pixels shift: root mean square over all pixels, at full strength"
_BOUND = "bound: what no parameter of the part can exceed"
_DISPLACEMENT = "displacement: mean of ||A x - x||^2 over unit vectors x, A the matrix of the transformation"


def summary(record: LearnRecord) -> str:
    """Return the closing table of a run: accuracies, displacements, what was learned, what is certified."""
    accuracies = [
        ("unchanged", _percent(record.clean_accuracy, record.clean_accuracy_ci), ""),
        (
            "k uniform",
            _percent(record.accuracy_uniform, record.accuracy_uniform_ci),
            "each image transformed with k1 and k2 drawn at random from [0, 1]^2",
        ),
        (
            "full strength",
            _percent(record.accuracy_full, record.accuracy_full_ci),
            "k1 = k2 = (1, 1), the strongest transformation of the family",
        ),
    ]
    if record.certificate is not None:
        accuracies += _searched(record.certificate)
    images = f"{record.split['held_out']:,} held-out images [95 % interval]"
    accuracy = f"{measure_of(record.criterion)} on {images}"
    parts = [
        (
            name,
            f"{part.displacement_uniform:.4f}",
            f"{part.displacement_full:.4f}",
            "" if part.rms_shift_full is None else f"{100 * part.rms_shift_full:.1f} % of the width",
            _bound(part.bound),
        )
        for name, part in record.parts.items()
    ]
    header = ("displacement", "k uniform", "full strength", "pixels shift", "bound")
    return "\n".join(
        [
            text_table(accuracies, ("images", accuracy, "")),
            "",
            text_table(parts, header),
            *_displacements(record),
            f"({_SHIFT}; {_BOUND})" if any(row[3] for row in parts) else f"({_BOUND})",
            "",
            *(f"at full strength, {part.description}" for part in record.parts.values() if part.description),
            *(
                f"over all k, {part.range.transform} from {part.range.low:.3g} to {part.range.high:.3g}"
                + (f" ({part.range.unit})" if part.range.unit else "")
                for part in record.parts.values()
                if part.range
            ),
            *_certified(record),
        ]
    )


def _displacements(record: LearnRecord) -> Iterator[str]:
    """Yield what displacement means, for the parts that have a matrix and for others."""
    matrices = [name for name, part in record.parts.items() if part.matrix_full]
    others = [name for name in record.parts if name not in matrices]
    if matrices:
        yield f"({_DISPLACEMENT}{' (' + ', '.join(matrices) + ')' if others else ''})"
    if others:
        yield f"(displacement of {', '.join(others)}: as the transformer defines it)"


def class_summary(record: PerClassRecord) -> str:
    """Return the closing table of a run: a row for each class, then what is certified of all together."""
    names = list(record.parts)
    header = (
        *("class", "held-out images", "accuracy unchanged", "at full strength", "broken there, at most"),
        *(f"{name} displacement" for name in names),
        f"largest single {names[-1]} transformation, estimated",
    )
    rows = []
    for family in record.classes:
        baseline = family.largest_baseline(names[-1])
        rows.append(
            (
                family.name,
                f"{family.images:,}",
                f"{100 * family.clean_accuracy:.2f} %",
                f"{100 * family.accuracy_full:.2f} %",
                f"{100 * family.break_rate_upper_bound:.2f} %",
                *(f"{family.parts[name].displacement_full:.4f}" for name in names),
                _baseline_text(baseline, baseline.estimated_magnitude),
            )
        )
    certificate = record.certificate
    return "\n".join(
        [
            text_table(rows, header),
            "(full strength: k1 = k2 = (1, 1), the strongest transformation of a family; broken: right "
            "unchanged, wrong transformed)",
            f"({_DISPLACEMENT}; at full strength)",
            f"The tolerance of {100 * certificate.tolerance:g} % holds for all classes together. A single "
            "class has fewer images, so its own bound on what is broken is wider; it holds with "
            f"{100 * certificate.confidence:g} % confidence for each class by itself.",
            certificate.statement,
            f"Worst k found by a search, an estimate: accuracy {100 * certificate.searched.accuracy:.2f} % "
            "with each class at its own worst k, "
            f"{100 * certificate.searched.accuracy_per_image:.2f} % with each image at its own.",
        ]
    )


def _searched(certificate: Certificate) -> Iterator[tuple[str, str, str]]:
    searched = certificate.searched
    yield (
        "worst k",
        f"{100 * searched.accuracy:.2f} %",
        "all images at the single k that a search found worst: an estimate",
    )
    yield (
        "worst k of each image",
        f"{100 * searched.accuracy_per_image:.2f} %",
        "each image at the worst k found for it: an estimate",
    )


def _certified(record: LearnRecord) -> Iterator[str]:
    """Yield the statement to quote, and how the family compares with single transformations."""
    certificate = record.certificate
    if certificate is None:
        return
    if certificate.scale:
        yield (
            f"With {100 * certificate.confidence:g} % confidence, at most {100 * certificate.tolerance:g} % "
            f"of images like these {_breaking(record.criterion)}, at full strength and at the worst k found "
            f"({record.split['calibration']:,} calibration images)."
        )
    else:
        yield "No transformation could be certified: the family was scaled back to the identity."
    yield certificate.statement
    for part, headline in (record.headline or {}).items():
        yield f"{part}: {_compared(headline, (record.baselines or {})[part], certificate.confidence)}"


def _compared(headline: Headline | None, baselines: Sequence[Baseline], confidence: float) -> str:
    calibrated = [baseline for baseline in baselines if baseline.displacement is not None]
    if headline is not None:
        largest = max(calibrated, key=lambda baseline: baseline.displacement or 0)
        end = "no upper end" if headline.ci_high is None else f"{headline.ci_high:.2f}"
        return (
            f"the family has {headline.value:.2f} [{headline.ci_low:.2f}, {end}] times the displacement of "
            f"the largest single transformation, {_baseline_text(largest, largest.magnitude or 0)} "
            f"({100 * confidence:g} % interval)" + (_BELOW if headline.value < 1 else "")
        )
    bounded = [_baseline_text(b, b.magnitude or 0) for b in calibrated if b.reached_bound]
    if len(bounded) == 1:
        return (
            f"no ratio: {bounded[0]} keeps to the tolerance up to its bound, so how far it goes is not known"
        )
    if bounded:
        more = f" and {len(bounded) - _NAMED} more" if len(bounded) > _NAMED else ""
        names = ", ".join(bounded[:_NAMED])
        return f"no ratio: {names}{more} keep to the tolerance up to their bounds, so how far is not known"
    return "no ratio: no single transformation is certified at any scale above 0"


def _baseline_text(baseline: Baseline, magnitude: float) -> str:
    return f"{baseline.transform} {'up' if baseline.sign == '+' else 'down'} to {magnitude:.3g}"


def _breaking(criterion: str) -> str:
    return "turn from right to wrong" if criterion in CRITERIA else f"stop meeting the criterion {criterion}"


def _bound(bound: float | list[float]) -> str:
    return f"{bound:.4g}" if isinstance(bound, float) else " / ".join(f"{value:.4g}" for value in bound)


def _percent(value: float, interval: tuple[float, float]) -> str:
    return f"{100 * value:.2f} % [{100 * interval[0]:.2f}, {100 * interval[1]:.2f}]"
