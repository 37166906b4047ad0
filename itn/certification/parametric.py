"""Transformations driven by controls, and how they change a classifier's answers."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from itn.certification.criteria import Accuracy, Broken, Criterion
from itn.functional import Surround, crops_of
from itn.models.checked_images import CheckedImages
from itn.models.classifier import Classifier, among_first, check_topk
from itn.models.forward import Output, forward, not_finite
from itn.nn import CONTROLS, Composition, InvariantTransformerNet, SingleTransformation, Transformer
from itn.nn.rendering import render
from itn.runtime import distributed
from itn.runtime.batching import map_in_memory
from itn.runtime.journal import Journal


class ParametricTransform(NamedTuple):
    """A transformation driven by controls in [0, 1] that grows with a scale; at 0 nothing changes."""

    controls: int
    """Number of controls."""
    generate: Callable[[Tensor], Sequence[Tensor]]
    """From controls times scale, B x controls, to parameters: tensors with B rows."""
    apply: Callable[..., Tensor]
    """From float images and such tensors, one row for each image, to images; if there is a surround, from
    canvases, such tensors and the surround to crops."""

    @property
    def full_strength(self) -> Tensor:
        """All controls at 1, 1 x controls."""
        return torch.ones(1, self.controls)

    def judged_at(self, worst_k: Tensor) -> list[Tensor]:
        """Return the controls at which it has to hold: full strength, and the worst k if that is another."""
        full = self.full_strength
        return [full] if torch.equal(worst_k, full) else [full, worst_k]

    @classmethod
    def of_net(cls, net: Composition) -> "ParametricTransform":
        """Return a net as such a transformation; its controls are the ks of its parts, one after another."""
        return cls(CONTROLS * len(net.parts), lambda k: net.generate(*k.split(CONTROLS, 1)), net.render)

    @classmethod
    def of_single(cls, single: SingleTransformation) -> "ParametricTransform":
        """Return a single transformation; its one control is its scale."""

        def apply(images: Tensor, rows: Sequence[Tensor], surround: Surround | None = None) -> Tensor:
            if surround is not None and single.takes_surround:
                return single.apply(images, rows[0], surround)
            return single.apply(crops_of(images, surround), rows[0])

        return cls(1, lambda k: [single.generate(k[:, 0])], apply)

    @classmethod
    def of_parameter(cls, part: Transformer) -> "ParametricTransform":
        """Return a transformer with a single parameter; its one control is that parameter."""
        return cls(
            1,
            lambda k: [k],
            lambda images, rows, surround=None: render([part], images, rows, surround),
        )


class Outcomes(NamedTuple):
    """What became of N images under a transformation; on the CPU."""

    margins: Tensor
    """Above 0 where the criterion holds, float32, N."""
    change: Tensor
    """1 for images that have become worse by the criterion, -1 for better ones that count, or 0; int8, N."""
    right: Tensor
    """Whether the true class is among the first, bool, N."""
    same: Tensor
    """Whether the unchanged image's prediction is among the first, bool, N."""

    @classmethod
    def joined(cls, sets: "Sequence[Outcomes]") -> "Outcomes":
        """Return the outcomes of several sets of images, one after the other."""
        return cls(*map(torch.cat, zip(*sets, strict=True)))


class Count(NamedTuple):
    """How many of some images have changed."""

    broken: int
    """Have become worse."""
    mended: int
    """Have become better, and make up for it."""
    n: int
    """How many images these stand for."""

    @property
    def drop(self) -> float:
        """Share of broken images minus that of mended ones."""
        return (self.broken - self.mended) / self.n

    @classmethod
    def of(cls, change: Tensor) -> "Count":
        """Return the counts of changes, N numbers in {-1, 0, 1}."""
        return cls(int((change > 0).sum()), int((change < 0).sum()), len(change))


