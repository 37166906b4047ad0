"""Kill runs at random moments, continue them, and compare their files with those of undisturbed runs.

Command:   python benchmarks/kills.py
           python benchmarks/kills.py --add --seed 1    (200 more kills, added to the record that is there)
Machine:   any; 2 CPU cores, about 30 minutes
Writes:    benchmarks/results/kills.json
Published: none

Each command is run once to its end, and timed. Then it is started again and again, each time killed
(SIGKILL) at a moment drawn uniformly between its start and the time that a whole run takes; the same
command is repeated in the same folder, up to three kills, then until it ends. Every run is a fork of one
process that has loaded the package, which saves the seconds of the import. After each kill every file must
be whole; in the end all files but timing.json must equal those of the undisturbed run, byte for byte.
Checkpoints are written every 50 ms instead of every 5 s, so that many kills fall into one.
"""

import argparse
import json
import multiprocessing
import multiprocessing.context
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import load_file

import itn.cli.main
import itn.learning.run
import itn.learning.trainer
from itn.runtime.journal import Journal
from itn.runtime.provenance import provenance
from itn.runtime.run_dir import content_of, write_whole
from itn.runtime.run_files import JOURNAL, POINTS

RESULTS = Path(__file__).parent / "results" / "kills.json"
COMMANDS = {
    "learn": (
        *("learn", "--model", "lenet5", "--limit", "300", "--tolerance", "0.2", "--batch-size", "64"),
        *("--parts", "spatial", "--family", "rotation", "--steps", "100"),
    ),
    "learn, switched": (
        *("learn", "--model", "lenet5", "--limit", "300", "--objective", "switched"),
        *("--steps", "150", "--batch-size", "64"),
    ),
    "learn, named parts": (
        *("learn", "--model", "lenet5", "--limit", "300", "--tolerance", "0.2", "--batch-size", "64"),
        *("--parts", "tone,filter,homography", "--steps", "60"),
    ),
    "learn, per class": (
        *("learn", "--model", "lenet5", "--limit", "600", "--tolerance", "0.2", "--batch-size", "64"),
        *("--parts", "spatial", "--steps", "15", "--per-class"),
    ),
    "worst": ("worst", "--limit", "60", "--box", "rotate=-30:30,translate_x=-0.1:0.1,brightness=-0.2:0.2"),
    "screen": (
        *("screen", "--limit", "200", "--transforms", "rotate,noise", "--pair", "zoom,contrast"),
        *("--magnitudes", "rotate=-60:60:20", "--magnitudes", "noise=0.2,0.5"),
        *("--magnitudes", "zoom=0.7,1.4", "--magnitudes", "contrast=0.5,1.5"),
    ),
}
FORK = multiprocessing.get_context("fork")
Job = multiprocessing.context.ForkProcess
MOST = 3  # kills of one run
PHASES = {
    "": "between phases",  # killed while it wrote the name of the next
    "prepare": "preparing",
    "learn": "in its steps",
    "calibrate": "calibrating",
    "compare": "comparing",
    "evaluate": "evaluating",
}


def start(command: str, out: Path) -> Job:
    """Start a command that writes to a folder."""
    phase = _phase(out)
    phase.unlink(missing_ok=True)
    arguments = [*COMMANDS[command], "--device", "cpu", "--out", str(out)]
    job = FORK.Process(target=_run, args=(arguments, phase))
    job.start()
    return job


def _phase(out: Path) -> Path:
    """Return the file that says in which phase a run is, beside its folder."""
    return out.with_name(f"{out.name}-phase")


def _run(arguments: list[str], phase: Path) -> None:
    os.setsid()
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
        os.dup2(nowhere.fileno(), sys.stderr.fileno())
    torch.set_num_threads(1)
    itn.learning.trainer.CHECKPOINT_SECONDS = 0.05
    begin, train = Journal.phase, itn.learning.run.train

    def noted(journal: Journal, name: str, progress: bool | None) -> AbstractContextManager[None]:
        phase.write_text(name)
        return begin(journal, name, progress)

    def steps(*of_a_run: Any) -> None:
        phase.write_text("learn")
        train(*of_a_run)

    with mock.patch.object(Journal, "phase", noted), mock.patch("itn.learning.run.train", steps):
        sys.exit(itn.cli.main.main(arguments))


def finish(job: Job) -> str:
    """Wait for the end of a job; return how it has failed, or nothing."""
    job.join()
    return f"exit status {job.exitcode}" if job.exitcode else ""


READERS = {
    ".json": lambda path: json.loads(path.read_text()),
    ".npz": lambda path: dict(np.load(path)),
    ".pt": lambda path: torch.load(path, weights_only=True),
    ".safetensors": load_file,
    ".png": lambda path: Image.open(path).load(),
    ".csv": lambda path: path.read_text(),
}


def broken(folder: Path) -> list[str]:
    """Return the files that cannot be read; hidden ones are not yet files."""
    unreadable = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.name.startswith(".") and path.suffix in READERS:
            try:
                READERS[path.suffix](path)
            except Exception as error:  # whatever a reader says of half a file
                unreadable.append(f"{path.name}: {error}")
    return unreadable


