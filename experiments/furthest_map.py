r"""How far could any affine map go? A bound for what the learner of ``itn learn`` can reach in space.

Command:   python experiments/furthest_map.py            (lenet5)
           python experiments/furthest_map.py --full     (both classifiers)
Machine:   2 CPU cores, about 15 minutes; the second about 30 minutes
Writes:    runs/furthest_map/: result.json, reached.png
Published: nothing

Whatever family is learned, its spatial corner is one affine map, and must keep to the tolerance while colors
are unmoved. Here all 20,000 digits that the classifiers have not seen are looked at, with neither split nor
test: how far does a map go along a straight line from the identity until 1 % of them are lost?

- axes: those of the screening table, both signs
- learned: the corners of the five families in results/largest_family, each learned from 8,000 of the digits
- found: directions turned uphill from the longest axes, the sums of two, and two of the learned corners.
  Nothing is held out: what is found fits these digits, and so bounds what can be learned from them, as far as
  the search finds the top
"""

import itertools
import json
from statistics import median

import study
import torch
from matplotlib.figure import Figure
from study import Protocol, Record
from torch import Tensor
from tqdm import tqdm

import itn
from itn import plots
from itn.axes import spatial_axes
from itn.certificate import Mover, estimated_scale, moved_margins, share_lost
from itn.classifiers import CheckedImages, Classifier, margins
from itn.folder import data_fingerprint, provenance
from itn.losses import displacement
from itn.net import move

LEARNED = study.RESULTS / "largest_family" / "result.json"
TOLERANCE = 0.01
LONGEST = 3  # axes that the search sets out along
FRAGILE = 10  # images that may be lost near a map are looked for among one in so many
STEPS, REFRESHED = 25, 5
PACE = 0.15  # of the first turn, in radians about
SOFT = (0.5, 0.1)  # widths of the sigmoid of the margin, at first and in the end
UNITS = torch.tensor([1.0, 1.0, 0.25])  # a shift breaks what four times as much of a shear leaves alone
IDENTITY = torch.eye(2, 3)


def measure(protocol: Protocol) -> Record:
    """Measure axes and learned corners, and climb from them, for each classifier."""
    smoke = protocol.name == "smoke"
    images, labels = itn.load_images("mnist:unseen", limit=2 * study.SMOKE_DIGITS if smoke else 0)
    learned = [run for run in json.loads(LEARNED.read_text())["runs"] if run["design"] == "constrained"]
    results = []
    for model in protocol.pick(("lenet5",), ("jennings-cnn", "lenet5"), ("lenet5",)):
        classifier = itn.load_classifier(model).to(protocol.device)
        data = itn.preflight(classifier, images, labels)
        corners = [
            torch.tensor(run["spatial_matrix_at_corner"]) - IDENTITY
            for run in learned
            if run["model"] == model
        ]
        results.append(
            {
                "model": model,
                "weights_sha256": classifier.sha256(),
                "images_sha256": data_fingerprint(images, labels),
                **_of_one(classifier, data, corners[: 1 if smoke else None], 2 if smoke else STEPS),
                "provenance": provenance(protocol.device),
            }
        )
    return {"tolerance": TOLERANCE, "images": len(images), "classifiers": results}


def _of_one(classifier: Classifier, data: CheckedImages, corners: list[Tensor], steps: int) -> Record:
    axes = []
    for axis in tqdm(spatial_axes(1.0), desc="axes", leave=False):
        scale = reach(classifier, data, axis.mover, 1.0)
        name = f"{axis.name} {'+' if axis.reach > 0 else '-'}"
        axes.append({"axis": name, "displacement": axis.displacement(scale), "map": axis.deviation(scale)})
    axes.sort(key=lambda each: -each["displacement"])
    learned = [scaled(classifier, data, corner) for corner in corners]
    longest = {each["axis"]: each["map"] for each in axes[:LONGEST]}
    pairs = {f"{a} and {b}": longest[a] + longest[b] for a, b in itertools.combinations(longest, 2)}
    starts = longest | pairs | {f"learned, seed {seed}": corner for seed, corner in enumerate(learned[:2])}
    found = []
    for start, direction in tqdm(starts.items(), desc="climbing", leave=False):
        top = climb(classifier, data, direction, steps)
        found.append({"start": start, "displacement": moved(top), "map": top.tolist()})
    return {
        "axes": [each | {"map": each["map"].tolist()} for each in axes],
        "learned": [{"displacement": moved(corner), "map": corner.tolist()} for corner in learned],
        "found": found,
    }


def moved(deviation: Tensor) -> float:
    """Return the displacement of a map that adds this to the identity, 2 x 3."""
    return displacement((IDENTITY + deviation)[None]).item()


def ray(direction: Tensor) -> Mover:
    """Return the maps along a straight line from the identity."""
    return Mover(1, lambda k: (None, (IDENTITY + k[:, :, None] * direction).to(k)))


def scaled(classifier: Classifier, data: CheckedImages, direction: Tensor) -> Tensor:
    """Return a direction at the size at which the tolerance ends."""
    guess = (0.05 / moved(direction)) ** 0.5
    return direction * reach(classifier, data, ray(direction), 4 * guess)


