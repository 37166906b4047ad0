"""Differentiable functions whose rows are shared among processes, in pieces that fit into the memory."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from itn.runtime.batching import map_in_memory
from itn.runtime.distributed import gather, rank, world_size

T = TypeVar("T")


class ShardedForward:
    """Calls of differentiable functions whose rows are shared among processes, in pieces that fit.

    Where the rows of a process do not fit into its memory at once, they go in halves, also in later calls,
    and each piece is computed again on the way back instead of being kept.
    """

    def __init__(self) -> None:
        self.at_once: int | None = None
        """How many rows are computed at once, at most; None: all that a process has."""
        self.last: int | None = None
        """How many were in one piece of the last call."""

    def __call__(self, function: Callable[..., Tensor], *inputs: Tensor | None) -> Tensor:
        """Return function(*inputs), once differentiable.

        Args:
            function: From tensors with B rows each, or None, to a tensor with B rows; a row depends on the
                same row of the inputs alone, and on all that want a gradient.
            inputs: Tensors with B rows; they must not change before the gradient is there.

        Raises:
            RunError: If a single row does not fit into the memory.
        """
        learned = any(each is not None and each.requires_grad for each in inputs)
        found: Tensor = _Sharded.apply(self, function, learned and torch.is_grad_enabled(), *inputs)
        return found


class _Sharded(torch.autograd.Function):
    """Forward and backward of some rows; both directions tell the others."""

    @staticmethod
    def forward(
        ctx: Any, rows: ShardedForward, function: Callable[..., Tensor], learns: bool, *inputs: Tensor | None
    ) -> Tensor:
        given = next(each for each in inputs if each is not None)
        parts = torch.arange(len(given)).tensor_split(world_size())
        own = parts[rank() % len(parts)]  # alone there is one part
        own = own if len(own) else parts[0]  # more processes than rows
        ctx.rows, ctx.function, ctx.parts, ctx.own = rows, function, parts, own
        ctx.inputs = [None if each is None else each.detach()[_of(own, each)] for each in inputs]
        ctx.wanted = [each is not None and each.requires_grad for each in inputs]
        ctx.kept = []

        def look(some: slice) -> Tensor:
            keeps = learns and some.stop - some.start >= len(own)
            with torch.set_grad_enabled(keeps):
                found = _piece(ctx, some)
            if keeps:
                ctx.kept = [found]
            return found[1].detach()

        (found,) = _rows_of_all(lambda: [torch.cat(_fitting(ctx, look))], parts)
        return found.to(given.device)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad = grads[0][_of(ctx.own, grads[0])]

        def look(some: slice) -> tuple[Tensor, ...]:
            with torch.enable_grad():
                inputs, found = ctx.kept.pop() if ctx.kept else _piece(ctx, some)
            return torch.autograd.grad(found, inputs, grad[some])

        found = _rows_of_all(
            lambda: [torch.cat(each) for each in zip(*_fitting(ctx, look), strict=True)], ctx.parts
        )
        whole = iter(found)
        return None, None, None, *(next(whole).to(grad.device) if each else None for each in ctx.wanted)


def _of(own: Tensor, rows: Tensor) -> Tensor | slice:
    """Return an index of some rows, which copies nothing if these are all."""
    return slice(None) if len(own) == len(rows) else own.to(rows.device)


def _piece(ctx: Any, rows: slice) -> tuple[list[Tensor], Tensor]:
    """Return the inputs that gradients are wanted for, and what the function makes of some rows."""
    inputs = [
        None if each is None else each[rows].detach().requires_grad_(wanted and torch.is_grad_enabled())
        for each, wanted in zip(ctx.inputs, ctx.wanted, strict=True)
    ]
    wanted = [each for each in inputs if each is not None and each.requires_grad]
    return wanted, ctx.function(*inputs)


def _fitting(ctx: Any, look: Callable[[slice], T]) -> list[T]:
    """Return what is seen in pieces that fit into the memory, and remember their size."""
    size = len(ctx.own) if ctx.kept else ctx.rows.at_once or len(ctx.own)
    found, fitting = map_in_memory(len(ctx.own), size, look)
    if fitting < size:
        ctx.rows.at_once = fitting
    ctx.rows.last = min(fitting, len(ctx.own))
    return found


def _rows_of_all(own: Callable[[], Sequence[Tensor]], parts: Sequence[Tensor]) -> Sequence[Tensor]:
    """Return the rows of all processes, of each tensor that a process has some of."""
    if world_size() == 1:
        return own()
    taken = gather(lambda: [rows.cpu() for rows in own()])
    filled = [each for each, part in zip(taken, parts, strict=True) if len(part)]
    return [torch.cat(rows) for rows in zip(*filled, strict=True)]
