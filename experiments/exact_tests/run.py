r"""How often do the tests behind certificates err, and what do they notice, beside other valid tests?

Command:   python experiments exact_tests
Machine:   1 CPU core, about 2 minutes
Writes:    runs/exact_tests/: result.json, power.png
Published: nothing; the tests are those of Barnard (1947) with Berger and Boos (1994), two intervals of
           Clopper and Pearson (1934), and the betting bound of Waudby-Smith and Ramdas (2024)

Of n images some break and some are mended; together they are the churn. A test may say with 95 % confidence
that accuracy falls by less than the tolerance. Its size is the chance that it says so though accuracy falls
by just the tolerance; it is summed over all counts, not simulated. Its power is the chance that it says so
where accuracy falls by half of the tolerance or not at all, from 1,000 draws. Where images cannot be mended
(the criteria broken and agreement) the test is the binomial one.
"""

from collections.abc import Iterator

import numpy as np
import study
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import betaincinv
from scipy.stats import binom
from study import Protocol, Record

from itn import plotting
from itn.stats import DropTest, max_failures

CONFIDENCE = 0.95
IMAGES = (300, 1000, 3600, 12_000)
TOLERANCES = (0.01, 0.02, 0.05)
CHURNS = (0.02, 0.05, 0.14)
FALLS = (0.5, 0.0)  # of the tolerance
TESTS = ("exact", "two intervals", "betting")
HEADER = ("images", "tolerance", "churn", "size", *(f"power, {name}" for name in TESTS))
Counts = NDArray[np.int64]


def measure(protocol: Protocol) -> Record:
    """Return sizes and powers."""
    draws = protocol.pick(1000, 1000, 20)
    cases = list(_cases())[: protocol.pick(None, None, 2)]
    rows = [
        {
            "images": n,
            "tolerance": tolerance,
            "churn": churn,
            "size": size(DropTest(n, tolerance, CONFIDENCE), churn),
            "power": {
                str(fall): powers(n, tolerance, churn, fall * tolerance, draws, protocol.seeds[0])
                for fall in FALLS
            },
        }
        for n, tolerance, churn in study.track(cases, "measure", "cases")
    ]
    binomial = [
        {"images": n, "tolerance": t, "size": float(binom.cdf(max_failures(n, t, CONFIDENCE), n, t))}
        for n in IMAGES
        for t in TOLERANCES
    ]
    return {
        "confidence": CONFIDENCE,
        "draws": draws,
        "accuracy": rows,
        "broken": binomial,
        "provenance": study.provenance(protocol.device),
    }


def _cases() -> Iterator[tuple[int, float, float]]:
    for n in IMAGES:
        for tolerance in TOLERANCES:
            yield from ((n, tolerance, churn) for churn in CHURNS if churn >= tolerance)


