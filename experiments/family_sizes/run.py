"""How far do learned families go beside the best that needs no learning, and do Bunne's claims hold of them?

Command:   python experiments family_sizes --model lenet5 --tolerance 0.01 --seeds 0 1 2 3 4 \
               --out experiments/family_sizes/lenet5
           python experiments family_sizes --model FILE.py:make --weights FILE --data DIR \
               --out experiments/family_sizes/NAME
Machine:   2 CPU cores; a run of lenet5 five minutes, of ResNet-20 and 6,000 images about an hour
Writes:    OUT: result.json, families.png, with a filter kernels.png; OUT/parts: two files for each objective,
           parts and seed, of a filter a picture too
Published: figures 4 and 5 of Bunne et al. and three claims, of AlexNet on ImageNet, without numbers

Learned as by itn learn, by accuracy, with the surround of photographs: color alone, spatial alone, and both
together, or a filter, a homography, an elastic map or a tone curve alone. What several seeds have found is
pooled by resampling the images that they share. DIR holds a folder of images for each class. A run that is
there is not learned again, so a long study can be done in several days. Other objectives have the same
tolerance, training images, calibration and certificate:

- switched: that of Bunne et al., with the tolerance as its threshold, c_theta as by default
- dual-ascent: the displacements of the constrained one, its multiplier by the textbook's dual ascent; from
  examples/
- direct-search: Nelder and Mead's simplex over directions at full strength, without derivatives, with ten
  times the images

The claims are those of experiments/bunne_itn, with its limits, taken of both parts together; there the
switched objective learns as in the paper, here its family is certified like the others.
"""

import argparse
import dataclasses
import itertools
import json
import shutil
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import study
import torch
from bunne_itn.run import CLAIMS, Claim, family_numbers
from family_sizes.objectives import OBJECTIVES, with_objective
from matplotlib.figure import Figure
from study import Protocol, Record

import itn
from itn import plotting
from itn.certification.headline import Compared, MeasuredCurve, compare, compare_pooled
from itn.certification.records import Headline
from itn.functional import INTERPOLATIONS
from itn.stats import generator

