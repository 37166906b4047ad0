"""Transformations driven by controls, and which images they break."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from itn.certification.criteria import CRITERIA, Broken, Criterion
from itn.models.checked_images import CheckedImages
from itn.models.classifier import Classifier
from itn.models.forward import Output, forward
from itn.nn import CONTROLS, Composition, InvariantTransformerNet, SingleTransformation, Transformer
from itn.runtime import distributed
from itn.runtime.batching import map_in_memory
from itn.runtime.journal import Journal


class ParametricTransform(NamedTuple):
    """A transformation driven by controls in [0, 1] that grows with a scale; at 0 nothing changes."""

    controls: int
    """Number of controls."""
    generate: Callable[[Tensor], Sequence[Tensor]]
    """From controls times scale, B x controls, to parameters: tensors with B rows."""
    apply: Callable[[Tensor, Sequence[Tensor]], Tensor]
    """From float images and such tensors, one row for each image, to images."""

    @property
    def full_strength(self) -> Tensor:
        """All controls at 1, 1 x controls."""
        return torch.ones(1, self.controls)

    @classmethod
    def of_net(cls, net: Composition) -> "ParametricTransform":
        """Return a net as such a transformation; its controls are the ks of its parts, one after another."""
        return cls(CONTROLS * len(net.parts), lambda k: net.generate(*k.split(CONTROLS, 1)), net.render)

    @classmethod
    def of_single(cls, single: SingleTransformation) -> "ParametricTransform":
        """Return a single transformation; its one control is its scale."""
        return cls(
            1, lambda k: [single.generate(k[:, 0])], lambda images, rows: single.apply(images, rows[0])
        )

    @classmethod
    def of_parameter(cls, part: Transformer) -> "ParametricTransform":
        """Return a transformer with a single parameter; its one control is that parameter."""
        return cls(
            1,
            lambda k: [k],
            lambda images, rows: part.apply_parameters(images, rows[0], part.frame(images.shape)),
        )


class EvaluationSet(NamedTuple):
    """Images and the classifier under study, to count what transformations break."""

    classifier: Classifier
    data: CheckedImages
    batch_size: int = 250
    """Images in one forward pass."""
    criterion: Criterion = CRITERIA["broken"]
    """What counts as broken."""
    journal: Journal | None = None
    """Keeps what is evaluated."""

    def part(self, index: Tensor) -> "EvaluationSet":
        """Return the images at an index tensor."""
        return self._replace(data=self.data.part(index))

    def spread(self, most: int) -> "EvaluationSet":
        """Return at most so many images, evenly spaced."""
        return self._replace(data=self.data.spread(most))

    @property
    def held(self) -> Tensor:
        """For which unchanged images the criterion holds, bool, N; only these can break."""
        return self.criterion.held(self.data.reference)

    def margins(self, transform: ParametricTransform, k: Tensor) -> Tensor:
        """Return the margins of transformed images, N: above 0 the criterion holds.

        Args:
            transform: What to apply to them.
            k: Controls times scale, N x controls, or 1 x controls for all images.
        """
        return self._once(lambda: self._map(transform, k, self.criterion.surrogate))

    def broken(self, transform: ParametricTransform, k: Tensor) -> Tensor:
        """Return which images are broken under controls times scale k, bool, N."""
        return self._once(lambda: self._broken(transform, k))

    def _once(self, evaluate: Callable[[], Tensor]) -> Tensor:
        return evaluate() if self.journal is None else self.journal.once(evaluate)

    def _broken(self, transform: ParametricTransform, k: Tensor) -> Tensor:
        result = torch.zeros(len(self.data), dtype=torch.bool)
        held = self.held.nonzero().flatten()
        if len(held):
            images, of_held = self.part(held), k if len(k) == 1 else k[held]
            result[held] = images._map(transform, of_held, self.criterion.change) > 0
        return result

    @torch.inference_mode()
    def _map(
        self,
        transform: ParametricTransform,
        k: Tensor,
        function: Callable[[Tensor, Tensor, Tensor], Tensor],
    ) -> Tensor:
        """Return a function of logits, reference and labels of transformed images, N."""
        parameters = transform.generate(k.to(self.classifier.device).expand(len(self.data), -1))

        def change(images: Tensor, rows: slice) -> Tensor:
            return transform.apply(images, [p[rows] for p in parameters]).clamp(0, 1)

        def evaluate_batch(rows: slice) -> Tensor:
            output: Output = forward(self.classifier, self.data, rows, change)
            reference = self.data.reference[rows].to(output.logits.device)
            return function(output.logits, reference, output.labels).cpu()

        return torch.cat(map_in_memory(len(self.data), self.batch_size, evaluate_batch)[0])

    def broken_at(self, transform: ParametricTransform, scale: float, worst_k: Tensor) -> Tensor:
        """Return which images are broken at a scale, at full strength and at the worst k, bool, 2 x N."""
        ks = (transform.full_strength, worst_k)
        return torch.stack([self.broken(transform, scale * k) for k in ks])

    def break_rate(self, transform: ParametricTransform, k: Tensor, enough: float = 1.0) -> float:
        """Return the share of images that is broken under controls times scale k, 1 x controls.

        As soon as the share is certain to exceed ``enough``, no further image is evaluated, and what is
        returned is an estimate from those that were, drawn at random.
        """
        share = self._once(lambda: torch.tensor(self._break_rate(transform, k, enough), dtype=torch.float64))
        return share.item()

    def _break_rate(self, transform: ParametricTransform, k: Tensor, enough: float) -> float:
        n, held = len(self.data), self.held.nonzero().flatten()
        order = torch.randperm(len(held), generator=torch.Generator().manual_seed(0))
        batches = held[order].split(self.batch_size)
        breaks = evaluated = 0
        for start in range(0, len(batches), distributed.world_size()):
            together = batches[start : start + distributed.world_size()]
            counts = distributed.map_batches(
                together, lambda index: int(self.part(index)._broken(transform, k).sum())
            )
            # Counted one after the other: several processes must stop where one would
            for index, count in zip(together, counts, strict=True):
                if breaks <= enough * n:
                    breaks, evaluated = breaks + count, evaluated + len(index)
            if breaks > enough * n:
                break
        return breaks / max(1, evaluated) * len(held) / n


@torch.inference_mode()
def remember(images: EvaluationSet) -> CheckedImages:
    """Return the images with what the criterion remembers of them unchanged."""
    data, criterion = images.data, images.criterion
    if type(criterion).reference is Broken.reference:  # known since the images were checked
        return data

    def evaluate_batch(rows: slice) -> Tensor:
        output = forward(images.classifier, data, rows, lambda images, rows: images)
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
