"""Batches that fit into the memory, shared among processes."""

import contextlib
import ctypes
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch

from itn.runtime.distributed import map_batches
from itn.runtime.errors import RunError

SHORT = (  # how torch on a CPU and the libraries beneath it say that memory is short
    "can't allocate memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_NOT_SUPPORTED",
)

T = TypeVar("T")


M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h


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


def map_in_memory(n: int, size: int, look: Callable[[slice], T]) -> tuple[list[T], int]:
    """Return what is seen in each batch of n images, in order, and how many images were in one.

    Batches are halved until they fit into the memory; several processes share them.

    Raises:
        RunError: If a single image does not fit.
    """
    while True:
        batches = [slice(start, start + size) for start in range(0, n, size)]
        found = map_batches(batches, partial(_unless_short, look))
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
