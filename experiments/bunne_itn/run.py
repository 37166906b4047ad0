"""Bunne, Rahmann and Wolf (2018): what their Invariant Transformer Net learns, and whether their claims hold.

Command:   python experiments bunne_itn                        (digits, one seed)
           python experiments bunne_itn --full --photos DIR    (three seeds; photographs, RGB)
           python experiments bunne_itn --photos DIR --model torchvision:alexnet --weights FILE
Machine:   2 CPU cores, about 3 minutes; --full about 8 minutes, with photographs about an hour
Writes:    runs/bunne_itn/: result.json; for each network losses-*.png (figure 4a), and with its first seed
           classes-*.png (figure 4b) and grid-*.png (figure 5)
Published: figures 4a, 4b and 5 of AlexNet on ImageNet, without numbers, and three claims: what is learned
           zooms out and never strongly in, rotates by a few degrees at most, changes colors little

The switched objective, as in the paper, on color and spatial transformers together. The paper's two fully
connected layers with rectified activations can be read in two ways: rectified between the layers only (linear
heads), or after the last layer too (nonnegative heads). With the latter no parameter can fall below its
identity, so content cannot be enlarged: most of the first claim is then built in.

Each claim is taken as a statement about one number; the limits in CLAIMS were fixed before anything was
measured. Zoom is the square root of the determinant of the spatial matrix, output to input: above 1 it
shrinks the content. Rotation is that of ``itn.functional.decompose_spatial``, which calls a skew along x a
shear; the angle of the nearest rotation, to which shears contribute, is printed beside it. "All k" is a grid
of 11 x 11.
A family that hardly changes images fulfills every claim, so look at the displacements as well.

DIR holds a folder of photographs for each class; one in each is enough. The photographs in the figures are
others, which scikit-image ships (pip install ".[test]"). Finished runs are kept in OUT/parts.
"""

import argparse
import dataclasses
import operator
import re
import textwrap
import time
from functools import partial, reduce
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import study
import torch
from matplotlib.figure import Figure
from PIL import Image
from study import Protocol, Record
from torch import Tensor

import itn
from itn import plotting
from itn.certification.parametric import EvaluationSet
from itn.learning import plots
from itn.learning.objective import LearnProblem
from itn.stats import generator, one_per_class, stratified_subset