def moment(folder: Path) -> str:
    """Return what a run was doing when it was killed, by the files that it has left, and its phase."""
    if (folder / "report.html").exists():
        return "after the last file"
    if (folder / "result.json").exists():
        return "reporting"
    if any(folder.glob("figures/*.png")):
        return "drawing"
    if (phase := _phase(folder)).exists():
        return PHASES[phase.read_text()]
    kept = (folder / name for name in (JOURNAL, POINTS))
    if any(folder.glob("checkpoint*")) or any(path.exists() for path in kept):
        return "at work"
    return "preparing" if folder.exists() else "starting"


def torment(
    command: str, whole: dict[str, bytes], length: float, draw: random.Random, most: int
) -> tuple[list[str], list[str]]:
    """Kill one run up to ``most`` times and let it end; return the moments, and what is wrong then."""
    moments: list[str] = []
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        while len(moments) < most and not (out / "result.json").exists():
            job = start(command, out)
            job.join(draw.uniform(0, length))
            if job.is_alive():
                job.kill()
                moments.append(moment(out))
            if (error := finish(job)) and job.exitcode != -signal.SIGKILL:
                return moments, [*wrong, f"does not continue: {error}"]
            wrong += broken(out)
        # The same command makes a report that is missing
        if not (out / "report.html").exists() and (error := finish(start(command, out))):
            return moments, [*wrong, f"does not continue: {error}"]
        left = content_of(out)
        # A run that is killed after its last file may leave what only an unfinished run needs, no other may
        late = moments[-1:] in (["reporting"], ["after the last file"])
        spared = (".itn", "checkpoint") if late else ()
        extra = {name for name in left.keys() - whole.keys() if not name.startswith(spared)}
        wrong += sorted(extra | {name for name in whole if left.get(name) != whole[name]})
    return moments, wrong


def options_of(parser: argparse.ArgumentParser, out: Path) -> argparse.Namespace:
    """Return the options of a script whose records add up, of which these are common to all."""
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn; default: %(default)s")
    parser.add_argument("--out", type=Path, default=out, help=f"default: benchmarks/results/{out.name}")
    parser.add_argument("--add", action="store_true", help="add to the record that is there, of other seeds")
    options = parser.parse_args()
    if options.add and options.seed in (seeds := [chunk["seed"] for chunk in _recorded(options.out)]):
        parser.error(f"the record has seeds {', '.join(map(str, seeds))} already: give another --seed")
    return options


def _recorded(out: Path) -> list[dict[str, Any]]:
    return json.loads(out.read_text())["chunks"] if out.exists() else []


def report(options: argparse.Namespace, record: dict[str, Any]) -> None:
    """Write the record of one seed, or add it to that of others, and print it."""
    chunk = {"seed": options.seed, "provenance": provenance(torch.device("cpu"))}
    record = record | {"chunks": [chunk]}
    if options.add and options.out.exists():
        record = added(json.loads(options.out.read_text()), record)
    write_whole(options.out, lambda path: path.write_text(json.dumps(record, indent=1) + "\n"))
    print(json.dumps({key: value for key, value in record.items() if key != "chunks"}, indent=1))


def added(before: Any, more: Any) -> Any:
    """Return the sum of two records: counts are added, lists joined; of times and texts the last is kept."""
    match before, more:
        case dict(), dict():
            both = before | more
            return {key: added(before.get(key), more.get(key)) for key in both}
        case (None, _) | (_, None):
            return more if before is None else before
        case (int(), int()) | (list(), list()):
            return before + more
    return more


def main() -> None:
    """Be the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="default: %(default)s")
    parser.add_argument(
        "--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS), help="default: all"
    )
    options = options_of(parser, RESULTS)
    draw = random.Random(options.seed)
    wholes, lengths = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for command in options.commands:
            clock = time.perf_counter()
            if error := finish(start(command, Path(folder) / command)):
                raise SystemExit(error)
            lengths[command] = time.perf_counter() - clock
            wholes[command] = content_of(Path(folder) / command)
    runs = dict.fromkeys(options.commands, 0)
    counts: dict[str, Counter[str]] = {command: Counter() for command in options.commands}
    wrong: list[str] = []
    while (left := options.kills - sum(moments.total() for moments in counts.values())) > 0:
        command = min(counts, key=lambda name: counts[name].total())
        moments, problems = torment(command, wholes[command], lengths[command], draw, min(MOST, left))
        counts[command].update(moments)
        wrong += [f"{command}, killed {', '.join(moments)}: {problem}" for problem in problems]
        runs[command] += 1
        print(f"{options.kills - left + len(moments)} of {options.kills} kills", file=sys.stderr)
    record = {
        "kills": sum(moments.total() for moments in counts.values()),
        "missing_or_different": wrong,
        "commands": {
            command: {
                "command": " ".join(("itn", *COMMANDS[command])),
                "runs": runs[command],
                "seconds_untouched": round(lengths[command], 1),
                "killed": dict(sorted(counts[command].items())),
            }
            for command in options.commands
        },
    }
    report(options, record)
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
