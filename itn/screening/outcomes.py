"""What a screen keeps of every single image: enough to compare two screens image by image."""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from itn.models.checked_images import CheckedImages
from itn.runtime.arrays import Arrays, smallest
from itn.screening.criteria import agrees, is_right
from itn.screening.flips import Flips
from itn.screening.sweep import Samples, Sweep

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclasses.dataclass(frozen=True, eq=False)
class SweepOutcomes:
    """What N images do under one transformation, at M magnitudes, ascending, the identity among them."""

    identity: float
    logarithmic: bool
    discrete: bool
    magnitudes: Floats
    swept: Bools
    """M: whether it is a magnitude of the sweep, or was measured to find a threshold."""
    predictions: NDArray[Any]
    """M x N."""
    right: Bools
    """M x N: the true class is among the answers."""
    agrees: Bools
    """M x N: the prediction on the unchanged image is among the answers."""
    flips: dict[str, tuple[Floats, Bools]]
    """By side, where the prediction of each image changes, or the last magnitude, and whether it does."""

    @classmethod
    def of(cls, sweep: Sweep, labels: NDArray[Any]) -> "SweepOutcomes":
        """Return the outcomes of one sweep."""
        identity = sweep.transform.identity
        swept = dict(zip(sweep.magnitudes, sweep.points, strict=True))
        measured = {identity: sweep.clean, **swept, **sweep.refinements}
        magnitudes = sorted(measured)
        points = [measured[v] for v in magnitudes]
        return cls(
            identity=identity,
            logarithmic=sweep.transform.logarithmic,
            discrete=sweep.transform.discrete,
            magnitudes=np.array(magnitudes),
            swept=np.array([v in swept for v in magnitudes]),
            predictions=smallest(np.stack([point["predictions"] for point in points])),
            right=np.stack([is_right(point, labels) for point in points]),
            agrees=np.stack([agrees(point, sweep.clean) for point in points]),
            flips={side: _as_arrays(flips) for side, flips in sweep.flips.items()},
        )

    def part(self, rows: NDArray[Any]) -> "SweepOutcomes":
        """Return the outcomes of some images."""
        return dataclasses.replace(
            self,
            predictions=self.predictions[:, rows],
            right=self.right[:, rows],
            agrees=self.agrees[:, rows],
            flips={side: (v[rows], flipped[rows]) for side, (v, flipped) in self.flips.items()},
        )

    def arrays(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Yield what the outcomes consist of, by name, for a file."""
        yield "scale", np.array([self.identity, self.logarithmic, self.discrete], dtype=float)
        for name in ("magnitudes", "swept", "predictions"):
            yield name, getattr(self, name)
        for name in ("right", "agrees"):
            yield name, np.packbits(getattr(self, name), axis=1)
        for side, (magnitude, flipped) in self.flips.items():
            yield f"flips {side}", magnitude
            yield f"flipped {side}", flipped

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "SweepOutcomes":
        """Return the outcomes that such arrays hold."""
        identity, logarithmic, discrete = arrays["scale"].tolist()
        n = arrays["predictions"].shape[1]
        right, agreeing = (
            np.unpackbits(arrays[name], axis=1, count=n).astype(bool) for name in ("right", "agrees")
        )
        sides = [side for side in ("below", "above") if f"flips {side}" in arrays]
        return cls(
            identity,
            bool(logarithmic),
            bool(discrete),
            arrays["magnitudes"],
            arrays["swept"],
            arrays["predictions"],
            right,
            agreeing,
            {side: (arrays[f"flips {side}"], arrays[f"flipped {side}"]) for side in sides},
        )


@dataclasses.dataclass(frozen=True, eq=False)
class ImageOutcomes:
    """What became of every image of a screen: the content of outcomes.npz."""

    source: str
    """Where the images come from, such as mnist or a folder; empty if that is not known."""
    shape: tuple[int, ...]
    """Of one image, C x H x W."""
    images: tuple[str, ...]
    """The path of each image, or its number."""
    digests: NDArray[np.uint64]
    """A hash of the pixels of each image, as bytes."""
    labels: NDArray[Any]
    """The true class of each; without labels the prediction on the unchanged image."""
    labeled: bool
    classes: dict[int, str]
    """Names of the classes that occur, by label."""
    predictions: NDArray[Any]
    """On the unchanged images."""
    right: Bools
    """Whether the true class is among the answers for the unchanged image."""
    topk: int
    sweeps: dict[str, SweepOutcomes]

    def part(self, rows: NDArray[Any]) -> "ImageOutcomes":
        """Return the outcomes of some images, by their positions."""
        present = set(self.labels[rows].tolist())
        return dataclasses.replace(
            self,
            images=tuple(self.images[row] for row in rows.tolist()),
            digests=self.digests[rows],
            labels=self.labels[rows],
            classes={label: name for label, name in self.classes.items() if label in present},
            predictions=self.predictions[rows],
            right=self.right[rows],
            sweeps={name: sweep.part(rows) for name, sweep in self.sweeps.items()},
        )

    def arrays(self) -> Arrays:
        """Return what outcomes.npz holds."""
        return {
            "source": np.array(self.source),
            "shape": np.array(self.shape),
            "images": np.array(self.images),
            "digests": self.digests,
            "labels": self.labels,
            "labeled": np.array(self.labeled),
            "topk": np.array(self.topk),
            "class_labels": np.array(list(self.classes)),
            "class_names": np.array(list(self.classes.values())),
            "predictions": self.predictions,
            "right": self.right,
            **{f"{name}/{key}": a for name, sweep in self.sweeps.items() for key, a in sweep.arrays()},
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> "ImageOutcomes":
        """Return the outcomes that such arrays hold.

        Raises:
            ValueError: If something is missing.
        """
        try:
            names = dict.fromkeys(name.split("/")[0] for name in arrays if "/" in name)
            by_sweep = {
                name: {key.split("/")[1]: a for key, a in arrays.items() if key.startswith(f"{name}/")}
                for name in names
            }
            return cls(
                source=str(arrays["source"]),
                shape=tuple(arrays["shape"].tolist()),
                images=tuple(arrays["images"].tolist()),
                digests=arrays["digests"],
                labels=arrays["labels"],
                labeled=bool(arrays["labeled"]),
                classes=dict(
                    zip(arrays["class_labels"].tolist(), arrays["class_names"].tolist(), strict=True)
                ),
                predictions=arrays["predictions"],
                right=arrays["right"],
                topk=int(arrays["topk"]),
                sweeps={name: SweepOutcomes.of_arrays(of_sweep) for name, of_sweep in by_sweep.items()},
            )
        except KeyError as error:
            raise ValueError(f"outcomes.npz lacks {error}") from None


def image_outcomes(
    data: CheckedImages,
    clean: Arrays,
    samples: Samples,
    sweeps: dict[str, SweepOutcomes],
    *,
    source: str | None,
    labeled: bool,
    topk: int,
) -> ImageOutcomes:
    """Return the outcomes of a screen.

    Args:
        data: Its images.
        clean: What was measured of them, unchanged.
        samples: Their labels and names.
        sweeps: By transformation.
        source: Where they come from, if that is known.
        labeled: Whether labels were given.
        topk: How many of the largest outputs are answers.
    """
    return ImageOutcomes(
        source=source or "",
        shape=tuple(data.images.shape[1:]),
        images=samples.names,
        digests=digests_of(data),
        labels=smallest(samples.labels),
        labeled=labeled,
        classes=samples.classes,
        predictions=smallest(clean["predictions"]),
        right=is_right(clean, samples.labels),
        topk=topk,
        sweeps=sweeps,
    )


def digests_of(data: CheckedImages) -> NDArray[np.uint64]:
    """Return a hash of each image, the same for bytes and for floats that were made from them."""
    digests = []
    for image in data.images:
        pixels = image if image.dtype == torch.uint8 else (255 * image.double()).round().byte()
        content = pixels.cpu().contiguous().numpy().tobytes()
        digests.append(int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little"))
    return np.array(digests, dtype=np.uint64)


def _as_arrays(flips: Flips) -> tuple[Floats, Bools]:
    return flips.magnitude.double().numpy(), flips.flipped.numpy()