def reach(classifier: Classifier, data: CheckedImages, mover: Mover, most: float) -> float:
    """Return the scale at which the tolerance ends, at most ``most``, to about a thousandth of it."""
    few = data.spread(2000)
    scale = estimated_scale(
        lambda scale: share_lost(classifier, few, mover, scale * mover.corner, TOLERANCE), TOLERANCE, most
    )
    for _ in range(2):  # few tell where to look for those that are lost
        scale = _reach_of_fragile(
            classifier, data, fragile(classifier, data, mover, scale), mover, scale, most
        )
    return scale


def _reach_of_fragile(
    classifier: Classifier,
    data: CheckedImages,
    few: CheckedImages,
    mover: Mover,
    guess: float,
    most: float,
) -> float:
    share = TOLERANCE * len(data) / len(few)

    def share_at(scale: float) -> float:
        return share_lost(classifier, few, mover, scale * mover.corner, share)

    low, high = 0.8 * guess, min(most, max(1.25 * guess, 0.1 * most))
    return estimated_scale(share_at, share, high, low, strides=2, bisections=7)


def fragile(classifier: Classifier, data: CheckedImages, mover: Mover, scale: float) -> CheckedImages:
    """Return those of the images that are right unchanged which a map leaves the smallest margins."""
    right = data.part(data.clean)
    found = moved_margins(classifier, right, mover, scale * mover.corner)
    return right.part(found.argsort()[: max(1, len(data) // FRAGILE)])


def climb(classifier: Classifier, data: CheckedImages, direction: Tensor, steps: int = STEPS) -> Tensor:
    """Turn a direction such that the tolerance ends ever farther out; return what then is added there."""
    best, pace = scaled(classifier, data, direction), PACE
    for step in range(steps):
        if step % REFRESHED == 0:
            few = fragile(classifier, data, ray(best), 1.0)
            best = best * _reach_of_fragile(classifier, data, few, ray(best), 1.0, 2.0)
        width = SOFT[0] * (SOFT[1] / SOFT[0]) ** (step / steps)
        slope = _slope(classifier, few, best, width) * UNITS**2
        across = slope - (slope * best).sum() / best.square().sum() * best
        turned = best - pace * best.norm() / across.norm().clamp_min(1e-12) * across
        turned = turned * (moved(best) / moved(turned)) ** 0.5
        turned = turned * _reach_of_fragile(classifier, data, few, ray(turned), 1.0, 2.0)
        if moved(turned) > moved(best):
            best = turned
        else:
            pace *= 0.7
    return scaled(classifier, data, best)


def _slope(classifier: Classifier, few: CheckedImages, deviation: Tensor, width: float) -> Tensor:
    """Return the gradient of how many images are lost, smoothly, by a map."""
    total = torch.zeros(2, 3)
    for rows in torch.arange(len(few)).split(500):
        some = few.part(rows)
        matrix = (IDENTITY + deviation).to(classifier.device).requires_grad_()
        images = some.pixels(slice(0, len(some)), classifier.device)
        logits = classifier.logits(move(images, None, matrix.expand(len(some), -1, -1), "zeros"))
        nearly = torch.sigmoid(-margins(logits, some.labels.to(classifier.device)) / width)
        total += torch.autograd.grad(nearly.sum(), matrix)[0].cpu()
    return total


def figures(record: Record) -> dict[str, Figure]:
    """Return how far axes, learned corners and what was found go, by classifier."""
    figure = Figure(figsize=(plots.WIDTH, 2.6), layout="constrained")
    panels = figure.subplots(1, len(record["classifiers"]), sharey=True, squeeze=False)[0]
    for ax, each in zip(panels, record["classifiers"], strict=True):
        for number, kind in enumerate(("axes", "learned", "found")):
            y = [one["displacement"] for one in each[kind]]
            x = number + 0.3 * (torch.linspace(-1, 1, len(y)) if len(y) > 1 else torch.zeros(1))
            ax.plot(x, y, "o", color=f"C{number}", markersize=4)
        ax.axhline(each["axes"][0]["displacement"], color="0.6", linewidth=0.8)
        ax.annotate(
            each["axes"][0]["axis"],
            (0.0, each["axes"][0]["displacement"]),
            (4, 3),
            fontsize=8,
            textcoords="offset points",
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
        found = [one["displacement"] / axis["displacement"] for one in each["found"]]
        best = max(each["found"], key=lambda one: one["displacement"])
        rows.append(
            (
                each["model"],
                f"{axis['axis']}, {axis['displacement']:.4f}",
                f"{median(learned):.2f} ({min(learned):.2f} to {max(learned):.2f})",
                f"{max(found):.2f}",
                ", ".join(f"{ratio:.2f}" for ratio in sorted(found, reverse=True)),
                "; ".join(" ".join(f"{entry:z.3f}" for entry in row) for row in best["map"]),
            )
        )
    header = (
        "classifier",
        "longest axis, displacement",
        "learned, over it",
        "found, over it",
        "from each start",
        "A - I of the furthest",
    )
    return study.markdown(header, rows)


if __name__ == "__main__":
    study.run(__doc__, "furthest_map", measure, figures, table)
