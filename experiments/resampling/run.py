"""How much of what a small motion breaks is the motion, and how much the resampling?

Command:   python experiments resampling                      (lenet5, 10,000 digits)
           python experiments resampling --model FILE.py:make --weights FILE --data DIR
Machine:   2 CPU cores, less than a minute
Writes:    runs/resampling/: result.json, drops.png
Published: nothing

Shifts, turns and zooms about as small as a pixel, sampled twice: by bilinear interpolation, the
default, as spatial transformer networks do it, and by bicubic interpolation, which blurs less. A shift by
one whole pixel resamples nothing and serves as a control. DIR holds a folder of images for each class.
"""

import argparse
import math
from pathlib import Path
from typing import NamedTuple

import study
import torch
from matplotlib.figure import Figure
from study import Protocol, Record

import itn
from itn import plotting

KERNELS = ("bilinear", "bicubic")
BATCH = 500
NORMAL = 1.96  # standard errors of a 95 % interval


class Motion(NamedTuple):
    """A motion of the content, in words and as a matrix from output to input."""

    name: str
    matrix: tuple[tuple[float, float, float], tuple[float, float, float]]


def motions(size: tuple[int, int]) -> list[Motion]:
    """Return what is tried on images of a height and width."""
    height, width = size
    found = [
        Motion(f"shift by {pixels:g} pixel", ((1, 0, -2 * pixels / width), (0, 1, 0)))
        for pixels in (0.25, 0.5, 1.0)
    ]
    found.append(Motion("shift by 0.5, 0.5 pixel", ((1, 0, -1 / width), (0, 1, -1 / height))))
    for degrees in (1, 2, 5):
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        turn = ((cos, sin * height / width, 0.0), (-sin * width / height, cos, 0.0))
        found.append(Motion(f"turn by {degrees} degree{'s' * (degrees > 1)}", turn))
    found += [Motion(f"zoom by {factor:g}", ((factor, 0, 0), (0, factor, 0))) for factor in (0.95, 1.1, 1.3)]
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is studied."""
    parser.add_argument("--model", default="lenet5", help="as itn screen takes it; default: %(default)s")
    parser.add_argument("--weights", type=Path, help="a local state dict")
    parser.add_argument("--data", default="mnist", help="as itn screen takes it; default: %(default)s")
    parser.add_argument("--limit", type=int, default=0, help="images, 0 for all; default: %(default)s")


@torch.inference_mode()
def measure(protocol: Protocol) -> Record:
    """Measure by how much accuracy falls."""
    asked = protocol.options
    classifier = itn.load_classifier(asked["model"], asked["weights"]).to(protocol.device)
    limit = protocol.pick(asked["limit"], asked["limit"], study.SMOKE_DIGITS)
    data = itn.load_images(asked["data"], classifier, limit=limit)

    def right(matrix: torch.Tensor | None, kernel: str) -> torch.Tensor:
        correct = []
        for pixels, labels in zip(data.images.split(BATCH), data.labels.split(BATCH), strict=True):
            images = (pixels / 255).to(classifier.device)
            if matrix is not None:
                images = itn.warp(images, matrix, interpolation=kernel).clamp(0, 1)
            correct.append(classifier.logits(images).argmax(1).cpu() == labels)
        return torch.cat(correct)

    clean, n, rows = right(None, "bilinear"), len(data.labels), []
    for motion in motions((data.images.shape[-2], data.images.shape[-1])):
        found = {}
        for kernel in KERNELS:
            now = right(torch.tensor(motion.matrix, device=classifier.device), kernel)
            broken, mended = int((clean & ~now).sum()), int((~clean & now).sum())
            drop = (broken - mended) / n
            half = NORMAL * math.sqrt(((broken + mended) / n - drop**2) / n)
            found[kernel] = {"drop": drop, "ci_low": drop - half, "ci_high": drop + half}
        rows.append({"motion": motion.name, **found})
    return {
        "model": classifier.name,
        "data": Path(asked["data"]).name,
        "images": n,
        "clean_accuracy": float(clean.float().mean()),
        "rows": rows,
        "provenance": study.provenance(protocol.device),
    }


def figures(record: Record) -> dict[str, Figure]:
    """Return by how much accuracy falls, by kernel."""
    figure = Figure(figsize=(plotting.WIDTH, 3.2), layout="constrained")
    ax = figure.subplots()
    for number, kernel in enumerate(KERNELS):
        found = [row[kernel] for row in record["rows"]]
        drops = [100 * one["drop"] for one in found]
        errors = [
            [100 * (one["drop"] - one["ci_low"]) for one in found],
            [100 * (one["ci_high"] - one["drop"]) for one in found],
        ]
        places = [place + 0.2 * (number - 0.5) for place in range(len(found))]
        ax.errorbar(drops, places, xerr=errors, fmt="os"[number], color=f"C{number}", ms=4, label=kernel)
    ax.axvline(0, color="0.7", linewidth=0.8, zorder=0)
    ax.set_yticks(range(len(record["rows"])), [row["motion"] for row in record["rows"]])
    ax.invert_yaxis()
    ax.set_xlabel(f"accuracy of {record['model']} falls by (points)")
    ax.legend(fontsize=8, frameon=False)
    return {"drops": figure}


def table(record: Record) -> str:
    """Return by how much accuracy falls, in points, with 95 % intervals of the normal approximation."""
    rows = [(row["motion"], *(points(row[kernel]) for kernel in KERNELS)) for row in record["rows"]]
    return study.markdown(("motion", *KERNELS), rows)


def points(found: Record) -> str:
    """Return a drop in points with its interval."""
    drop, low, high = (100 * found[key] for key in ("drop", "ci_low", "ci_high"))
    return f"{drop:.1f} [{low:.1f}, {high:.1f}]"


def readme(records: dict[str, Record]) -> str:
    """Return the text of README.md."""
    return "\n".join([INTRODUCTION.strip(), *(section(name, record) for name, record in records.items())])


def section(folder: str, record: Record) -> str:
    """Return what was measured on one network."""
    size = f"{record['images']:,} images of {record['data']}"
    return f"""
## {record["model"]}, {size}

{100 * record["clean_accuracy"]:.1f} % are right unchanged. Points by which accuracy falls, with 95 %
intervals (normal approximation); below 0 it rises:

{table(record)}

![how much accuracy falls]({folder}/drops.png)
"""


INTRODUCTION = """
# How much of what a small motion breaks is the resampling?

An image that moves by a fraction of a pixel has to be sampled between its pixels. Bilinear interpolation,
which `itn` uses as spatial transformer networks do, blurs it on the way. On images of 32 pixels that blur can
cost more than the motion. Bicubic interpolation blurs less; where both differ, the threshold of a small
motion says as much about resampling as about the network. A shift by a whole pixel is the control: nothing is
sampled between pixels there.

```bash
python experiments resampling --out experiments/resampling/lenet5
python experiments resampling --model experiments/bunne_screening/resnet20_cifar.py:make \\
    --weights FILE --data DIR --out experiments/resampling/resnet20
```

For learned families this matters, too: on the way from nothing to full strength a family passes through
motions of half a pixel. Where these cost accuracy, it cannot be proven to lose little at every k, however far
it could go at full strength. A zoom out loses nothing on the way, so it can.
"""
