"""Does learning reach what single transformations reach, on networks of many kinds?

Command:   python experiments small_networks          (four networks, one seed)
           python experiments small_networks --full   (twenty networks, three seeds)
Machine:   2 CPU cores, about 20 minutes; --full about 4 hours
Writes:    runs/small_networks/: result.json, ratios.png
Published: nothing

Twenty small networks are trained on images that a seed draws: shapes and digits, in gray and in color, of
three architectures, with and without augmentation. For each, itn learn with its defaults and a tolerance of
2 % learns a family from 3,000 images. What it leads to is then judged on 20,000 fresh images that nothing has
seen: the displacement at which accuracy falls by the tolerance, at full strength or at the worst k of the
certificate, whichever comes first, over that of the best pair of single transformations, one of color and one
of space, in the best of several proportions. Displacements are geometric means of both parts.
"""

import argparse
import itertools
import math
from functools import partial
from statistics import median

import study
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from small_networks.judge import Pool, best_pair, crossing, displacements, family_at, largest_first
from small_networks.networks import AUGMENTED, NETWORKS, train
from small_networks.pools import draw
from study import Protocol, Record

import itn
from itn import plotting

TOLERANCE, IMAGES, POOL = 0.02, 3000, 20_000
BEHIND, MOST_BEHIND, AHEAD = 0.9, 3 / 60, 1.1  # expected: few runs below, the median above
FEWER = ("shapes-3-strided", "shapes-1-pooled", "digits-3-strided", "digits-1-dense")
JUDGES, LEARNED = 1, 2  # seeds of the images; networks are trained on those of seed 0


