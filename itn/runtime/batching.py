"""Batches that fit into memory, divided among processes."""

import contextlib
import ctypes
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import torch

from itn.runtime.distributed import map_batches
from itn.runtime.errors import RunError, first_line

OUT_OF_MEMORY = (  # messages of errors other than torch.OutOfMemoryError that mean the same
    "can't allocate memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
TOO_LARGE = (  # what cuDNN says of too large a batch, and of what it cannot do at all
    "CUDNN_STATUS_NOT_SUPPORTED",
    "unable to find an engine to execute this computation",
)

T = TypeVar("T")


M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def keep_memory() -> None:
    """Let this process keep memory that it has freed, instead of returning it to the system each time.

    glibc returns blocks of more than 32 MiB as soon as they are freed. Activations of photographs are such
    blocks, and mapping them again costs more than a small network's own work on a CPU: efficientnet-lite0
    on 64 images of 224 pixels takes 1.3 instead of 3.2 s on one thread. Other systems than Linux ignore this.
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1)):
            mallopt(parameter, value)


class _Failed(NamedTuple):
    """A batch that may fit if it is smaller; not its error, whose traceback would keep the memory."""

    cause: str | None
    """What else may be wrong; None: memory is too small."""


def map_in_memory(n: int, batch_size: int, evaluate_batch: Callable[[slice], T]) -> tuple[list[T], int]:
    """Return the results of all batches of n images, in order, and the batch size that fitted into memory.

    Batches are halved until they fit; several processes divide them.

    Raises:
        RunError: If a single image does not fit.
    """
    while True:
        batches = [slice(start, start + batch_size) for start in range(0, n, batch_size)]
        results = map_batches(batches, partial(_attempt, evaluate_batch))
        complete = [result for result in results if not isinstance(result, _Failed)]
        if len(complete) == len(results):
            return complete, batch_size
        if min(n, batch_size) == 1:
            causes = [result.cause for result in results if isinstance(result, _Failed)]
            raise RunError(
                "memory is too small for a single image in a forward pass: free some of it"
                if causes[0] is None
                else f"a forward pass fails for a single image: {causes[0]}"
            )
        batch_size = min(n, batch_size) // 2


def _attempt(evaluate_batch: Callable[[slice], T], rows: slice) -> T | _Failed:
    try:
        return evaluate_batch(rows)
    except torch.OutOfMemoryError:
        return _Failed(None)
    except RuntimeError as error:
        if any(message in str(error) for message in OUT_OF_MEMORY):
            return _Failed(None)
        if any(message in str(error) for message in TOO_LARGE):
            return _Failed(first_line(error))
        raise
