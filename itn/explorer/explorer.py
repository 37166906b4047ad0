"""A classifier that is asked about one photograph under any transformations together."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from itn.explorer.changes import Changes, find_changes
from itn.explorer.composition import Composer
from itn.explorer.photograph import Photograph, PhotographReader
from itn.explorer.sliders import Slider, check_values, family_sliders, table_box, table_sliders
from itn.functional import PADDINGS
from itn.learning.load import load_net, read_settings
from itn.learning.results import LearnResult
from itn.models.canvases import SurroundSetting
from itn.models.checks import check_accept
from itn.models.classifier import Classifier, as_classifier
from itn.models.forward import not_finite, suitable_batch
from itn.models.preflight import preflight
from itn.nn import InvariantTransformerNet, Parts
from itn.runtime.batching import map_in_memory
from itn.runtime.validation import check_choice, require
from itn.transforms import TRANSFORMS, Transform
from itn.transforms.registry import find

TOP = 5  # answers that are shown

Run = str | Path | LearnResult
"""A learned family: the folder of its run, or what ``itn.learn`` returned."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a classifier says of one image."""

    picture: Tensor
    """The image, C x H x W, float in [0, 1]."""
    top: tuple[tuple[str, float], ...]
    """Up to five classes with the largest outputs, and their softmax, the largest first."""


class Explorer:
    """A frozen classifier and, if there is one, a learned family in front of it, moved by sliders.

    Args:
        classifier: The classifier; its device does the work.
        run: A run of ``itn.learn`` for it; None: only the transformations of the table.
        transforms: Names of the table, or transformations; None: all that are registered.
        padding: What lies outside the frame, or the photograph; None: that of the family, otherwise zeros.
        surround: What is looked at around the crop, as in ``itn.load_images``.
        background: Color that is seen through transparent pixels, as there.
        size: For a classifier without preprocessing: pixels to resize and crop photographs to; None: they are
            taken as they are.
        seed: Of the noise.
        accept: Checks of the preflight that do not refuse a photograph.
        label: Whose family, if the run has learned one for each class.
        transformers: Transformers of your own, by name, as the run was given them.

    Raises:
        ValueError: If a setting is out of its range, or the run cannot be read.

    Example:
        >>> explorer = Explorer(itn.load_classifier("lenet5"))
        >>> digit = Photograph(itn.load_images("mnist", limit=1).images)
        >>> explorer.answer(digit, {"rotate": 20, "zoom": 1.2}).top[0]
    """

    def __init__(
        self,
        classifier: nn.Module,
        run: Run | None = None,
        transforms: Sequence[str | Transform] | None = None,
        *,
        padding: str | None = None,
        surround: SurroundSetting = "auto",
        background: str | None = None,
        size: int | None = None,
        seed: int = 0,
        accept: Sequence[str] = (),
        label: int | None = None,
        transformers: Parts | None = None,
    ) -> None:
        self.classifier = as_classifier(classifier).with_copies()
        self.accept = check_accept(tuple(accept))
        self.reader = PhotographReader(self.classifier, surround, background, size)
        self.net = _family(run, self.classifier, label, transformers)
        self.notes = _notes(run, self.classifier)
        """What has to be said of the run, a sentence each."""
        box = table_box(_named(transforms))
        require(len(box) > 0, "there is nothing to move: name at least one transformation")
        self._composer = Composer(box, self.net, _padding(padding, self.net), seed, self.classifier.device)
        family = [] if self.net is None else family_sliders(self.net)
        self.sliders: dict[str, Slider] = {slider.name: slider for slider in (*table_sliders(box), *family)}
        """By their names, in the order of the table, then those of the family."""
        self._spatial = torch.tensor([slider.spatial for slider in self.sliders.values()])
        self._identity = torch.tensor(
            [slider.identity for slider in self.sliders.values()], dtype=torch.float64
        )
        self._checked = False

    @property
    def order(self) -> str:
        """In which order all of it is applied, in a sentence."""
        return self._composer.order()

    def read(self, file: bytes) -> Photograph:
        """Return the photograph that a file holds, if the classifier takes it; nothing is written.

        Raises:
            ValueError: If the file cannot be read, or the preflight finds that answers would be wrong.
        """
        photograph = self.reader.read(file)
        self.check(photograph)
        return photograph

    def check(self, photograph: Photograph) -> None:
        """Raise ValueError unless the classifier, and the family, take a photograph."""
        self._composer.check(photograph)
        if self._checked:
            return
        try:
            preflight(self.classifier, photograph.image, None, accept=self.accept)
        except ValueError as error:
            if self.reader.preprocessing is not None or "cannot take images" not in str(error):
                raise
            raise ValueError(
                f"{error}; it does not say how photographs are prepared: give its number of pixels, size=N"
            ) from None
        self._checked = True

    @torch.inference_mode()
    def answer(self, photograph: Photograph, values: Mapping[str, float] | None = None) -> Answer:
        """Return the photograph under the sliders, and what the classifier says of it.

        Args:
            photograph: The photograph.
            values: Of sliders, by name; all others are at their identity.

        Raises:
            ValueError: If a value is out of the range of its slider.
            RunError: If an output is not finite.
        """
        row = self._row(values or {})
        picture = self._transformed(photograph, row[None])
        softmax = self._logits(picture)[0].softmax(0)
        largest = softmax.topk(min(TOP, len(softmax)))
        names = map(self.classifier.class_name, largest.indices.tolist())
        return Answer(picture[0].cpu(), tuple(zip(names, largest.values.tolist(), strict=True)))

    @torch.inference_mode()
    def logits(self, photograph: Photograph, values: Mapping[str, float] | None = None) -> Tensor:
        """Return all outputs for the photograph under the sliders, K."""
        return self._logits(self._transformed(photograph, self._row(values or {})[None]))[0].cpu()

    @torch.inference_mode()
    def changes(
        self, photograph: Photograph, name: str, values: Mapping[str, float] | None = None
    ) -> Changes:
        """Find where the answer for this photograph changes along one slider, the others staying.

        Args:
            photograph: The photograph.
            name: The slider.
            values: Of the sliders; where that slider is does not matter, but is tried.

        Raises:
            ValueError: If there is no such slider, or a value is out of the range of its slider.
        """
        require(name in self.sliders, f"there is no slider {name!r}: there are {', '.join(self.sliders)}")
        row, number = self._row(values or {}), list(self.sliders).index(name)
        stored = photograph.image if photograph.canvases is None else photograph.canvases.pixels
        batch_size = suitable_batch(stored, self.classifier.device)

        def classify(along: Tensor) -> Tensor:
            rows = row.repeat(len(along), 1)
            rows[:, number] = along
            answers, _ = map_in_memory(
                len(rows),
                batch_size,
                lambda part: self._logits(self._transformed(photograph, rows[part])).argmax(1).cpu(),
            )
            return torch.cat(answers)

        return find_changes(classify, self.sliders[name], row[number].item(), self.classifier.class_name)

    def _row(self, values: Mapping[str, float]) -> Tensor:
        """Return the values of all sliders, float64."""
        check_values(self.sliders, values)
        row = self._identity.clone()
        for number, name in enumerate(self.sliders):
            if name in values:
                row[number] = values[name]
        return row

    def _transformed(self, photograph: Photograph, rows: Tensor) -> Tensor:
        """Return the photograph under values of all sliders, M x S, as M x C x H x W.

        Where nothing moves pixels, only the crop is looked at, as in a screen.
        """
        moved = ((rows != self._identity) & self._spatial).any(1)
        split = len(self._composer.box)
        images = None
        for around in (True, False):
            chosen = moved == around
            if chosen.any():
                given = rows[chosen]
                changed = self._composer.render(photograph, given[:, :split], given[:, split:], around)
                images = changed.new_empty(len(rows), *changed.shape[1:]) if images is None else images
                images[chosen.to(images.device)] = changed
        assert images is not None
        return images

    def _logits(self, images: Tensor) -> Tensor:
        logits = self.classifier.logits(images).float()
        if not logits.isfinite().all():
            raise not_finite(self.classifier)
        return logits


