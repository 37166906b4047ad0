"""Do the intervals of thresholds cover what they promise, and how wide are they? Planted response curves.

Command:   python experiments threshold_coverage
Machine:   2 CPU cores, about 15 minutes
Writes:    runs/threshold_coverage/: result.json, coverage.png
Published: nothing

No network takes part: images are drawn from curves whose thresholds are known on paper, and go through the
functions that itn screen calls. Each interval is made in the old way and in the new one from the same draws.

- Accuracy: a right image breaks at a normal magnitude. Others stand at the decision boundary: their answers
  come and go, which costs no accuracy, but churns. The old interval is that of Clopper and Pearson for
  accuracy alone, against a level from a clean accuracy taken as known. The new one is paired with each
  image's clean prediction.
- One magnitude: the interval of accuracy over clean accuracy at the threshold itself, by four methods.
- Classes: the softmax of ten outputs with normal logits, of which one, three or nine rivals are equal. The
  old interval is not corrected for their number. The new one is, by Bonferroni over those that may lead. Two
  others stand beside it: Bonferroni over all rivals, and a multiplier bootstrap of the largest statistic.
"""

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import study
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import optimize, stats
from scipy.special import betaincinv, logsumexp
from study import Protocol, Record

import itn
from itn import plotting
from itn.screening.thresholds import crossing
from itn.stats import margin_over_rivals, paired_ratio

CONFIDENCE = 0.95
Floats = NDArray[np.float64]

# Accuracy. Magnitudes are degrees, say; the sweep is halved three times where accuracy breaks
MAGNITUDES, BISECTIONS, AT_ONCE = tuple(range(0, 65, 5)), itn.ScreenConfig.accuracy_bisections, 100
BREAKS = stats.norm(30, 10)  # where images break
CLEAN, SIZES = (0.7, 0.9, 0.99), (300, 1000, 3000, 10000)
CHURN = ((0.9, 0.0), (0.9, 0.02), (0.9, 0.06), (0.98, 0.0), (0.98, 0.015), (0.98, 0.06))
"""Fraction of clean accuracy to keep, and the share of images that are mended at the threshold; as many
more are broken beside those that accuracy loses."""

# Classes. The mean logit of the true class is LEAD less the magnitude, that of rivals which may lead is 0
OUTPUTS, SPREAD, LEAD, CLASS_SIZES, TIES = 10, 1.5, 3.0, (30, 100, 300), (1, 3, 9)
CLASS_MAGNITUDES = np.arange(0, 6.5, 0.5)
DRAWS = 500  # of the multiplier bootstrap


class Curve:
    """How images answer at growing magnitudes.

    A share ``boundary`` of them stands at the decision boundary: right where a stationary normal process is
    positive, as often with any magnitude. Of the others all right images break at a normal magnitude.
    """

    def __init__(self, clean: float, fraction: float, mended: float) -> None:
        self.clean, self.fraction = clean, fraction
        # Up to the threshold the process turns by half a right angle, which mends an eighth of the boundary
        self.boundary = 8 * mended
        self.steady = clean - self.boundary / 2
        lost = (1 - fraction) * clean / self.steady
        below = BREAKS.cdf(0)
        self.threshold = float(BREAKS.ppf(below + lost * (1 - below)))

    def draw(self, n: int, rng: np.random.Generator) -> Callable[[float], NDArray[np.bool_]]:
        """Return which of n images are right at a magnitude."""
        kind = rng.random(n)
        at_boundary, steady = kind < self.boundary, kind < self.boundary + self.steady
        below = BREAKS.cdf(0)
        breaks = BREAKS.ppf(below + (1 - below) * rng.random(n))
        first, second = rng.standard_normal((2, n))
        if not self.boundary:
            return lambda v: steady & (breaks > v)

        def right(v: float) -> NDArray[np.bool_]:
            angle = v / self.threshold * np.pi / 4
            process = np.cos(angle) * first + np.sin(angle) * second
            return np.where(at_boundary, process > 0, steady & (breaks > v))

        return right


