"""The closing table of a search in a box, and the sentence to quote."""

from collections.abc import Mapping

from itn.boxes.records import Growth, RoundTrip, Share, WorstRecord
from itn.data.inputs import input_notes
from itn.models.canvases import surround_text
from itn.runtime.tables import text_table
from itn.runtime.wording import counted
from itn.screening.criteria import measure
from itn.screening.sampling_cost import SHARE
from itn.screening.summary import unit_text
from itn.transforms import TRANSFORMS

TOGETHER = "all together"


def worst_summary(record: WorstRecord) -> str:
    """Return the closing table."""
    low, high = record.clean_accuracy_ci
    header, *rows = table_cells(record)
    lines = [
        *input_notes(record.provenance),
        f"clean {measure('accuracy', record.topk)} {percent(record.clean_accuracy)} "
        f"[{percent(low)}, {percent(high)}], {counted(record.n, 'image')}; "
        f"in brackets {100 * record.confidence:g} % intervals",
        "",
        text_table(rows, header),
        "",
        record.statement,
        growth_text(record),
        passes_text(record),
    ]
    lines += [text for text in (sampling_text(record), geometry_text(record)) if text]
    return "\n".join(lines)


def passes_text(record: WorstRecord) -> str:
    """Return what the search took."""
    return (
        f"{counted(sum(record.passes.values()), 'forward pass', 'forward passes')} of one image: "
        f"{record.passes_per_image:.1f} for each image that was searched"
    )


def sampling_text(record: WorstRecord) -> str:
    """Return where sampling or cut-off, rather than motion, may be what breaks; else nothing."""
    control = record.round_trip
    if control is None or record.interpolation != "bilinear" or control.broken < SHARE * control.images:
        return ""
    return (
        f"sampling, or what is cut off, may be what breaks here, rather than the motion: "
        f"{round_trip_text(control)}. If it is sampling, bicubic interpolation breaks fewer: it softens less"
    )


def round_trip_text(control: RoundTrip) -> str:
    """Return what interpolation and cut-off alone do, in words."""
    return (
        f"of {counted(control.images, 'image')} that break, {control.broken:,} break as well when they are "
        "only warped to their worst points and back"
    )


def geometry_text(record: WorstRecord) -> str:
    """Return what geometry brings in and how it samples; empty if nothing in the box moves pixels."""
    if any(name not in TRANSFORMS or TRANSFORMS[name].spatial for name in record.box):
        return surround_text(record.surround, record.interpolation, record.padding)
    return ""


def statement(
    survival: Share, of_all: Share, every_single: float | None, box: Mapping[str, tuple[float, float]],
    criterion: str, searched: int, n: int, confidence: float,
) -> str:  # fmt: skip
    """Return one sentence on what was found, precise enough to quote."""
    whose, still = {
        "broken": ("images that are right unchanged", "stay right"),
        "agreement": ("predictions for the unchanged images", "stay what they are"),
    }[criterion]
    sentence = (
        f"at most {share_text(survival)} of the {searched:,} {whose} {still} everywhere in the box "
        f"{box_text(box)}: an upper bound, since only some points of the box were tried; the interval is "
        "over images"
    )
    if criterion == "broken" and searched < n:
        sentence += f"; of all {counted(n, 'image')} that is {percent(of_all.value)}"
    if every_single is not None and len(box) > 1:
        sentence += f"; each transformation alone leaves {percent(every_single)}"
    return sentence


def box_text(box: Mapping[str, tuple[float, float]]) -> str:
    """Return a box in words, such as "rotate -20 to 20, zoom 0.9 to 1.1"."""
    return ", ".join(f"{name} {low:.4g} to {high:.4g}" for name, (low, high) in box.items())


def percent(value: float) -> str:
    """Return a share in percent."""
    return f"{100 * value:.1f} %"


def table_cells(record: WorstRecord) -> list[tuple[str, ...]]:
    """Return the header and the rows of the closing table."""
    rows = [(TOGETHER, share_text(record.survival), "", "")]
    for name, (low, high) in record.box.items():
        alone = record.survival_single.get(name)
        unit = unit_text(name, record.units[name])
        rows.append((name, "" if alone is None else percent(alone), f"{low:g} to {high:g}", unit))
    if record.survival_every_single is not None and len(record.box) > 1:
        rows.insert(1, ("every one alone", percent(record.survival_every_single), "", ""))
    return [("transformation", "survive, at most", "range", "unit"), *rows]


def growth_text(record: WorstRecord) -> str:
    """Return how far the box may grow, in words."""
    growth: Growth = record.growth
    share, threshold = percent(growth.survival_fraction), growth.threshold
    if threshold.value is None:
        return f"at least {share} survive in the full box, as far as was tried"
    ends = ", ".join(
        "beyond 1" if end is None else f"{end:.3g}" for end in (threshold.ci_low, threshold.ci_high)
    )
    return (
        f"fewer than {share} survive from {threshold.value:.3g} [{ends}] of the way to the full box on, "
        f"or earlier: {box_text(record.box_at_threshold or {})}"
    )


def share_text(share: Share) -> str:
    """Return a share with its interval, in percent."""
    return f"{percent(share.value)} [{percent(share.ci_low)}, {percent(share.ci_high)}]"
