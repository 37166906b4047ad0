"""Inspecting a network: the outputs of its layers, and a table of layers and parameters."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from itn.models.classifier import Classifier
from itn.runtime.errors import first_line
from itn.runtime.tables import text_table


def layer_outputs(net: nn.Module, images: Tensor) -> dict[str, Tensor]:
    """Return the output of every layer, that is of every module without children.

    The net runs in eval mode and without gradients; its modes and hooks are restored afterwards.

    Args:
        net: A classifier, whose layers have the names of the network that it wraps, or any module.
        images: B x C x H x W, moved to the device of the net: uint8 or float in [0, 1] for a classifier,
            normalized floats for any other module.

    Returns:
        Outputs by dotted name, in the order of execution, each a separate tensor on the device of the
        net. A module that is called again appears as ``"name:2"``, then ``"name:3"``; one that does not
        return a tensor, or is never called, does not appear. A net without children is one layer with
        the name ``""``.

    Raises:
        ValueError: If the images are invalid for a classifier, or of an integer type for any other module.

    Example:
        >>> images, _ = itn.load_images("mnist", limit=20)
        >>> itn.plotting.layer_outputs(itn.load_classifier("lenet5"), images)["conv1"].shape
        torch.Size([20, 6, 28, 28])
    """
    if not isinstance(net, Classifier) and not images.is_floating_point():
        raise ValueError(
            f"a bare {type(net).__name__} takes normalized float images, got {images.dtype}: normalize them "
            "or wrap it in itn.Classifier"
        )
    outputs = {}

    def keep(name: str, _: nn.Module, output: Any) -> None:
        if isinstance(output, Tensor):
            outputs[name] = output.clone()  # a later layer may work in place

    _run(net, images.to(_reference_tensor(net, images).device), keep)
    return outputs


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """One call of a layer, or a parameter that belongs to no layer, such as a class token."""

    name: str
    """As in ``layer_outputs``; for a parameter its dotted name."""
    kind: str
    """Class name."""
    output_shape: tuple[int, ...] | None
    """Without the batch dimension; None for a parameter or an output that is not a tensor."""
    parameters: int
    """Number of parameters, trainable or not; shared ones are counted where they occur first."""


@dataclasses.dataclass(frozen=True)
class ModelSummary:
    """The layers of a network in the order of execution, and its number of parameters; prints as a table."""

    rows: tuple[LayerRow, ...]
    parameters: int
    """The sum over all rows."""
    trainable_parameters: int
    """The number of them that require gradients: 0 for a ``Classifier``."""

    def to_json(self) -> dict[str, Any]:
        """Return the summary as plain data for json.dumps."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        rows = [
            (
                f"{row.name} ({row.kind})".lstrip(),
                "-" if row.output_shape is None else " x ".join(map(str, row.output_shape)),
                f"{row.parameters:,}",
            )
            for row in self.rows
        ]
        rows += [("total", "", f"{self.parameters:,}"), ("trainable", "", f"{self.trainable_parameters:,}")]
        return text_table(rows, ("layer (type)", "output shape", "parameters"), right=(2,), rule=True)


def model_summary(net: nn.Module, images_shape: tuple[int, int, int]) -> ModelSummary:
    """Return the layers of a network with their output shapes and numbers of parameters.

    The net runs once on zeros, as in ``layer_outputs``.

    Args:
        net: A classifier or any other module.
        images_shape: Channels, height and width of its images.

    Raises:
        ValueError: If the shape is not three positive integers, or the net rejects such images.

    Example:
        >>> print(itn.plotting.model_summary(itn.load_classifier("lenet5"), (1, 28, 28)))
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
        _run(net, _reference_tensor(net, torch.zeros(())).new_zeros(1, *images_shape), count)
    except Exception as error:  # whatever a user's network raises
        size = "x".join(map(str, images_shape))
        raise ValueError(f"{type(net).__name__} cannot take images of {size}: {first_line(error)}") from None
    for name, parameter in _unwrapped(net).named_parameters():
        if parameter not in counted:
            rows.append(LayerRow(name, type(parameter).__name__, None, parameter.numel()))
    parameters = list(net.parameters())
    return ModelSummary(
        tuple(rows),
        sum(p.numel() for p in parameters),
        sum(p.numel() for p in parameters if p.requires_grad),
    )


@torch.no_grad()
def _run(net: nn.Module, images: Tensor, record: Callable[[str, nn.Module, Any], None]) -> None:
    """Run a net in eval mode, and call ``record`` with the name, module and output of each layer call."""
    calls = Counter[str]()

    def hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def called(module: nn.Module, _: Any, output: Any) -> None:
            calls[name] += 1
            record(name if calls[name] == 1 else f"{name}:{calls[name]}", module, output)

        return called

    named = _unwrapped(net).named_modules()
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


def _unwrapped(net: nn.Module) -> nn.Module:
    return net.net if isinstance(net, Classifier) else net


def _reference_tensor(net: nn.Module, default: Tensor) -> Tensor:
    """Return a tensor with the device and dtype of a net, or the default if the net has no parameters."""
    return net.mean if isinstance(net, Classifier) else next(net.parameters(), default)