def add_arguments(parser: Any) -> None:
    """Add how often."""
    parser.add_argument("--draws", type=int, default=2000, help="default: %(default)s of each case")


def measure(protocol: Protocol) -> Record:
    """Simulate each case; those that are finished are kept in OUT/parts."""
    draws = protocol.pick(protocol.options["draws"], protocol.options["draws"], 20)
    seed = protocol.seeds[0]
    sizes, class_sizes = protocol.pick((SIZES, CLASS_SIZES), (SIZES, CLASS_SIZES), ((300,), (30,)))
    cases: list[tuple[str, Callable[..., Record], dict[str, Any]]] = []
    for clean, n, (fraction, mended) in itertools.product(CLEAN, sizes, CHURN):
        if 4 * mended <= 1 - clean:  # half of the boundary is wrong unchanged
            case = {"clean": clean, "n": n, "fraction": fraction, "mended": mended}
            cases += [("accuracy", accuracy_thresholds, case)]
            cases += [("pointwise", pointwise, case)] if n <= 1000 else []
    for n, ties in itertools.product(class_sizes, TIES):
        cases.append(("classes", class_thresholds, {"n": n, "ties": ties}))
    content: Record = {
        "draws": draws,
        "confidence": CONFIDENCE,
        "accuracy": [],
        "pointwise": [],
        "classes": [],
    }
    for kind, simulate, case in study.track(cases, "threshold_coverage", "cases"):
        name = "-".join(f"{value:g}" for value in case.values())
        asked_for = {"case": case, "draws": draws, "seed": seed}
        part = protocol.out / "parts" / f"{protocol.name}-{kind}-{name}.json"
        content[kind].append(study.kept(part, asked_for, partial(simulate, **case, draws=draws, seed=seed)))
    return content | {"provenance": study.provenance(protocol.device)}


def accuracy_thresholds(
    clean: float, n: int, fraction: float, mended: float, draws: int, seed: int
) -> Record:
    """Return how often the intervals of a threshold of accuracy hold it, and their widths."""
    curve, rng = Curve(clean, fraction, mended), np.random.default_rng((seed, n))
    paths: list[list[float]] = []
    parts = []
    for start in range(0, draws, AT_ONCE):
        screens = [Screen(curve.draw(n, rng)) for _ in range(min(AT_ONCE, draws - start))]
        for _ in range(BISECTIONS):
            for screen in screens:
                screen.halve(fraction, screen.kept())
        # As itn screen does, halve once where the ends of the interval are
        both, broken, mends = stacked(screens)
        for screen, *ends in zip(screens, *paired_ratio(both, broken, mends, CONFIDENCE), strict=True):
            screen.halve(fraction, *ends)
        paths += [sorted(screen.at) for screen in screens]
        parts.append(stacked(screens))
    both, broken, mends = np.concatenate(parts, 1)
    known = (both + broken)[:, :1]
    old = (end * n / known for end in clopper_pearson(both + mends, n))
    value = (both + mends) / known
    return {
        "threshold": curve.threshold,
        "churn": (1 - fraction) * clean + 2 * mended,
        "old": summary(curve.threshold, paths, value, *old, fraction),
        "new": summary(
            curve.threshold, paths, value, *paired_ratio(both, broken, mends, CONFIDENCE), fraction
        ),
    }


class Screen:
    """Which images are right, at the magnitudes tried so far."""

    def __init__(self, right: Callable[[float], NDArray[np.bool_]]) -> None:
        self.right = right
        self.at = {float(v): right(v) for v in MAGNITUDES}

    def counts(self) -> Floats:
        """Return how many images are right both times, broken and mended, magnitudes x 3."""
        clean = self.at[0.0]
        path = [self.at[v] for v in sorted(self.at)]
        return np.array([((x & clean).sum(), (~x & clean).sum(), (x & ~clean).sum()) for x in path], float)

    def kept(self) -> Floats:
        """Return the fraction of the clean accuracy that is kept, at each magnitude."""
        both, broken, mends = self.counts().T
        return (both + mends) / (both + broken)

    def halve(self, level: float, *curves: Floats) -> None:
        """Try the middle of the step in which each curve first falls below the level."""
        path = sorted(self.at)
        for curve in curves:
            number = next((k for k, value in enumerate(curve[: len(path)]) if value < level), 0)
            if number:
                middle = (path[number - 1] + path[number]) / 2
                self.at[middle] = self.right(middle)


