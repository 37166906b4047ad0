"""One job on several processes: who does what, and how they share what they found.

torchrun starts the processes. All run the same program on the same images and draw the same random numbers;
what costs time, batches through the classifier, is done by one process each and told to the others. So all
know everything, in the order in which one process would have found it. The first alone writes and prints.
"""

import contextlib
import ctypes
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from itn.runtime.errors import RunError

SHORT = (  # how torch on a CPU and the libraries beneath it say that memory is short
    "can't allocate memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_NOT_SUPPORTED",
)
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h

T = TypeVar("T")
S = TypeVar("S")


class _Team:
    """Whom this process works with."""

    group: dist.ProcessGroup | None = None
    alone = False
    calls = 0
    """How often they have told each other something."""


_team = _Team()


def join() -> None:
    """Work together with the other processes that torchrun has started; without it, alone.

    Every process must then make the same calls of ``itn``, each with its classifier on its own GPU: whatever
    looks at images, ``itn.predict`` and ``itn.preflight`` too, waits for all. ``alone`` is the way out.
    """
    if _team.group is not None or int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return
    if not dist.is_initialized():
        dist.init_process_group("gloo")
    # Little is exchanged, and it is made of objects: also beside GPUs it goes from CPU to CPU
    _team.group = cast(dist.ProcessGroup, dist.new_group(backend="gloo"))


def leave() -> None:
    """Work alone from now on."""
    if _team.group is not None:
        dist.destroy_process_group()
        _team.group = None


def keep_memory() -> None:
    """Let this process keep the memory that it has used, instead of asking the system for it each time.

    glibc gives blocks of more than 32 MiB back as soon as they are free. Activations of photographs are such
    blocks, and mapping them anew costs more than a small network's own work on a CPU: efficientnet-lite0
    on 64 of 224 pixels takes 1.3 instead of 3.2 s on one thread. Elsewhere than on Linux this does nothing.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1)):
            mallopt(parameter, value)


def count() -> int:
    """Return how many processes work together."""
    return 1 if _team.group is None or _team.alone else dist.get_world_size(_team.group)


def rank() -> int:
    """Return the number of this process, from 0."""
    return 0 if _team.group is None else dist.get_rank(_team.group)


def bar_disabled(progress: bool | None) -> bool | None:
    """Return what tqdm is to be told; None shows a bar on a terminal only."""
    return True if rank() else None if progress is None else not progress


def local_rank() -> int:
    """Return the number of this process on its machine, from 0, as torchrun has started it."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Do by itself what a process does here, and tell no one."""
    before, _team.alone = _team.alone, True
    try:
        yield
    finally:
        _team.alone = before


def shared(batches: Sequence[S], function: Callable[[S], T]) -> list[T]:
    """Return what a function makes of each batch, in their order; each batch is taken by one process.

    What it returns may hold tensors; among several processes all get them on the CPU.
    """
    if count() == 1:
        return [function(batch) for batch in batches]
    mine = batches[rank() :: count()]
    taken = _agreed(lambda: _on_cpu([function(batch) for batch in mine]))
    return [taken[number % count()][number // count()] for number in range(len(batches))]


def in_batches(n: int, size: int, look: Callable[[slice], T]) -> tuple[list[T], int]:
    """Return what is seen in each batch of n images, in order, and how many images were in one.

    Batches are halved until they fit into the memory; several processes share them.

    Raises:
        RunError: If a single image does not fit.
    """
    while True:
        batches = [slice(start, start + size) for start in range(0, n, size)]
        found = shared(batches, partial(_unless_short, look))
        fitting = [each for each in found if each is not None]
        if len(fitting) == len(found):
            return fitting, size
        if min(n, size) == 1:
            raise RunError("the memory is too small for a single image in a forward pass: free some of it")
        size = min(n, size) // 2


def _unless_short(look: Callable[[slice], T], rows: slice) -> T | None:
    try:
        return look(rows)
    except torch.OutOfMemoryError:
        return None
    except RuntimeError as error:
        if not any(words in str(error) for words in SHORT):
            raise
        return None


def of_first(function: Callable[[], T]) -> T:
    """Return what a function returns in the first process, or raise what it raises there; others wait.

    What it returns may hold tensors; among several processes all get them on the CPU.
    """
    if count() == 1:
        return function()
    return cast(T, _agreed(lambda: _on_cpu(function()) if rank() == 0 else None)[0])


class Rows:
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
        found: Tensor = _OfRows.apply(self, function, learned and torch.is_grad_enabled(), *inputs)
        return found


class _OfRows(torch.autograd.Function):
    """Forward and backward of some rows; both directions tell the others."""

    @staticmethod
    def forward(
        ctx: Any, rows: Rows, function: Callable[..., Tensor], learns: bool, *inputs: Tensor | None
    ) -> Tensor:
        given = next(each for each in inputs if each is not None)
        parts = torch.arange(len(given)).tensor_split(count())
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
    found, fitting = in_batches(len(ctx.own), size, look)
    if fitting < size:
        ctx.rows.at_once = fitting
    ctx.rows.last = min(fitting, len(ctx.own))
    return found


def _rows_of_all(own: Callable[[], Sequence[Tensor]], parts: Sequence[Tensor]) -> Sequence[Tensor]:
    """Return the rows of all processes, of each tensor that a process has some of."""
    if count() == 1:
        return own()
    taken = _agreed(lambda: [rows.cpu() for rows in own()])
    filled = [each for each, part in zip(taken, parts, strict=True) if len(part)]
    return [torch.cat(rows) for rows in zip(*filled, strict=True)]


def _agreed(give: Callable[[], Any]) -> list[Any]:
    """Return what each process gives, by rank; raise in all what is raised in one."""
    own, error = None, None
    with alone():
        try:
            own = give()
        except Exception as raised:
            error = raised
    _team.calls += 1
    message = _team.calls, own, None if error is None else _portable(error)
    taken: list[Any] = [None] * count()
    try:
        dist.all_gather_object(taken, message, group=_team.group)
    except RuntimeError as lost:
        if error is not None:
            raise error from None
        raise RunError(
            "another process of this run has ended: the same command goes on from what is kept"
        ) from lost
    if error is not None:
        raise error
    if any(calls != _team.calls for calls, _, _ in taken):
        raise RunError("the processes of this run are out of step: each must make the same calls of itn")
    for _, _, elsewhere in taken:
        if elsewhere is not None:
            raise elsewhere
    return [given for _, given, _ in taken]


def _portable(error: Exception) -> Exception:
    """Return an error that other processes can raise."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RunError(f"{type(error).__name__}: {error}")
    return error


def _on_cpu(found: Any) -> Any:
    if isinstance(found, Tensor):
        return found.cpu()
    if isinstance(found, dict):
        return {key: _on_cpu(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        each = [_on_cpu(value) for value in found]
        return type(found)(*each) if hasattr(found, "_fields") else type(found)(each)
    return found
