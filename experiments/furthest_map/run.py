r"""How far do learned corners go on all digits, and how far the furthest affine map that a search finds?

Command:   python experiments furthest_map            (lenet5)
           python experiments furthest_map --full     (both classifiers)
Machine:   2 CPU cores, about 15 minutes; the second about 30 minutes
Writes:    runs/furthest_map/: result.json, reached.png
Published: nothing

Whatever family is learned, its spatial corner is one affine map, and must keep to the tolerance while colors
are unmoved. Here all 20,000 digits that the classifiers have not seen are looked at, with no test: how far
does a map go along a straight line from the identity (a rotation: as it turns) until 1 % of them are lost?

- axes: those of the screening table, both signs
- learned: the five families in largest_family/result.json at full strength, colors unchanged, each learned
  from 8,000 of the digits; beside it how far they and the longest baselines go on the other 12,000
- found: directions turned uphill from the longest axes and two of the learned corners. The search is a local
  one, and nothing is held out: what it finds is an optimistic mark, not a bound
"""

import argparse
import json
from functools import partial

import study
import torch
from matplotlib.figure import Figure
from study import Protocol, Record
from torch import Tensor
from tqdm import tqdm

import itn
from itn import plotting
from itn.certification.baselines import SingleTransformation, spatial_baselines
from itn.certification.parametric import ParametricTransform, break_rate, transformed_margins
from itn.certification.scale_search import estimate_scale
from itn.learning.split import split_images
from itn.models.classifier import margins
from itn.nn.net import apply_matrices