def stacked(screens: Sequence[Screen]) -> Floats:
    """Return the counts of several screens, 3 x screens x magnitudes; the last magnitude fills short rows."""
    counts = [screen.counts() for screen in screens]
    most = len(MAGNITUDES) + BISECTIONS + 2
    filled = [np.concatenate([rows, rows[-1:].repeat(most - len(rows), 0)]) for rows in counts]
    return np.array(filled).transpose(2, 0, 1)


def summary(
    truth: float, paths: Sequence[Sequence[float]], value: Floats, low: Floats, high: Floats, level: float
) -> Record:
    """Return how often the ends of intervals are on the wrong side of a threshold, and their mean width."""
    scale, last = itn.TRANSFORMS["rotate"], max(paths[0])
    ends = [
        [last if at is None else at for at in (crossing(scale, path, c[: len(path)], level) for c in curves)]
        for path, *curves in zip(paths, low, value, high, strict=True)
    ]
    near, middle, far = np.array(ends).T
    return {
        "coverage": float(((near <= truth) & (truth <= far)).mean()),
        "near_missed": float((near > truth).mean()),
        "far_missed": float((far < truth).mean()),
        "width": float((far - near).mean()),
        "bias": float((middle - truth).mean()),
    }


def clopper_pearson(successes: Floats, n: Any, error: float = 1 - CONFIDENCE) -> tuple[Floats, Floats]:
    """Return exact intervals of proportions, elementwise."""
    with np.errstate(invalid="ignore"):
        low = np.where(successes > 0, betaincinv(successes, n - successes + 1, error / 2), 0)
        high = np.where(successes < n, betaincinv(successes + 1, n - successes, 1 - error / 2), 1)
    return low, high