def _named(transforms: Sequence[str | Transform] | None) -> dict[str, Transform]:
    if transforms is None:
        return dict(TRANSFORMS)
    found = [find(each) if isinstance(each, str) else each for each in transforms]
    require(len({each.name for each in found}) == len(found), "transforms names one twice")
    return {each.name: each for each in found}


def _family(
    run: Run | None, classifier: Classifier, label: int | None, transformers: Parts | None
) -> InvariantTransformerNet | None:
    if isinstance(run, LearnResult):
        return run.net.eval()
    if run is None:
        require(label is None, "label chooses the family of a class: give the run too")
        return None
    return load_net(run, classifier, label, transformers).eval()


def _notes(run: Run | None, classifier: Classifier) -> tuple[str, ...]:
    """Return a sentence if a family was learned for other weights."""
    if run is None:
        return ()
    settings = run.settings if isinstance(run, LearnResult) else read_settings(run)
    learned_for = settings.get("classifier", {})
    if not learned_for or learned_for.get("sha256") == classifier.sha256():
        return ()
    return (f"The family was learned for other weights, those of {learned_for.get('name')}.",)


def _padding(given: str | None, net: InvariantTransformerNet | None) -> str:
    """Return what lies outside: what is given, or what the family that looks there was learned with."""
    if given is not None:
        check_choice("padding", given, PADDINGS)
    if net is None:
        return given or "zeros"
    learned = next((part.padding for part in net.members if part.takes_surround), None)
    require(
        learned is None or given in (None, learned),
        f"the family was learned with padding {learned}, got {given}: leave it out",
    )
    return given or learned or "zeros"