class EvaluationSet(NamedTuple):
    """Images and the classifier under study, to count what transformations change."""

    classifier: Classifier
    data: CheckedImages
    batch_size: int = 250
    """Images in one forward pass."""
    criterion: Criterion = Accuracy()
    """What counts as kept."""
    journal: Journal | None = None
    """Keeps what is evaluated."""
    topk: int = 1
    """How many of the largest logits count as predicted, in ``Outcomes``."""

    def part(self, index: Tensor) -> "EvaluationSet":
        """Return the images at an index tensor."""
        return self._replace(data=self.data.part(index))

    def spread(self, most: int) -> "EvaluationSet":
        """Return at most so many images, evenly spaced."""
        return self._replace(data=self.data.spread(most))

    @property
    def held(self) -> Tensor:
        """For which unchanged images the criterion holds, bool, N; only these can become worse."""
        return self.criterion.held(self.data.reference)

    @property
    def changeable(self) -> Tensor:
        """Which images can become worse, or better in a way that counts, bool, N."""
        return torch.ones_like(self.held) if self.criterion.mends else self.held

    def outcomes(self, transform: ParametricTransform, k: Tensor) -> Outcomes:
        """Return what becomes of all images.

        Args:
            transform: What to apply to them.
            k: Controls times scale, N x controls, or 1 x controls for all images.
        """

        def of_batch(output: Output, reference: Tensor, predictions: Tensor) -> Tensor:
            logits, labels = output.logits, output.labels
            return torch.stack(
                [
                    self.criterion.surrogate(logits, reference, labels).float(),
                    self._change(output, reference).float(),
                    among_first(logits, labels, self.topk).float(),
                    among_first(logits, predictions, self.topk).float(),
                ],
                1,
            )

        margins, change, right, same = self._once(lambda: self._map(transform, k, of_batch)).unbind(1)
        return Outcomes(margins, change.to(torch.int8), right.bool(), same.bool())

    def changes(self, transform: ParametricTransform, k: Tensor) -> Tensor:
        """Return how images change under controls times scale k, numbers in {-1, 0, 1}, int8, N."""
        return self._once(lambda: self._changes(transform, k))

    def recognized(self) -> Tensor:
        """Return whether the class of each unchanged image is among the first, bool, N."""
        if self.topk == 1:
            return self.data.clean
        nothing = ParametricTransform(1, lambda k: [k], lambda images, rows: images)
        return self.outcomes(nothing, torch.zeros(1, 1)).right

    def _change(self, output: Output, reference: Tensor) -> Tensor:
        """Return what the criterion says of each image of a batch; better ones only where they count."""
        change = self.criterion.change(output.logits, reference, output.labels)
        return change if self.criterion.mends else change.clamp_min(0)

    def _once(self, evaluate: Callable[[], Tensor]) -> Tensor:
        return evaluate() if self.journal is None else self.journal.once(evaluate)

    def _changes(self, transform: ParametricTransform, k: Tensor) -> Tensor:
        def of_batch(output: Output, reference: Tensor, predictions: Tensor) -> Tensor:
            return self._change(output, reference).to(torch.int8)

        result = torch.zeros(len(self.data), dtype=torch.int8)
        index = self.changeable.nonzero().flatten()
        if len(index):
            result[index] = self.part(index)._map(transform, k if len(k) == 1 else k[index], of_batch)
        return result

    @torch.inference_mode()
    def _map(
        self,
        transform: ParametricTransform,
        k: Tensor,
        function: Callable[[Output, Tensor, Tensor], Tensor],
    ) -> Tensor:
        """Return a function of the output, reference and clean predictions of transformed images, N rows."""
        parameters = transform.generate(k.to(self.classifier.device).expand(len(self.data), -1))

        def change(images: Tensor, rows: slice) -> Tensor:
            of_rows = [p[rows] for p in parameters]
            if self.data.canvases is None:
                return transform.apply(images, of_rows).clamp(0, 1)
            canvases, surround = self.data.with_surround(rows, images.device)
            return transform.apply(canvases, of_rows, surround).clamp(0, 1)

        def evaluate_batch(rows: slice) -> Tensor:
            output: Output = forward(self.classifier, self.data, rows, change)
            if not output.logits.isfinite().all():
                raise not_finite(self.classifier)
            reference, predictions = (
                known[rows].to(output.logits.device) for known in (self.data.reference, self.data.predictions)
            )
            return function(output, reference, predictions).cpu()

        return torch.cat(map_in_memory(len(self.data), self.batch_size, evaluate_batch)[0])

    def changes_at(self, transform: ParametricTransform, scale: float, worst_k: Tensor) -> Tensor:
        """Return how images change at a scale, at full strength and at the worst k, int8, 2 x N."""
        changes = [self.changes(transform, scale * k) for k in transform.judged_at(worst_k)]
        return torch.stack([changes[0], changes[-1]])

    def tally(self, transform: ParametricTransform, k: Tensor, enough: float = 1.0) -> Count:
        """Count what changes under controls times scale k, 1 x controls.

        As soon as the drop is certain to exceed ``enough``, no further image is evaluated; the counts are
        then estimates for all images. Those that can be mended come first: before, nothing is certain.
        """
        counts = self._once(lambda: torch.tensor(self._tally(transform, k, enough)))
        return Count(*counts.tolist())

    def _tally(self, transform: ParametricTransform, k: Tensor, enough: float) -> Count:
        random, held = torch.Generator().manual_seed(0), self.held
        wrong, right = (
            index[torch.randperm(len(index), generator=random)]
            for index in ((self.changeable & ~held).nonzero().flatten(), held.nonzero().flatten())
        )
        first = self._count(transform, k, wrong, None)
        # Where a criterion has its own idea of a change, others than these may be mended
        known = type(self.criterion).change is Criterion.change
        most = first.mended + enough * len(self.data) - first.broken if known else None
        then = self._count(transform, k, right, most)
        stands_for = len(right) / then.n if then.n else 1.0
        broken, mended = (round(stands_for * count) for count in then[:2])
        return Count(first.broken + broken, first.mended + mended, len(self.data))

    def _count(self, transform: ParametricTransform, k: Tensor, index: Tensor, most: float | None) -> Count:
        """Count changes of indexed images, in their order, until more than ``most`` are broken."""
        batches = [batch for batch in index.split(self.batch_size) if len(batch)]
        total = Count(0, 0, 0)

        def of_batch(index: Tensor) -> Count:
            return Count.of(self.part(index)._changes(transform, k))

        for start in range(0, len(batches), distributed.world_size()):
            together = batches[start : start + distributed.world_size()]
            for of_these in distributed.map_batches(together, of_batch):
                # Counted one after the other: several processes must stop where one would
                if most is None or total.broken <= most:
                    total = Count(*map(sum, zip(total, of_these, strict=True)))
            if most is not None and total.broken > most:
                break
        return total


