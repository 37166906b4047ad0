"""Are photographs screened as if they had been turned before they were cropped? Against an own script.

Command:   python experiments photographs --data DIR     (a folder of photographs for each ImageNet class)
Machine:   2 CPU cores, about 20 minutes for 500 photographs
Writes:    runs/photographs/: result.json, accuracy.png
Published: nothing

The script here shares no code with what is checked: Pillow turns, scales or shifts each photograph in its
full size, and the transform of the network's own library then resizes and crops it. ``itn`` resizes each
photograph once, keeps what lies around the crop, and warps that.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import study
import timm
import torch
from matplotlib.figure import Figure
from PIL import Image, ImageOps
from study import Protocol, Record
from torch import Tensor, nn

import itn
from itn import plotting
from itn.functional import Surround

MAGNITUDES = {
    "rotate": (10.0, 20.0, 30.0, 45.0),
    "zoom": (0.8, 1.2, 1.4),
    "translate_x": (0.1, 0.2),
    "translate_y": (0.1, 0.2),
}
WAYS = {
    "script": "photograph changed, then cropped (Pillow)",
    "surround": "itn, surround",
    "none": "itn, --surround none",
}
MARKS = {"script": "o", "surround": "x", "none": "v"}
TIMED, REPEATS = 16, 5
BATCH = 25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the photographs and the network."""
    parser.add_argument("--data", type=Path, help="a folder of photographs for each class")
    parser.add_argument(
        "--model", default="efficientnet-lite0", help="a network of timm; default: %(default)s"
    )
    parser.add_argument("--limit", type=int, default=0, help="photographs, 0 for all; default: %(default)s")


def measure(protocol: Protocol) -> Record:
    """Return accuracies by the script, and by screens with and without a surround; and what these cost."""
    asked = protocol.options
    if protocol.name == "smoke":
        with tempfile.TemporaryDirectory() as folder:
            return compare(shaded(Path(folder)), Path(folder), 0, protocol)
    if asked["data"] is None:
        raise SystemExit("the photographs are not in this repository: name a folder of yours by --data DIR")
    classifier = itn.load_classifier(asked["model"]).to(protocol.device)
    return compare(classifier, asked["data"], asked["limit"], protocol)


def compare(classifier: itn.Classifier, folder: Path, limit: int, protocol: Protocol) -> Record:
    """Return the record of one network on a folder of photographs."""
    clock = time.perf_counter()
    data = itn.load_images(folder, classifier, limit=limit, seed=protocol.seeds[0])
    loading = time.perf_counter() - clock
    canvases = data.canvases
    assert canvases is not None
    sweeps = {
        way: screened(classifier, data, "none" if way == "none" else "auto") for way in ("surround", "none")
    }
    crop = library_transform(classifier)
    rows = []
    for name, magnitudes in MAGNITUDES.items():
        for v in study.track(magnitudes, f"script: {name}", "magnitudes"):
            of_way = {way: sweep.record.transforms[name] for way, sweep in sweeps.items()}
            place = of_way["surround"].magnitudes.index(v)
            rows.append(
                {
                    "transform": name,
                    "magnitude": v,
                    "script": by_script(classifier, folder, data, crop, pillow(name, v, classifier)),
                    **{way: record.accuracy[place] for way, record in of_way.items()},
                }
            )
    record = sweeps["surround"].record
    return {
        "model": classifier.name,
        "photographs": len(data.labels),
        "clean_accuracy": record.clean_accuracy,
        "clean_script": by_script(classifier, folder, data, crop, lambda image: image),
        "surround": record.surround,
        "rows": rows,
        "border": {name: record.to_json()["transforms"][name]["border"] for name in MAGNITUDES},
        "memory": {"crops": data.images.numel(), "canvases": canvases.pixels.numel()},
        "milliseconds": timed(classifier, data),
        "seconds": {"loading": round(loading, 1), "all": round(time.perf_counter() - clock, 1)},
        "provenance": study.provenance(protocol.device),
    }


def screened(classifier: itn.Classifier, data: itn.ImageSet, surround: str) -> itn.ScreenResult:
    """Screen photographs at the magnitudes that are compared."""
    config = itn.ScreenConfig(
        transforms=tuple(MAGNITUDES),
        magnitudes={name: (itn.TRANSFORMS[name].identity, *of) for name, of in MAGNITUDES.items()},
        surround=surround,
        bisections=0,
        accuracy_bisections=0,
        round_trip=False,
        batch_size=BATCH,
    )
    return itn.screen(classifier, data, config=config)


