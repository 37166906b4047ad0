"""One job on several processes: how they divide the work and exchange results.

torchrun starts the processes. All run the same program on the same images and draw the same random numbers.
The expensive part, batches through the classifier, is divided among them, and the results are gathered in
every process in the order in which a single process would compute them. Only rank 0 writes and prints.
"""

import contextlib
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

import torch.distributed as dist
from torch import Tensor

from itn.runtime.errors import RunError

T = TypeVar("T")
S = TypeVar("S")


class _State:
    """The process group of this process and how it is used."""

    group: dist.ProcessGroup | None = None
    local_only = False
    gathers = 0
    """Number of gathers so far; it must be the same in all processes."""


_state = _State()


def join_processes() -> None:
    """Work together with the other processes that torchrun has started; do nothing without torchrun.

    From then on every process must make the same calls of ``itn``, each with its classifier on its own GPU:
    every function that runs the classifier, such as ``itn.predict`` and ``itn.preflight``, waits for all
    processes. Inside ``local_only`` a process works by itself.
    """
    if _state.group is not None or int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return
    if not dist.is_initialized():
        dist.init_process_group("gloo")
    # Few and small Python objects are exchanged, so gloo (CPU to CPU) does, even with GPUs
    _state.group = cast(dist.ProcessGroup, dist.new_group(backend="gloo"))


def leave_processes() -> None:
    """Leave the process group: from now on this process works by itself."""
    if _state.group is not None:
        dist.destroy_process_group()
        _state.group = None


def world_size() -> int:
    """Return the number of processes that work together."""
    return 1 if _state.group is None or _state.local_only else dist.get_world_size(_state.group)


def rank() -> int:
    """Return the number of this process, from 0."""
    return 0 if _state.group is None else dist.get_rank(_state.group)


def local_rank() -> int:
    """Return the number of this process on its machine, from 0, as torchrun has started it."""
    return int(os.environ.get("LOCAL_RANK", "0"))


@contextlib.contextmanager
def local_only() -> Iterator[None]:
    """Run the block in this process alone, without exchanging anything with the others."""
    before, _state.local_only = _state.local_only, True
    try:
        yield
    finally:
        _state.local_only = before


def map_batches(batches: Sequence[S], function: Callable[[S], T]) -> list[T]:
    """Return the function's results for all batches, in order; each batch is computed by one process.

    Results may contain tensors; with several processes these arrive on the CPU.
    """
    if world_size() == 1:
        return [function(batch) for batch in batches]
    local_batches = batches[rank() :: world_size()]
    by_rank = gather(lambda: _to_cpu([function(batch) for batch in local_batches]))
    return [by_rank[number % world_size()][number // world_size()] for number in range(len(batches))]


def on_rank_zero(function: Callable[[], T]) -> T:
    """Call a function on rank 0 only, and return its result, or raise its exception, in every process.

    The result may contain tensors; with several processes these arrive on the CPU.
    """
    if world_size() == 1:
        return function()
    return cast(T, gather(lambda: _to_cpu(function()) if rank() == 0 else None)[0])


def gather(compute: Callable[[], Any]) -> list[Any]:
    """Return the results of all processes, by rank; an exception in one of them is raised in all."""
    result, error = None, None
    with local_only():
        try:
            result = compute()
        except Exception as raised:
            error = raised
    _state.gathers += 1
    message = _state.gathers, result, None if error is None else _picklable(error)
    messages: list[Any] = [None] * world_size()
    try:
        dist.all_gather_object(messages, message, group=_state.group)
    except RuntimeError as connection_error:
        if error is not None:
            raise error from None
        raise RunError(
            "another process of this run has ended: run the same command again to resume"
        ) from connection_error
    if error is not None:
        raise error
    if any(gathers != _state.gathers for gathers, _, _ in messages):
        raise RunError("the processes of this run are out of step: each must make the same calls of itn")
    for _, _, remote_error in messages:
        if remote_error is not None:
            raise remote_error
    return [remote_result for _, remote_result, _ in messages]


def _picklable(error: Exception) -> Exception:
    """Return the error itself if it survives pickling, otherwise a RunError with its message."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RunError(f"{type(error).__name__}: {error}")
    return error


def _to_cpu(value: Any) -> Any:
    """Move all tensors in nested dicts, lists and tuples to the CPU."""
    if isinstance(value, Tensor):
        return value.cpu()
    if isinstance(value, dict):
        return {key: _to_cpu(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [_to_cpu(item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value