@torch.inference_mode()
def remember(images: EvaluationSet) -> CheckedImages:
    """Return the images with what the criterion remembers of them unchanged.

    Raises:
        ValueError: If the criterion cannot be asked of so few classes.
    """
    data, criterion = images.data, images.criterion
    if (
        type(criterion) in (Accuracy, Broken) and str(criterion) == criterion.name
    ):  # known since the images were checked
        return data

    def evaluate_batch(rows: slice) -> Tensor:
        output = forward(images.classifier, data, rows, lambda images, rows: images)
        check_topk(max(images.topk, getattr(criterion, "topk", 1)), output.logits.shape[1])
        return criterion.reference(output.logits, output.labels).cpu()

    batches, _ = map_in_memory(len(data), images.batch_size, evaluate_batch)
    return dataclasses.replace(data, remembered=torch.cat(batches))


@torch.no_grad()
def rescale(net: Composition, scale: float) -> None:
    """Make a family at k what it was at k times the scale."""
    for part in net.members:
        part.head.output.weight.mul_(scale)


@torch.no_grad()
def parameters_full(net: Composition, scale: float = 1.0) -> dict[str, Tensor]:
    """Return the parameters of each part of a net at full strength times the scale, 1 x P."""
    k = [torch.full((1, CONTROLS), scale).to(part.head.output.weight) for part in net.members]
    return dict(zip(net.parts, net.generate(*k), strict=True))


@torch.no_grad()
def displacements_full(net: Composition, shape: Sequence[int], scale: float = 1.0) -> dict[str, float]:
    """Return the displacement of each part at full strength times the scale, for images of a shape."""
    return {
        part: net.part(part).displacement(p, net.part(part).frame(shape)).item()
        for part, p in parameters_full(net, scale).items()
    }


def classifier_of(net: InvariantTransformerNet) -> Classifier:
    """Return the classifier of a net that was made for one."""
    assert isinstance(net.classifier, Classifier)
    return net.classifier
