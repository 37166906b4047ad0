"""How much faster several processes screen than one, one thread each.

Command:   python benchmarks/processes.py
Machine:   any; 2 idle CPU cores, about 10 minutes
Writes:    benchmarks/results/processes.json
Published: none

The same ``itn screen`` runs on one process and, started by torchrun, on several, in turns; a repetition's
figure is the ratio of the seconds that timing.json calls screening, with the figures that the first process
draws, and without the start of Python. The files of both are compared byte for byte.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from itn.runtime.provenance import provenance
from itn.runtime.run_dir import content_of

RESULTS = Path(__file__).parent / "results" / "processes.json"
SCREEN = ("-m", "itn", "screen", "--model", "jennings-cnn", "--limit", "10000", "--device", "cpu")
SWEPT = ("--transforms", "rotate,zoom,noise", "--out")


def screen(processes: int, out: Path) -> float:
    """Screen on so many processes; return the seconds of the passes and figures."""
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes))
    command = [sys.executable, *(torchrun if processes > 1 else ()), *SCREEN, *SWEPT, str(out)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return float(json.loads((out / "timing.json").read_text())["seconds"]["screening"])


def main() -> None:
    """Be the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--processes", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--repetitions", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS, help="default: benchmarks/results")
    options = parser.parse_args()
    pairs, same = [], True
    for repetition in range(options.repetitions):
        with tempfile.TemporaryDirectory() as folder:
            one, several = Path(folder) / "one", Path(folder) / "several"
            pairs.append((screen(1, one), screen(options.processes, several)))
            same = same and content_of(one) == content_of(several)
        print(f"{repetition + 1}: {pairs[-1][0]:.1f} s and {pairs[-1][1]:.1f} s")
    ratios = [alone / together for alone, together in pairs]
    record = {
        "command": " ".join(("itn", *SCREEN[2:], *SWEPT[:-1])),
        "processes": options.processes,
        "threads_each": 1,
        "seconds_alone": [round(alone, 2) for alone, _ in pairs],
        "seconds_together": [round(together, 2) for _, together in pairs],
        "speedup": {
            "median": round(statistics.median(ratios), 3),
            "least": round(min(ratios), 3),
            "most": round(max(ratios), 3),
        },
        "same_files": same,
        "provenance": provenance(torch.device("cpu")),
    }
    options.out.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record["speedup"]), "same files" if same else "OTHER FILES")


if __name__ == "__main__":
    main()
