"""Differentiable functions whose rows are divided among processes, in chunks that fit into memory."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from itn.runtime.batching import map_in_memory
from itn.runtime.distributed import gather, rank, world_size

T = TypeVar("T")


class ShardedForward:
    """Calls differentiable functions with their rows divided among processes, in chunks that fit into memory.

    Where the rows of a process do not fit into its memory at once, they are halved until they do, also in
    later calls, and the backward pass computes each chunk again instead of keeping its graph.

    Args:
        max_chunk: Rows that a process computes at once, at most; None: all of its rows, if they fit.
    """

    def __init__(self, max_chunk: int | None = None) -> None:
        self.max_chunk = max_chunk
        """Largest number of rows computed at once; None: all rows of a process."""
        self.last_chunk: int | None = None
        """Number of rows computed at once in the last call."""

    def __call__(self, function: Callable[..., Tensor], *inputs: Tensor | None) -> Tensor:
        """Return function(*inputs), once differentiable.

        Args:
            function: From tensors with B rows each, or None, to a tensor with B rows. Each output row depends
                only on the same row of the inputs. Every input that requires a gradient must be used.
            inputs: Tensors with B rows; they must not change before the backward pass.

        Raises:
            RunError: If a single row does not fit into memory.
        """
        differentiable = any(tensor is not None and tensor.requires_grad for tensor in inputs)
        output: Tensor = _Sharded.apply(self, function, differentiable and torch.is_grad_enabled(), *inputs)
        return output


class _Sharded(torch.autograd.Function):
    """Forward and backward of the local rows; both gather the rows of all processes."""

    @staticmethod
    def forward(
        ctx: Any,
        sharded: ShardedForward,
        function: Callable[..., Tensor],
        differentiable: bool,
        *inputs: Tensor | None,
    ) -> Tensor:
        first_input = next(tensor for tensor in inputs if tensor is not None)
        shards = torch.arange(len(first_input)).tensor_split(world_size())
        local_rows = shards[rank() % len(shards)]  # inside local_only there is one shard
        local_rows = local_rows if len(local_rows) else shards[0]  # more processes than rows
        ctx.sharded, ctx.function, ctx.shards, ctx.local_rows = sharded, function, shards, local_rows
        ctx.inputs = [
            None if tensor is None else tensor.detach()[_index(local_rows, tensor)] for tensor in inputs
        ]
        ctx.needs_grad = [tensor is not None and tensor.requires_grad for tensor in inputs]
        ctx.kept_graph = []

        def evaluate_chunk(rows: slice) -> Tensor:
            keeps_graph = differentiable and rows.stop - rows.start >= len(local_rows)
            with torch.set_grad_enabled(keeps_graph):
                graph = _evaluate(ctx, rows)
            if keeps_graph:
                ctx.kept_graph = [graph]
            return graph[1].detach()

        (output,) = _gather_rows(lambda: [torch.cat(_map_chunks(ctx, evaluate_chunk))], shards)
        return output.to(first_input.device)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *output_grads: Tensor) -> tuple[Tensor | None, ...]:
        output_grad = output_grads[0][_index(ctx.local_rows, output_grads[0])]

        def differentiate_chunk(rows: slice) -> tuple[Tensor, ...]:
            with torch.enable_grad():
                inputs, output = ctx.kept_graph.pop() if ctx.kept_graph else _evaluate(ctx, rows)
            return torch.autograd.grad(output, inputs, output_grad[rows])

        input_grads = iter(
            _gather_rows(
                lambda: [
                    torch.cat(chunks) for chunks in zip(*_map_chunks(ctx, differentiate_chunk), strict=True)
                ],
                ctx.shards,
            )
        )
        device = output_grad.device
        return None, None, None, *(next(input_grads).to(device) if n else None for n in ctx.needs_grad)


def _index(local_rows: Tensor, tensor: Tensor) -> Tensor | slice:
    """Return an index of the local rows of a tensor, which copies nothing if these are all."""
    return slice(None) if len(local_rows) == len(tensor) else local_rows.to(tensor.device)


def _evaluate(ctx: Any, rows: slice) -> tuple[list[Tensor], Tensor]:
    """Return the inputs that need gradients, and the function's output, for some rows."""
    inputs = [
        None if tensor is None else tensor[rows].detach().requires_grad_(needed and torch.is_grad_enabled())
        for tensor, needed in zip(ctx.inputs, ctx.needs_grad, strict=True)
    ]
    with_grad = [tensor for tensor in inputs if tensor is not None and tensor.requires_grad]
    return with_grad, ctx.function(*inputs)


def _map_chunks(ctx: Any, evaluate_chunk: Callable[[slice], T]) -> list[T]:
    """Return the results of all chunks of the local rows, and remember the size that fitted into memory."""
    count = len(ctx.local_rows)
    size = count if ctx.kept_graph else ctx.sharded.max_chunk or count
    results, fitting = map_in_memory(count, size, evaluate_chunk)
    if fitting < size:
        ctx.sharded.max_chunk = fitting
    ctx.sharded.last_chunk = min(fitting, count)
    return results


def _gather_rows(compute: Callable[[], Sequence[Tensor]], shards: Sequence[Tensor]) -> Sequence[Tensor]:
    """Return tensors with the rows of all processes; ``compute`` returns them with the local rows."""
    if world_size() == 1:
        return compute()
    by_rank = gather(lambda: [rows.cpu() for rows in compute()])
    filled = [tensors for tensors, shard in zip(by_rank, shards, strict=True) if len(shard)]
    return [torch.cat(rows) for rows in zip(*filled, strict=True)]
