r"""Bunne, Rahmann and Wolf (2018): up to which magnitude do AlexNet and ResNet keep their class?

Command:   python experiments bunne_screening            (1,000 digits, every other magnitude)
           python experiments bunne_screening --full     (10,000 digits, all magnitudes)
           python experiments bunne_screening --model torchvision:alexnet --data DIR --limit 0 \
               --classes broom,orange,obelisk,volcano       (the paper's; sweatshirt for its ResNet)
Machine:   2 CPU cores, about 1 minute; --full about 10 minutes
Writes:    runs/bunne_screening/: result.json, figure2.png (figures 2 and 3 of the paper), figure6.png
           (6 and 7), accuracy.png, classes.png; screen/ and pair/, what itn screen writes
Published: figures 2 and 6 (AlexNet), 3 and 7 (ResNet), without numbers; and three statements: noise switches
           the prediction at a level that depends on the class; rotation reduces softmax strongly, but not
           that of point-symmetric objects, and that of axis-symmetric ones is back at 180 degrees; both
           networks behave similarly

The figures show, for all images of one class, the mean softmax of the true class, of the two other classes
with the largest means among those that come out on top, and the largest of the rest. DIR holds a folder for
each class; four are enough. The paper's captions give noise and rotation the same class, but its text names
the constant orange there; here each panel shows another class: noise, rotation, zoom, translation, and from
the first on again in figure 6. Without --classes these are the four with the most images among those with a
recognized image, ties in the order of the labels. If a class has one image, its curve is that of the image,
and only accuracy has intervals.

The third statement needs two runs: --compare takes the result.json of the other network.
"""

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import study
import torch
from bunne_screening import figures as draw
from bunne_screening import statements
from matplotlib.figure import Figure
from study import Protocol, Record

import itn