PAPER = {"color": ("color",), "spatial": ("spatial",), "both": ("color", "spatial")}
PARTS = PAPER | {part: (part,) for part in ("filter", "homography", "elastic", "tone")}
COLORS = {"color": "#ee6677", "spatial": "#4477aa", "both": "#228833"}
OTHERS = "#aa3377"
POOLED = "#222222"
PHASES = ("preparation", "learning", "calibration", "evaluation")  # the comparison is a phase of its own


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is studied."""
    parser.add_argument("--model", default="lenet5", help="as itn learn takes it; default: %(default)s")
    parser.add_argument("--weights", type=Path, help="a local state dict")
    parser.add_argument("--data", default="mnist:heldout", help="as itn learn takes it; default: %(default)s")
    parser.add_argument("--class-map", type=Path, help="what the class folders mean, if not their names")
    parser.add_argument("--limit", type=int, default=0, help="images, 0 for all; default: %(default)s")
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=tuple(PAPER), help="default: color, spatial, both"
    )
    parser.add_argument(
        "--objectives", nargs="+", choices=OBJECTIVES, default=OBJECTIVES[:1], help="default: constrained"
    )
    parser.add_argument("--tolerance", type=float, default=0.02, help="default: %(default)s")
    parser.add_argument("--steps", type=int, help="as itn learn has it")
    parser.add_argument("--batch-size", type=int, help="as itn learn has it")
    parser.add_argument(
        "--interpolation", choices=("auto", *INTERPOLATIONS), default="auto", help="default: %(default)s"
    )


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
    all_parts = protocol.pick(asked["parts"], asked["parts"], asked["parts"][-1:])
    for objective, parts, seed in itertools.product(asked["objectives"], all_parts, protocol.seeds):
        config = itn.LearnConfig(
            parts=PARTS[parts],
            tolerance=protocol.pick(asked["tolerance"], asked["tolerance"], 0.1),
            seed=seed,
            interpolation=asked["interpolation"],
            **given,
        )
        config = with_objective(config, objective)
        asks = studied | {"objective": objective, "learned": parts, "seed": seed}
        part = protocol.out / "parts" / f"{objective}-{parts}-seed{seed}.json"
        asks = {**asks, "config": config.describe()}
        folder, outcomes = protocol.out / "unfinished" / part.stem, part.with_suffix(".npz")
        study.kept(part, asks, partial(learned, classifier, data, config, folder, outcomes))
        shutil.rmtree(folder, ignore_errors=True)
    # Whatever has been learned so far, also by other commands
    found = {path: json.loads(path.read_text()) for path in sorted((protocol.out / "parts").glob("*.json"))}
    same = {
        path: compared(path, run)
        for path, run in found.items()
        if all(run[key] == studied[key] for key in studied)
    }
    return {**studied, "runs": list(same.values()), "pooled": pooled(same, len(data.labels))}


def compared(path: Path, run: Record) -> Record:
    """Return a run with the headline that its outcomes of each image have today."""
    one = measured_run(path.with_suffix(".npz"), run)
    if one is None:
        return run
    random = generator(run["seed"], "bootstrap")
    headline, missing = recorded(compare(one.family, one.rivals, run["tolerance"], random))
    (name,) = run["headline"]
    return run | {"headline": {name: headline}, "no_headline": missing}


def recorded(found: Headline | str) -> tuple[Record | None, str | None]:
    """Return a headline for JSON, or else why there is none."""
    return (None, found) if isinstance(found, str) else (dataclasses.asdict(found), None)


def pooled(runs: dict[Path, Record], images: int) -> list[Record]:
    """Return the headline of all seeds with the same settings, from their outcomes of each image."""
    groups: dict[str, list[Path]] = {}
    for path, run in runs.items():
        settings = {**run["config"], "seed": None, "objective": run["objective"]}
        groups.setdefault(json.dumps(settings, sort_keys=True), []).append(path)
    found = []
    for paths in groups.values():
        first = runs[paths[0]]
        measured = [one for path in paths if (one := measured_run(path.with_suffix(".npz"), runs[path]))]
        of_all: Headline | str = "nothing is certified for some seeds"
        if len(measured) == len(paths):
            of_all = compare_pooled(measured, images, first["tolerance"], generator(0, "pooled"))
        headline, missing = recorded(of_all)
        found.append(
            {
                "objective": first["objective"],
                "learned": first["learned"],
                "seeds": [runs[path]["seed"] for path in paths],
                "headline": headline,
                "no_headline": missing,
            }
        )
    return found


def measured_run(path: Path, run: Record) -> Compared | None:
    """Return the curves of a run; None if nothing is certified."""
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    parts, names = list(run["parts"]), [curve["name"] for curve in run["drop_curves"]]
    if not names:
        return None
    family, *rivals = (MeasuredCurve.of_arrays(name, parts, arrays) for name in names)
    return Compared(family, rivals, torch.from_numpy(arrays["index"]))


def learned(
    classifier: itn.Classifier, data: itn.ImageSet, config: itn.LearnConfig, folder: Path, outcomes: Path
) -> Record:
    """Learn one family in a folder; return what is recorded of it.

    What each image did goes to a file of its own.
    """
    result = itn.learn(classifier, data, config=config, out=folder)
    record = result.record.to_json()
    kept = {key: value for key, value in record.items() if key not in ("curves", "calibration", "objective")}
    kept["seconds"] = json.loads((folder / "timing.json").read_text())["seconds"]
    if len(config.parts) == 2:
        numbers = family_numbers(result.net, itn.preflight(classifier, data.images, data.labels))
        kept["family"] = numbers
        kept["holds"] = {claim.number: claim.holds(numbers[claim.number]) for claim in CLAIMS}
    outcomes.parent.mkdir(parents=True, exist_ok=True)
    if "filter" in config.parts:
        shutil.copy(folder / "figures" / "grid.png", outcomes.with_suffix(".png"))
    shutil.copy(folder / "outcomes.npz", outcomes)
    return kept


def figures(record: Record) -> dict[str, Figure]:
    """Return the headline of each run, and that of all seeds."""
    rows = [(name, run["headline"]) for name, run in named(record)]
    rows = [(name, next(iter(headline.values()))) for name, headline in rows]
    rows += [(f"{one['objective']}, {one['learned']}, pooled", one["headline"]) for one in record["pooled"]]
    rows = [(name, ratio) for name, ratio in rows if ratio is not None]
    figure = Figure(figsize=(plotting.WIDTH, 1.2 + 0.22 * len(rows)), layout="constrained")
    ax = figure.subplots()
    for y, (name, ratio) in enumerate(rows):
        ends = [[ratio["value"] - ratio["ci_low"]], [ratio["ci_high"] - ratio["value"]]]
        color = POOLED if name.endswith("pooled") else COLORS.get(name.split(", ")[1], OTHERS)
        ax.errorbar(
            ratio["value"], y, xerr=np.maximum(ends, 0), fmt="o", color=color, markersize=4, capsize=2
        )
    ax.axvline(1, color="0.6", linewidth=1)
    ax.set_yticks(range(len(rows)), [name for name, _ in rows])
    ax.invert_yaxis()
    ax.set_xlim(left=0)
    text = "displacement over that of the best rival, where both lose equally much; 95 % intervals"
    figure.supxlabel(text, fontsize=9)
    filters = [run for _, run in named(record) if run["learned"] == "filter"]
    return {"families": figure} | ({"kernels": kernels(filters, record["model"])} if filters else {})


def kernels(runs: list[Record], model: str) -> Figure:
    """Return the kernel of each filter at full strength, and how much contrast it leaves to stripes."""
    figure = Figure(figsize=(plotting.WIDTH, 2.4 * len(runs) + 0.3), layout="constrained")
    figure.suptitle(f"{model}: the learned filter at full strength", fontsize=9)
    part, frequencies = itn.FilterTransformer(), np.linspace(0, 0.5, 101)
    for run, (left, right) in zip(runs, figure.subplots(len(runs), 2, squeeze=False), strict=True):
        p = torch.tensor([list(run["parts"]["filter"]["parameters_full"].values())])
        kernel = part.kernels(p)[0, 0, 0].double().numpy()
        most = np.abs(kernel).max()
        left.imshow(kernel, cmap="RdBu_r", vmin=-most, vmax=most)
        for (y, x), value in np.ndenumerate(kernel):
            ink = "white" if abs(value) > 0.6 * most else "black"
            left.text(x, y, f"{value:.2f}", ha="center", va="center", fontsize=7, color=ink)
        left.set(xticks=[], yticks=[], title=f"weights, seed {run['seed']}")
        offset = np.arange(len(kernel)) - len(kernel) // 2
        waves = np.exp(2j * np.pi * np.outer(frequencies, offset))
        for across, style in ((True, "-"), (False, "--")):
            kept = np.abs(waves @ kernel.sum(0 if across else 1))
            right.plot(frequencies, kept, style, color=OTHERS)
        right.axhline(1, color="0.6", linewidth=1)
        right.set(xlabel="stripes per pixel", ylabel="contrast kept", xlim=(0, 0.5), ylim=(0, None))
        right.set_title("stripes side by side (solid), one below another (dashed)")
    return figure


def named(record: Record) -> list[tuple[str, Record]]:
    """Return the runs with short names, in the order in which they are shown."""
    order = list(PARTS)
    runs = sorted(
        record["runs"], key=lambda run: (run["objective"], order.index(run["learned"]), run["seed"])
    )
    return [(f"{run['objective']}, {run['learned']}, seed {run['seed']}", run) for run in runs]


def table(record: Record) -> str:
    """Return what was learned and certified in each run."""
    header = ("run", "accuracy falls by", "displacement", "times its best rival", "at full strength")
    return study.markdown(header, [(name, *row(run)) for name, run in named(record)])


def row(run: Record) -> tuple[str, ...]:
    """Return the cells of a run."""
    parts = run["parts"]
    drops = [run["certificate"][k]["drop"] for k in ("full", "worst")]
    described = [
        f"{part}: {of['description']}" + (f" (plain {of['member']})" if of.get("member") else "")
        for part, of in parts.items()
    ]
    return (
        f"{100 * max(drops):.2f} points",
        ", ".join(f"{part} {of['displacement_full']:.4f}" for part, of in parts.items()),
        ratio_text(next(iter(run["headline"].values())), run.get("no_headline")),
        "; ".join(described),
    )


def ratio_text(ratio: Record | None, missing: str | None) -> str:
    """Return a headline in a cell, or why there is none."""
    if ratio is None:
        return f"no ratio: {missing}"
    interval = f"{ratio['value']:.2f} [{ratio['ci_low']:.2f}, {ratio['ci_high']:.2f}]"
    limit = "" if ratio["limit"] is None else f"{ratio['limit']} "
    return f"{limit}{interval} times {ratio['rival']}, by {' and '.join(ratio['parts'])}"


def pooled_table(record: Record) -> str:
    """Return the headlines of all seeds."""
    rows = [
        (
            f"{one['objective']}, {one['learned']}",
            f"{len(one['seeds'])}",
            ratio_text(one["headline"], one["no_headline"]),
        )
        for one in record["pooled"]
    ]
    return study.markdown(("learned", "seeds", "times the best rival"), rows)


def claims(record: Record) -> str:
    """Return how many families of both parts together fulfill the claims of Bunne et al."""
    runs: dict[str, list[Record]] = {}
    for _, run in named(record):
        if "holds" in run:
            runs.setdefault(run["objective"], []).append(run)
    rows = [
        (claim.published, claim.taken, *(_held(claim, of_objective) for of_objective in runs.values()))
        for claim in CLAIMS
    ]
    header = ("claim", "taken as", *runs)
    return study.markdown(header, rows) if runs else "No family of both parts has been learned."


def _held(claim: Claim, runs: list[Record]) -> str:
    """Return the numbers that a claim is about, and in how many runs it holds."""
    numbers = study.middle([run["family"][claim.number] for run in runs], claim.unit)
    return f"{numbers}; holds in {sum(run['holds'][claim.number] for run in runs)} of {len(runs)}"


def times(record: Record) -> str:
    """Return how long the phases of a run take beside its steps."""
    shares, compared = [], []
    for _, run in named(record):
        seconds = run["seconds"]
        rest = sum(seconds[phase] for phase in PHASES if phase != "learning")
        shares.append((seconds["learning"] + rest) / seconds["learning"])
        compared.append(seconds["comparison"] / seconds["learning"])
    return (
        f"preparation, steps, calibration, evaluation and figures take {median(shares):.1f} times "
        f"the steps, the comparison {median(compared):.1f} times more (medians)"
    )


def readme(records: dict[str, Record]) -> str:
    """Return the text of README.md."""
    sections = [
        f"## {name}: {record['model']}, {record['images']:,} images of {record['data']}\n\n"
        f"Tolerance {100 * record['runs'][0]['tolerance']:g} %{sampling(record)}.\n\n{table(record)}\n\n"
        f"![ratios]({name}/families.png)\n\n{pictures(name, record)}"
        f"All seeds, their images resampled together:\n\n"
        f"{pooled_table(record)}\n\n{claims(record)}\n\nTime: {times(record)}.\n"
        for name, record in records.items()
    ]
    asked = [(claim.published, claim.taken) for claim in CLAIMS]
    none = f"No result is committed yet. The claims:\n\n{study.markdown(('claim', 'taken as'), asked)}\n"
    return "\n".join([INTRODUCTION, *(sections or [none])])


def pictures(name: str, record: Record) -> str:
    """Return what is shown of a filter."""
    filters = [run for run in record["runs"] if run["learned"] == "filter"]
    grids = [
        f"![images while k grows]({name}/parts/{run['objective']}-filter-seed{run['seed']}.png)"
        for run in filters
    ]
    return "".join(
        f"{shown}\n\n" for shown in ([f"![kernels]({name}/kernels.png)", *grids] if filters else [])
    )


def sampling(record: Record) -> str:
    """Return how geometry was sampled, if the runs say it: before there was a choice, bilinearly."""
    spatial = [run for run in record["runs"] if "spatial" in run["parts"]]
    found = sorted({run.get("interpolation", "bilinear") for run in spatial})
    return f", {' and '.join(found)} interpolation" if found else ""


INTRODUCTION = """
# How far do learned families go, beside the best that needs no learning?

