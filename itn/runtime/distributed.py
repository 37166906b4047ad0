"""One job on several processes: who does what, and how they share what they found.

torchrun starts the processes. All run the same program on the same images and draw the same random numbers;
what costs time, batches through the classifier, is done by one process each and told to the others. So all
know everything, in the order in which one process would have found it. The first alone writes and prints.
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


class _Team:
    """Whom this process works with."""

    group: dist.ProcessGroup | None = None
    local_only = False
    calls = 0
    """How often they have told each other something."""


_team = _Team()


def join() -> None:
    """Work together with the other processes that torchrun has started; without it, alone.

    Every process must then make the same calls of ``itn``, each with its classifier on its own GPU: whatever
    looks at images, ``itn.predict`` and ``itn.preflight`` too, waits for all. ``local_only`` is the way out.
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


def world_size() -> int:
    """Return how many processes work together."""
    return 1 if _team.group is None or _team.local_only else dist.get_world_size(_team.group)


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
def local_only() -> Iterator[None]:
    """Do by itself what a process does here, and tell no one."""
    before, _team.local_only = _team.local_only, True
    try:
        yield
    finally:
        _team.local_only = before


def map_batches(batches: Sequence[S], function: Callable[[S], T]) -> list[T]:
    """Return what a function makes of each batch, in their order; each batch is taken by one process.

    What it returns may hold tensors; among several processes all get them on the CPU.
    """
    if world_size() == 1:
        return [function(batch) for batch in batches]
    mine = batches[rank() :: world_size()]
    taken = gather(lambda: _on_cpu([function(batch) for batch in mine]))
    return [taken[number % world_size()][number // world_size()] for number in range(len(batches))]


def on_rank_zero(function: Callable[[], T]) -> T:
    """Return what a function returns in the first process, or raise what it raises there; others wait.

    What it returns may hold tensors; among several processes all get them on the CPU.
    """
    if world_size() == 1:
        return function()
    return cast(T, gather(lambda: _on_cpu(function()) if rank() == 0 else None)[0])


def gather(give: Callable[[], Any]) -> list[Any]:
    """Return what each process gives, by rank; raise in all what is raised in one."""
    own, error = None, None
    with local_only():
        try:
            own = give()
        except Exception as raised:
            error = raised
    _team.calls += 1
    message = _team.calls, own, None if error is None else _portable(error)
    taken: list[Any] = [None] * world_size()
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
