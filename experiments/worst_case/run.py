"""How many images break somewhere in a box of transformations, and does another search break more?

Command:   python experiments worst_case --limit 300 --boxes stated --out experiments/worst_case/lenet5
           python experiments worst_case --model FILE.py:make --weights FILE --data DIR \
               --boxes stated --passes 100 300 --limit 100 --out experiments/worst_case/NAME
Machine:   1 CPU core, about 5 minutes a box of 300 digits; pip install ".[test,benchmark]" first
Writes:    OUT: result.json, broken.png; OUT/parts: a file for each box and search
Published: Engstrom et al. (1712.02779), worst of 5 x 5 shifts x 31 rotations, accuracy of all images: MNIST
           26.0 % (natural 99.31 %), CIFAR-10 2.8 % (natural 92.6 %); other networks than these

Boxes: rotations, shifts and zoom as stated in docs/method.md; half of that; rotations and shifts as in the
paper above. Searches get equal numbers of forward passes of each image that is right unchanged, one that
breaks uses no more of them. That of ``itn worst`` is asked as users ask it; the others are in searches.py and
share no code with it. foolbox draws rotations and shifts, so it takes part in the paper's box alone.
"""

import argparse
from functools import partial
from pathlib import Path

import study
from matplotlib.figure import Figure
from study import Protocol, Record
from worst_case.searches import FOOLBOX, SEARCHES, Margins, Search, by_foolbox

import itn
from itn import plotting

