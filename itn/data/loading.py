"""Labeled images as uint8 tensors: MNIST, which is in the package, and folders of photographs."""

import dataclasses
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from itn.data.class_folders import ClassMap, class_indices, find_photos
from itn.data.decoding import read_canvases, read_photos
from itn.data.digits import SOURCES, load_digits
from itn.models.canvases import AUTO_RATIO, Canvases, SurroundSetting, check_surround
from itn.models.classifier import as_classifier
from itn.models.preprocessing import Preprocessing
from itn.runtime.validation import user_path
from itn.stats import stratified_subset


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Labeled images and their origin; unpacks into images and labels.

    Raises:
        ValueError: If there are canvases of which the images are not the crops.
    """

    images: Tensor
    """N x C x H x W, uint8."""
    labels: Tensor
    """N, int64."""
    index: Tensor
    """Position of each image in the whole source, int64, N; ascending as loaded."""
    paths: tuple[str, ...] = ()
    """Path of each image relative to the folder, with "/"; empty for MNIST."""
    skipped: tuple[str, ...] = ()
    """"path: reason" of each image that was left out because it cannot be read."""
    canvases: Canvases | None = None
    """The photographs cut larger, of which the images are the crops; None: nothing is known around them."""
    labeled: bool = True
    """False: there are no labels; those here are -1."""

    def __post_init__(self) -> None:
        if self.canvases is not None and not _same(self.images, self.canvases.crops):
            raise ValueError(
                "images are not the crops of the canvases, which would replace them: take some with "
                "part(index), or give canvases=None with images of your own"
            )

    def part(self, index: Tensor) -> "ImageSet":
        """Return the images at an index tensor, positions or a mask, with all that belongs to them."""
        rows = torch.arange(len(self.images))[index]
        canvases = None if self.canvases is None else self.canvases.part(rows)
        return dataclasses.replace(
            self,
            images=self.images[rows] if canvases is None else canvases.crops,
            labels=self.labels[rows],
            index=self.index[rows],
            paths=tuple(self.paths[row] for row in rows.tolist()) if self.paths else (),
            canvases=canvases,
        )

    def __iter__(self) -> Iterator[Tensor]:
        if not self.labeled:
            raise ValueError(
                "these photographs have no labels, since there are no class folders such as cat/1.jpg: give "
                "the ImageSet as it is, with the criterion agreement"
            )
        return iter((self.images, self.labels))


def load_images(
    source: str | Path = "mnist",
    classifier: nn.Module | None = None,
    class_map: ClassMap | None = None,
    *,
    surround: SurroundSetting = "auto",
    limit: int = 0,
    seed: int = 0,
    skip_bad: bool = False,
    progress: bool | None = None,
    workers: int | None = None,
) -> ImageSet:
    """Load a set of labeled images.

    Args:
        source: ``"mnist"`` (test set), ``"mnist:train"``, ``"mnist:heldout"`` (the last 10,000
            training digits and the test digits: what jennings-cnn and lenet5 were not trained on), or a
            folder that holds a folder of photographs for each class. A folder of photographs alone has no
            labels: it can be given to what needs none, but does not unpack.
        classifier: Determines the channels, preprocessing and labels of photographs. None: RGB, all of one
            size, labeled by the rank of the folder's name.
        class_map: The class of each folder, if its name does not say so (see
            ``class_folders.class_indices``): folder name -> logit or class name, as a mapping, a JSON file,
            or a file of lines ``folder,class``.
        surround: What to keep of what photographs show beyond the classifier's crop, for geometric
            transformations to look at. "auto": canvases 1.5 times as high and wide as the crop, which take
            2.25 times its memory; a number: so many times; "none": nothing. Digits, photographs that no
            preprocessing crops, and with "auto" those that end with their crops, have no surround. Where
            photographs are resized to a height and a width, canvases are no larger than these; a warning
            says so if a number asks for more.
        limit: Load a random subset of this many images, with the same share of every class; 0: all.
        seed: Seed of the subset.
        skip_bad: Leave out photographs that cannot be read, instead of raising.
        progress: Show a bar while photographs are read; None: on a terminal only.
        workers: Number of threads that read photographs; None: one for each processor.

    Returns:
        The images with their labels and their origin; it unpacks into images, uint8, N x C x H x W, and
        labels, int64, N.

    Raises:
        ValueError: If the source is unknown, a file is damaged, a folder has no class, or photographs
            differ in size without preprocessing; the message names the file or folder. If the surround is a
            number above 1 and there can be none, or if canvases would fill more than a quarter of the memory.

    Example:
        >>> images, labels = load_images("mnist")
        >>> images.shape, images.dtype
        (torch.Size([10000, 1, 28, 28]), torch.uint8)
    """
    if limit < 0:
        raise ValueError(f"limit must be a number of images, or 0 for all, got {limit}")
    check_surround(surround)
    classifier = None if classifier is None else as_classifier(classifier)
    preprocessing = None if source in SOURCES or classifier is None else classifier.preprocessing
    ratio = 1.0 if surround == "none" else AUTO_RATIO if surround == "auto" else surround
    possible = 1.0  # what can be had
    if preprocessing is not None:
        possible = preprocessing.margins(ratio).ratio(preprocessing.crop)
    if not isinstance(surround, str) and possible < surround - 1e-6:
        _say_what_can_be_had(surround, possible, preprocessing)
    if source in SOURCES:
        if class_map is not None:
            raise ValueError(f"a class map is for folders of photographs; {source} has its labels already")
        images, labels = load_digits(str(source))
        index = stratified_subset(labels, limit or len(labels), seed)
        return ImageSet(images[index], labels[index], index)
    folder = user_path(source)
    if not folder.is_dir():
        problem = f"{folder} is a file" if folder.exists() else f"unknown images {str(source)!r}"
        raise ValueError(f"{problem}: give one of {', '.join(SOURCES)}, or a folder of class folders")
    folders, all_paths = find_photos(folder)
    filled = sorted({_class_folder(path) for path in all_paths})
    # Empty folders need no class, but without a classifier they count in the rank
    ranked = classifier is None and class_map is None
    logits = class_indices(folders if ranked else filled, classifier, class_map) if folders else {}
    labeled = bool(folders)
    if not labeled and class_map is not None:
        raise ValueError(f"a class map is for class folders, and {folder} has none")
    labels = torch.tensor([logits[_class_folder(path)] if labeled else -1 for path in all_paths])
    index = stratified_subset(labels, limit or len(labels), seed)
    paths = [all_paths[i] for i in index]
    reading: dict[str, Any] = {"skip_bad": skip_bad, "progress": progress, "workers": workers}
    canvases = None
    if classifier is not None and possible > 1:
        canvases, bad = read_canvases(folder, paths, classifier, ratio, **reading)
        images = canvases.crops
        if surround == "auto" and not canvases.shows_more:
            images, canvases = images.clone(), None
    else:
        images, bad = read_photos(folder, paths, classifier, **reading)
    kept = [i for i in range(len(paths)) if i not in bad]
    return ImageSet(
        images,
        labels[index[kept]],
        index[kept],
        tuple(paths[i] for i in kept),
        tuple(f"{paths[i]}: {reason}" for i, reason in bad.items()),
        canvases,
        labeled,
    )


def _say_what_can_be_had(surround: float, possible: float, preprocessing: Preprocessing | None) -> None:
    """Warn that canvases are smaller than asked for, or raise ValueError if there can be none."""
    if preprocessing is None or possible == 1:
        raise ValueError(
            f"surround is {surround:g}, but nothing is cropped: digits, photographs without preprocessing, "
            "and those that are resized to the size of the crop have no surround, so leave it out"
        )
    height, width = preprocessing.resize if isinstance(preprocessing.resize, tuple) else preprocessing.crop
    warnings.warn(
        f"surround is {surround:g}, but all photographs are resized to {height} x {width} before they are "
        f"cropped to {preprocessing.crop[0]} x {preprocessing.crop[1]}: canvases are {possible:.3g} times as "
        "large as the crop",
        stacklevel=3,
    )


def _same(images: Tensor, crops: Tensor) -> bool:
    """Return whether images are the crops: the same view of the canvases, or a copy."""
    if images.shape != crops.shape or images.dtype != crops.dtype:
        return False
    is_view = images.data_ptr() == crops.data_ptr() and images.stride() == crops.stride()
    return is_view or torch.equal(images, crops.to(images.device))


def _class_folder(path: str) -> str:
    return path.partition("/")[0]
