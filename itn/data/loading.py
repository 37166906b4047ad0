"""Labeled images as uint8 tensors: MNIST, which is in the package, and folders of photographs."""

import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from itn.data.class_folders import Photos, find_photos, first_three, refuse_results
from itn.data.class_maps import ClassMap
from itn.data.class_names import class_indices, label_indices
from itn.data.decoding import read_canvases, read_photos
from itn.data.digits import SOURCES, load_digits
from itn.data.label_files import find_labeled
from itn.models.canvases import AUTO_RATIO, Canvases, SurroundSetting, check_surround
from itn.models.classifier import Classifier, as_classifier
from itn.models.preprocessing import Preprocessing
from itn.runtime.validation import user_path
from itn.stats import stratified_subset


class ImagesWarning(UserWarning):
    """Says what was left out of the images of a folder, or done to them unasked."""


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
    notes: tuple[str, ...] = ()
    """What was left out of a folder, or done to its images unasked, a sentence each."""
    folder: Path | None = None
    """The folder of the paths."""

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
    labels_file: str | Path | None = None,
    surround: SurroundSetting = "auto",
    background: str | None = None,
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
            labels, unless a file gives them: it can be given to what needs none, but does not unpack.
        classifier: Determines the channels, preprocessing and labels of photographs. None: RGB, all of one
            size, labeled by the rank of the folder's name.
        class_map: The class of each folder, if its name does not say so (see ``class_names.class_indices``):
            folder name -> logit or class name, or logit -> folder name, as a mapping or a JSON file; or a
            file of lines ``folder,class``, or of one folder name a line in the order of the logits.
        labels_file: A file of lines ``file,label`` that gives the class of each photograph in a folder, by
            its number or name; class folders are then none. With a class map, labels are looked up there.
        surround: What to keep of what photographs show beyond the classifier's crop, for geometric
            transformations to look at. "auto": canvases 1.5 times as high and wide as the crop, which take
            2.25 times its memory; a number: so many times; "none": nothing. Digits, photographs that no
            preprocessing crops, and with "auto" those that end with their crops, have no surround. Where
            photographs are resized to a height and a width, canvases are no larger than these; a warning
            says so if a number asks for more.
        background: Color that is seen through transparent pixels, such as "white" or "#808080". None: these
            have the color that is stored beneath, as in torchvision and timm.
        limit: Load a random subset of this many images, with the same share of every class; 0: all.
        seed: Seed of the subset.
        skip_bad: Leave out photographs that cannot be read, instead of raising; but not all of a class.
        progress: Show a bar while photographs are read; None: on a terminal only.
        workers: Number of threads that read photographs; None: one for each processor.

    Returns:
        The images with their labels and their origin; it unpacks into images, uint8, N x C x H x W, and
        labels, int64, N.

    Warns:
        ImagesWarning: If files were left out, class folders are empty, or transparent pixels are shown.

    Raises:
        ValueError: If the source is unknown, a file is damaged, a folder has no class, nothing of a class can
            be read, or photographs differ in size without preprocessing; the message names the file or
            folder. If the surround is a number above 1 and there can be none, or if canvases would fill more
            than a quarter of the memory.

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
        if class_map is not None or labels_file is not None:
            kind = "a class map is" if labels_file is None else "a file of labels is"
            raise ValueError(f"{kind} for folders of photographs; {source} has its labels already")
        images, labels = load_digits(str(source))
        index = stratified_subset(labels, limit or len(labels), seed)
        return ImageSet(images[index], labels[index], index)
    folder = user_path(source)
    photos, labels = _labeled_photos(folder, classifier, class_map, labels_file)
    index = stratified_subset(labels, limit or len(labels), seed)
    paths = [photos.paths[i] for i in index]
    reading: dict[str, Any] = {
        "background": background,
        "skip_bad": skip_bad,
        "progress": progress,
        "workers": workers,
    }
    canvases = None
    if classifier is not None and possible > 1:
        canvases, read = read_canvases(folder, paths, classifier, ratio, **reading)
        images = canvases.crops
        if surround == "auto" and not canvases.shows_more:
            images, canvases = images.clone(), None
    else:
        images, read = read_photos(folder, paths, classifier, **reading)
    kept = [i for i in range(len(paths)) if i not in read.bad]
    skipped = {i: f"{paths[i]}: {reason}" for i, reason in read.bad.items()}
    classes = [photos.classes[i] for i in index] if photos.classes else []
    _check_classes(classes, skipped)
    notes = [*photos.notes]
    if read.transparent and background is None:
        notes.append(
            f"images with transparent pixels: {read.transparent:,}; shown is the color stored beneath, as in "
            "torchvision and timm, unless there is a background such as white"
        )
    for note in notes:
        warnings.warn(f"{folder}: {note}", ImagesWarning, stacklevel=2)
    return ImageSet(
        images,
        labels[index[kept]],
        index[kept],
        tuple(paths[i] for i in kept),
        tuple(skipped.values()),
        canvases,
        bool(photos.classes),
        tuple(notes),
        folder,
    )


def _labeled_photos(
    folder: Path, classifier: Classifier | None, class_map: ClassMap | None, labels_file: str | Path | None
) -> tuple[Photos, Tensor]:
    """Return the photographs of a folder and their labels, -1 if there are none."""
    if not folder.is_dir():
        problem = f"{folder} is a file" if folder.exists() else f"unknown images {str(folder)!r}"
        raise ValueError(f"{problem}: give one of {', '.join(SOURCES)}, or a folder of class folders")
    refuse_results(folder)
    photos = find_photos(folder) if labels_file is None else find_labeled(folder, user_path(labels_file))
    if not photos.classes:
        if class_map is not None:
            raise ValueError(f"a class map is for class folders, and {folder} has none")
        return photos, torch.full((len(photos.paths),), -1)
    filled = sorted(set(photos.classes))
    if labels_file is not None:
        logits = label_indices(filled, str(labels_file), classifier, class_map)
    else:
        # Empty folders need no class, but without a classifier they count in the rank
        ranked = classifier is None and class_map is None
        logits = class_indices(photos.folders if ranked else filled, classifier, class_map)
    return photos, torch.tensor([logits[name] for name in photos.classes])


def _check_classes(classes: Sequence[str], skipped: Mapping[int, str]) -> None:
    """Raise ValueError if all images of a class were skipped; without labels there are no classes."""
    kept = {name for i, name in enumerate(classes) if i not in skipped}
    if vanished := sorted(set(classes) - kept):
        first = next(text for i, text in skipped.items() if classes[i] in vanished)
        raise ValueError(
            f"no image of {first_three(vanished)} that was taken can be read; the first, {first}: replace "
            "these images, or move these classes elsewhere"
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
