"""Looking into a network: what each layer returns, and a table of its layers and parameters."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from itn.models.classifier import Classifier, first_line


def layer_outputs(net: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Return what every layer, that is every module without children, makes of images.

    The net computes in eval mode and without gradients; modes and hooks are afterwards as they were.

    Args:
        net: A classifier, whose layers are named as in the network that it wraps, or any module.
        images: B x C x H x W, moved to the device of the net: uint8 or float in [0, 1] for a classifier,
            normalised floats for any other module.

    Returns:
        Outputs by dotted name, in the order of execution, each a tensor of its own on the device of the
        net. A module that is called again appears as ``"name:2"``, then ``"name:3"``; one that returns
        something else than a tensor, or is never called, does not appear. A net without children is one
        layer with the name ``""``.

    Raises:
        ValueError: If a classifier does not take these images, or any other module is given integers.

    Example:
        >>> images, _ = itn.load_images("mnist", limit=20)
        >>> itn.layer_outputs(itn.load_classifier("lenet5"), images)["conv1"].shape
        torch.Size([20, 6, 28, 28])
    """
    if not isinstance(net, Classifier) and not images.is_floating_point():
        raise ValueError(
            f"a bare {type(net).__name__} takes normalised float images, got {images.dtype}: normalise them "
            "or wrap it in itn.Classifier"
        )
    outputs = {}

    def keep(name: str, _: nn.Module, output: Any) -> None:
        if isinstance(output, Tensor):
            outputs[name] = output.clone()  # a later layer may work in place

    _run(net, images.to(_like(net, images).device), keep)
    return outputs


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """A layer at one of its calls, or a parameter that belongs to no layer, such as a class token."""

    name: str
    """As in ``layer_outputs``; of a parameter, its dotted name."""
    kind: str
    """Name of the class."""
    output_shape: tuple[int, ...] | None
    """Without the batch; None if the output is no tensor, and of a parameter."""
    parameters: int
    """Number of entries, trainable or not; what layers share is counted where it occurs first."""


@dataclasses.dataclass(frozen=True)
class ModelSummary:
    """The layers of a network in the order of execution, and how many parameters it has; prints a table."""

    rows: tuple[LayerRow, ...]
    parameters: int
    """The sum over all rows."""
    trainable_parameters: int
    """Those of them that require gradients: none of a ``Classifier``."""

    def to_json(self) -> dict[str, Any]:
        """Return the summary as what json.dumps takes."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        cells = [("layer (type)", "output shape", "parameters")]
        for row in self.rows:
            shape = "-" if row.output_shape is None else " x ".join(map(str, row.output_shape))
            cells.append((f"{row.name} ({row.kind})".lstrip(), shape, f"{row.parameters:,}"))
        totals = [("total", "", f"{self.parameters:,}"), ("trainable", "", f"{self.trainable_parameters:,}")]
        first, second, third = (max(map(len, column)) for column in zip(*cells, *totals, strict=True))
        head, *body = [f"{a:<{first}}  {b:<{second}}  {c:>{third}}" for a, b, c in cells]
        rule = "-" * len(head)
        ends = [f"{a:<{first}}  {b:<{second}}  {c:>{third}}" for a, b, c in totals]
        return "\n".join([head, rule, *body, rule, *ends])


def model_summary(net: nn.Module, images_shape: tuple[int, int, int]) -> ModelSummary:
    """Return the layers of a network with their output shapes and numbers of parameters.

    The shapes are found by running the net once on zeros, as ``layer_outputs`` does.

    Args:
        net: A classifier or any other module.
        images_shape: Channels, height and width of the images that it takes.

    Raises:
        ValueError: If the shape is not three positive integers, or the net does not take such images.

    Example:
        >>> print(itn.model_summary(itn.load_classifier("lenet5"), (1, 28, 28)))
    """
    if len(images_shape) != 3 or min(images_shape) < 1:
        raise ValueError(
            f"images_shape is (channels, height, width), each at least 1, got {tuple(images_shape)}"
        )
    rows, counted = [], set[Tensor]()

    def count(name: str, module: nn.Module, output: Any) -> None:
        new = set(module.parameters()) - counted
        counted.update(new)
        shape = tuple(output.shape[1:]) if isinstance(output, Tensor) else None
        rows.append(LayerRow(name, type(module).__name__, shape, sum(p.numel() for p in new)))

    try:
        _run(net, _like(net, torch.zeros(())).new_zeros(1, *images_shape), count)
    except Exception as error:  # whatever a user's network raises
        size = "x".join(map(str, images_shape))
        raise ValueError(f"{type(net).__name__} cannot take images of {size}: {first_line(error)}") from None
    for name, parameter in _bare(net).named_parameters():
        if parameter not in counted:
            rows.append(LayerRow(name, type(parameter).__name__, None, parameter.numel()))
    parameters = list(net.parameters())
    return ModelSummary(
        tuple(rows),
        sum(p.numel() for p in parameters),
        sum(p.numel() for p in parameters if p.requires_grad),
    )


@torch.no_grad()
def _run(net: nn.Module, images: Tensor, see: Callable[[str, nn.Module, Any], None]) -> None:
    """Run a net in eval mode and show ``see`` the name, module and output of each layer when it returns."""
    calls = Counter[str]()

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def called(module: nn.Module, _: Any, output: Any) -> None:
            calls[name] += 1
            see(name if calls[name] == 1 else f"{name}:{calls[name]}", module, output)

        return called

    named = _bare(net).named_modules()
    layers = [(name, module) for name, module in named if next(module.children(), None) is None]
    modes = [(module, module.training) for module in net.modules()]
    hooks = [module.register_forward_hook(hook(name)) for name, module in layers]
    try:
        for module, _ in modes:
            module.training = False
        net(images)
    finally:
        for handle in hooks:
            handle.remove()
        for module, mode in modes:
            module.training = mode


def _bare(net: nn.Module) -> nn.Module:
    return net.net if isinstance(net, Classifier) else net


def _like(net: nn.Module, default: Tensor) -> Tensor:
    """Return a tensor on the device of a net and in its dtype; the default if it holds none."""
    return net.mean if isinstance(net, Classifier) else next(net.parameters(), default)
