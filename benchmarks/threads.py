"""How the threads of a screen should wait for each other, on an idle machine and beside busy processes.

Command:   python benchmarks/threads.py
Machine:   any; 2 idle CPU cores, about 12 minutes
Writes:    benchmarks/results/threads.json
Published: none

The same ``itn screen`` runs with each policy, in turns, first alone and then beside processes that do nothing
but count. Policies are environment variables of libgomp, the OpenMP library of torch on Linux. ``passive`` is
what itn sets: a thread that waits sleeps. With the others it spins first: ``short`` for 3,000 rounds,
``unset`` for 300,000, a few milliseconds, which is what libgomp does by itself. The figure is the seconds
that timing.json calls screening. The files of all policies with as many threads are compared byte for byte.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from clock import ratio, spread

from itn.runtime.provenance import provenance
from itn.runtime.run_dir import content_of

RESULTS = Path(__file__).parent / "results" / "threads.json"
POLICIES = {
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
    "short": {"GOMP_SPINCOUNT": "3000"},
    "unset": {"GOMP_SPINCOUNT": "300000"},
}
ONE_THREAD = "one thread"
SCREEN = ("-m", "itn", "screen", "--model", "lenet5", "--device", "cpu")


def screen(policy: str, threads: int, options: tuple[str, ...], out: Path) -> float:
    """Screen with a policy; return the seconds of the passes and figures."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    chosen = POLICIES.get(policy, POLICIES["passive"])
    count = {"OMP_NUM_THREADS": str(1 if policy == ONE_THREAD else threads)}
    command = [sys.executable, *SCREEN, *options, "--out", str(out)]
    subprocess.run(command, env=ours | chosen | count, check=True, stdout=subprocess.DEVNULL)
    return float(json.loads((out / "timing.json").read_text())["seconds"]["screening"])


@contextlib.contextmanager
def neighbors(number: int) -> Iterator[None]:
    """Keep so many processes busy during the block."""
    code = f"import os\nwhile os.getppid() == {os.getpid()}: pass"  # none is left behind
    busy = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(number)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def measure(repetitions: int, threads: int, options: tuple[str, ...]) -> tuple[dict[str, list[float]], bool]:
    """Return the seconds of each policy, and whether all with as many threads have written the same files."""
    seconds: dict[str, list[float]] = {policy: [] for policy in (*POLICIES, ONE_THREAD)}
    first, same = None, True
    for repetition in range(repetitions):
        for policy, taken in seconds.items():
            with tempfile.TemporaryDirectory() as folder:
                taken.append(round(screen(policy, threads, options, Path(folder) / "run"), 2))
                if policy != ONE_THREAD:
                    content = content_of(Path(folder) / "run")
                    first = first or content
                    same = same and content == first
        latest = ", ".join(f"{policy} {taken[-1]:.1f} s" for policy, taken in seconds.items())
        print(f"  {repetition + 1}: {latest}", flush=True)
    return seconds, same


def summary(seconds: dict[str, list[float]]) -> dict[str, object]:
    """Return what is recorded of one condition."""
    return {
        "seconds": seconds,
        "spread": {policy: spread(taken) for policy, taken in seconds.items()},
        "over_passive": {
            policy: ratio(taken, seconds["passive"])
            for policy, taken in seconds.items()
            if policy != "passive"
        },
    }


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--limit", type=int, default=300, help="digits; default: %(default)s")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--neighbors", type=int, default=2, help="busy processes; default: %(default)s")
    parser.add_argument("--repetitions", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--smoke", action="store_true", help="only check that it runs, on few digits, once")
    parser.add_argument("--out", type=Path, default=RESULTS, help="default: benchmarks/results")
    args = parser.parse_args()
    few = ("--limit", "20", "--transforms", "rotate", "--magnitudes", "rotate=-30,30")
    options = few if args.smoke else ("--limit", str(args.limit))
    record: dict[str, object] = {
        "command": " ".join(("itn", *SCREEN[2:], *options)),
        "threads": args.threads,
        "busy_processes": args.neighbors,
    }
    same = []
    for condition, number in (("quiet", 0), ("busy", args.neighbors)):
        print(condition, flush=True)
        with neighbors(number):
            seconds, equal = measure(1 if args.smoke else args.repetitions, args.threads, options)
        record[condition] = summary(seconds)
        same.append(equal)
    record |= {"same_files": all(same), "provenance": provenance(torch.device("cpu"))}
    args.out.write_text(json.dumps(record, indent=1) + "\n")
    for condition in ("quiet", "busy"):
        print(condition, json.dumps(record[condition]["spread"]))  # type: ignore[index]
    print("same files" if all(same) else "OTHER FILES")


if __name__ == "__main__":
    main()
