"""The transformations of the table and a learned family, composed so that nothing is resampled twice.

What moves no pixels comes first, that of the table before that of the family; then all that is spatial, the
table before the family, as one warp where they have matrices. That is the order of a box
(``itn.boxes``), into which a family is put.
"""

import torch
from torch import Tensor
from typing_extensions import override

from itn.boxes.box import Box
from itn.explorer.photograph import Photograph
from itn.explorer.sliders import moves_pixels
from itn.functional import Surround, unit_float
from itn.nn import Frame, InvariantTransformerNet, SpatialTransformer, Transformer
from itn.nn.rendering import render
from itn.screening.noise import noise_of_images


class TableColors(Transformer):
    """The transformations of a box that move no pixels, by their magnitudes."""

    def __init__(self, box: Box, padding: str, photograph: Photograph, seed: int) -> None:
        super().__init__(box.names, 1.0, 1, padding, torch.Generator())
        self.box, self.photograph, self.seed = box, photograph, seed

    @override
    def apply_parameters(self, images: Tensor, p: Tensor, frame: Frame) -> Tensor:
        for transform, v in zip(self.box.transforms, p.unbind(1), strict=True):
            if not transform.spatial and (v != transform.identity).any():
                noise = self._noise(images) if transform.random else None
                around = self._around(images)
                magnitudes = v.to(images.device, images.dtype)
                images = transform.apply(images, magnitudes, self.padding, noise, around)
        return images

    def _around(self, images: Tensor) -> Surround | None:
        """Return where the crops lie in images, if these are canvases."""
        if images.shape[-2:] == self.photograph.image.shape[-2:]:
            return None
        canvases = self.photograph.canvases
        assert canvases is not None
        boxes = canvases.surround.boxes.to(images.device).expand(len(images), 4)
        return canvases.surround._replace(boxes=boxes)

    def _noise(self, images: Tensor) -> Tensor:
        """Return the noise of the image, as a screen has it for its first; of a canvas with that inside."""
        index = torch.zeros(1, dtype=torch.int64)
        noise = noise_of_images(images[:1], index, self.seed)
        if (around := self._around(images)) is not None:
            crop = around.crops(noise)
            crop.copy_(noise_of_images(crop, index, self.seed))
        return noise


class TableWarp(SpatialTransformer):
    """The spatial transformations of a box as one matrix on a device, by their magnitudes."""

    def __init__(self, box: Box, padding: str, interpolation: str, device: torch.device) -> None:
        super().__init__(hidden=1, padding=padding, generator=torch.Generator(), interpolation=interpolation)
        self.box, self.device = box, device

    @override
    def matrix_from(self, p: Tensor, frame: Frame) -> Tensor:
        return self.box.matrix(p, frame.aspect).float().to(self.device)


class Composer:
    """Transforms a photograph by magnitudes of a box, and controls of a learned family.

    Args:
        box: The transformations of the table.
        net: The family; None: there is none.
        padding: What lies outside the photograph.
        seed: Of the noise.
        device: Does the work.
    """

    def __init__(
        self, box: Box, net: InvariantTransformerNet | None, padding: str, seed: int, device: torch.device
    ) -> None:
        self.box, self.net, self.padding, self.seed, self.device = box, net, padding, seed, device
        self.before: list[Transformer] = []
        """The parts of the family that come before the warp of the table."""
        self.after: list[Transformer] = []
        for name in () if net is None else net.parts:
            assert net is not None
            last = self.after if self.after or moves_pixels(net, name) else self.before
            last.append(net.part(name))
        sampling = [] if net is None else [p.interpolation for p in net.members if p.takes_surround]
        # That of the family, so that both are one warp
        self._warp = TableWarp(box, padding, sampling[0] if sampling else "bilinear", device)

    def check(self, photograph: Photograph) -> None:
        """Raise ValueError unless the family takes images of this shape."""
        for part in (*self.before, *self.after):
            part.check_frame(photograph.image.shape)

    def render(self, photograph: Photograph, magnitudes: Tensor, controls: Tensor, surround: bool) -> Tensor:
        """Return a photograph transformed in M ways, M x C x H x W, float in [0, 1].

        Args:
            photograph: The photograph, on any device.
            magnitudes: Of the box, M x D, float64, on the CPU.
            controls: Of the parts of the family, one after the other, M x 2P, on the CPU.
            surround: Whether to look at what is known around it.
        """
        images, around = photograph.image, None
        if surround and photograph.canvases is not None:
            images, around = photograph.canvases.pixels, photograph.canvases.surround
            around = around._replace(boxes=around.boxes.to(self.device).expand(len(magnitudes), 4))
        images = unit_float(images.to(self.device)).expand(len(magnitudes), -1, -1, -1)
        colors = TableColors(self.box, self.padding, photograph, self.seed)
        parameters = [
            part.generate(k.float().to(part.head.bound))
            for part, k in zip((*self.before, *self.after), controls.split(2, 1), strict=False)
        ]
        number = len(self.before)
        return render(
            [colors, *self.before, self._warp, *self.after],
            images,
            [magnitudes, *parameters[:number], magnitudes, *parameters[number:]],
            around,
        ).clamp(0, 1)

    def order(self) -> str:
        """Return in which order all of it is applied, in a sentence."""
        table = [[t.name for t in self.box.transforms if t.spatial == spatial] for spatial in (False, True)]
        names = [] if self.net is None else list(self.net.parts)
        split = len(self.before)
        first, then = table[0] + names[:split], table[1] + names[split:]
        plain = all(self._warp.fuses_with(part) for part in self.after)
        steps = [", ".join(first)] if first else []
        if then:
            steps.append(("as a single warp, " if plain else "") + ", ".join(then))
        return f"Applied in this order: {'; then, '.join(steps)}."