Families are learned as by `itn learn`, by accuracy, and certified on images that were not learned from. Their
displacement is compared with that of the best single transformation, for color and spatial together with the
best pair of them in the best of several proportions, at drops from half to twice the tolerance. Both are
measured on the same images; of a family the worst *k* counts too. A part that goes up to its bound in both
does not count. The claims of Bunne et al. are taken as in [bunne_itn](../bunne_itn/README.md), with the
limits that were set there. A family that hardly changes images fulfills every claim, so look at displacements
as well.

Filter, homography, elastic and tone are [parts beyond affine maps](../../docs/how-to/named-parts.md), each
learned alone. Their displacements are measures of their own: of a filter it is the squared change of an image
of random pixels, most of which photographs do not have.

```bash
python experiments family_sizes --model lenet5 --tolerance 0.01 --seeds 0 1 2 3 4 \\
    --out experiments/family_sizes/lenet5
python experiments family_sizes --model experiments/bunne_screening/resnet20_cifar.py:make \\
    --weights FILE --data DIR --limit 6000 --seeds 0 1 2 --out experiments/family_sizes/resnet20
python experiments family_sizes --parts filter homography elastic tone --tolerance 0.01 \\
    --out experiments/family_sizes/lenet5    # and so for ResNet-20
```

*resnet20-bilinear* is a family that was learned before `itn learn` chose the interpolation, by an earlier
learner. Where a shift by half a pixel breaks the network if it is sampled bilinearly
([resampling](../resampling/README.md)), learning now takes bicubic interpolation.

*Constrained* is the objective of `itn learn`. The others have its tolerance, training images, calibration and
certificate: *switched* is that of Bunne et al., *dual-ascent* the textbook's way to the constrained problem,
and *direct-search* needs no derivatives and has ten times the images.
"""
