"""Does the interval of the headline cover what it promises? Families and rivals with known displacements.

Command:   python experiments headline_coverage
Machine:   1 CPU core, about 20 minutes
Writes:    runs/headline_coverage/: result.json, coverage.png
Published: nothing

No network takes part. An image changes beyond a radius that is uniform, so that at way t of a path a share t
of the images is lost, net of those that are mended. The family goes half as far again as the best of two
rivals at every drop. What is drawn goes through the functions that itn learn calls. The criteria broken and
agreement cannot mend images; accuracy can. A second condition of the family, its worst k, loses as much as
the first, by images of its own. Several seeds have families of their own, the same rivals, and each its part
of the same pool.
"""

import dataclasses
import itertools
import math
from functools import partial

import study
import torch
from matplotlib.figure import Figure
from study import Protocol, Record

from itn import plotting
from itn.certification.headline import Compared, MeasuredCurve, compare_pooled
from itn.stats import generator

TRUTH, TOLERANCE = 1.5, 0.1
WAYS = torch.linspace(0.02, 0.6, 30, dtype=torch.float64)
RESAMPLES = 500
SHARE = 0.8  # of the pool that each of several seeds has


def measure(protocol: Protocol) -> Record:
    """Simulate each case; those that are finished are kept in OUT/parts."""
    draws, sizes = protocol.pick((400, (800, 3200)), (400, (800, 3200)), (4, (300,)))
    cases = [
        {"images": n, "mended": mended, "second": second, "conditions": conditions, "runs": runs}
        for n, mended, second, (conditions, runs) in itertools.product(
            sizes, (0.0, 0.25), (0.6, 1.0), ((1, 1), (2, 1), (1, 3))
        )
    ]
    record: Record = {"truth": TRUTH, "tolerance": TOLERANCE, "draws": draws, "cases": []}
    for case in study.track(cases, "headline_coverage", "cases"):
        name = "-".join(f"{value:g}" for value in case.values())
        asked = {"case": case, "draws": draws, "seed": protocol.seeds[0]}
        make = partial(simulated, case, draws, protocol.seeds[0])
        record["cases"].append(study.kept(protocol.out / "parts" / f"{name}.json", asked, make))
    return record | {"provenance": study.provenance(protocol.device)}


def simulated(case: Record, draws: int, seed: int) -> Record:
    """Return how often intervals hold the truth, their width and the error of the headline, in logarithms."""
    found = [headline(case, generator(seed, f"headline_coverage-{number}")) for number in range(draws)]
    truth = math.log(TRUTH)
    logs = torch.tensor(found, dtype=torch.float64).log()
    value, low, high = logs.T
    return {
        "coverage": ((low <= truth) & (truth <= high)).double().mean().item(),
        "claims_too_much": (low > truth).double().mean().item(),
        "width": (high - low).mean().item(),
        "bias": (value - truth).mean().item(),
        "deviation": value.std().item(),
    }


def headline(case: Record, random: torch.Generator) -> tuple[float, float, float]:
    """Return a headline of newly drawn images and the ends of its interval."""
    pool, mended = case["images"], case["mended"]
    share = 1.0 if case["runs"] == 1 else SHARE
    rivals = [curve(f, 1, pool, mended, random) for f in (1.0, case["second"])]
    runs = []
    for _ in range(case["runs"]):
        rows = torch.randperm(pool, generator=random)[: int(share * pool)].sort().values
        family = curve(TRUTH, case["conditions"], len(rows), mended, random)
        theirs = [dataclasses.replace(rival, changes=rival.changes[:, :, rows]) for rival in rivals]
        runs.append(Compared(family, theirs, rows))
    found = compare_pooled(runs, pool, TOLERANCE, random, resamples=RESAMPLES)
    assert not isinstance(found, str), found
    return found.value, found.ci_low, found.ci_high