def pointwise(clean: float, n: int, fraction: float, mended: float, draws: int, seed: int) -> Record:
    """Return coverage and width of the interval of accuracy over clean accuracy, where it is the fraction."""
    rng = np.random.default_rng((seed, n, 1))
    lost = (1 - fraction) * clean + mended
    chances = [clean - lost, lost, mended, 1 - clean - mended]
    counts = rng.multinomial(n, chances, draws)
    both, broken, mends = counts[:, :3].T.astype(float)
    right = both + broken
    low, high = paired_ratio(both, broken, mends, CONFIDENCE)
    old = tuple(end * n / right for end in clopper_pearson(both + mends, n))
    error = (1 - CONFIDENCE) / 2
    kept = clopper_pearson(both, right, error)
    more = clopper_pearson(mends, n - right, error)
    # The odds of wrong images are taken as known, which flatters this method
    two = tuple(k + m * (n - right) / right for k, m in zip(kept, more, strict=True))
    few = counts[: max(draws // 20, 10)]
    bets = tuple(np.array([betting(row, rng) for row in few]).T)
    methods = {"unpaired": old, "two Clopper-Pearson": two, "score, skewness corrected": (low, high)}
    record = {name: _covered(ends, fraction) for name, ends in methods.items()}
    return {"methods": record | {"betting": _covered(bets, fraction)}}


def _covered(ends: Sequence[Floats], truth: float) -> Record:
    low, high = ends
    return {
        "draws": len(low),
        "low_missed": float((low > truth).mean()),
        "high_missed": float((high < truth).mean()),
        "width": float((high - low).mean()),
    }


def betting(counts: NDArray[np.int64], rng: np.random.Generator) -> tuple[float, float]:
    """Return an interval of the ratio by betting (Waudby-Smith and Ramdas 2023), images in random order."""
    before = np.repeat([1.0, 1, 0, 0], counts)
    after = np.repeat([1.0, 0, 1, 0], counts)
    order = rng.permutation(len(before))
    before, after = before[order], after[order]
    n, limit = len(before), np.log(2 / (1 - CONFIDENCE))

    def refuted(ratio: float, sign: int) -> bool:
        """Return whether bets on a larger (1) or a smaller (-1) ratio multiply the stake enough."""
        gain = sign * (after - ratio * before)
        seen = np.arange(1, n + 1)
        spread = (0.25 + np.cumsum((gain - np.cumsum(gain) / seen) ** 2)) / (seen + 1)
        stake = np.sqrt(2 * limit / (n * np.append(0.25, spread[:-1])))
        most = 0.5 / (ratio if sign > 0 else 1)
        return bool(np.cumsum(np.log1p(np.minimum(stake, most) * gain)).max() >= limit)

    ends = []
    for sign in (1, -1):
        inside, outside = after.sum() / before.sum(), (0.01, 2.0)[sign < 0]
        for _ in range(12):
            middle = (inside + outside) / 2
            if refuted(middle, sign):
                outside = middle
            else:
                inside = middle
        ends.append(outside)
    return ends[0], ends[1]


def class_margin(v: Any, ties: int, logits: Floats) -> Floats:
    """Return the softmax of one class at a magnitude, from standard normal logits, ... x OUTPUTS.

    The true class is output 0; the others that are not tied are far behind.
    """
    means = np.full(OUTPUTS, -1.5)
    means[:1], means[1 : 1 + ties] = LEAD, 0.0
    shifted = SPREAD * logits + means - np.asarray(v) * (np.arange(OUTPUTS) == 0)
    return np.exp(shifted - logsumexp(shifted, axis=-1, keepdims=True))


def class_thresholds(n: int, ties: int, draws: int, seed: int) -> Record:
    """Return how often the intervals of the threshold of a class hold it, and their widths."""
    rng = np.random.default_rng((seed, n, ties))
    many = rng.standard_normal((400_000, OUTPUTS))

    def lead(v: float) -> float:
        mean = class_margin(v, ties, many).mean(0)
        return float(mean[0] - mean[1 : 1 + ties].mean())

    threshold = float(optimize.brentq(lead, 0, CLASS_MAGNITUDES[-1], xtol=1e-3))
    curves: dict[str, list[tuple[Floats, Floats, Floats]]] = {}
    for number in range(draws):
        logits = rng.standard_normal((n, OUTPUTS))
        softmax = class_margin(CLASS_MAGNITUDES[:, None, None], ties, logits)
        means, squares = softmax.mean(1), (softmax**2).mean(1)
        margins = softmax[..., :1] - softmax
        own = np.zeros(len(CLASS_MAGNITUDES), dtype=int)
        sizes = np.full(len(own), n)
        new = margin_over_rivals(own, means, squares, (margins**2).mean(1), sizes, CONFIDENCE)
        over = margins[..., 1:].mean(1)
        error = margins[..., 1:].std(1, ddof=1) / np.sqrt(n)
        quantiles = {
            "old": (one_sided(n, 1),) * 2,
            "all rivals": (one_sided(n, 1), one_sided(n, OUTPUTS - 1)),
        }
        found = {"new": new}
        for name, (lower, upper) in quantiles.items():
            found[name] = (over.min(1), (over - lower * error).min(1), (over + upper * error).min(1))
        if number < draws // 4:
            upper = maximum(margins[..., 1:], over, error, rng)
            found["bootstrap"] = (over.min(1), found["old"][1], (over + upper[:, None] * error).min(1))
        for name, curve in found.items():
            curves.setdefault(name, []).append(curve)
    path = CLASS_MAGNITUDES.tolist()
    record: Record = {"threshold": threshold}
    for name, of_method in curves.items():
        value, low, high = (np.array(part) for part in zip(*of_method, strict=True))
        record[name] = summary(threshold, [path] * len(value), value, low, high, 0.0)
    return record


def one_sided(n: int, number: int) -> float:
    """Return the quantile of Student's distribution for one end of an interval, corrected for a number."""
    return float(stats.t.ppf(1 - (1 - CONFIDENCE) / 2 / number, n - 1))


def maximum(margins: Floats, mean: Floats, error: Floats, rng: np.random.Generator) -> Floats:
    """Return the quantile of the largest of the correlated statistics at each magnitude, by multipliers."""
    n = margins.shape[1]
    centered = (margins - mean[:, None]) / np.maximum(error[:, None], 1e-12) / n
    largest = np.einsum("bn,mnk->bmk", rng.standard_normal((DRAWS, n)), centered, optimize=True).max(2)
    quantile = np.quantile(largest, (1 + CONFIDENCE) / 2, axis=0)
    # Student's distribution instead of the normal one
    return np.asarray(stats.t.ppf(stats.norm.cdf(quantile), n - 1))


METHODS = {
    "old": "before",
    "new": "now",
    "all rivals": "Bonferroni over all nine",
    "bootstrap": "bootstrap of the largest",
}


def figures(record: Record) -> dict[str, Figure]:
    """Return coverage over width, of each case, before and now."""
    figure = Figure(figsize=(plotting.WIDTH, 3.2), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for ax, kind in zip(panels, ("accuracy", "classes"), strict=True):
        for color, name in zip(("C1", "C0"), ("old", "new"), strict=True):
            x = [run[name]["width"] / run["old"]["width"] for run in record[kind]]
            y = [100 * run[name]["coverage"] for run in record[kind]]
            if name == "old":
                x = [0.99 + 0.02 * number / len(x) for number in range(len(x))]
            ax.plot(x, y, "o", color=color, markersize=4, alpha=0.7, label=METHODS[name])
        ax.axhline(100 * record["confidence"], color="0.6", linewidth=0.8, zorder=0)
        ax.set_title(f"thresholds of {kind}", fontsize=9)
        ax.set_xlabel("width, as a multiple of the old one", fontsize=8)
    panels[0].set_ylabel("% of intervals that hold the threshold", fontsize=8)
    panels[0].legend(fontsize=8, frameon=False)
    return {"coverage": figure}


def table(record: Record) -> str:
    """Return coverage and width of each case."""
    return "\n\n".join((accuracy_table(record), class_table(record), pointwise_table(record)))


def accuracy_table(record: Record) -> str:
    """Return how thresholds of accuracy are covered, before and now."""
    rows = []
    for run in record["accuracy"]:
        case = run["case"]
        cells = (f"{100 * run[name]['coverage']:.1f}" for name in ("old", "new"))
        widths = (f"{run[name]['width']:.2f}" for name in ("old", "new"))
        missed = " / ".join(f"{100 * run['new'][end]:.1f}" for end in ("near_missed", "far_missed"))
        shares = (f"{100 * case['clean']:g}", f"{100 * case['fraction']:g}", f"{100 * run['churn']:.1f}")
        rows.append((*shares, f"{case['n']:,}", *cells, missed, *widths))
    header = (
        "clean %",
        "to keep, %",
        "churn %",
        "images",
        "covers % before",
        "now",
        "missed now, near / far %",
    )
    return study.markdown((*header, "width before", "now"), rows)


def class_table(record: Record) -> str:
    """Return how class thresholds are covered by four methods."""
    rows = []
    for run in record["classes"]:
        cells = (f"{100 * run[name]['coverage']:.1f} ({run[name]['width']:.2f})" for name in METHODS)
        rows.append((f"{run['case']['ties']}", f"{run['case']['n']}", *cells))
    return study.markdown(
        ("equal rivals", "images", *(f"{name}: covers % (width)" for name in METHODS.values())), rows
    )


def pointwise_table(record: Record) -> str:
    """Return how methods cover the ratio of accuracies at one magnitude, over all cases."""
    rows = []
    runs = record["pointwise"]
    for name in runs[0]["methods"]:
        of_method = [run["methods"][name] for run in runs]
        missed = [100 * method[end] for method in of_method for end in ("low_missed", "high_missed")]
        score = [run["methods"]["score, skewness corrected"]["width"] for run in runs]
        widths = [method["width"] / width for method, width in zip(of_method, score, strict=True)]
        rows.append((name, study.spread(missed, ".1f"), study.spread(widths), f"{of_method[0]['draws']:,}"))
    return study.markdown(
        ("interval", "an end misses, %: mean (range)", "width over that of the score", "draws"), rows
    )


def readme(records: dict[str, Record]) -> str:
    """Return the text of README.md."""
    record = records["threshold_coverage"]
    old, new = ([100 * run[name]["coverage"] for run in record["accuracy"]] for name in ("old", "new"))
    ends = [100 * run["new"][end] for run in record["accuracy"] for end in ("near_missed", "far_missed")]
    paired = next(
        run
        for run in record["accuracy"]
        if run["case"] == {"clean": 0.7, "n": 1000, "fraction": 0.9, "mended": 0.0}
    )
    ties = [run for run in record["classes"] if run["case"]["ties"] == 9]
    led = [run for run in record["classes"] if run["case"]["ties"] == 1]
    tied_old, tied_new = ([100 * run[name]["coverage"] for run in ties] for name in ("old", "new"))
    led_new = [100 * run["new"]["coverage"] for run in led]
    wider = [run["new"]["width"] / run["old"]["width"] for run in led]
    narrower = [run["new"]["width"] / run["all rivals"]["width"] for run in led]
    return f"""
# Do the intervals of thresholds cover what they promise?

No network takes part. Images are drawn from response curves whose thresholds are known on paper, and go
through the functions that `itn screen` calls. From the same draws each interval is made in the old way
and in the new one; {record["draws"]:,} draws of each case, so that a coverage of 95 % has a standard
error of {100 * (0.95 * 0.05 / record["draws"]) ** 0.5:.1f} points.

```bash
python experiments threshold_coverage    # 15 minutes, the numbers below
```

![Coverage over width](coverage.png)

## Thresholds of accuracy

The old interval compared the interval of accuracy alone with a level from a clean accuracy that it took
as known. The new one is that of the ratio of the two, paired with each image's clean prediction.
Expected: at least 95 %, up to chance, and narrower. Measured: before {study.extent(old, ".1f")} %, now
{study.extent(new, ".1f")} %; each end misses in {study.extent(ends, ".1f")} % of the draws, of 2.5 %
that it may. With a clean accuracy of 70 %, 1,000 images and nothing mended the interval is
{paired["new"]["width"]:.2f} wide instead of {paired["old"]["width"]:.2f}.

{accuracy_table(record)}

Churn is the share of images that are broken or mended at the threshold; magnitudes have a step of 5.

## Thresholds of classes

The margin over the leading rival is below 0 if any rival leads. Nine equal rivals give chance nine
occasions, three give it three, and a rival far ahead of the others one. Expected: at least 95 % with
equal rivals, up to chance, and hardly wider where one is far ahead. Measured: nine equal rivals, before
{study.extent(tied_old, ".1f")} %, now {study.extent(tied_new, ".1f")} %. One ahead:
{study.extent(led_new, ".1f")} %, {study.extent(wider, ".2f")} times the old width, and
{study.extent(narrower, ".2f")} times that of a correction for all nine. With 30 images
too little is known to leave a rival out. Correlations, by a bootstrap that needs the softmax of all
images at once, would save little.

{class_table(record)}

## One magnitude

Intervals of accuracy over clean accuracy, where that ratio is the fraction to keep, up to 1,000 images.
Two Clopper-Pearson bounds, of broken and of mended images, split the error and are too wide; so are
bets, which would hold after every single image.

{pointwise_table(record)}
"""
