"""What are networks for color images invariant to, and do the claims of Bunne et al. hold for them?

Command:   python experiments color_networks --model FILE.py:make --weights FILE --data DIR \
               --out experiments/color_networks/NAME
Machine:   2 CPU cores; ResNet-20 and 6,000 images about half an hour for each run
Writes:    OUT: result.json, families.png; OUT/parts: one file for each objective, parts and seed
Published: figures 4 and 5 of Bunne et al. and three claims, of AlexNet on ImageNet, without numbers

Learned as by itn learn, by accuracy, with the surround of photographs: color alone, spatial alone, and both
together. The claims are those of experiments/bunne_itn, with its limits, taken of both together; there the
switched objective learns as in the paper, here its family is certified like the other. DIR holds a folder of
images for each class. A run that is there is not learned again, so a long study can be done in several days.
"""

import argparse
import itertools
import json
import shutil
from functools import partial
from pathlib import Path

import study
from bunne_itn.run import CLAIMS, family_numbers
from largest_family.run import Certified
from matplotlib.figure import Figure
from study import Protocol, Record

import itn
from itn import plotting

PARTS = {"color": ("color",), "spatial": ("spatial",), "both": ("color", "spatial")}
OBJECTIVES = ("constrained", "switched")
COLORS = {"color": "#ee6677", "spatial": "#4477aa"}
PHASES = ("preparation", "learning", "calibration", "evaluation")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is studied."""
    parser.add_argument("--model", default="lenet5", help="as itn learn takes it; default: %(default)s")
    parser.add_argument("--weights", type=Path, help="a local state dict")
    parser.add_argument("--data", default="mnist:heldout", help="as itn learn takes it; default: %(default)s")
    parser.add_argument("--class-map", type=Path, help="what the class folders mean, if not their names")
    parser.add_argument("--limit", type=int, default=0, help="images, 0 for all; default: %(default)s")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=tuple(PARTS), help="default: all three")
    parser.add_argument(
        "--objectives", nargs="+", choices=OBJECTIVES, default=OBJECTIVES[:1], help="default: constrained"
    )
    parser.add_argument("--tolerance", type=float, default=0.02, help="default: %(default)s")
    parser.add_argument("--steps", type=int, help="as itn learn has it")
    parser.add_argument("--batch-size", type=int, help="as itn learn has it")


def measure(protocol: Protocol) -> Record:
    """Learn a family for each objective, parts and seed."""
    asked = protocol.options
    classifier = itn.load_classifier(asked["model"], asked["weights"]).to(protocol.device)
    limit = protocol.pick(asked["limit"], asked["limit"], 2 * study.SMOKE_DIGITS)
    data = itn.load_images(asked["data"], classifier, asked["class_map"], limit=limit)
    studied = {
        "model": classifier.name,
        "data": Path(asked["data"]).name,
        "images": len(data.labels),
        "weights_sha256": classifier.sha256(),
        "images_sha256": study.data_fingerprint(data.images, data.labels),
    }
    given = {name: asked[name] for name in ("steps", "batch_size") if asked[name]}
    given = protocol.pick(given, given, {"steps": 4})
    for objective, parts, seed in itertools.product(asked["objectives"], asked["parts"], protocol.seeds):
        config = itn.LearnConfig(
            objective="constrained" if objective == "constrained" else Certified(),
            parts=PARTS[parts],
            tolerance=protocol.pick(asked["tolerance"], asked["tolerance"], 0.1),
            seed=seed,
            **given,
        )
        asks = studied | {"objective": objective, "learned": parts, "seed": seed}
        part = protocol.out / "parts" / f"{objective}-{parts}-seed{seed}.json"
        asks = {**asks, "config": config.describe()}
        folder = protocol.out / "unfinished" / part.stem
        study.kept(part, asks, partial(learned, classifier, data, config, folder))
    # Whatever has been learned so far, also by other commands
    runs = [json.loads(path.read_text()) for path in sorted((protocol.out / "parts").glob("*.json"))]
    return {**studied, "runs": [run for run in runs if run["images_sha256"] == studied["images_sha256"]]}


def learned(classifier: itn.Classifier, data: itn.ImageSet, config: itn.LearnConfig, folder: Path) -> Record:
    """Learn one family in a folder, which is removed in the end; return what is recorded of it."""
    result = itn.learn(classifier, data, config=config, out=folder)
    record = result.record.to_json()
    kept = {key: value for key, value in record.items() if key not in ("curves", "calibration", "objective")}
    kept["seconds"] = json.loads((folder / "timing.json").read_text())["seconds"]
    if len(config.parts) == 2:
        numbers = family_numbers(result.net, itn.preflight(classifier, data.images, data.labels))
        kept["family"] = numbers
        kept["holds"] = {claim.number: claim.holds(numbers[claim.number]) for claim in CLAIMS}
    shutil.rmtree(folder)
    return kept


def figures(record: Record) -> dict[str, Figure]:
    """Return the displacement of each family over that of the largest single transformation, by part."""
    rows = [
        (name, run, part)
        for part in ("color", "spatial")
        for name, run in named(record)
        if part in run["parts"]
    ]
    figure = Figure(figsize=(plotting.WIDTH, 1.2 + 0.22 * len(rows)), layout="constrained")
    ax = figure.subplots()
    for y, (_, run, part) in enumerate(rows):
        ratio = run["headline"][part]
        if ratio is None:
            continue
        high = ratio["value"] if ratio["ci_high"] is None else ratio["ci_high"]
        ends = [[max(0, ratio["value"] - ratio["ci_low"])], [max(0, high - ratio["value"])]]
        ax.errorbar(ratio["value"], y, xerr=ends, fmt="o", color=COLORS[part], markersize=4, capsize=2)
    ax.axvline(1, color="0.6", linewidth=1)
    ax.set_yticks(range(len(rows)), [f"{part}: {name}" for name, _, part in rows])
    ax.invert_yaxis()
    ax.set_xlim(left=0)
    ax.set_xlabel("displacement over that of the largest single transformation, certified alike")
    return {"families": figure}


def named(record: Record) -> list[tuple[str, Record]]:
    """Return the runs with short names, in the order in which they are shown."""
    order = {"color": 0, "spatial": 1, "both": 2}
    runs = sorted(record["runs"], key=lambda run: (run["objective"], order[run["learned"]], run["seed"]))
    return [(f"{run['objective']}, {run['learned']}, seed {run['seed']}", run) for run in runs]


def table(record: Record) -> str:
    """Return what was learned and certified in each run."""
    header = ("run", "accuracy falls by", "displacement", "single transformations", "at full strength")
    return study.markdown(header, [(name, *row(run)) for name, run in named(record)])


def row(run: Record) -> tuple[str, ...]:
    """Return the cells of a run."""
    parts = run["parts"]
    drops = [run["certificate"][k]["drop"] for k in ("full", "worst")]
    ratios = []
    for part, ratio in run["headline"].items():
        if ratio is None:
            ratios.append(f"{part}: no ratio")
            continue
        high = "no end" if ratio["ci_high"] is None else f"{ratio['ci_high']:.2f}"
        ratios.append(f"{part} {ratio['value']:.2f} [{ratio['ci_low']:.2f}, {high}] times {ratio['rival']}")
    described = [
        f"{part}: {of['description']}" + (f" (plain {of['member']})" if of.get("member") else "")
        for part, of in parts.items()
    ]
    return (
        f"{100 * max(drops):.2f} points",
        ", ".join(f"{part} {of['displacement_full']:.4f}" for part, of in parts.items()),
        "; ".join(ratios),
        "; ".join(described),
    )


def claims(record: Record) -> str:
    """Return the claims of Bunne et al. by the families of both parts together."""
    runs = [(name, run) for name, run in named(record) if "holds" in run]
    header = ("claim", "taken as", *(name for name, _ in runs))
    rows = [
        (
            claim.published,
            claim.taken,
            *(
                f"{run['family'][claim.number]:{claim.unit}}, "
                f"{'holds' if run['holds'][claim.number] else 'fails'}"
                for _, run in runs
            ),
        )
        for claim in CLAIMS
    ]
    return study.markdown(header, rows) if runs else "No family of both parts has been learned."


def times(record: Record) -> str:
    """Return how long the phases of a run take beside its steps."""
    shares = []
    for name, run in named(record):
        seconds = run["seconds"]
        rest = sum(seconds[phase] for phase in PHASES if phase != "learning")
        shares.append(f"{name}: {seconds['learning']:.0f} s of steps, {rest:.0f} s of all else")
    return "; ".join(shares)


def readme(records: dict[str, Record]) -> str:
    """Return the text of README.md."""
    sections = [
        f"## {record['model']}, {record['images']:,} images of {record['data']}\n\n{table(record)}\n\n"
        f"![ratios]({name}/families.png)\n\n{claims(record)}\n\nTime: {times(record)}.\n"
        for name, record in records.items()
    ]
    asked = [(claim.published, claim.taken) for claim in CLAIMS]
    none = f"No result is committed yet. The claims:\n\n{study.markdown(('claim', 'taken as'), asked)}\n"
    return "\n".join([INTRODUCTION, *(sections or [none])])


INTRODUCTION = """
# What are networks for color images invariant to?

Families are learned as by `itn learn`, by accuracy, and certified on images that were not learned from. Each
part of a family is compared with the largest single transformation. That is certified on the same images and
has the whole tolerance to itself; color and spatial together share it. The claims of Bunne et al. are taken
as in [bunne_itn](../bunne_itn/README.md), with the limits that were set there. A family that hardly changes
images fulfills every claim, so look at displacements as well.

```bash
python experiments color_networks --model experiments/bunne_screening/resnet20_cifar.py:make \\
    --weights FILE --data DIR --out experiments/color_networks/resnet20
```
"""