PAPER = (
    *("translate_x", "translate_y", "rotate", "scale_x", "scale_y", "zoom"),
    *("brightness", "contrast", "grayscale", "blur", "noise"),
)
FIGURE2, MAP = ("noise", "rotate", "zoom"), ("translate_x", "translate_y")
KEPT = (
    *("unit", "identity", "magnitudes", "accuracy", "ci_low", "ci_high"),
    *("agreement", "control_accuracy", "lost_content", "recoveries"),
    "kept",  # of discrete transformations only
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is screened, and how finely."""
    parser.add_argument("--model", default="lenet5", help="as itn screen takes it; default: %(default)s")
    parser.add_argument("--weights", type=Path, help="a local state dict")
    parser.add_argument("--data", default="mnist", help="mnist, or a folder of class folders")
    parser.add_argument("--class-map", type=Path, help="what the class folders mean, if not their names")
    parser.add_argument("--classes", type=_names, help="names of the classes to show, a,b,c,d")
    parser.add_argument("--transforms", type=_names, default=PAPER, help="default: the paper's eleven")
    parser.add_argument("--limit", type=int, help="images, 0 for all; default: 1000, with --full all")
    parser.add_argument("--every", type=int, help="take every so many-th magnitude; default: 2, --full 1")
    parser.add_argument(
        "--magnitudes",
        type=_magnitudes,
        action="append",
        default=[],
        metavar="NAME=V,V,...",
        help="these instead; repeat it for several transformations",
    )
    parser.add_argument("--bisections", type=int, help="halvings of a flip's bracket; default: 2, --full 4")
    parser.add_argument("--no-round-trip", action="store_true", help="no round-trip control")
    parser.add_argument("--channels-last", action="store_true", help="as for itn screen")
    parser.add_argument("--compare", type=Path, metavar="JSON", help="result.json of another network")


def measure(protocol: Protocol) -> Record:
    """Screen all images with each transformation, and one class with both translations together."""
    asked, seed, clock = protocol.options, protocol.seeds[0], time.perf_counter()
    classifier = itn.load_classifier(asked["model"], asked["weights"]).to(protocol.device)
    limit = protocol.pick(1000, 0, 60) if asked["limit"] is None else asked["limit"]
    data = itn.load_images(asked["data"], classifier, asked["class_map"], limit=limit, seed=seed)
    shown = shown_labels(classifier, data, asked["classes"])
    every = asked["every"] or protocol.pick(2, 1, 4)
    halvings = protocol.pick(2, 4, 0) if asked["bisections"] is None else asked["bisections"]
    settings = {
        "magnitudes": {name: every_nth(itn.TRANSFORMS[name], every) for name in asked["transforms"]}
        | dict(asked["magnitudes"]),
        "bisections": halvings,
        "accuracy_bisections": max(halvings - 1, 0),
        "round_trip": not asked["no_round_trip"],
        "channels_last": asked["channels_last"],
        "seed": seed,
    }

    def screened(part: str, members: torch.Tensor, **what: Any) -> itn.ScreenResult:
        folder = None if protocol.name == "smoke" else protocol.out / part
        return itn.screen(
            classifier,
            data.images[members],
            data.labels[members],
            itn.ScreenConfig(**what),
            folder,
            source=Path(asked["data"]).name,
            names=[data.paths[i] if data.paths else str(data.index[i].item()) for i in members.tolist()],
            overwrite=folder is not None and (folder / "result.json").exists(),  # finished: do it again
        )

    pair = None
    if set(MAP) <= set(asked["transforms"]):
        magnitudes = {name: settings["magnitudes"][name] for name in MAP}
        members = (data.labels == shown[3 % len(shown)]).nonzero().flatten()
        sweep = screened("pair", members, pairs=(MAP,), **settings | {"magnitudes": magnitudes})
        table = sweep.record.pairs[",".join(MAP)]
        pair = {
            "magnitudes_x": table.magnitudes_x,
            "magnitudes_y": table.magnitudes_y,
            "softmax_true": table.softmax_true,
            "accuracy": table.accuracy,
        }
    result = screened("screen", torch.arange(len(data.labels)), transforms=asked["transforms"], **settings)
    record, counts = result.record, data.labels.bincount()
    labels = data.labels.unique().tolist()
    names = dict(zip(labels, next(iter(record.transforms.values())).thresholds.classes, strict=True))
    single = int(counts.max()) == 1
    content = {
        "model": record.model,
        "weights_sha256": classifier.sha256(),
        "data": {
            "name": Path(asked["data"]).name,
            "images": record.n,
            "classes": len(labels),
            "images_in_a_class": [int(counts[labels].min()), int(counts.max())],
        },
        "clean_accuracy": record.clean_accuracy,
        "clean_accuracy_ci": record.clean_accuracy_ci,
        "settings": {key: value for key, value in settings.items() if key != "magnitudes"}
        | {
            "every": every,
            "padding": record.padding,
            "confidence": record.confidence,
            "accuracy_fraction": itn.ScreenConfig.accuracy_fraction,
        },
        "shown": {names[label]: int(counts[label]) for label in shown},
        "panels": _panels(record.transforms, [names[label] for label in shown]),
        "transforms": {
            name: _sweep(name, sweep, result, [names[label] for label in shown], single)
            for name, sweep in record.to_json()["transforms"].items()
        },
        "pair": pair,
        "left_out": record.left_out,
    }
    content["statements"] = {
        "noise": statements.noise(content["transforms"], single),
        "rotation": statements.rotation(result, single),
        "similarity": statements.similarity(content, json.loads(asked["compare"].read_text()))
        if asked["compare"]
        else None,
    }
    seconds = round(time.perf_counter() - clock, 1)
    return {**_short_numbers(content), "seconds": seconds, "provenance": record.provenance}


def shown_labels(classifier: itn.Classifier, data: itn.ImageSet, asked: tuple[str, ...] | None) -> list[int]:
    """Return the labels of the classes to show: as asked, or up to four by the rule in the header."""
    if asked is not None:
        known = {classifier.class_name(label): label for label in data.labels.unique().tolist()}
        absent = [name for name in asked if name not in known]
        if absent:
            raise ValueError(f"there is no image of {', '.join(absent)}: name other --classes, or take more")
        return [known[name] for name in asked]
    right = itn.predict(classifier, data.images) == data.labels
    counts = data.labels.bincount()
    recognized = data.labels[right].unique().tolist()
    return sorted(recognized, key=lambda label: (-int(counts[label]), label))[:4]


def every_nth(transform: itn.Transform, every: int) -> tuple[float, ...]:
    """Return every so many-th of the magnitudes of a transformation, the identity among them."""
    if transform.discrete:
        return transform.magnitudes
    return transform.magnitudes[transform.magnitudes.index(transform.identity) % every :: every]


def figures(record: Record) -> dict[str, Figure]:
    """Return the figures: of one class each, of all images, and of all classes."""
    drawn = {
        "figure2": draw.class_panels(record, FIGURE2, with_map=True),
        "figure6": draw.class_panels(record, _others(record["transforms"]), with_map=False),
        "accuracy": draw.accuracy(record),
        "classes": draw.class_thresholds(record),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def table(record: Record) -> str:
    """Return where each transformation breaks the network, and whether the statements of the paper hold."""
    rows = []
    for name, sweep in record["transforms"].items():
        ranges = extents(sweep)
        spreads = (statements.spread_text(sweep["class_spread"].get(side)) for side in ("below", "above"))
        rows.append((name, sweep["unit"], *ranges, *spreads))
    fraction = 100 * record["settings"]["accuracy_fraction"]
    low, high = (100 * end for end in record["clean_accuracy_ci"])
    header = (
        *(
            "transformation",
            "unit",
            f"accuracy >= {fraction:g} % of clean",
            "half of the predictions unchanged",
        ),
        *(f"class thresholds {side}: nearest / median / farthest" for side in ("below", "above")),
    )
    data = record["data"]
    clean = (
        f"{record['model']} on {data['images']:,} images of {data['classes']} classes: "
        f"clean accuracy {100 * record['clean_accuracy']:.2f} % [{low:.2f}, {high:.2f}]"
    )
    last = study.markdown(("published statement", "here", "numbers"), statements.rows(record["statements"]))
    return "\n\n".join((clean, study.markdown(header, rows), last))


def extents(sweep: Record) -> tuple[str, str]:
    """Return where accuracy stays above the level, and where half of the predictions are unchanged."""
    if "kept" in sweep:
        unchanged = [share >= 0.5 for share in sweep["agreement"]]
        return (
            study.kept_of(sweep["kept"], sweep["accuracy"], "right", sweep),
            study.kept_of(unchanged, sweep["agreement"], "unchanged", sweep),
        )
    medians = {side: flips["median"] for side, flips in sweep["flips"].items()}
    return study.range_of(sweep["accuracy_thresholds"], sweep), study.range_of(medians, sweep)


def _sweep(name: str, sweep: Record, result: itn.ScreenResult, shown: list[str], single: bool) -> Record:
    thresholds = sweep["thresholds"]
    softmax: dict[str, dict[str, list[float]]] = {class_: {} for class_ in shown}
    for row in result.softmax:
        if row.transform == name and row.class_ in softmax:
            softmax[row.class_].setdefault(row.output, []).append(row.softmax)
    spread = {
        side: statements.class_spread(
            itn.TRANSFORMS[name],
            {class_: sides[side]["value"] for class_, sides in thresholds["classes"].items()},
        )
        for side in thresholds["accuracy"]
    }
    return {
        **{key: sweep[key] for key in KEPT if key in sweep},
        "accuracy_thresholds": thresholds["accuracy"],
        "flips": thresholds["flips"],
        "class_thresholds": None if single else thresholds["classes"],
        "class_spread": spread,
        "softmax": softmax,
    }


def _panels(transforms: Mapping[str, Any], shown: list[str]) -> dict[str, str]:
    """Return the class that each panel shows."""
    panels = (*FIGURE2, ",".join(MAP)), _others(transforms)
    return {name: shown[i % len(shown)] for names in panels for i, name in enumerate(names)}


def _others(transforms: Mapping[str, Any]) -> list[str]:
    """Return what figure 6 shows; it begins with blur, as the paper's does."""
    return sorted((name for name in transforms if name not in FIGURE2), key=lambda name: name != "blur")


def _magnitudes(text: str) -> tuple[str, tuple[float, ...]]:
    name, _, values = text.partition("=")
    return name, tuple(float(v) for v in values.split(","))


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _short_numbers(value: Any) -> Any:
    """Return what json.dumps takes, its numbers to six digits."""
    if isinstance(value, Mapping):
        return {key: _short_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_short_numbers(item) for item in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def readme(records: dict[str, Record]) -> str:
    """Return the text of README.md."""
    networks = {name: records[name] for name in ("lenet5", "resnet20", "lite0")}
    names = list(dict.fromkeys(name for record in networks.values() for name in record["transforms"]))
    ranges = [
        (
            f"{name}, {networks['lite0']['transforms'][name]['unit']}",
            *(
                study.range_of(sweep["accuracy_thresholds"], sweep)
                if (sweep := record["transforms"].get(name))
                else "-"
                for record in networks.values()
            ),
        )
        for name in names
    ]
    verdicts = [statements.rows(record["statements"]) for record in networks.values()]
    holds = [(published[0][0], *(row[1] for row in published)) for published in zip(*verdicts, strict=True)]
    clean = (f"{100 * record['clean_accuracy']:.2f} %" for record in networks.values())
    models = tuple(f"[{record['model']}]({name}/README.md)" for name, record in networks.items())
    pictures = [
        (title, *(f"[picture]({name}/{file}.png)" if name in drawn else "-" for name in networks))
        for title, file, drawn in (
            ("2 and 3: noise, rotation, zoom, translation", "figure2", networks),
            ("6 and 7: the other transformations", "figure6", networks),
            ("accuracy over all images", "accuracy", networks),
            ("class-dependent thresholds (in words)", "classes", ("lenet5", "resnet20")),
        )
    ]
    noise = [
        record["transforms"]["noise"]["accuracy_thresholds"]["above"]["value"] for record in networks.values()
    ]
    rotation = networks["lite0"]["statements"]["rotation"]
    zero = networks["lenet5"]["statements"]["rotation"]
    return f"""
# Bunne, Rahmann and Wolf (2018): screening

*Studying invariances of trained convolutional neural networks*, figures 2, 3, 6 and 7: softmax over the
magnitude of eleven transformations. The paper shows AlexNet and a ResNet on ImageNet, in pictures and
words, without numbers. Three other networks stand in for them: the shipped lenet5 on digits, a ResNet-20 on
CIFAR-10, and EfficientNet-lite0 on ImageNet photographs.

```bash
python experiments bunne_screening            # 1,000 digits, every other magnitude: 1 minute
python experiments bunne_screening --full     # lenet5, all 10,000 test digits: 10 minutes, the numbers below
# CIFAR-10, 200 test images of each class as JPEG, every other magnitude: 15 minutes
python experiments bunne_screening --data DIR --weights resnet20-cifar10.pth \\
    --model experiments/bunne_screening/resnet20_cifar.py:make --limit 0 \\
    --magnitudes noise=0,0.02,0.04,0.06,0.1,0.15,0.2,0.3 --magnitudes blur=0,0.5,1,1.5,2,3
# 500 ImageNet photographs, one of each of 500 classes, some perhaps training images: 85 minutes
python experiments bunne_screening --model efficientnet-lite0 --data DIR --limit 0 --every 2 --bisections 1 \\
    --no-round-trip --magnitudes noise=0,0.05,0.1,0.15,0.2,0.3,0.4,0.6 \\
    --classes "analog clock,soccer ball,obelisk,volcano"
# the network and the classes of the paper, for those who have ImageNet
python experiments bunne_screening --model torchvision:alexnet --data DIR --limit 0 \\
    --classes broom,orange,obelisk,volcano
```

The table shows the range of magnitudes in which accuracy stays above 90 % of that on unchanged images, with
95 % intervals. *Beyond* means outside the magnitudes tried:

{study.markdown(("transformation", *models), [("clean accuracy", *clean), *ranges])}

The paper's statements, and whether they hold for these networks. The linked tables give the numbers:

{study.markdown(("published", *models), holds)}

{study.markdown(("figure of the paper", "digits", "CIFAR-10", "photographs"), pictures)}

- Digits: those that are recognized again at 180 degrees look alike upside down. Zeros are almost
  point-symmetric, but they are upright ovals: zero stays the most probable class at every angle (of all
  classes only {_names_of(zero["never_broken"])}), and yet its softmax falls below 90 % of its clean value.
- CIFAR-10: rotated, enlarged or blurred images are taken for cats, and cats themselves hardly ever change
  class. Shifts cost little, probably because the network was trained on shifted crops. It tolerates noise
  of up to {noise[1]:.3f} of the full range; lenet5 on digits tolerates {noise[0] / noise[1]:.0f} times as
  much.
- Photographs: {len(rotation["constant"])} of {rotation["classes"]} keep their softmax at every angle.
  Round things are among them, a golf ball, a pomegranate and a custard apple, but also a goldfinch, a
  screw and a slide rule, so symmetry is not the only reason. The soccer ball breaks between the
  multiples of 90 degrees and recovers at each of them, where the rotated frame has no black corners. At
  180 degrees {100 * rotation["images_returned_at_180"]:.0f} % of all photographs have regained the
  prediction that had changed on the way.
- Whether two networks behave alike was not tested: that needs results of both on the same classes
  (`--compare`).
"""


def readme_of_part(record: Record) -> str:
    """Return the text of README.md of one network."""
    return f"""
# {record["model"]}: thresholds

{table(record)}

One image makes no class mean: where each class has one image, its curves are those of the image, and
only accuracy has intervals. Made by the commands of [the study](../README.md).
"""


def _names_of(names: list[str]) -> str:
    return ", ".join(names) if names else "none"
