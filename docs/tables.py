"""The tables and figures of the documents, from committed results."""

import math
import runpy
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, median
from typing import Any

from records import Record, path, read, value

from itn.certification.records import SEQUENCE_SHARE
from itn.stats import DropTest


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))


def percent(share: float, digits: int = 2) -> str:
    """Return a share in percent, without the sign."""
    return f"{100 * share:.{digits}f}"


def middle(values: Sequence[float], form: str = ".2f", center: Any = median) -> str:
    """Return "median (smallest to largest)", or just the value where there is one."""
    if len(values) == 1:
        return format(values[0], form)
    return f"{center(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def limits(sides: Mapping[str, Mapping[str, float | None]], sweep: Record) -> str:
    """Return how far a transformation goes on both sides, with intervals."""
    ends = {"below": sweep["magnitudes"][0], "above": sweep["magnitudes"][-1]}
    texts = {}
    for side, threshold in sides.items():
        at, *interval = ("beyond" if v is None else f"{v:.3g}" for v in threshold.values())
        texts[side] = f"beyond {ends[side]:g}" if at == "beyond" else f"{at} [{', '.join(interval)}]"
    return " to ".join(texts.get(side, f"{sweep['identity']:g}") for side in ("below", "above"))


def screening() -> str:
    """Return the thresholds of a screen; what changes the fewest pixels before it breaks comes first."""
    rows = []
    for name, sweep in read("screening")["transforms"].items():
        thresholds = sweep["thresholds"]
        flips = {side: flip["median"] for side, flip in thresholds["flips"].items()}
        changes = [change for change in thresholds["pixel_change"].values() if change is not None]
        change = f"{min(changes):.3f}" if changes else "-"
        accuracy = limits(thresholds["accuracy"], sweep)
        rows.append((name, accuracy, limits(flips, sweep), sweep["unit"], change))
    header = ("transformation", "accuracy at least 90 % of clean", "half of the predictions unchanged")
    return table((*header, "unit", "pixel change"), sorted(rows, key=lambda row: row[-1]))


def box_words(ranges: Mapping[str, Sequence[float]]) -> str:
    """Return a box in words."""
    return ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in ranges.items())


def box_searches() -> str:
    """Return the share of images that each search in a box breaks, by passes."""
    record = read("worst_case")
    passes = [str(number) for number in record["passes"]]
    rows = [
        (name, *(f"{percent(broken[number], 1)} %" for number in passes))
        for name, broken in record["boxes"]["stated"]["broken"].items()
    ]
    return table(("search", *(f"{number} passes" for number in passes)), rows)


def box_verdict() -> str:
    """Return whether ours breaks at least as many images as the best other search, in words."""
    broken = dict(read("worst_case")["boxes"]["stated"]["broken"])
    ours = broken.pop("itn worst")
    behind = [n for n, share in ours.items() if share < max(other[n] for other in broken.values())]
    return f"fewer at {', '.join(behind)} passes" if behind else "it does, at every number of passes"


def correlations() -> list[float]:
    """Return the rank correlations of two networks, by transformation and side."""
    return [row["tau"] for row in read("compare_networks")["rows"] if row["tau"] is not None]


def half_pixel(kernel: str) -> str:
    """Return what a shift by half a pixel costs a small color network, in points."""
    rows = {row["motion"]: row for row in read("resampling")["rows"]}
    return percent(rows["shift by 0.5 pixel"][kernel]["drop"], 1)


def largest_estimated(record: Record) -> Record:
    """Return the spatial baseline that is the largest by estimates from training images."""
    baselines = value(record, "baselines")["spatial"]
    largest: Record = max(baselines, key=lambda baseline: baseline["estimated_displacement"])
    return largest