READINGS = ("linear", "nonnegative")
TS, KS = (0.0, 0.25, 0.5, 0.75, 1.0), (0.0, 0.5, 1.0)
OVER_K = torch.cartesian_prod(*[torch.linspace(0, 1, 11)] * 2)  # ends at full strength
DIGITS, PHOTOS = 5, ("chelsea.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
STRIPS = {"color": "color: F([t, 0], [0, 0])", "spatial": "spatial: F([0, 0], [t, 0])"}
LOSSES = ("cross_entropy", "transformer_loss")
COLORS = {"linear": "#4477aa", "nonnegative": "#ee6677"}


class Claim(NamedTuple):
    """A statement of the paper, and what it is taken to say of one number of a family."""

    published: str
    taken: str
    number: str
    limit: float
    above: bool
    unit: str

    def holds(self, value: float) -> bool:
        """Return whether the number is on the right side."""
        return value > self.limit if self.above else value <= self.limit


CLAIMS = (
    Claim("1. only zooms out", "zoom at full strength above 1", "zoom", 1.0, True, ".3f"),
    Claim("1. never strongly zooms in", "zoom above 0.9 for all k", "least_zoom", 0.9, True, ".3f"),
    Claim(
        *("2. rotates by a few degrees at most", "rotation at most 10 degrees for all k"),
        *("most_rotation", 10.0, False, ".1f"),
    ),
    Claim(
        *("3. changes colors little", "rms change of pixels at full strength at most 0.1"),
        *("pixel_change", 0.1, False, ".3f"),
    ),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the network on photographs."""
    parser.add_argument("--photos", type=Path, metavar="DIR", help="photographs; without, digits alone")
    parser.add_argument(
        "--model",
        default="efficientnet-lite0",
        help="their classifier, as in itn learn; default: %(default)s",
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="its weights, a local state dict")


def measure(protocol: Protocol) -> Record:
    """Learn a family for each network, reading and seed, and take the claims by their numbers."""
    asked = protocol.options
    jobs: list[tuple[str, Path | None, str | Path, int, Record]] = [
        ("jennings-cnn", None, "mnist:heldout", 500, {"steps": protocol.pick(1000, 1000, 4)})
    ]
    if asked["photos"]:
        settings = {"steps": protocol.pick(300, 300, 4), "batch_size": protocol.pick(16, 16, 4)}
        jobs.append((asked["model"], asked["weights"], asked["photos"], 20, settings))
    runs = []
    for model, weights, source, smoke_images, settings in jobs:
        classifier = itn.load_classifier(model, weights).to(protocol.device)
        if source == asked["photos"] and classifier.preprocessing is None:
            raise ValueError(f"{model} does not say how it wants its photographs: give it a Preprocessing")
        loaded = itn.load_images(source, classifier, limit=protocol.pick(0, 0, smoke_images))
        batch = settings.get("batch_size", itn.LearnConfig.batch_size)
        data = itn.preflight(classifier, loaded.images, loaded.labels, batch)
        about = {
            "model": Path(model).name,
            "classifier_sha256": classifier.sha256(),
            "data": Path(source).name,
            "data_sha256": study.data_fingerprint(data.images, data.labels),
        }
        for reading in READINGS:
            for seed in protocol.seeds:
                config = itn.LearnConfig(
                    objective="switched", nonnegative=reading == "nonnegative", seed=seed, **settings
                )
                asks = about | {"reading": reading, "seed": seed, "config": config.describe()}
                part = protocol.out / "parts" / f"{_slug(asks)}-seed{seed}.json"
                make = partial(_run, classifier, data, loaded.index, config, asks)
                runs.append(study.kept(part, asks, make))
    claims = [{"published": claim.published, "taken": claim.taken, "limit": claim.limit} for claim in CLAIMS]
    return {"claims": claims, "photographs": bool(asked["photos"]), "runs": runs}


def _run(
    classifier: itn.Classifier,
    data: itn.CheckedImages,
    index: Tensor,
    config: itn.LearnConfig,
    asks: Record,
) -> Record:
    """Learn one family, and return what is recorded of it."""
    clock, seed = time.perf_counter(), config.seed
    rows = torch.zeros(len(data), dtype=torch.bool)
    rows[stratified_subset(data.labels, round(config.train_fraction * len(data)), seed)] = True
    held_out = data.part(~rows)
    net = _untrained(classifier, config, data.images.shape[1])
    # Not by itn.learn, which splits images otherwise: another study has its families of these digits
    problem = LearnProblem(net, EvaluationSet(classifier, data.part(rows), config.batch_size))
    learner, name = config.goal.learner([problem], config), f"{asks['model']}, {asks['reading']}, seed {seed}"
    history = [learner.step(number).values for number in study.track(range(config.goal.steps), name, "steps")]
    uniform = torch.rand(2, len(held_out), 2, generator=generator(seed, "evaluation"))
    at = {"uniform": uniform, "full": torch.ones(2, 1, 2)}
    family = family_numbers(net, held_out)
    return {
        "training_images": int(rows.sum()),
        "held_out": len(held_out),
        "accuracy": {
            "clean": _mean(held_out.clean),
            **{k: _mean(_right(net, held_out, ks, config.batch_size)) for k, ks in at.items()},
        },
        "parts": _parts(net, held_out, at),
        "cross_entropy_share": sum(values["asked_cross_entropy"] for values in history) / len(history),
        "family": family,
        "holds": {claim.number: claim.holds(family[claim.number]) for claim in CLAIMS},
        "history": _thinned(history),
        **_shown(classifier, net, held_out.labels, index[~rows]),
        "seconds": round(time.perf_counter() - clock, 1),
        "provenance": study.provenance(classifier.device),
    }


def _untrained(
    classifier: itn.Classifier, config: itn.LearnConfig, channels: int
) -> itn.InvariantTransformerNet:
    """Return a net with the initial weights of a seed."""
    weights = generator(config.seed, "weights")
    color = itn.ColorTransformer(channels, generator=weights, nonnegative=config.nonnegative)
    spatial = itn.SpatialTransformer(generator=weights, nonnegative=config.nonnegative)
    return itn.InvariantTransformerNet(classifier, color, spatial).to(classifier.device)


@torch.inference_mode()
def _right(
    net: itn.InvariantTransformerNet, held_out: itn.CheckedImages, ks: Tensor, batch_size: int
) -> Tensor:
    """Return which images are recognized under F(k1, k2), parts x N x 2, or parts x 1 x 2 for all."""
    ks, right = ks.expand(-1, len(held_out), -1), []
    for rows in torch.arange(len(held_out)).split(batch_size):
        images = held_out.part(rows)
        logits = net(images.pixels(slice(None), net.classifier.device), *ks[:, rows])
        right.append(logits.argmax(1).cpu() == images.labels)
    return torch.cat(right)


@torch.no_grad()
def _parts(net: itn.InvariantTransformerNet, held_out: itn.CheckedImages, at: dict[str, Tensor]) -> Record:
    """Return displacements and shifts of pixels by part, means over images."""
    measured: Record = {}
    for number, name in enumerate(net.parts):
        part = net.part(name)
        frame = part.frame(held_out.images.shape)
        parameters = {k: part.parameters_at(ks[number]) for k, ks in at.items()}
        measured[name] = {
            f"displacement_{k}": _mean(part.displacement(p, frame)) for k, p in parameters.items()
        }
        shifts = {f"rms_shift_{k}": part.rms_shift(p, frame) for k, p in parameters.items()}
        measured[name] |= {k: _mean(shift) for k, shift in shifts.items() if shift is not None}
    return measured


@torch.no_grad()
def family_numbers(net: itn.InvariantTransformerNet, held_out: itn.CheckedImages) -> Record:
    """Return what a family does, at full strength and over k; angles in degrees."""
    color, spatial = (net.part(part).matrix(OVER_K).cpu() for part in ("color", "spatial"))
    aspect = held_out.images.shape[-1] / held_out.images.shape[-2]
    zoom, words = spatial[:, :, :2].det().abs().sqrt(), itn.functional.decompose_spatial(spatial, aspect)
    (a, b), (c, d) = (row.unbind(-1) for row in spatial[:, :, :2].unbind(-2))
    nearest = torch.atan2(b * aspect - c / aspect, a + d).rad2deg()
    share = (color - torch.eye(*color.shape[1:])).abs().amax((1, 2)) / net.part("color").head.bound.cpu()
    batches = torch.arange(len(held_out)).split(256)
    squares = [
        (itn.functional.apply_color(images, color[-1]) - images).double().square().sum()
        for images in (held_out.part(rows).pixels(slice(None), color.device) for rows in batches)
    ]
    full = {
        "zoom": zoom,
        "area": zoom.square(),
        "scale_x": words.scale_x,
        "scale_y": spatial[:, :, :2].det() / words.scale_x,
        "shear": words.shear,
        "rotation": words.rotation,
        "nearest_rotation": nearest,
        "share_of_color_bound": share,
    }
    return {name: value[-1].item() for name, value in full.items()} | {
        "least_zoom": zoom.min().item(),
        "most_rotation": words.rotation.abs().max().item(),
        "most_nearest_rotation": nearest.abs().max().item(),
        "most_share_of_color_bound": share.max().item(),
        "pixel_change": (sum(squares) / held_out.images.numel()).sqrt().item(),
    }


def _thinned(history: list[Record]) -> Record:
    """Return means over fiftieths of the steps, and single batches."""
    window, every = max(1, len(history) // 50), max(1, len(history) // 100)
    losses = {}
    for name in LOSSES:
        column = np.array([values[name] for values in history])
        means = column[: len(column) // window * window].reshape(-1, window).mean(1)
        losses[name] = {"mean": _rounded(means), "batch": _rounded(column[::every])}
    return {"window": window, "every": every, **losses}


@torch.no_grad()
def _shown(
    classifier: itn.Classifier, net: itn.InvariantTransformerNet, labels: Tensor, index: Tensor
) -> Record:
    """Return what figures 4b and 5 are drawn from: images, matrices, predicted classes."""
    ks = {"ray": torch.tensor([[t, 0.0] for t in TS]), "square": torch.tensor([[k, k] for k in KS])}
    shown: Record = {
        "shown": PHOTOS if classifier.preprocessing else index[one_per_class(labels, DIGITS)].tolist(),
        "preprocessing": classifier.preprocessing and dataclasses.asdict(classifier.preprocessing),
        "matrices": {
            part: {name: _rounded(net.part(part).matrix(k).cpu()) for name, k in ks.items()}
            for part in net.parts
        },
    }
    images, predictions = _images(shown), {}
    for part, strip in _strips(images, shown["matrices"]).items():
        classes = itn.predict(classifier, strip.flatten(0, 1))
        predictions[part] = classes.unflatten(0, strip.shape[:2]).tolist()
    predicted = sorted({index for part in predictions.values() for row in part for index in row})
    names = {str(index): classifier.class_name(index) for index in predicted}
    return shown | {"predictions": predictions, "class_names": names}


def _images(run: Record) -> Tensor:
    """Return the images that a run shows, R x C x H x W in [0, 1]."""
    if run["preprocessing"] is None:
        return itn.load_images("mnist:heldout").images[run["shown"]] / 255
    import skimage.data  # noqa: PLC0415  # digits do without

    folder, preprocessing = Path(skimage.data.__file__).parent, itn.Preprocessing(**run["preprocessing"])
    photos = [preprocessing(Image.open(folder / name).convert("RGB")) for name in run["shown"]]
    return torch.from_numpy(np.stack([np.asarray(photo) for photo in photos])).movedim(-1, 1) / 255


def _transformed(images: Tensor, color: Tensor, spatial: Tensor) -> Tensor:
    return itn.warp(itn.functional.apply_color(images, color), spatial).clamp(0, 1)


def _strips(images: Tensor, matrices: Record) -> dict[str, Tensor]:
    """Return images under F([t, 0], [0, 0]) and F([0, 0], [t, 0]), each R x T x C x H x W."""
    color, spatial = (torch.tensor(matrices[part]["ray"]) for part in ("color", "spatial"))
    sides = {
        "color": (color, spatial[:1].expand_as(spatial)),
        "spatial": (color[:1].expand_as(color), spatial),
    }
    return {
        part: torch.stack([_transformed(image.expand(len(TS), -1, -1, -1), *both) for image in images])
        for part, both in sides.items()
    }


def figures(record: Record) -> dict[str, Figure]:
    """Return figures 4a, 4b and 5."""
    drawn = {}
    for model in dict.fromkeys(run["model"] for run in record["runs"]):
        runs = [run for run in record["runs"] if run["model"] == model]
        drawn[f"losses-{_slug({'model': model})}"] = _losses(model, runs)
        for reading in READINGS:
            run = next(run for run in runs if run["reading"] == reading)
            drawn[f"classes-{_slug(run)}"] = _classes(run)
            drawn[f"grid-{_slug(run)}"] = _grid(run)
    return drawn


def _losses(model: str, runs: list[Record]) -> Figure:
    figure = Figure(figsize=(plotting.WIDTH, 3.1), layout="constrained")
    axes = figure.subplots(1, 2)
    for ax, name in zip(axes, LOSSES, strict=True):
        for reading, color in COLORS.items():
            several = [run["history"] for run in runs if run["reading"] == reading]
            window, every, batches = (several[0][key] for key in ("window", "every", name))
            x = every * np.arange(len(batches["batch"]))
            ax.plot(x, batches["batch"], color=color, alpha=0.25, linewidth=0.6)
            for history in several:
                x = window * np.arange(len(history[name]["mean"])) + (window - 1) / 2
                ax.plot(x, history[name]["mean"], color=color, linewidth=1.4)
            ax.lines[-1].set_label(f"{reading} heads")
        ax.set_xlabel("step")
    axes[0].set(ylabel="cross-entropy (nats)", ylim=(0, None), title="Classifier on transformed images")
    axes[1].set(
        ylabel=r"$c_\theta\,\mathcal{L}_{k_1}(\varphi) + \mathcal{L}_{k_2}(\theta)$", title="Transformers"
    )
    axes[1].legend(frameon=False, fontsize=8)
    seeds = len({run["seed"] for run in runs})
    lines = "one line" if seeds == 1 else f"{seeds} lines, one for each seed,"
    figure.suptitle(
        f"{model}, k uniform; {lines} of means over {window} steps for each reading; pale: single batches",
        fontsize=8,
    )
    return figure


def _classes(run: Record) -> Figure:
    predictions = {part: torch.tensor(rows) for part, rows in run["predictions"].items()}
    unchanged = predictions["color"][:, 0]  # at t = 0

    def name(index: int) -> str:
        return textwrap.fill(run["class_names"][str(index)], 12)

    strips = _strips(_images(run), run["matrices"])
    figure = plots.class_strips(strips, predictions, unchanged, name, TS, STRIPS)
    figure.suptitle(
        f"{_title(run)}: above each image its predicted class; green: the same as at t = 0, red: another",
        fontsize=8,
    )
    return figure


def _grid(run: Record) -> Figure:
    images = _images(run)[:4]
    color, spatial = (torch.tensor(run["matrices"][part]["square"]) for part in ("color", "spatial"))
    cells = torch.stack([torch.stack([_transformed(images, a, b) for b in spatial]) for a in color])
    figure = plots.control_grid(images, cells, KS, KS, ("k1 (color)", "k2 (spatial)"))
    figure.suptitle(f"{_title(run)}: four images under F(k1, k2)", fontsize=8)
    return figure


def table(record: Record) -> str:
    """Return what was learned, and the claims, published and measured."""
    learned, claims = [], []
    for model in dict.fromkeys(run["model"] for run in record["runs"]):
        for reading in READINGS:
            runs = [run for run in record["runs"] if (run["model"], run["reading"]) == (model, reading)]
            learned.append((model, reading, str(len(runs)), *_learned(runs)))
    for claim in CLAIMS:
        for model, reading, *_ in learned:
            runs = [run for run in record["runs"] if (run["model"], run["reading"]) == (model, reading)]
            values = [run["family"][claim.number] for run in runs]
            holds = sum(run["holds"][claim.number] for run in runs)
            measured = study.spread(values, claim.unit)
            claims.append(
                (claim.published, claim.taken, model, reading, measured, f"{holds} of {len(runs)} runs")
            )
    header = (
        *("network", "heads", "seeds", "clean %", "F(k), k uniform %", "full strength %"),
        *("color displacement, full strength", "spatial", "shift of pixels, % of width"),
        *("zoom", "scale x", "scale y", "rotation", "nearest rotation"),
        *("largest color entry, % of bound", "change of pixels by color"),
        "cross-entropy, first and last fifth of the steps",
    )
    text = study.markdown(header, learned) + "\n\n"
    text += study.markdown(("published", "taken as", "network", "heads", "measured", "holds in"), claims)
    return text if record["photographs"] else f"{text}\n\nNo photographs were given (--photos): digits alone."


def _learned(runs: list[Record]) -> list[str]:
    def cell(form: str, *path: str, factor: float = 1) -> str:
        return study.spread([factor * reduce(operator.getitem, path, run) for run in runs], form)

    entropies = [run["history"]["cross_entropy"]["mean"] for run in runs]
    fifth = max(1, len(entropies[0]) // 5)
    ends = ([sum(e[rows]) / fifth for e in entropies] for rows in (slice(fifth), slice(-fifth, None)))
    return [
        *(cell(".2f", "accuracy", k, factor=100) for k in ("clean", "uniform", "full")),
        cell(".4f", "parts", "color", "displacement_full"),
        cell(".4f", "parts", "spatial", "displacement_full"),
        cell(".1f", "parts", "spatial", "rms_shift_full", factor=100),
        *(cell(".3f", "family", name) for name in ("zoom", "scale_x", "scale_y")),
        *(cell("+.1f", "family", name) for name in ("rotation", "nearest_rotation")),
        cell(".0f", "family", "share_of_color_bound", factor=100),
        cell(".3f", "family", "pixel_change"),
        " to ".join(study.spread(end, ".3f") for end in ends),
    ]


def _slug(run: Record) -> str:
    names = (run[key] for key in ("model", "reading") if key in run)
    return re.sub(r"[^\w-]+", "-", "-".join(names))


def _title(run: Record) -> str:
    return f"{run['model']}, {run['reading']} heads, seed {run['seed']}"


def _mean(values: Tensor) -> float:
    return values.double().mean().item()


def _rounded(values: Any) -> Any:
    return np.round(np.asarray(values, dtype=float), 6).tolist()


def readme(records: dict[str, Record]) -> str:
    """Return the text of README.md."""
    record = records["bunne_itn"]
    models = list(dict.fromkeys(run["model"] for run in record["runs"]))
    pictures = [
        (
            title,
            *(
                ", ".join(f"[{label}]({file}-{model}{end}.png)" for label, end in variants)
                for model in models
            ),
        )
        for title, file, variants in (
            ("4a: losses", "losses", [("both heads", "")]),
            ("4b: images and their classes", "classes", [(reading, f"-{reading}") for reading in READINGS]),
            ("5: grid over k1 and k2", "grid", [(reading, f"-{reading}") for reading in READINGS]),
        )
    ]
    linear = [
        run["family"] for run in record["runs"] if (run["model"], run["reading"]) == (models[1], "linear")
    ]
    drops = [
        100 * sum(run["accuracy"]["clean"] - run["accuracy"]["full"] for run in runs) / len(runs)
        for reading in READINGS
        for runs in [
            [run for run in record["runs"] if (run["model"], run["reading"]) == (models[1], reading)]
        ]
    ]
    zooms = ", ".join(f"{family['zoom']:.2f}" for family in linear)
    rotations = ", ".join(f"{family['rotation']:+.0f}" for family in linear)
    photographs = next(run for run in record["runs"] if run["model"] == models[1])
    return f"""
# Bunne, Rahmann and Wolf (2018): Invariant Transformer Net

*Studying invariances of trained convolutional neural networks*, figures 4 and 5. The paper shows AlexNet
on ImageNet in pictures and makes three claims in words, without numbers.

```bash
python experiments bunne_itn                        # digits, one seed: 3 minutes
python experiments bunne_itn --full                 # digits, three seeds: 8 minutes
python experiments bunne_itn --full --photos DIR    # and photographs: 60 minutes, the numbers below
python experiments bunne_itn --photos DIR --model torchvision:alexnet --weights FILE
```

For the numbers below, DIR held one photograph of each of 500 classes, some of them perhaps training images
of the network:
{photographs["training_images"]} to learn from in {photographs["config"]["steps"]} steps of
{photographs["config"]["batch_size"]}, {photographs["held_out"]} held out. Displacements and the columns
after them are at full strength, k1 = k2 = (1, 1); zoom above 1 shrinks the content.

{table(record)}

{study.markdown(("figure of the paper", *models), pictures)}

- *Heads* are the layers that turn k into a matrix. The paper's have "rectified linear activation
  functions", which can be read in two ways. If the last layer is rectified too (nonnegative heads), no
  parameter can fall below its value at the identity: enlarging and rotating counter-clockwise are
  impossible by construction. If it is not (linear heads), both are possible.
- Digits: with linear heads every run still zooms out. In two of three runs the rotation exceeds ten
  degrees, a limit that was fixed beforehand, by up to two degrees. Colors change little, though single
  entries of the color matrix reach their bounds in some runs.
- Photographs: the first two claims do not hold in general. With linear heads zoom is {zooms} and the
  rotation {rotations} degrees, by seed. With nonnegative heads, where enlarging cannot happen, two of
  three runs zoom out and one does neither. The paper may show the one family that its heads allow, or
  one of several that a seed picks; three seeds cannot tell.
- That colors change little holds in every run. The color part has a weight of 0.01 in the loss, so the
  spatial part uses up the tolerated loss of accuracy before colors change.
- At full strength accuracy falls by {drops[0]:.0f} points with linear and by {drops[1]:.0f} with
  nonnegative heads. The objective switches between its two losses by the accuracy of a batch. That holds
  accuracy only on average over k, and a batch of 16 often shows no drop where there is one.
"""
