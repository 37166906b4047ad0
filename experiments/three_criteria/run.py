"""How far do single transformations go under each criterion: accuracy, broken, agreement?

Command:   python experiments three_criteria                      (lenet5, 2,000 digits)
           python experiments three_criteria --model FILE.py:make --weights FILE --data DIR
Machine:   2 CPU cores, about 3 minutes; ResNet-20 on 6,000 images about an hour
Writes:    runs/three_criteria/: result.json, thresholds.png
Published: nothing; Bunne et al. ask for accuracy

Each transformation grows from the identity until more than the tolerance is lost by every criterion, in steps
of a factor of two; the step in which a criterion first loses more is then halved. The threshold is
interpolated. It is an estimate from all images, not a certificate; its interval is a percentile bootstrap
over images. Photographs are changed with what lies around their crops, and once more without. DIR holds a
folder of images for each class. Finished transformations are kept in OUT/parts.
"""

import argparse
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import study
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from study import Protocol, Record
from torch import Tensor

import itn
from itn import plotting
from itn.functional import Surround
from itn.nn import SingleTransformation
from itn.stats import generator

CRITERIA = ("accuracy", "broken", "agreement")
SMALLEST, FACTOR, HALVINGS = 1 / 512, 2.0, 2  # scales that are tried, as fractions of the bound
BEYOND = 2.0  # multiple of the tolerance up to which scales are tried, for the bootstrap
RESAMPLES = 1000
MARKS = {"accuracy": "o", "broken": "s", "agreement": "x"}
WITH = {"auto": "with surround", "none": "without surround"}
Changes = dict[float, NDArray[np.int8]]
"""By scale, how each image changes by each criterion, criteria x N, numbers in {-1, 0, 1}."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is studied."""
    parser.add_argument("--model", default="lenet5", help="as itn screen takes it; default: %(default)s")
    parser.add_argument("--weights", type=Path, help="a local state dict")
    parser.add_argument(
        "--data", default="mnist:heldout", help="as itn screen takes it; default: %(default)s"
    )
    parser.add_argument("--class-map", type=Path, help="what the class folders mean, if not their names")
    parser.add_argument("--transforms", nargs="+", help="names, such as rotate; default: all")
    parser.add_argument("--limit", type=int, default=0, help="images, 0 for all; default: 0, of digits 2000")
    parser.add_argument("--tolerance", type=float, default=0.02, help="share of images; default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=250, help="images in a pass; default: %(default)s")


def measure(protocol: Protocol) -> Record:
    """Find the thresholds of all single transformations."""
    asked, seed = protocol.options, protocol.seeds[0]
    classifier = itn.load_classifier(asked["model"], asked["weights"]).to(protocol.device)
    limit = asked["limit"] or (2000 if asked["data"].startswith("mnist") else 0)
    limit = protocol.pick(limit, limit, study.SMOKE_DIGITS)
    data = itn.load_images(asked["data"], classifier, asked["class_map"], limit=limit, seed=seed)
    studied = {
        "weights_sha256": classifier.sha256(),
        "images_sha256": study.data_fingerprint(data.images, data.labels),
        "tolerance": asked["tolerance"],
    }
    parts = [itn.ColorTransformer(data.images.shape[1]), itn.SpatialTransformer()]
    baselines = [single for part in parts for single in part.baselines(part.frame(data.images.shape))]
    if protocol.name == "smoke":
        baselines = baselines[-2:]
    ways = ("auto", "none") if data.canvases is not None else ("none",)
    pairs = [
        (single, way)
        for single in baselines
        if not asked["transforms"] or single.name in asked["transforms"]
        for way in ways
        if way == "none" or single.takes_surround
    ]
    rows = []
    for single, surround in study.track(pairs, "screen", "transformations"):
        asked_for = {
            "transform": single.name,
            "sign": single.sign,
            "surround": surround,
            **studied,
        }
        part = f"{protocol.name}-{classifier.name}-{surround}-{single.name}{single.sign}.json"
        make = partial(thresholds, classifier, data, single, surround == "auto", asked, seed)
        rows.append(study.kept(protocol.out / "parts" / part, asked_for, make))
    right = said(classifier, data, asked["batch_size"]) == data.labels.numpy()
    return {
        "model": classifier.name,
        "data": Path(asked["data"]).name,
        "images": len(data.labels),
        "clean_accuracy": float(right.mean()),
        "tolerance": asked["tolerance"],
        "rows": rows,
        "provenance": study.provenance(protocol.device),
    }


def thresholds(
    classifier: itn.Classifier,
    data: itn.ImageSet,
    single: SingleTransformation,
    around: bool,
    asked: Mapping[str, Any],
    seed: int,
) -> Record:
    """Return where a transformation loses more than the tolerance, by each criterion."""
    clock, tolerance, size = time.perf_counter(), asked["tolerance"], asked["batch_size"]
    labels, clean = data.labels.numpy(), said(classifier, data, size)
    right = clean == labels
    changes: Changes = {0.0: np.zeros((len(CRITERIA), len(clean)), np.int8)}

    def drops(scale: float) -> NDArray[np.float64]:
        if scale not in changes:
            now = said(classifier, data, size, partial(applied, single, scale), around)
            broken, mended = right & (now != labels), ~right & (now == labels)
            kept = np.stack([broken.astype(np.int8) - mended.astype(np.int8), broken, now != clean])
            changes[scale] = kept.astype(np.int8)
        means: NDArray[np.float64] = changes[scale].mean(1)
        return means

    scale, lost = SMALLEST, np.zeros(len(CRITERIA), bool)
    while not lost.all() and scale <= 1:
        lost |= drops(scale) > BEYOND * tolerance
        scale *= FACTOR
    for number in range(len(CRITERIA)):
        for _ in range(HALVINGS):
            scales = sorted(changes)
            beyond = [scale for scale in scales if changes[scale][number].mean() > tolerance]
            if not beyond:
                break
            low, high = scales[scales.index(beyond[0]) - 1], beyond[0]
            drops((low * high) ** 0.5 if low else high / FACTOR)
    scales = sorted(changes)
    tried = np.stack([changes[scale] for scale in scales])  # scales x criteria x N
    weights = resampled(len(clean), seed)
    found = {}
    for number, criterion in enumerate(CRITERIA):
        curve = tried[:, number].mean(1)
        value = crossing(scales, curve, tolerance)
        ends = [crossing(scales, row, tolerance) for row in weights @ tried[:, number].T.astype(np.float32)]
        low, high = np.quantile(
            [np.inf if end is None else end for end in ends], (0.025, 0.975), method="nearest"
        )
        found[criterion] = {
            "magnitude": None if value is None else single.magnitude(value),
            "displacement": None if value is None else single.displacement(value),
            "ci": [single.magnitude(float(end)) if end <= 1 else None for end in (low, high)],
        }
    return {
        "unit": single.unit,
        "identity": single.identity,
        "bound": single.magnitude(1.0),
        "thresholds": found,
        "magnitudes": [single.magnitude(scale) for scale in scales],
        "displacements": [single.displacement(scale) for scale in scales],
        "drops": {name: tried[:, n].mean(1).tolist() for n, name in enumerate(CRITERIA)},
        "seconds": round(time.perf_counter() - clock, 1),
    }


def crossing(scales: Sequence[float], drops: Sequence[float], tolerance: float) -> float | None:
    """Return the scale at which drops first exceed the tolerance, interpolated; None: not up to the last."""
    for number, drop in enumerate(drops):
        if drop > tolerance:
            below, before = scales[number - 1], drops[number - 1]
            return float(below + (scales[number] - below) * (tolerance - before) / (drop - before))
    return None


def resampled(n: int, seed: int) -> NDArray[np.float32]:
    """Return the weights of n images in each resample; rows sum to 1."""
    random = np.random.default_rng(generator(seed, "bootstrap").initial_seed())
    return (random.multinomial(n, np.full(n, 1 / n), RESAMPLES) / n).astype(np.float32)


@torch.inference_mode()
def said(
    classifier: itn.Classifier,
    data: itn.ImageSet,
    size: int,
    change: Callable[[Tensor, Surround | None], Tensor] = lambda images, surround: images,
    around: bool = False,
) -> NDArray[np.int64]:
    """Return predictions of changed images.

    Args:
        classifier: The classifier.
        data: The images.
        size: Images in a pass.
        change: From float images to images; from canvases and their surround, if there is one.
        around: Whether to change canvases.
    """
    predictions = []
    for rows in torch.arange(len(data.labels)).split(size):
        canvases = data.canvases.part(rows) if around and data.canvases is not None else None
        pixels = data.images[rows] if canvases is None else canvases.pixels
        images = (pixels / 255).to(classifier.device)
        surround = None if canvases is None else canvases.to(classifier.device, pixels=False).surround
        predictions.append(classifier.logits(change(images, surround).clamp(0, 1)).argmax(1).cpu())
    return torch.cat(predictions).numpy()


def applied(single: SingleTransformation, scale: float, images: Tensor, surround: Surround | None) -> Tensor:
    """Return transformed images."""
    rows = single.generate(torch.full((len(images),), scale, device=images.device))
    return single.apply(images, rows) if surround is None else single.apply(images, rows, surround)


def figures(record: Record) -> dict[str, Figure]:
    """Return the displacement at the threshold of each transformation, by criterion."""
    surrounds = list(dict.fromkeys(row["surround"] for row in record["rows"]))
    figure = Figure(figsize=(plotting.WIDTH, 4.6), layout="constrained")
    panels = figure.subplots(1, len(surrounds), sharex=True, sharey=True, squeeze=False)[0]
    names = list(dict.fromkeys(name_of(row) for row in record["rows"]))
    for ax, surround in zip(panels, surrounds, strict=True):
        rows = [row for row in record["rows"] if row["surround"] == surround]
        for number, criterion in enumerate(CRITERIA):
            for reached in (False, True):
                chosen = [
                    row for row in rows if (row["thresholds"][criterion]["magnitude"] is None) == reached
                ]
                x = [
                    row["displacements"][-1] if reached else row["thresholds"][criterion]["displacement"]
                    for row in chosen
                ]
                y = [names.index(name_of(row)) + 0.2 * (number - 1) for row in chosen]
                label = None if reached else criterion
                marker = ">" if reached else MARKS[criterion]
                ax.plot(x, y, marker, color=f"C{number}", fillstyle="none", markersize=5, label=label)
        ax.set_xscale("log")
        ax.set_xlabel("displacement")
        ax.grid(axis="x", alpha=0.3)
        if len(surrounds) > 1:
            ax.set_title(WITH[surround], fontsize=9)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    handles, labels = panels[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    return {"thresholds": figure}


def name_of(row: Record) -> str:
    """Return a transformation with its sign."""
    return f"{row['transform']} {row['sign']}"


def table(record: Record) -> str:
    """Return thresholds by criterion, with what happens to images at that of accuracy."""
    surrounds = list(dict.fromkeys(row["surround"] for row in record["rows"]))
    header = ("transformation", *(["surround"] if len(surrounds) > 1 else []), *CRITERIA)
    rows = []
    for row in record["rows"]:
        found = [row["thresholds"][criterion] for criterion in CRITERIA]
        place = [WITH[row["surround"]]] if len(surrounds) > 1 else []
        rows.append((f"{name_of(row)} ({row['unit']})", *place, *(shown(row, of) for of in found)))
    return study.markdown(header, rows)


def shown(row: Record, found: Record) -> str:
    """Return a threshold with its interval; one that was not met lies beyond the bound."""
    ends = sorted((math.inf if end is None else abs(end - row["identity"])) for end in found["ci"])
    interval = " to ".join("beyond" if math.isinf(end) else number(row, end) for end in ends)
    if found["magnitude"] is None:
        return f"beyond {row['bound']:.3g}"
    return f"{found['magnitude']:.3g} ({interval})"


def number(row: Record, offset: float) -> str:
    """Return the magnitude at a distance from the identity, on the side of the bound."""
    return f"{row['identity'] + math.copysign(offset, row['bound'] - row['identity']):.3g}"


def readme(records: dict[str, Record]) -> str:
    """Return the text of README.md."""
    return "\n".join([INTRODUCTION.strip(), *(section(name, record) for name, record in records.items())])


def section(folder: str, record: Record) -> str:
    """Return what was measured on one network."""
    rows = [row for row in record["rows"] if row["surround"] != "auto"]
    places = {
        criterion: [row["thresholds"][criterion]["displacement"] for row in rows] for criterion in CRITERIA
    }
    lost = {
        criterion: [
            ours / accuracy
            for ours, accuracy in zip(places[criterion], places["accuracy"], strict=True)
            if ours is not None and accuracy is not None
        ]
        for criterion in CRITERIA[1:]
    }
    figure = "thresholds.png" if folder == "three_criteria" else f"{folder}/thresholds.png"
    less = {criterion: median(ratios) if ratios else None for criterion, ratios in lost.items()}
    return f"""
## {record["model"]}, {record["images"]:,} images of {record["data"]}

Tolerance {100 * record["tolerance"]:g} %; {100 * record["clean_accuracy"]:.1f} % are right unchanged.
{sentence(less, len(rows))}

{table(record)}

![displacement at the thresholds]({figure})
"""


def sentence(less: dict[str, float | None], count: int) -> str:
    """Return in words how much shorter the other criteria are."""
    known = {criterion: ratio for criterion, ratio in less.items() if ratio is not None}
    if not known:
        return "No transformation has a threshold by two criteria."
    texts = [f"{ratio:.2g} ({criterion})" for criterion, ratio in known.items()]
    return (
        f"Over those of the {count} transformations that have both thresholds, displacement at the threshold "
        f"is {' and '.join(texts)} times that of accuracy (medians)."
    )


INTRODUCTION = """
# How far do single transformations go, by accuracy, by broken images, by changed predictions?

Bunne et al. ask that *accuracy* does not fall. A harsher question is how many images turn from right to wrong
(*broken*), a harsher one still how many predictions change (*agreement*). The more images lie near the
decision boundary, the more these three differ: images change sides in both directions, which costs no
accuracy.

```bash
python experiments three_criteria     # 3 minutes; digits
python experiments three_criteria --model experiments/bunne_screening/resnet20_cifar.py:make \\
    --weights FILE --data DIR
python experiments three_criteria --model efficientnet-lite0 --data DIR --tolerance 0.05 --batch-size 25
```

Each transformation grows from the identity to its bound. The threshold is where a criterion first loses more
than the tolerance, interpolated, with 95 % bootstrap intervals. These are estimates, not certificates. It is
the *first* such place: a shift by a fraction of a pixel blurs small images, so that accuracy may fall there
and be back at a whole pixel.
"""
