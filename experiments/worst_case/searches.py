"""Other searches for the worst point of each image in a box: random, a grid, DIRECT, CMA-ES, and foolbox's.

All but the last ask the same function for margins, and say at which pass each image broke. Points are given
by *ways*, one for each transformation: -1 at the low end of its range, 1 at the high end.
"""

import contextlib
import itertools
import math
import warnings
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

import itn
from itn.functional import square_matrix

SMALL, LARGE = 250, 25  # images in a forward pass: small ones, photographs
TURNS, SHIFTS = 31, 5  # the grid of Engstrom et al.: rotations, and shifts along each axis
Broken = dict[int, int]
"""The pass, from 1, at which an image broke; images that survive are absent."""
Search = Callable[["Margins", Tensor, int, int], Broken]


class Margins:
    """The margins of images under spatial transformations, composed into a single warp.

    Args:
        classifier: The classifier.
        data: The images.
        box: Low and high end of each transformation.
    """

    def __init__(
        self, classifier: itn.Classifier, data: itn.ImageSet, box: Mapping[str, tuple[float, float]]
    ) -> None:
        self.classifier, self.data, self.box = classifier, data, box
        self.size = LARGE if data.images.shape[-1] > 64 else SMALL

    @torch.inference_mode()
    def __call__(self, index: Tensor, ways: Tensor) -> Tensor:
        """Return how much the logit of the class exceeds the largest other one, for M images and points."""
        parts = zip(index.split(self.size), ways.split(self.size), strict=True)
        return torch.cat([self._of_batch(*part) for part in parts])

    def _of_batch(self, index: Tensor, ways: Tensor) -> Tensor:
        images, canvases = self.data.images, self.data.canvases
        height, width = images.shape[-2:]
        product = torch.eye(3, dtype=torch.float64)
        for way, (name, (low, high)) in zip(ways.double().unbind(1), self.box.items(), strict=True):
            transform = itn.TRANSFORMS[name]
            end = torch.where(way < 0, way.new_tensor(low), way.new_tensor(high))
            if transform.logarithmic:
                v = transform.identity * (end / transform.identity) ** way.abs()
            else:
                v = transform.identity + way.abs() * (end - transform.identity)
            product = product @ square_matrix(transform.function(v, width / height))
        matrix = product[:, :2].float()
        if canvases is None:
            warped = itn.warp(images[index] / 255, matrix)
        else:
            surround = canvases.surround.part(index)
            warped = itn.warp(canvases.pixels[index] / 255, matrix, "zeros", surround)
        logits, labels = self.classifier(warped.clamp(0, 1)).double(), self.data.labels[index, None]
        others = logits.scatter(1, labels, -torch.inf).amax(1)
        return logits.gather(1, labels)[:, 0] - others


def at_random(margins: Margins, index: Tensor, passes: int, seed: int) -> Broken:
    """Try points that are uniform in the box, the same for all images."""
    random = torch.Generator().manual_seed(seed)
    points = 2 * torch.rand(passes, len(margins.box), generator=random, dtype=torch.float64) - 1
    return _one_by_one(margins, index, points)


def on_a_grid(margins: Margins, index: Tensor, passes: int, seed: int) -> Broken:
    """Try all points of a grid, in random order; it has as many values of each as the passes allow.

    For rotations and shifts it is that of Engstrom et al., if the passes allow it.
    """
    d = len(margins.box)
    counts = [int(passes ** (1 / d) + 1e-9)] * d
    if d == 3 and passes >= TURNS * SHIFTS**2:
        counts = [TURNS, SHIFTS, SHIFTS]
    lines = [torch.linspace(-1, 1, count, dtype=torch.float64).tolist() for count in counts]
    points = torch.tensor(list(itertools.product(*lines)), dtype=torch.float64)
    order = torch.randperm(len(points), generator=torch.Generator().manual_seed(seed))
    return _one_by_one(margins, index, points[order])