def library_transform(classifier: itn.Classifier) -> Callable[[Image.Image], Tensor]:
    """Return how the network's own library resizes and crops, to values in [0, 1]."""
    if classifier.name not in timm.list_models():
        name = {"efficientnet-lite0": "tf_efficientnet_lite0"}.get(classifier.name)
    else:
        name = classifier.name
    preprocessing = classifier.preprocessing
    assert preprocessing is not None
    size = preprocessing.crop[0]
    assert isinstance(preprocessing.resize, int)
    config = {
        "input_size": (3, size, size),
        "crop_pct": size / preprocessing.resize,
        "interpolation": "bicubic",
    }
    if name is not None:
        config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    transform: Callable[[Image.Image], Tensor] = timm.data.create_transform(
        **config, is_training=False, normalize=False
    )
    return lambda image: transform(image).float() / 255


def pillow(name: str, v: float, classifier: itn.Classifier) -> Callable[[Image.Image], Image.Image]:
    """Return a transformation of whole photographs: from their output to their input positions, in pixels."""
    preprocessing = classifier.preprocessing
    assert preprocessing is not None
    assert isinstance(preprocessing.resize, int)
    crop = preprocessing.crop[0] / preprocessing.resize  # of the shorter side

    def change(image: Image.Image) -> Image.Image:
        if name == "rotate":  # Pillow turns the other way
            return image.rotate(-v, Image.Resampling.BICUBIC)
        (width, height), shift = image.size, v * crop * min(image.size)
        moves = {
            "zoom": (v, 0, (1 - v) * width / 2, 0, v, (1 - v) * height / 2),
            "translate_x": (1, 0, -shift, 0, 1, 0),
            "translate_y": (1, 0, 0, 0, 1, -shift),
        }
        return image.transform(image.size, Image.Transform.AFFINE, moves[name], Image.Resampling.BICUBIC)

    return change


@torch.inference_mode()
def by_script(
    classifier: itn.Classifier,
    folder: Path,
    data: itn.ImageSet,
    crop: Callable[[Image.Image], Tensor],
    change: Callable[[Image.Image], Image.Image],
) -> float:
    """Return accuracy on photographs that are changed, then resized and cropped."""
    right = 0
    for start in range(0, len(data.paths), BATCH):
        crops = []
        for path in data.paths[start : start + BATCH]:
            with Image.open(folder / path) as image:
                crops.append(crop(change(ImageOps.exif_transpose(image).convert("RGB"))))
        said = classifier(torch.stack(crops).to(classifier.device)).argmax(1).cpu()
        right += int((said == data.labels[start : start + BATCH]).sum())
    return right / len(data.paths)


@torch.inference_mode()
def timed(classifier: itn.Classifier, data: itn.ImageSet) -> dict[str, float]:
    """Return milliseconds a photograph of two warps, conversion to floats included, and of the network."""
    canvases = data.canvases
    assert canvases is not None
    n = min(TIMED, len(data.labels))
    angle = torch.tensor([30.0])
    matrix = itn.TRANSFORMS["rotate"].function(angle, 1.0)
    surround: Surround = canvases.surround.part(slice(n))
    crops = (data.images[:n] / 255).to(classifier.device)
    works = {
        "warp of crops": lambda: itn.warp(data.images[:n] / 255, matrix),
        "warp of canvases": lambda: itn.warp(canvases.pixels[:n] / 255, matrix, "zeros", surround),
        "network": lambda: classifier.logits(crops),
    }
    return {name: 1000 * fastest(work) / n for name, work in works.items()}


def fastest(work: Callable[[], Tensor]) -> float:
    """Return the shortest of some times that a work takes, in seconds."""
    seconds = []
    for _ in range(REPEATS):
        clock = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - clock)
    return min(seconds)