OURS = "itn worst"
PASSES = (100, 300, 1000)
STATED = {"rotate": (-20, 20), "translate_x": (-0.1, 0.1), "translate_y": (-0.1, 0.1), "zoom": (0.9, 1.1)}
HALF = {"rotate": (-10, 10), "translate_x": (-0.05, 0.05), "translate_y": (-0.05, 0.05), "zoom": (0.95, 1.05)}
PIXELS, DEGREES = 3, 30  # of Engstrom et al.
PUBLISHED = {"mnist": 0.26, "cifar": 0.028}
COLORS = {OURS: "#4477aa", FOOLBOX: "#aa3377"}
OTHERS = ("#777777", "#ccbb44", "#228833", "#ee6677")
NAMES = {"stated": "stated box", "half": "half of it", "engstrom": "box of Engstrom et al."}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is studied."""
    parser.add_argument("--model", default="lenet5", help="as itn worst takes it; default: %(default)s")
    parser.add_argument("--weights", type=Path, help="a local state dict")
    parser.add_argument("--data", default="mnist", help="as itn worst takes it; default: %(default)s")
    parser.add_argument("--class-map", type=Path, help="what the class folders mean, if not their names")
    parser.add_argument("--limit", type=int, default=100, help="images; default: %(default)s")
    parser.add_argument("--passes", nargs="+", type=int, default=PASSES, help="default: 100 300 1000")
    parser.add_argument("--boxes", nargs="+", choices=NAMES, default=tuple(NAMES), help="default: all")


def measure(protocol: Protocol) -> Record:
    """Return for each box what each search breaks within so many passes of each image."""
    asked = protocol.options
    classifier = itn.load_classifier(asked["model"], asked["weights"]).to(protocol.device)
    limit = protocol.pick(asked["limit"], asked["limit"], 12)
    passes = list(protocol.pick(asked["passes"], asked["passes"], (6, 10)))
    data = itn.load_images(asked["data"], classifier, asked["class_map"], limit=limit, seed=protocol.seeds[0])
    studied = {
        "model": classifier.name,
        "data": Path(asked["data"]).name,
        "images": len(data.labels),
        "weights_sha256": classifier.sha256(),
        "images_sha256": study.data_fingerprint(data.images, data.labels),
    }
    boxes = {}
    for box in protocol.pick(asked["boxes"], asked["boxes"], tuple(NAMES)):
        ranges = box_of(box, data.images.shape[-1])
        keep = partial(part, protocol, studied, box, ranges, passes)
        found = {"itn": keep("itn", partial(ours, classifier, data, ranges, passes[-1], protocol))}
        margins = Margins(classifier, data, ranges)
        searches = SEARCHES | ({FOOLBOX: by_foolbox} if box == "engstrom" else {})
        searches = protocol.pick(searches, searches, {n: s for n, s in searches.items() if n in DEPENDENT})
        for name, search in study.track(list(searches.items()), f"worst_case, {box}", "searches"):
            found[name] = keep(name, partial(theirs, name, search, margins, passes, protocol.seeds[0]))
        boxes[box] = summarized(found, passes, len(data.labels), ranges)
    return {
        **studied,
        "passes": passes,
        "boxes": boxes,
        "published": PUBLISHED,
        "provenance": study.provenance(protocol.device),
    }


DEPENDENT = ("random", "grid", "DIRECT (scipy)")  # on what the tests install


def box_of(name: str, width: int) -> dict[str, tuple[float, float]]:
    """Return the ranges of a box, for square images so many pixels wide."""
    if name == "engstrom":
        shift = PIXELS / width
        return {
            "rotate": (-DEGREES, DEGREES),
            "translate_x": (-shift, shift),
            "translate_y": (-shift, shift),
        }
    return STATED if name == "stated" else HALF


def part(
    protocol: Protocol, studied: Record, box: str, ranges: Record, passes: list[int], name: str, make: object
) -> Record:
    """Return the record of one search of one box, kept in OUT/parts."""
    asked = {**studied, "box": ranges, "search": name, "passes": passes, "seed": protocol.seeds[0]}
    short = name.partition(" ")[0].lower()
    return study.kept(protocol.out / "parts" / f"{box}-{short}.json", asked, make)


def ours(
    classifier: itn.Classifier, data: itn.ImageSet, ranges: Record, most: int, protocol: Protocol
) -> Record:
    """Return at which pass each image broke, and what survives each transformation alone."""
    config = itn.WorstConfig(box=ranges, passes=most, single_steps=0, growth_passes=0, seed=protocol.seeds[0])
    worst = itn.worst_case(classifier, data, config=config)
    alone = itn.WorstConfig(box=ranges, passes=1, single_steps=20, growth_passes=0, seed=protocol.seeds[0])
    singles = itn.worst_case(classifier, data, config=alone).record
    searched = [row for row in worst.images if row.searched]
    broken = {n: row.passes for n, row in enumerate(worst.images) if row.searched and not row.survives}
    return {
        "searched": len(searched),
        "clean_accuracy": worst.record.clean_accuracy,
        "survival": worst.record.survival.value,
        "survival_ci": [worst.record.survival.ci_low, worst.record.survival.ci_high],
        "survival_every_single": singles.survival_every_single,
        "survival_single": singles.survival_single,
        "broken": broken,
    }


def theirs(name: str, search: Search, margins: Margins, passes: list[int], seed: int) -> Record:
    """Return at which pass each image broke; of some searches one for each number of passes."""
    index = (itn.predict(margins.classifier, margins.data.images) == margins.data.labels).nonzero()[:, 0]
    index = index.cpu()
    if name in ("grid", FOOLBOX):  # other points for each number of passes
        return {"by_passes": {str(most): len(search(margins, index, most, seed)) for most in passes}}
    return {"broken": search(margins, index, passes[-1], seed)}


def summarized(found: dict[str, Record], passes: list[int], images: int, ranges: Record) -> Record:
    """Return the shares of one box."""
    mine = found["itn"]
    searched = mine["searched"]
    shares = {}
    for name, record in found.items():
        counts = record.get("by_passes") or {
            str(most): sum(number <= most for number in record["broken"].values()) for most in passes
        }
        shares[OURS if name == "itn" else name] = {most: count / searched for most, count in counts.items()}
    kept = {key: mine[key] for key in mine if key not in ("broken", *STUDIED)}
    worst = mine["survival"] * searched / images
    return {"ranges": ranges, **kept, "worst_accuracy": worst, "broken": shares}


STUDIED = ("model", "data", "images", "weights_sha256", "images_sha256", "box", "search", "passes", "seed")


def figures(record: Record) -> dict[str, Figure]:
    """Return the share that each search breaks over the number of passes, for each box."""
    figure = Figure(figsize=(plotting.WIDTH, 2.9), layout="constrained")
    panels = figure.subplots(1, len(record["boxes"]), sharey=True, squeeze=False)[0]
    for ax, (box, found) in zip(panels, record["boxes"].items(), strict=True):
        others = iter(OTHERS)
        for name, shares in found["broken"].items():
            color = COLORS.get(name) or next(others)
            values = [100 * share for share in shares.values()]
            width = 2.2 if name == OURS else 1.2
            ax.plot([int(most) for most in shares], values, "o-", color=color, label=name, linewidth=width)
        ax.set_xscale("log")
        ax.set_xticks(record["passes"], [str(most) for most in record["passes"]])
        ax.minorticks_off()
        ax.set_title(NAMES[box], fontsize=9)
        ax.set_xlabel("forward passes of each image", fontsize=8)
    panels[0].set_ylabel("right images that break (%)")
    handles = {}
    for ax in panels:
        handles |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=3, fontsize=8)
    return {"broken": figure}


def table(record: Record) -> str:
    """Return the shares that break, in percent, for each box, search and number of passes."""
    rows = []
    for box, found in record["boxes"].items():
        for name, shares in found["broken"].items():
            rows.append((NAMES[box], name, *(f"{100 * share:.1f}" for share in shares.values())))
    header = ("box", "search", *(f"{most} passes" for most in record["passes"]))
    return study.markdown(header, rows)


def survival_table(record: Record) -> str:
    """Return what survives in each box, and under each transformation alone."""
    rows = []
    for box, found in record["boxes"].items():
        low, high = found["survival_ci"]
        rows.append(
            (
                NAMES[box],
                f"{found['searched']} of {record['images']}",
                f"{100 * found['survival_every_single']:.1f}",
                f"{100 * found['survival']:.1f} [{100 * low:.1f}, {100 * high:.1f}]",
                f"{100 * found['worst_accuracy']:.1f}",
            )
        )
    header = (
        *("box", "images right unchanged", "% of them survive each transformation alone"),
        *("survive all together, at most", "% of all images"),
    )
    return study.markdown(header, rows)


def readme(records: dict[str, Record]) -> str:
    """Return the text of README.md."""
    sections = []
    for folder, record in records.items():
        published = ""
        if "engstrom" in record["boxes"]:
            mine = 100 * record["boxes"]["engstrom"]["worst_accuracy"]
            published = (
                f"\nIn the box of Engstrom et al. {mine:.1f} % of all images survive, at most; published, "
                f"for other networks and a grid of 775 points: MNIST {100 * PUBLISHED['mnist']:.1f} %, "
                f"CIFAR-10 {100 * PUBLISHED['cifar']:.1f} %.\n"
            )
        sections.append(
            f"""## {record["model"]}, {record["images"]} images of {record["data"]}