def per_class() -> str:
    """Return the families of single classes."""
    rows = []
    for family in read("per_class")["classes"]:
        largest = largest_estimated(family)
        baseline = f"{largest['transform']} {largest['estimated_magnitude']:.3g}"
        shares = (
            family["clean_accuracy"],
            family["full"]["accuracy"],
            family["worst"]["accuracy"],
            value(family, "class_bound"),
        )
        displacements = (value(family, "color"), value(family, "spatial"), largest["estimated_displacement"])
        cells = (*map(percent, shares), *(f"{displacement:.3f}" for displacement in displacements))
        rows.append((family["name"], str(family["images"]), *cells, baseline))
    header = (
        "digit",
        "held-out images",
        "unchanged %",
        "full strength %",
        "worst k %",
        "drop there, at most %",
    )
    return table((*header, "color", "spatial", "largest baseline", "which is, about"), rows)


def class_displacements(digits: str) -> list[float]:
    """Return the spatial displacements of the families of some digits."""
    families = {family["name"]: family for family in read("per_class")["classes"]}
    return [value(families[digit], "spatial") for digit in digits]


def below_text() -> str:
    """Return which families of classes are smaller than a single transformation, in a sentence."""
    names = classes_below_baseline()
    if not names:
        return "All families are larger than the largest single transformation, by its estimate."
    return (
        f"The families of {', '.join(names)} are smaller than the largest single transformation, by its "
        "estimate from training images."
    )


def classes_below_baseline() -> list[str]:
    """Return the classes whose family has less displacement than their largest baseline."""
    return [
        family["name"]
        for family in read("per_class")["classes"]
        if value(family, "spatial") < largest_estimated(family)["estimated_displacement"]
    ]


def switched() -> str:
    """Return what the paper's objective learns, mean and range over seeds."""
    content = read("switched")
    rows: dict[tuple[str, str], list[Record]] = {}
    for run in content["runs"]:
        parts = " + ".join(run["parts"])
        rows.setdefault((run["model"], parts), []).append(run)

    def cell(seeds: list[Record], name: str) -> str:
        values = [value(run, name) for run in seeds]
        if None in values:
            return "-"
        displacement = name in ("color", "spatial")
        return middle(
            [v if displacement else 100 * v for v in values], ".3f" if displacement else ".2f", mean
        )

    names = ("clean_accuracy", "accuracy_uniform", "accuracy_full", "color", "spatial", "shift")
    header = ("classifier", "learned", "clean %", "uniform k %", "full strength %", "color", "spatial")
    body = ([*key, *(cell(seeds, name) for name in names)] for key, seeds in rows.items())
    return table((*header, "pixels shifted, % of width"), body)


def planted_errors() -> list[float]:
    """Return how far each learned end is from the truth, as a share of it."""
    return [off for run in read("planted")["runs"] for learned in run["learned"] for off in learned["off"]]


def planted_steps() -> list[float]:
    """Return how far each screened threshold is from the truth, in steps of the screen's resolution."""
    steps = [screened["steps_apart"] for run in read("planted")["runs"] for screened in run["screened"]]
    return [step for step in steps if step is not None]


def coverage() -> str:
    """Return how often intervals of planted thresholds hold them, before and now, and their width now."""
    record, rows = read("coverage"), []
    groups = [
        (f"accuracy, clean {100 * clean:g} %", "accuracy", "clean", clean) for clean in (0.7, 0.9, 0.99)
    ]
    for ties, rivals in ((1, "one rival ahead"), (3, "three equal rivals"), (9, "nine equal rivals")):
        groups.append((f"class, {rivals}", "classes", "ties", ties))
    for title, kind, key, wanted in groups:
        of_group = [run for run in record[kind] if run["case"][key] == wanted]
        covers = ([100 * run[name]["coverage"] for run in of_group] for name in ("old", "new"))
        widths = [run["new"]["width"] / run["old"]["width"] for run in of_group]
        rows.append((title, *(f"{min(c):.1f} to {max(c):.1f}" for c in covers), middle(widths)))
    return table(("threshold of", "covers % before", "covers % now", "width now, times the old one"), rows)