def shaded(folder: Path) -> itn.Classifier:
    """Write small photographs, dark and light; return a network that tells them apart."""

    class Shade(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            excess = 20 * (images.mean((1, 2, 3)) - 0.4)
            return torch.stack([-excess, excess], 1)

    random = np.random.default_rng(0)
    for label, low in enumerate((0, 140)):
        (folder / str(label)).mkdir()
        for number in range(10):
            pixels = random.integers(low, low + 115, (40, 50 + number, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / str(label) / f"{number}.png")
    preprocessing = itn.Preprocessing(resize=32, crop=(28, 28), interpolation="bicubic")
    return itn.Classifier(Shade(), (0,) * 3, (1,) * 3, name="shade", preprocessing=preprocessing)


def figures(record: Record) -> dict[str, Figure]:
    """Return accuracy at each magnitude, by the script and by both screens."""
    figure = Figure(figsize=(plotting.WIDTH, 2.9), layout="constrained")
    panels = figure.subplots(1, len(MAGNITUDES), sharey=True)
    for ax, name in zip(panels, MAGNITUDES, strict=True):
        rows = [row for row in record["rows"] if row["transform"] == name]
        identity = itn.TRANSFORMS[name].identity
        for way, label in WAYS.items():
            clean = record["clean_script" if way == "script" else "clean_accuracy"]
            points = sorted([(identity, clean), *((row["magnitude"], row[way]) for row in rows)])
            style = "none" if way == "script" else "-"
            ax.plot(
                *zip(*((v, 100 * share) for v, share in points), strict=True),
                marker=MARKS[way],
                linestyle=style,
                fillstyle="none",
                label=label,
            )
        ax.set_title(name, fontsize=9)
        ax.set_xlabel(itn.TRANSFORMS[name].unit, fontsize=8)
    panels[0].set_ylabel("accuracy (%)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    return {"accuracy": figure}


def table(record: Record) -> str:
    """Return accuracies side by side, and by how many points both screens are off."""
    header = ("transformation", "magnitude", *WAYS.values(), "surround less Pillow, points")
    rows = [
        (
            row["transform"],
            f"{row['magnitude']:g}",
            *(f"{100 * row[way]:.1f} %" for way in WAYS),
            f"{100 * (row['surround'] - row['script']):+.1f}",
        )
        for row in [
            {
                "transform": "unchanged",
                "magnitude": math.nan,
                "script": record["clean_script"],
                "surround": record["clean_accuracy"],
                "none": record["clean_accuracy"],
            },
            *record["rows"],
        ]
    ]
    return study.markdown(header, [(a, "" if b == "nan" else b, *rest) for a, b, *rest in rows])


def apart(rows: Sequence[Record], way: str) -> float:
    """Return by how many points a screen is off the script, at most."""
    return max(100 * abs(row[way] - row["script"]) for row in rows)


def mean_difference(rows: Sequence[Record]) -> float:
    """Return by how many points the screen with a surround is above the script, mean over magnitudes."""
    return 100 * sum(row["surround"] - row["script"] for row in rows) / len(rows)


def readme(records: dict[str, Record]) -> str:
    """Return the text of README.md."""
    record = records["photographs"]
    rows, milliseconds, memory = record["rows"], record["milliseconds"], record["memory"]
    extra = milliseconds["warp of canvases"] - milliseconds["warp of crops"]
    return f"""
# Is a photograph screened as if it had been changed before it was cropped?

A classifier of photographs sees a crop. Turning the crop brings in black corners; turning the photograph and
then cropping it brings in more of the photograph. `itn` keeps what lies around each crop (`--surround`). Here
a script that shares no code with it changes each photograph in its full size by Pillow, and resizes and crops
it with the transform of the network's own library: {record["model"]}, {record["photographs"]} photographs.

```bash
python experiments photographs --data DIR    # 20 minutes; one folder of photographs for each class
```

{table(record)}

![accuracy](accuracy.png)

The screen with a surround is within {apart(rows, "surround"):.1f} points of the script everywhere, the one
without up to {apart(rows, "none"):.1f} points off. The former is {-mean_difference(rows):.1f} points below
the script on average: `itn` warps the resized photograph bilinearly, which blurs it more than what Pillow
does here, bicubically and in full size.

Canvases take {memory["canvases"] / memory["crops"]:.2f} times the memory of the crops. On one thread, a warp
of canvases takes {milliseconds["warp of canvases"]:.1f} ms for each photograph, one of crops
{milliseconds["warp of crops"]:.1f} ms, and the network {milliseconds["network"]:.1f} ms: a pass takes
{100 * extra / milliseconds["network"]:.0f} % longer.
"""