def size(test: DropTest, churn: float) -> float:
    """Return the chance that a drop of the tolerance passes, with this share of changed images."""
    low, high = (int(binom.ppf(tail, test.n, churn)) for tail in (1e-14, 1 - 1e-14))
    counts = np.arange(low, high + 1)
    largest = np.array([test.largest(count) for count in counts])
    broken = np.minimum((counts + largest) // 2, counts)
    given = binom.cdf(broken, counts, (churn + test.tolerance) / 2 / churn)
    return float(binom.pmf(counts, test.n, churn) @ given)


def powers(n: int, tolerance: float, churn: float, drop: float, draws: int, seed: int) -> dict[str, float]:
    """Return how often each test says that the drop is below the tolerance."""
    rng = np.random.default_rng([seed, n, round(1e4 * tolerance), round(1e4 * churn), round(1e6 * drop)])
    broken, mended = rng.multinomial(n, [(churn + drop) / 2, (churn - drop) / 2, 1 - churn], draws).T[:2]
    test = DropTest(n, tolerance, CONFIDENCE)
    passes = {
        "exact": np.array([test.passes(int(b), int(m)) for b, m in zip(broken, mended, strict=True)]),
        "two intervals": two_intervals(broken, mended, n) <= tolerance,
        "betting": betting(broken, mended, n, tolerance, rng),
    }
    return {name: float(passed.mean()) for name, passed in passes.items()}


def two_intervals(broken: Counts, mended: Counts, n: int) -> NDArray[np.float64]:
    """Return an upper bound on P(broken) minus a lower bound on P(mended), each with half of the risk."""
    tail = (1 - CONFIDENCE) / 2
    upper = betaincinv(broken + 1, n - broken, 1 - tail)
    lower = np.where(mended > 0, betaincinv(np.maximum(mended, 1), n - mended + 1, tail), 0.0)
    return np.asarray(upper - lower)


def betting(
    broken: Counts, mended: Counts, n: int, tolerance: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return where a gambler who bets against a drop of the tolerance gains enough; images are shuffled."""
    alpha, mean = 1 - CONFIDENCE, (1 - tolerance) / 2
    won = []
    for b, m in zip(broken, mended, strict=True):
        change = rng.permutation(np.repeat([1.0, -1.0, 0.0], [b, m, n - b - m]))
        gain = (1 - change) / 2  # in [0, 1]; its mean is at most ``mean`` if the drop is the tolerance
        seen = np.arange(1, n)
        means = np.concatenate([[0.5], (0.5 + gain.cumsum()[:-1]) / (seen + 1)])
        variance = np.concatenate([[0.25], (0.25 + ((gain - means) ** 2).cumsum()[:-1]) / (seen + 1)])
        stake = np.minimum(np.sqrt(2 * np.log(1 / alpha) / (n * variance)), 0.5 / mean)
        won.append(np.log1p(stake * (gain - mean)).cumsum().max() >= np.log(1 / alpha))
    return np.array(won)


def figures(record: Record) -> dict[str, Figure]:
    """Draw how often each test certifies where accuracy does not fall."""
    figure = Figure(figsize=(plotting.WIDTH, 2.6), layout="constrained")
    panels = figure.subplots(1, len(TOLERANCES), sharey=True)
    colors = ("black", "tab:blue", "tab:red")
    for ax, tolerance in zip(panels, TOLERANCES, strict=True):
        for churn, dashes in zip(CHURNS, ("-", "--", ":"), strict=True):
            rows = [r for r in record["accuracy"] if (r["tolerance"], r["churn"]) == (tolerance, churn)]
            for name, color in zip(TESTS, colors, strict=True):
                powers = [100 * row["power"]["0.0"][name] for row in rows]
                ax.plot([row["images"] for row in rows], powers, dashes, color=color, linewidth=1.2)
        ax.set(xscale="log", xlabel="images", title=f"tolerance {100 * tolerance:g} %")
    panels[0].set_ylabel("certified (%)")
    for name, color in zip(TESTS, colors, strict=True):
        panels[-1].plot([], [], color=color, label=name)
    for churn, dashes in zip(CHURNS, ("-", "--", ":"), strict=True):
        panels[-1].plot([], [], dashes, color="0.5", label=f"{100 * churn:g} % change")
    panels[-1].legend(frameon=False, fontsize=7, loc="lower right")
    return {"power": figure}


def table(record: Record) -> str:
    """Return the closing table."""
    rows = []
    for row in record["accuracy"]:
        power = [" / ".join(f"{100 * row['power'][str(fall)][name]:.0f}" for fall in FALLS) for name in TESTS]
        shares = (f"{100 * row[key]:g}" for key in ("tolerance", "churn"))
        rows.append((f"{row['images']:,}", *shares, f"{100 * row['size']:.2f}", *power))
    return study.markdown(HEADER, rows)


def readme(records: dict[str, Record]) -> str:
    """Return the text of README.md."""
    record = records["exact_tests"]
    largest = max(row["size"] for row in (*record["accuracy"], *record["broken"]))
    gains = [
        round(100 * (row["power"]["0.0"]["exact"] - max(row["power"]["0.0"][name] for name in TESTS[1:])))
        for row in record["accuracy"]
    ]
    ahead, behind = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
    return f"""
# How often do the tests behind certificates err?

Of n images some break and some are mended; both together are the churn. A certificate for the criterion
accuracy says that accuracy falls by less than a tolerance. Two chances matter, both in percent here:

- *size*: to say so where accuracy falls by just the tolerance, summed over all counts. It may be
  {100 * (1 - record["confidence"]):.0f}; the largest of all cases, those of the binomial test for the other
  criteria included, is {100 * largest:.2f}
- *power*: to say so where accuracy falls by half of the tolerance / not at all ({record["draws"]:,} draws)

```bash
python experiments exact_tests
```

{table(record)}

![How often each test certifies where nothing is lost](power.png)

- *exact* is what certificates use. Its p-value is the largest over all shares of changed images up to an
  upper bound on that share, whose risk is added.
- *two intervals* takes an upper bound on the share that breaks and a lower one on the share that is mended,
  with half of the risk each.
- *betting* bounds the mean of any numbers in [-1, 1]. All three tests are valid.
- Where nothing is lost, the exact test certifies more often than the better of the other two in {ahead} of
  {len(gains)} cases, by up to {max(gains)} points, and less often in {behind}, by up to {-min(gains)}: those
  of few images and a small tolerance.
"""