def _one_by_one(margins: Margins, index: Tensor, points: Tensor) -> Broken:
    broken: Broken = {}
    for number, point in enumerate(points, 1):
        if not len(index):
            break
        breaks = margins(index, point.expand(len(index), -1)) < 0
        broken |= dict.fromkeys(index[breaks].tolist(), number)
        index = index[~breaks]
    return broken


def by_direct(margins: Margins, index: Tensor, passes: int, seed: int) -> Broken:
    """Divide the box into rectangles (scipy's DIRECT, locally biased, as GeoRobust's search divides it)."""
    from scipy.optimize import direct  # noqa: PLC0415  # slow to import

    broken: Broken = {}

    class Ended(Exception):  # noqa: N818
        """The image broke, or its passes are used up."""

    for image in index.tolist():
        tried = itertools.count(1)

        def evaluate(point: np.ndarray, image: int = image, tried: "itertools.count[int]" = tried) -> float:
            number = next(tried)
            if number > passes:
                raise Ended
            margin = float(margins(torch.tensor([image]), torch.tensor(point)[None]))
            if margin < 0:
                broken[image] = number
                raise Ended
            return margin

        box, most = [(-1, 1)] * len(margins.box), {"maxfun": 10 * passes, "maxiter": 10**6}
        with contextlib.suppress(Ended):
            direct(evaluate, box, **most, vol_tol=0, len_tol=0)
    return broken


def by_cma(margins: Margins, index: Tensor, passes: int, seed: int) -> Broken:
    """Adapt the covariance of an evolution strategy (CMA-ES), started again where it has ended."""
    import cma  # noqa: PLC0415  # an extra

    random, d = np.random.default_rng(seed), len(margins.box)

    def strategy(start: np.ndarray) -> "cma.CMAEvolutionStrategy":
        settings = {"bounds": [-1, 1], "verbose": -9, "seed": int(random.integers(1, 2**31))}
        return cma.CMAEvolutionStrategy(start, 0.5, settings)

    broken: Broken = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        running = {image: strategy(np.zeros(d)) for image in index.tolist()}
        used = dict.fromkeys(running, 0)
        while running:
            asked = {image: strategy_of.ask() for image, strategy_of in running.items()}
            images = torch.tensor([image for image, points in asked.items() for _ in points])
            points = torch.tensor(np.array([point for points in asked.values() for point in points]))
            values = iter(margins(images, points).tolist())
            for image, points_of in asked.items():
                found = [next(values) for _ in points_of]
                first = next((n for n, margin in enumerate(found, 1) if margin < 0), math.inf)
                if used[image] + first <= passes:
                    broken[image] = used[image] + int(first)
                used[image] += len(found)
                if image in broken or used[image] >= passes:
                    del running[image]
                    continue
                running[image].tell(points_of, found)
                if running[image].stop():
                    running[image] = strategy(random.uniform(-1, 1, d))
    return broken


def by_foolbox(margins: Margins, index: Tensor, passes: int, seed: int) -> Broken:
    """Try rotations and shifts at random with foolbox's SpatialAttack, which does not say when images broke.

    It takes the classifier as it is, but no box other than of rotations and shifts, the same along both axes.
    """
    import foolbox  # noqa: PLC0415  # an extra

    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002  # what foolbox draws from
    width = margins.data.images.shape[-1]
    attack = foolbox.attacks.SpatialAttack(
        max_translation=margins.box["translate_x"][1] * width,
        max_rotation=margins.box["rotate"][1],
        grid_search=False,
        random_steps=passes,
    )
    model = foolbox.PyTorchModel(margins.classifier, bounds=(0, 1), device="cpu")
    images, labels = margins.data.images[index] / 255, margins.data.labels[index]
    batches = zip(images.split(margins.size), labels.split(margins.size), strict=True)
    breaks = torch.cat([attack(model, *batch)[2] for batch in batches])
    return dict.fromkeys(index[breaks].tolist(), passes)


SEARCHES: dict[str, Search] = {
    "random": at_random,
    "grid": on_a_grid,
    "DIRECT (scipy)": by_direct,
    "CMA-ES (cma)": by_cma,
}
FOOLBOX = "SpatialAttack (foolbox)"
