"""What the benchmarks share: how long things take, side by side in one process."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch


def seconds(work: Callable[[], object]) -> float:
    """Return how long a call takes, including what it leaves to a GPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def processor_seconds(work: Callable[[], object]) -> float:
    """Return the processor time of a call, which other work on the machine lengthens little."""
    start = time.process_time()
    work()
    return time.process_time() - start


def alternate(
    work: Mapping[str, Callable[[], object]],
    repeats: int,
    warmup: int = 1,
    clock: Callable[[Callable[[], object]], float] = seconds,
) -> dict[str, list[float]]:
    """Return the seconds of each call, by name, made in turns so that all meet the same machine."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for repeat in range(warmup + repeats):
        for name, call in work.items():
            taken = clock(call)
            if repeat >= warmup:
                times[name].append(taken)
    return times


def ratio(times: Sequence[float], others: Sequence[float]) -> dict[str, float]:
    """Return the spread of the quotients of two series of repetitions."""
    return spread([one / other for one, other in zip(times, others, strict=True)])


def spread(values: Sequence[float], digits: int = 3) -> dict[str, float]:
    """Return the median of what repetitions have given, and its least and most."""
    summary = {"median": statistics.median(values), "least": min(values), "most": max(values)}
    return {name: round(value, digits) for name, value in summary.items()}