def networks() -> dict[str, tuple[str, bool, str, int]]:
    """Return what all networks are trained from, by name."""
    return {
        "-".join([kind, str(channels), network, *(["augmented"] if augmented else [])]): (
            network,
            augmented,
            kind,
            channels,
        )
        for kind, channels, network in itertools.product(("shapes", "digits"), (3, 1), NETWORKS)
        for augmented in AUGMENTED[network]
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which networks."""
    parser.add_argument("--networks", nargs="+", choices=networks(), help="default: four; with --full all")


def measure(protocol: Protocol) -> Record:
    """Train, learn and judge."""
    chosen = protocol.options["networks"] or protocol.pick(FEWER, tuple(networks()), FEWER[:1])
    pool = protocol.pick(POOL, POOL, 200)
    runs = []
    for name in chosen:
        made_from = networks()[name]
        classifier = train(*made_from, images=protocol.pick(10_000, 10_000, 300))
        judges = Pool.of(classifier, *draw(*made_from[2:], pool, JUDGES))
        asks = {"network": name, "weights_sha256": classifier.sha256(), "pool": pool}
        rival = study.kept(protocol.out / "parts" / f"{name}.json", asks, partial(rivals, judges))
        images = draw(*made_from[2:], protocol.pick(IMAGES, IMAGES, 300), LEARNED)
        for seed in protocol.seeds:
            tolerance, few = protocol.pick((TOLERANCE, {}), (TOLERANCE, {}), (0.2, {"steps": 4}))
            config = itn.LearnConfig(seed=seed, tolerance=tolerance, **few)
            part = protocol.out / "parts" / f"{name}-seed{seed}.json"
            make = partial(judged, judges, images, config, rival["displacement"])
            asked_for = asks | {"seed": seed, "config": config.describe(), "rival": rival["name"]}
            runs.append(study.kept(part, asked_for, make) | {"clean_accuracy": rival["clean_accuracy"]})
    expected = {"behind": BEHIND, "share_behind": MOST_BEHIND, "median": AHEAD}
    return {"tolerance": TOLERANCE, "expected": expected, "runs": runs}


def rivals(pool: Pool) -> Record:
    """Return the best pair of single transformations on a pool."""
    shape = pool.images.shape
    parts = [itn.ColorTransformer(shape[1]), itn.SpatialTransformer()]
    color, spatial = (largest_first(pool, part.baselines(part.frame(shape)), TOLERANCE) for part in parts)
    pair = best_pair(pool, color, spatial, TOLERANCE)
    return {
        "name": pair.name,
        "displacement": pair.displacement,
        "alone": {one.name: one.displacement for one in (color[0], spatial[0])},
        "clean_accuracy": pool.right.double().mean().item(),
    }


def judged(
    pool: Pool, images: tuple[torch.Tensor, torch.Tensor], config: itn.LearnConfig, rival: float
) -> Record:
    """Learn a family and return how far it goes on a pool, and how far it is certified to go."""
    result = itn.learn(pool.classifier, *images, config)
    certificate, net = result.record.certificate, result.net
    assert certificate is not None
    assert certificate.worst.k is not None
    worst = torch.tensor([certificate.worst.k])
    ks = {tuple(k[0].tolist()): k for k in (torch.ones_like(worst), worst)}

    def drop_at(scale: float) -> float:
        return max(pool.drop(family_at(net, scale, k)) for k in ks.values())

    def displacement(scale: float) -> float:
        of_parts = displacements(net, scale, pool.images.shape).values()
        return math.exp(sum(math.log(max(value, 1e-12)) for value in of_parts) / len(of_parts))

    moves = certificate.scale > 0
    reached = displacement(crossing(drop_at, 1.0, TOLERANCE)) if moves else 0.0
    return {
        "certified_drop": drop_at(1.0) if moves else 0.0,
        "certified_displacement": displacement(1.0) if moves else 0.0,
        "displacement": reached,
        "ratio": reached / rival,
        "parts": {name: part.displacement_full for name, part in result.record.parts.items()},
        "arms": arms(net, pool.images.shape),
        "members": {name: part.member for name, part in result.record.parts.items() if part.member},
        "statement": certificate.statement,
        "provenance": study.provenance(pool.classifier.device),
    }


@torch.no_grad()
def arms(net: itn.InvariantTransformerNet, shape: torch.Size) -> dict[str, list[float]]:
    """Return the displacements of (1, 0) and (0, 1) over that of full strength, by part."""
    shares = {}
    for name, part in zip(net.parts, net.members, strict=True):
        p = part.generate(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
        first, second, full = part.displacement(p, part.frame(shape)).tolist()
        shares[name] = [first / max(full, 1e-12), second / max(full, 1e-12)]
    return shares


def figures(record: Record) -> dict[str, Figure]:
    """Return the ratio of each run, by network."""
    names = list(dict.fromkeys(run["network"] for run in record["runs"]))
    figure = Figure(figsize=(plotting.WIDTH, 1.0 + 0.22 * len(names)), layout="constrained")
    ax = figure.subplots()
    for run in record["runs"]:
        style = ("D", "none") if run["members"] else ("o", "full")
        x, y = max(run["ratio"], 0.05), names.index(run["network"])
        ax.plot(x, y, style[0], color="C0", fillstyle=style[1], markersize=4)
    ax.axvline(1, color="0.6", linewidth=1)
    ax.axvline(record["expected"]["behind"], color="0.6", linewidth=1, linestyle=":")
    ax.set_xscale("log")
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ticks = (0.5, 1, 2, 5)
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.xaxis.set_minor_formatter(NullFormatter())
    figure.supxlabel("displacement over that of the best pair (open: a part is a plain member)", fontsize=9)
    return {"ratios": figure}


def table(record: Record) -> str:
    """Return ratios by network."""
    header = ("network", "accuracy", "best pair of single transformations", "family over it", "plain members")
    rows = []
    for name in dict.fromkeys(run["network"] for run in record["runs"]):
        runs = [run for run in record["runs"] if run["network"] == name]
        members = "; ".join(
            f"seed {run['seed']}: {', '.join(run['members'].values())}" for run in runs if run["members"]
        )
        ratios = ", ".join(f"{run['ratio']:.2f}" for run in runs)
        rows.append((name, f"{100 * runs[0]['clean_accuracy']:.1f} %", runs[0]["rival"], ratios, members))
    return study.markdown(header, rows)


def readme(records: dict[str, Record]) -> str:
    """Return the text of README.md."""
    if not records:
        named = [
            (name, network, "yes" if augmented else "no")
            for name, (network, augmented, *_) in networks().items()
        ]
        header = ("network", "architecture", "augmentation")
        return f"{QUESTION}\nNo result is committed yet. The networks:\n\n{study.markdown(header, named)}\n"
    record = records["small_networks"]
    runs, expected = record["runs"], record["expected"]
    ratios = [run["ratio"] for run in runs]
    behind = sum(ratio < expected["behind"] for ratio in ratios)
    lowest = [min(of) for run in runs for of in run["arms"].values() if run["certified_displacement"]]
    still = sum(run["certified_displacement"] == 0 for run in runs)
    missing = [name for name in networks() if name not in {run["network"] for run in runs}]
    yet = f"Not measured yet: {', '.join(missing)}." if missing else ""
    return f"""{QUESTION}
{table(record)}

![ratios](ratios.png)

Expected: of all runs at most {100 * expected["share_behind"]:.0f} % below {expected["behind"]:g}, their
median above {expected["median"]:g}. Measured: {behind} of {len(ratios)} below, median {median(ratios):.2f},
smallest {min(ratios):.2f}. Runs in which nothing was certified: {still}. The smaller of both entries of k by
itself has at least {100 * min(lowest):.0f} % of the displacement of full strength
({100 * median(lowest):.0f} % in the median). {yet}

A part can end as a plain member, where the learned one was estimated to go less far on training images. The
pool may prefer another pair than these images do; so a family can still end below the best pair.
"""


QUESTION = f"""
# Does learning reach what single transformations reach, on networks of many kinds?

Small networks, trained on images that a seed draws: shapes and digits, in gray and in color, of three
architectures, with and without augmentation. For each, `itn learn` with its defaults and a tolerance of
{100 * TOLERANCE:g} % learns a family from 3,000 images. Families and single transformations are judged on
20,000 fresh images: how large is the displacement at which accuracy falls by the tolerance? Of a family this
is at full strength or at the worst k of its certificate, whichever comes first. It is compared with the best
pair of single transformations, one of color and one of space, in the best of several proportions.

```bash
python experiments small_networks          # 20 minutes; four networks, one seed
python experiments small_networks --full   # 4 hours; twenty networks, three seeds
```
"""
