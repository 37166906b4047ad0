"""Batches that fit into memory, divided among processes."""

import contextlib
import ctypes
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch

from itn.runtime.distributed import map_batches
from itn.runtime.errors import RunError

OUT_OF_MEMORY = (  # messages of errors other than torch.OutOfMemoryError that mean the same
    "can't allocate memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_NOT_SUPPORTED",
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


def map_in_memory(n: int, batch_size: int, evaluate_batch: Callable[[slice], T]) -> tuple[list[T], int]:
    """Return the results of all batches of n images, in order, and the batch size that fitted into memory.

    Batches are halved until they fit; several processes divide them.

    Raises:
        RunError: If a single image does not fit.
    """
    while True:
        batches = [slice(start, start + batch_size) for start in range(0, n, batch_size)]
        results = map_batches(batches, partial(_none_if_out_of_memory, evaluate_batch))
        complete = [result for result in results if result is not None]
        if len(complete) == len(results):
            return complete, batch_size
        if min(n, batch_size) == 1:
            raise RunError("memory is too small for a single image in a forward pass: free some of it")
        batch_size = min(n, batch_size) // 2


def _none_if_out_of_memory(evaluate_batch: Callable[[slice], T], rows: slice) -> T | None:
    try:
        return evaluate_batch(rows)
    except torch.OutOfMemoryError:
        return None
    except RuntimeError as error:
        if not any(message in str(error) for message in OUT_OF_MEMORY):
            raise
        return None