LEARNED = study.HERE / "largest_family" / "result.json"
MODELS = ("jennings-cnn", "lenet5")
TOLERANCE = 0.01
SMOKE_DIGITS = 1000  # of which 300 just could prove the tolerance
LONGEST = 3  # axes that the search sets out along
FRAGILE = 10  # images that may be lost near a map are looked for among one in so many
STEPS, REFRESHED = 25, 5
PASSES, SETTLED = 4, 0.1  # at most, and changes after which fragile images need not be looked for again
PACE = 0.15  # of the first turn, in radians about
SOFT = (0.5, 0.1)  # widths of the sigmoid of the margin, at first and in the end
UNITS = torch.tensor([1.0, 1.0, 0.25])  # a shift breaks what four times as much of a shear leaves alone
IDENTITY = torch.eye(2, 3)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which classifiers."""
    parser.add_argument("--models", nargs="+", choices=MODELS, help="default: lenet5; with --full both")


def measure(protocol: Protocol) -> Record:
    """Measure axes and learned corners, and climb from them; what is finished is kept in OUT/parts."""
    smoke = protocol.name == "smoke"
    images, labels = itn.load_images("mnist:heldout", limit=SMOKE_DIGITS if smoke else 0)
    learned = [run for run in json.loads(LEARNED.read_text())["runs"] if run["design"] == "constrained"]
    results = []
    for model in protocol.options["models"] or protocol.pick(MODELS[1:], MODELS, MODELS[1:]):
        classifier = itn.load_classifier(model).to(protocol.device)
        of = {
            "model": model,
            "weights_sha256": classifier.sha256(),
            "images_sha256": study.data_fingerprint(images, labels),
        }
        part = protocol.out / "parts" / f"{protocol.name}-{model}.json"
        corners = {
            run["seed"]: torch.tensor(run["spatial_matrix_at_corner"]) - IDENTITY
            for run in learned
            if run["model"] == model
        }
        if smoke:
            corners = {0: corners[0]}
        make = partial(_of_one, classifier, images, labels, corners, 2 if smoke else STEPS)
        results.append(study.kept(part, of, make))
    return {"tolerance": TOLERANCE, "images": len(images), "classifiers": results}


def _of_one(
    classifier: itn.Classifier, images: Tensor, labels: Tensor, corners: dict[int, Tensor], steps: int
) -> Record:
    data, reached = itn.preflight(classifier, images, labels), []
    for axis in tqdm(spatial_baselines(1.0), desc="axes", leave=False):
        reached.append((axis, reach(classifier, data, axis.mover, 1.0)))
    reached.sort(key=lambda each: -each[0].displacement(each[1]))
    axes = [
        {"axis": _name(axis), "displacement": axis.displacement(scale), "map": axis.deviation(scale).tolist()}
        for axis, scale in reached
    ]
    longest = [axis for axis, _ in reached[:LONGEST]]
    learned = []
    for seed, corner in tqdm(corners.items(), desc="learned", leave=False):
        at = scaled(classifier, data, corner)
        learned.append(
            {
                "seed": seed,
                "displacement": moved(at),
                "map": at.tolist(),
                "others": _on_others(classifier, data, corner, longest, seed),
            }
        )
    alone = {_name(axis): axis.deviation(scale) for axis, scale in reached[:LONGEST]}
    starts = alone | {f"learned, seed {seed}": corners[seed] for seed in list(corners)[:2]}
    found = []
    for start, direction in tqdm(starts.items(), desc="climbing", leave=False):
        top = climb(classifier, data, direction, steps)
        found.append({"start": start, "displacement": moved(top), "map": top.tolist()})
    origin = study.provenance(classifier.device)
    return {"axes": axes, "learned": learned, "found": found, "provenance": origin}


def _on_others(
    classifier: itn.Classifier,
    data: itn.CheckedImages,
    corner: Tensor,
    axes: list[SingleTransformation],
    seed: int,
) -> Record:
    """Return how far a corner and the longest axis go on the images that a seed has not learned from."""
    _, calibration, held = split_images(data, itn.LearnConfig(seed=seed))
    assert calibration is not None
    others = itn.CheckedImages.joined([calibration, held])
    alone = {_name(axis): axis.displacement(reach(classifier, others, axis.mover, 1.0)) for axis in axes}
    axis = max(alone, key=lambda name: alone[name])
    return {
        "images": len(others),
        "displacement": moved(scaled(classifier, others, corner)),
        "axis": axis,
        "axis_displacement": alone[axis],
    }


def _name(axis: SingleTransformation) -> str:
    return f"{axis.name} {'+' if axis.reach > 0 else '-'}"


def moved(deviation: Tensor) -> float:
    """Return the displacement of a map that adds this to the identity, 2 x 3."""
    return itn.displacement((IDENTITY + deviation)[None]).item()


def ray(direction: Tensor) -> ParametricTransform:
    """Return the maps along a straight line from the identity."""
    return ParametricTransform(1, lambda k: (None, (IDENTITY + k[:, :, None] * direction).to(k)))


def scaled(classifier: itn.Classifier, data: itn.CheckedImages, direction: Tensor) -> Tensor:
    """Return a direction at the size at which the tolerance ends."""
    guess = (0.05 / moved(direction)) ** 0.5
    return direction * reach(classifier, data, ray(direction), 4 * guess)


def reach(
    classifier: itn.Classifier, data: itn.CheckedImages, mover: ParametricTransform, most: float
) -> float:
    """Return the scale at which the tolerance ends, at most ``most``: less by two thousandths at most."""
    few = data.spread(2000)
    scale = estimate_scale(
        lambda scale: break_rate(classifier, few, mover, scale * mover.corner, TOLERANCE), TOLERANCE, most
    )
    for _ in range(PASSES):
        before = scale
        scale = _reach_near(classifier, data, fragile(classifier, data, mover, scale), mover, scale, most)
        if abs(scale - before) < SETTLED * before:
            break
    return scale


def _reach_near(
    classifier: itn.Classifier,
    data: itn.CheckedImages,
    few: itn.CheckedImages,
    mover: ParametricTransform,
    guess: float,
    most: float,
) -> float:
    """Return the same among scales near a guess, as a few fragile images tell."""
    share = TOLERANCE * len(data) / len(few)

    def share_at(scale: float) -> float:
        return break_rate(classifier, few, mover, scale * mover.corner, share)

    low, high = 0.8 * guess, min(most, max(1.25 * guess, 0.1 * most))
    return estimate_scale(share_at, share, high, low, strides=2, bisections=7)


def fragile(
    classifier: itn.Classifier, data: itn.CheckedImages, mover: ParametricTransform, scale: float
) -> itn.CheckedImages:
    """Return those of the images that are right unchanged which a map leaves the smallest margins."""
    right = data.part(data.clean)
    found = transformed_margins(classifier, right, mover, scale * mover.corner)
    return right.part(found.argsort()[: max(1, len(data) // FRAGILE)])


def climb(
    classifier: itn.Classifier, data: itn.CheckedImages, direction: Tensor, steps: int = STEPS
) -> Tensor:
    """Turn a direction such that the tolerance ends ever farther out; return what then is added there."""

    def grown(deviation: Tensor) -> Tensor:
        return deviation * _reach_near(classifier, data, few, ray(deviation), 1.0, 2.0)

    start = best = scaled(classifier, data, direction)
    pace = PACE
    for step in range(steps):
        if step % REFRESHED == 0:
            few = fragile(classifier, data, ray(best), 1.0)
            best = grown(best)
        width = SOFT[0] * (SOFT[1] / SOFT[0]) ** (step / steps)
        slope = _slope(classifier, few, best, width) * UNITS**2
        across = slope - (slope * best).sum() / best.square().sum() * best
        turned = best - pace * best.norm() / across.norm().clamp_min(1e-12) * across
        turned = grown(turned * (moved(best) / moved(turned)) ** 0.5)
        if moved(turned) > moved(best):
            best = turned
        else:
            pace *= 0.7
    return max(start, scaled(classifier, data, best), key=moved)


def _slope(classifier: itn.Classifier, few: itn.CheckedImages, deviation: Tensor, width: float) -> Tensor:
    """Return the gradient of how many images are lost, smoothly, by a map."""
    total = torch.zeros(2, 3)
    for rows in torch.arange(len(few)).split(500):
        some = few.part(rows)
        matrix = (IDENTITY + deviation).to(classifier.device).requires_grad_()
        images = some.pixels(slice(0, len(some)), classifier.device)
        logits = classifier.logits(apply_matrices(images, None, matrix.expand(len(some), -1, -1), "zeros"))
        nearly = torch.sigmoid(-margins(logits, some.labels.to(classifier.device)) / width)
        total += torch.autograd.grad(nearly.sum(), matrix)[0].cpu()
    return total


def figures(record: Record) -> dict[str, Figure]:
    """Return how far axes, learned corners and what was found go, by classifier."""
    figure = Figure(figsize=(plotting.WIDTH, 2.6), layout="constrained")
    panels = figure.subplots(1, len(record["classifiers"]), sharey=True, squeeze=False)[0]
    for ax, each in zip(panels, record["classifiers"], strict=True):
        for number, kind in enumerate(("axes", "learned", "found")):
            y = [one["displacement"] for one in each[kind]]
            x = number + 0.3 * (torch.linspace(-1, 1, len(y)) if len(y) > 1 else torch.zeros(1))
            ax.plot(x, y, "o", color=f"C{number}", markersize=4)
        longest = each["axes"][0]
        ax.axhline(longest["displacement"], color="0.6", linewidth=0.8)
        ax.annotate(
            longest["axis"], (0.0, longest["displacement"]), (4, 3), fontsize=8, textcoords="offset points"
        )
        ax.set_xticks(range(3), ["single axes", "learned", "found on\nall digits"])
        ax.set_xlim(-0.6, 2.6)
        ax.set_ylim(0)
        ax.set_title(each["model"], fontsize=9)
    panels[0].set_ylabel(
        f"spatial displacement at which\n{100 * record['tolerance']:g} % of the digits are lost"
    )
    return {"reached": figure}


def table(record: Record) -> str:
    """Return the longest axis, and how much further the others go."""
    rows = []
    for each in record["classifiers"]:
        axis = each["axes"][0]
        learned = [one["displacement"] / axis["displacement"] for one in each["learned"]]
        others = [
            one["others"]["displacement"] / one["others"]["axis_displacement"] for one in each["learned"]
        ]
        found = [one["displacement"] / axis["displacement"] for one in each["found"]]
        best = max(each["found"], key=lambda one: one["displacement"])
        rows.append(
            (
                each["model"],
                f"{axis['axis']}, {axis['displacement']:.4f}",
                *(study.middle(own, ".2f") for own in (learned, others)),
                f"{max(found):.2f}",
                ", ".join(f"{ratio:.2f}" for ratio in sorted(found, reverse=True)),
                "; ".join(" ".join(f"{entry:z.3f}" for entry in row) for row in best["map"]),
            )
        )
    header = (
        "classifier",
        "longest axis, displacement",
        "learned, over it",
        "on digits not learned from, over the longest there",
        "found, over it",
        "from each start",
        "A - I of the furthest",
    )
    return study.markdown(header, rows)