def curve(factor: float, conditions: int, n: int, mended: float, random: torch.Generator) -> MeasuredCurve:
    """Return a path along which a share of n images changes that grows as the way does.

    Args:
        factor: The displacement at way 1.
        conditions: How many points of the family lose as much.
        n: Number of images.
        mended: Share of the changed images that become better.
        random: Draws them.
    """
    radii, sign = torch.rand(2, conditions, n, generator=random)
    changes = (radii * (1 - 2 * mended) < WAYS[:, None, None]).to(torch.int8)
    changes = torch.where(sign < mended, -changes, changes)
    return MeasuredCurve(f"{factor:g}", WAYS, {"part": factor * WAYS**2}, changes, {"part": math.inf})


def figures(record: Record) -> dict[str, Figure]:
    """Return how often each kind of case is covered."""
    figure = Figure(figsize=(plotting.WIDTH, 2.6), layout="constrained")
    ax = figure.subplots()
    kinds = list(KINDS.items())
    for y, ((conditions, runs), _) in enumerate(kinds):
        covered = [100 * one["coverage"] for one in of_kind(record, conditions, runs)]
        ax.plot(covered, [y] * len(covered), "o", color="C0", alpha=0.6, markersize=5)
    ax.axvline(95, color="0.6", linewidth=0.8, zorder=0)
    ax.set_yticks(range(len(kinds)), [name for _, name in kinds])
    ax.set_ylim(len(kinds) - 0.5, -0.5)
    ax.set_xlabel("% of intervals that hold the truth, each case a point")
    return {"coverage": figure}


KINDS = {(1, 1): "one condition", (2, 1): "a second condition of the family", (1, 3): "three seeds pooled"}


def of_kind(record: Record, conditions: int, runs: int) -> list[Record]:
    """Return the cases of a kind."""
    asked = {"conditions": conditions, "runs": runs}
    return [one for one in record["cases"] if asked.items() <= one["case"].items()]


def table(record: Record) -> str:
    """Return coverage, width and error of each case."""
    rows = []
    for one in record["cases"]:
        case = one["case"]
        rows.append(
            (
                KINDS[case["conditions"], case["runs"]],
                f"{case['images']:,}",
                f"{100 * case['mended']:g}",
                f"{case['second']:g}",
                f"{100 * one['coverage']:.1f}",
                f"{100 * one['claims_too_much']:.1f}",
                f"{math.exp(one['width']):.2f}",
                f"{math.exp(one['bias']):.2f}",
            )
        )
    header = (
        "family",
        "images",
        "mended, % of the changed",
        "second rival over first",
        "covers %",
        "lower end too high, %",
        "upper end over lower",
        "headline over truth",
    )
    return study.markdown(header, rows)


def readme(records: dict[str, Record]) -> str:
    """Return the text of README.md."""
    record = records["headline_coverage"]
    text = {}
    for kind in KINDS:
        cases = of_kind(record, *kind)
        text[kind] = (
            study.extent([100 * one["coverage"] for one in cases], ".1f"),
            study.extent([math.exp(one["bias"]) for one in cases], ".2f"),
        )
    high = max(one["claims_too_much"] for one in record["cases"])
    return f"""
# Does the interval of the headline cover what it promises?

The headline says how many times farther a family goes than the best that needs no learning. Here the answer
is {record["truth"]:g} by construction: no network takes part, images break or are mended along paths that
are known on paper. {record["draws"]} draws of each case, so that a coverage of 95 % has a standard error of
{100 * (0.95 * 0.05 / record["draws"]) ** 0.5:.1f} points; the tolerance is {100 * record["tolerance"]:g} %.

```bash
python experiments headline_coverage    # 20 minutes, the numbers below
```

![Coverage](coverage.png)

Expected: at least 95 %, up to chance. Measured: with one condition {text[1, 1][0]} %. Where images are mended
too, as under accuracy, less is known of each drop, and intervals are wider.

A family counts at its worst *k* too. If both conditions lose as much and by different images, the larger of
two measured drops is above the true one, and the headline comes out at {text[2, 1][1]} times the truth
(intervals cover {text[2, 1][0]} %). That is the extreme: conditions of a real family mostly break the same
images. The rivals have one condition, so this error is never in favor of the family.

Three seeds pooled: {text[1, 3][0]} %. The lower end is above the truth in at most {100 * high:.1f} % of the
draws of any case; 2.5 % is what it may.

{table(record)}
"""
