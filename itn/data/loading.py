"""Images as uint8 tensors, held once: MNIST inside the package, folders of photographs."""

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from itn.data.class_folders import ClassMap, class_indices, find_photos
from itn.data.decoding import read_photos
from itn.data.mnist import SOURCES, load_digits
from itn.models.classifier import Classifier
from itn.stats.sampling import stratified_subset


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Labelled images, and where each of them comes from."""

    images: Tensor
    """N x C x H x W, uint8."""
    labels: Tensor
    """N, int64."""
    index: Tensor
    """Position of each image in the whole source, int64, N, ascending."""
    paths: tuple[str, ...] = ()
    """Path of each image relative to the folder, with "/"; empty for the digits."""
    skipped: tuple[str, ...] = ()
    """"path: reason" of each image that was left out because it cannot be read."""


def load_images(
    source: str | Path = "mnist",
    classifier: Classifier | None = None,
    class_map: ClassMap | None = None,
    *,
    limit: int = 0,
    seed: int = 0,
    skip_bad: bool = False,
    progress: bool | None = None,
    workers: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Load a set of labelled images.

    Args:
        source: ``"mnist"`` (test set), ``"mnist:train"``, ``"mnist:heldout"`` (the last 10,000
            training digits and the test digits: what jennings-cnn and lenet5 were not trained on), or a
            folder that holds a folder of photographs for each class.
        classifier: Who is to see the photographs: its channels, its preprocessing and the order of its
            logits are given to them. None: RGB, all of one size, labelled by the rank of the folder's name.
        class_map: What the class folders mean to the classifier, if their names do not say so
            (``class_folders.class_indices`` tells which do): folder name -> logit or class name, as a
            mapping, a JSON file, or a file of lines ``folder,class``.
        limit: Load a random subset of this many images, with the same share of every class; 0: all.
        seed: Of the subset.
        skip_bad: Leave out photographs that cannot be read, instead of raising.
        progress: Show a bar while photographs are read; None: on a terminal only.
        workers: Threads that read photographs; None: one for each processor.

    Returns:
        Images, uint8, N x C x H x W in [0, 255], and labels, int64, N.

    Raises:
        ValueError: If the source is unknown, a file is damaged, a folder means no class, or photographs
            differ in size with nothing to make them equal; the message names the file or folder.

    Example:
        >>> images, labels = load_images("mnist")
        >>> images.shape, images.dtype
        (torch.Size([10000, 1, 28, 28]), torch.uint8)
    """
    loaded = read_images(
        source,
        classifier,
        class_map,
        limit=limit,
        seed=seed,
        skip_bad=skip_bad,
        progress=progress,
        workers=workers,
    )
    return loaded.images, loaded.labels


def read_images(
    source: str | Path = "mnist",
    classifier: Classifier | None = None,
    class_map: ClassMap | None = None,
    *,
    limit: int = 0,
    seed: int = 0,
    skip_bad: bool = False,
    progress: bool | None = None,
    workers: int | None = None,
) -> ImageSet:
    """``load_images`` that also tells which images these are; it takes the same arguments."""
    if limit < 0:
        raise ValueError(f"limit must be a number of images, or 0 for all, got {limit}")
    if source in SOURCES:
        if class_map is not None:
            raise ValueError(f"a class map is for folders of photographs; {source} has its labels already")
        images, labels = load_digits(str(source))
        index = stratified_subset(labels, limit or len(labels), seed)
        return ImageSet(images[index], labels[index], index)
    folder = Path(source)
    if not folder.is_dir():
        problem = f"{folder} is a file" if folder.exists() else f"unknown images {str(source)!r}"
        raise ValueError(f"{problem}: give one of {', '.join(SOURCES)}, or a folder of class folders")
    folders, found = find_photos(folder)
    holding = sorted({_class_folder(path) for path in found})
    # Empty folders need no class, but without a classifier they keep their rank
    ranked = classifier is None and class_map is None
    logits = class_indices(folders if ranked else holding, classifier, class_map)
    labels = torch.tensor([logits[_class_folder(path)] for path in found])
    index = stratified_subset(labels, limit or len(labels), seed)
    paths = [found[i] for i in index]
    images, bad = read_photos(
        folder, paths, classifier, skip_bad=skip_bad, progress=progress, workers=workers
    )
    kept = [i for i in range(len(paths)) if i not in bad]
    return ImageSet(
        images,
        labels[index[kept]],
        index[kept],
        tuple(paths[i] for i in kept),
        tuple(f"{paths[i]}: {reason}" for i, reason in bad.items()),
    )


def _class_folder(path: str) -> str:
    return path.partition("/")[0]