def benchmarks() -> str:
    """Return the table of the committed benchmarks."""
    names = runpy.run_path(str(path("benchmarks")), run_name="benchmarks")
    return str(names["table"](path("floors").parent))


def most_lost(images: int, tolerance: float, churn: int) -> int:
    """Return how many more broken than mended images still prove a tolerance, if so many change."""
    return DropTest(images, tolerance, 1 - SEQUENCE_SHARE * 0.05).largest(churn)


def smallest_held_out(tolerance: float, signed: bool = True) -> int:
    """Return how many images prove a tolerance if none of them changes, by the test of a certificate."""
    confidence = 1 - SEQUENCE_SHARE * 0.05
    enough = range(round(10 / tolerance))
    return bisect_left(enough, True, lo=1, key=lambda n: DropTest(n, tolerance, confidence, signed).passes(0))


def total_images(tolerance: float) -> int:
    """Return of how many images that is the share that is not learned from, 60 %."""
    return math.ceil(smallest_held_out(tolerance) / 0.6)


def ratio_text(ratio: Mapping[str, float | None] | None) -> str:
    """Return a ratio with its interval."""
    if ratio is None:
        return "none: a single transformation reached its bound"
    high = "no upper end" if ratio["ci_high"] is None else f"{ratio['ci_high']:.2f}"
    return f"{ratio['value']:.2f} [{ratio['ci_low']:.2f}, {high}]"


def headline_text(pooled_seeds: Record) -> str:
    """Return the headline of all seeds, or why there is none."""
    headline = pooled_seeds["headline"]
    if headline is None:
        return f"none, since {pooled_seeds['no_headline']}"
    limit = "" if headline["limit"] is None else f"{headline['limit']} "
    return f"{limit}{ratio_text(headline)}"


def size_text(name: str, learned: str, objective: str = "constrained") -> str:
    """Return how far the families of all seeds go beside their best rivals, pooled over the images."""
    (pooled_seeds,) = (
        one for one in read(name)["pooled"] if (one["learned"], one["objective"]) == (learned, objective)
    )
    seeds = len(pooled_seeds["seeds"])
    return f"{headline_text(pooled_seeds)} ({seeds} seed{'s' if seeds > 1 else ''})"


def sizes(*names: str, others: bool = False) -> str:
    """Return a table of family sizes: each run, then all seeds together.

    Args:
        names: Of the results.
        others: Objectives other than the default one, or that alone.
    """
    rows = []
    for name in names:
        record = read(name)
        for one in record["pooled"]:
            learned, objective = one["learned"], one["objective"]
            if (objective != "constrained") != others:
                continue
            seeds = [
                run for run in record["runs"] if (run["learned"], run["objective"]) == (learned, objective)
            ]
            headlines = [next(iter(run["headline"].values())) for run in seeds]
            values = ", ".join("-" if h is None else f"{h['value']:.2f}" for h in headlines)
            rivals = "; ".join(dict.fromkeys(h["rival"] for h in headlines if h))
            counted = " and ".join((one["headline"] or {"parts": []})["parts"])
            what = f"{objective}, {learned}" if others else learned
            rows.append((record["model"], what, values, headline_text(one), counted, rivals))
    header = ("classifier", "learned", "each seed", "all seeds together", "parts that count", "best rivals")
    return table(header, rows)


def small_networks_text() -> str:
    """Return how far families go on small networks, in a sentence."""
    ratios_of_all = [run["ratio"] for run in read("small_networks")["runs"]]
    behind = sum(ratio < read("small_networks")["expected"]["behind"] for ratio in ratios_of_all)
    return (
        f"{median(ratios_of_all):.2f} times (median; {min(ratios_of_all):.2f} to {max(ratios_of_all):.2f}); "
        f"{behind} of {len(ratios_of_all)} below 0.9"
    )