![What each search breaks]({folder}/broken.png)

Of the images that are right unchanged, % that break within so many forward passes of each:

{table(record)}

{survival_table(record)}
{published}"""
        )
    behind = lagging(records)
    verdict = (
        "In every box, at every number of passes `itn worst` breaks at least as many as the best other one."
        if not behind
        else f"`itn worst` breaks fewer than the best other search here: {'; '.join(behind)}."
    )
    body = "\n".join(sections)
    return f"""
# How many images break somewhere in a box, and does another search break more?

Rotations, shifts and zoom together. Boxes: *stated*, rotations of 20 degrees, shifts of 10 % and zoom from
0.9 to 1.1; half of that; and that of Engstrom et al., rotations of 30 degrees and shifts of 3 pixels. All
searches get the same number of forward passes of each image. An image that breaks uses no more.

```bash
pip install ".[test,benchmark]"
python experiments worst_case --limit 300 --boxes stated --out experiments/worst_case/lenet5    # 5 minutes
python experiments worst_case --limit 60 --passes 100 300 --boxes half engstrom \\
    --out experiments/worst_case/lenet5-small    # 5 minutes
```

{verdict} What survives is an upper bound: another point of the box may break it.

{body}"""


def lagging(records: dict[str, Record]) -> list[str]:
    """Return where another search breaks more images than ours, in words."""
    behind = []
    for record in records.values():
        for box, found in record["boxes"].items():
            for most in map(str, record["passes"]):
                best, name = max(
                    (shares[most], name) for name, shares in found["broken"].items() if name != OURS
                )
                mine = found["broken"][OURS][most]
                if best > mine:
                    behind.append(
                        f"{record['model']}, {NAMES[box]}, {most} passes: {100 * mine:.1f} % against "
                        f"{100 * best:.1f} % by {name}"
                    )
    return behind
