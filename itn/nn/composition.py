"""Transformers applied one after another, each driven by a k of its own."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from itn.functional import Surround, check_images, unit_float
from itn.nn.color_transformer import ColorTransformer
from itn.nn.control_head import check_controls
from itn.nn.rendering import render
from itn.nn.spatial_transformer import SpatialTransformer
from itn.nn.transformer import Transformer
from itn.runtime.wording import counted

Parts = Mapping[str, Transformer]
Controlled = Mapping[str, Transformer | None]
"""What each k drives; None: nothing."""


class Composition(nn.Module):
    """Transformations F(k1, k2, ...) of images: what a net learns, without the classifier.

    Args:
        color: The color transformer, None to leave colors unchanged; or a mapping from names to transformers,
            which are applied in its order.
        spatial: The spatial transformer, or None; not beside a mapping.
    """

    def __init__(
        self,
        color: ColorTransformer | Controlled | None = None,
        spatial: SpatialTransformer | None = None,
    ) -> None:
        super().__init__()
        if isinstance(color, Mapping):
            if spatial is not None:
                raise ValueError("give a mapping of transformers, or a color and a spatial one, not both")
            given: dict[str, Transformer | None] = dict(color)
        else:
            given = {ColorTransformer.part: color, SpatialTransformer.part: spatial}
        transformers = {name: _checked(name, part) for name, part in given.items() if part is not None}
        if not transformers:
            raise ValueError("nothing to learn: give a color transformer, a spatial one, or both")
        self.controls = tuple(given)
        """What each k drives, in the order of the arguments; some may be missing among the transformers."""
        self.transformers: nn.ModuleDict = nn.ModuleDict(transformers)

    @property
    def channels(self) -> int | None:
        """The number of channels that images must have; None: any that the transformers take."""
        return None

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the transformers, in the order in which they are applied."""
        return tuple(self.transformers)

    def part(self, name: str) -> Transformer:
        """Return one of the transformers."""
        transformer = self.transformers[name]
        assert isinstance(transformer, Transformer)
        return transformer

    @property
    def members(self) -> list[Transformer]:
        """The transformers, in the order in which they are applied."""
        return [self.part(name) for name in self.transformers]

    @property
    def only_ranges(self) -> bool:
        """Whether every transformer has a single parameter."""
        return all(transformer.single for transformer in self.members)

    def of_parts(self, ks: Sequence[Tensor]) -> list[Tensor]:
        """Return of the ks of all ``controls`` those that drive a transformer."""
        return [k for name, k in zip(self.controls, ks, strict=True) if name in self.transformers]

    def named(self, k: Tensor) -> dict[str, tuple[float, ...]]:
        """Return controls of all transformers, one after another, by the names of their ks, such as k2."""
        names = [f"k{list(self.controls).index(part) + 1}" for part in self.parts]
        return {
            name: tuple(of_part.tolist()) for name, of_part in zip(names, k.flatten().split(2), strict=True)
        }

    def driving(self, part: str, k: Tensor) -> list[Tensor]:
        """Return ks for ``transform`` that drive one part by k and leave the others unchanged."""
        return [k if name == part else 0 * k for name in self.controls]

    def generate(self, *ks: Tensor) -> list[Tensor]:
        """Return the parameters of each transformer for valid controls of each, B x 2, unchecked."""
        return [part.generate(k) for part, k in zip(self.members, ks, strict=True)]

    def render(
        self, images: Tensor, parameters: Sequence[Tensor], surround: Surround | None = None
    ) -> Tensor:
        """Return float images transformed by parameters of each transformer, unchecked, for inner loops.

        With a surround, images are canvases and the crops are returned; see ``itn.nn.rendering``.
        """
        return render(self.members, images, parameters, surround)

    def transform(
        self, images: Tensor, *ks: Tensor, surround: Surround | None = None, **named: Tensor
    ) -> Tensor:
        """Return F(k1, k2, ...) of the images: float in [0, 1], same shape.

        Args:
            images: B x C x H x W, uint8 or float in [0, 1]; with a surround canvases, B x C x H' x W'.
            ks: Controls of each transformer, (2,), (1, 2) or (B, 2), in [0, 1]; the first is that of color,
                the second that of space, also where one of them is missing. At 0 the images are returned bit
                for bit.
            surround: Where the crops, which are returned, lie in the canvases.
            named: The same by their names, k1, k2 and so on.

        Raises:
            ValueError: If images or controls are invalid, or the surround is not that of the canvases.
        """
        if not torch.compiler.is_compiling():
            check_images(images, self.channels)
        if surround is not None:
            surround.check(images)
        rows = [check_controls(torch.as_tensor(k)) for k in self._in_order(ks, named)]
        for name, k in zip(self.controls, rows, strict=True):
            if len(k) not in (1, len(images)):
                given = f"{counted(len(k), 'row')} for {counted(len(images), 'image')}"
                raise ValueError(f"k of {name} has {given}: give one row, or one per image")
        for part in self.members:
            part.check_frame(images.shape if surround is None else (*images.shape[:2], *surround.size))
        images = unit_float(images)
        used = [
            k.to(part.head.output.weight).expand(len(images), -1)
            for part, k in zip(self.members, self.of_parts(rows), strict=True)
        ]
        return self.render(images, self.generate(*used), surround).clamp(0, 1)

    def _in_order(self, ks: Sequence[Tensor], named: Mapping[str, Tensor]) -> list[Tensor]:
        """Return the ks of all controls, or raise ValueError."""
        names = [f"k{number}" for number in range(1, len(self.controls) + 1)]
        if len(ks) > len(names) or set(names[len(ks) :]) != set(named):
            expected = ", ".join(
                f"{name} ({control})" for name, control in zip(names, self.controls, strict=True)
            )
            given = ", ".join((*names[: len(ks)], *named)) or "none"
            raise ValueError(f"give a k for each part, {expected}; got {given}")
        return [*ks, *(named[name] for name in names[len(ks) :])]


def _checked(name: object, transformer: Transformer) -> Transformer:
    """Return a transformer of a net, or raise ValueError."""
    if not isinstance(transformer, Transformer):
        raise ValueError(f"{name} must be an itn.nn.Transformer, got {type(transformer).__name__}")
    if not isinstance(name, str):
        raise ValueError(f"names of transformers must be strings, got {name!r}")
    if not name.isidentifier() or hasattr(nn.ModuleDict, name):
        raise ValueError(f"{name!r} cannot name a transformer: give it a name like that of a variable")
    return transformer
