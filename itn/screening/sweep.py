"""What is measured of one transformation, before it becomes a record and rows of tables."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from itn.screening.flips import Flips
from itn.screening.passes import Arrays
from itn.screening.records import Curve
from itn.screening.thresholds import paths
from itn.transforms import Transform


class Samples(NamedTuple):
    """The images of a screen: their labels, and the names of images, classes and outputs."""

    labels: NDArray[np.int64]
    names: tuple[str, ...]
    """The path of each image, or its number."""
    classes: dict[int, str]
    """Names of the classes that occur, by label, ascending."""
    outputs: tuple[str, ...]
    """Names of all outputs of the classifier."""

    def groups(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Yield "all" and the name of each class, with a mask of its images."""
        yield "all", np.ones(len(self.labels), dtype=bool)
        for label, name in self.classes.items():
            yield name, self.labels == label


class Sweep(NamedTuple):
    """The measurements of one transformation, at ascending magnitudes.

    A measurement is what ``Screener.class_statistics`` returns.
    """

    transform: Transform
    magnitudes: Curve
    clean: Arrays
    """The measurement at the identity, whether or not that is one of the magnitudes."""
    points: tuple[Arrays, ...]
    """The measurement at each magnitude."""
    refinements: Mapping[float, Arrays]
    """Measurements at further magnitudes, close to where accuracy breaks."""
    round_trip: tuple[NDArray[np.int64], ...] | None
    """The round-trip control: predictions, at each magnitude, on images warped and warped back."""
    lost_content: Arrays | None
    """What ``Screener.lost_content`` returns; None if the transformation is not spatial."""
    flips: Mapping[str, Flips]
    """The flips of all images, by side."""

    def paths(self) -> Iterator[tuple[str, tuple[float, ...], list[Arrays]]]:
        """Yield each side of the identity: its name, and magnitudes and measurements outwards from there."""
        measured = {**dict(zip(self.magnitudes, self.points, strict=True)), **self.refinements}
        for side, path in paths(self.transform, tuple(measured)).items():
            yield side, (self.transform.identity, *path), [self.clean, *(measured[v] for v in path)]
