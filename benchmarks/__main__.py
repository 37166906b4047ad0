"""All benchmarks, one after the other, and the table of their results.

Command:   python benchmarks            (pip install "itn[benchmark]" for the other packages)
           python benchmarks --table    (prints the table of the committed results, and writes README.md)
Machine:   any; 2 idle CPU cores, about 105 minutes
Writes:    benchmarks/results/: floors.json, processes.json, threads.json, rivals.json, growth.json; README.md
Published: nothing
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
Record = dict[str, Any]
_WORK = ("screening", "learning")


def table(results: Path) -> str:
    """Return a table from the JSON of all scripts that have been run."""
    rows = []
    for name, lines in LINES.items():
        path = results / f"{name}.json"
        measured = lines(json.loads(path.read_text())) if path.exists() else ()
        rows += [(what, value, f"`{name}.py`") for what, value in measured]
    return _markdown(("what", "measured", "by"), rows)


def _markdown(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ("---",) * len(header), *rows))


def _floors(record: Record) -> Iterator[tuple[str, str]]:
    for network in record.values():
        model, pixels, learning = network["model"], network["pixels"][-1], network["learning"]
        screened, learned = (f"{network[f'{what}_batch']} images of {pixels} px" for what in _WORK)
        ratios = {name: _spread(spread) for name, spread in learning["ratio"].items()}
        yield f"{model}, {screened}: screening over forward passes", _spread(network["screening"]["ratio"])
        yield f"{model}, {learned}: a step over a forward and backward pass", ratios["constrained"]
        run = f"{model}: all steps of a run and its choices between restarts, over as many of both passes"
        yield run, f"{learning['ratio_run']:.2f}"
        yield (
            f"{model}: a switched step for cross-entropy over a forward and backward pass",
            ratios["cross-entropy"],
        )
        yield f"{model}: a switched step for displacement over a forward pass", ratios["displacement"]
        compiled = network["compiled"]
        yield (
            f"{model}: plain over `--compile`, which first takes {compiled['seconds_before']:.0f} s",
            f"forward {_spread(compiled['forward'])}, with backward {_spread(compiled['backward'])}",
        )


def _processes(record: Record) -> Iterator[tuple[str, str]]:
    what = f"a screen on one process of one thread over {record['processes']} of them"
    yield what, _spread(record["speedup"])


def _threads(record: Record) -> Iterator[tuple[str, str]]:
    names = {"quiet": "alone", "busy": f"beside {record['busy_processes']} busy processes"}
    waits = {"unset": "that spin first, as is usual,", "short": "that spin for a short time"}
    for condition, where in names.items():
        ratios = record[condition]["over_passive"]
        for policy, how in waits.items():
            what = f"a screen on {record['threads']} threads {how} over passive ones, {where}"
            yield what, _spread(ratios[policy])
        what = f"a screen on one thread over {record['threads']} passive ones, {where}"
        yield what, _spread(ratios["one thread"])


def _rivals(record: Record) -> Iterator[tuple[str, str]]:
    captum, foolbox, sweeps = record["captum"], record["foolbox"], record["torchvision"]
    yield "Captum's MinParamPerturbation over itn: rotation thresholds", _spread(captum["captum_over_itn"])
    for grid, what in (("engstrom", "30 degrees, 3 px"), ("half", "15 degrees, 1.5 px")):
        ratio = _spread(foolbox[grid]["foolbox_over_itn"])
        yield f"foolbox's SpatialAttack over itn: grid of {what}", ratio
    for model, sweep in sweeps.items():
        if isinstance(sweep, dict) and "torchvision_over_itn" in sweep:
            whole = _spread(sweep["torchvision_over_itn_screen"])
            yield f"a loop over torchvision's functions over a whole `itn.screen`: {model}", whole
            yield f"the same over passes of itn: {model}", _medians(sweep["torchvision_over_itn"])
    corruptions = record["imagecorruptions"]
    for key, how in (("itn", "in a batch"), ("itn_one_at_a_time", "one at a time")):
        ratios = _medians(corruptions[f"imagecorruptions_over_{key}"])
        yield f"imagecorruptions, one image at a time, over itn, {how}", ratios
    for run, ratio in record.get("augerino", {}).get("itn_over_augerino", {}).items():
        value = "none: it certifies nothing" if ratio is None else f"{ratio:.2f}"
        yield f"certified displacement of itn over symmetric widths as Augerino's: {run}", value


def _growth(record: Record) -> Iterator[tuple[str, str]]:
    for name, growth in record["time"].items():
        sizes = list(growth["seconds"])
        yield f"growth of cost, {name} from {sizes[0]} to {sizes[-1]}", f"slope {growth['slope']:.2f}"
    for run in record["memory"]:
        what = f"peak memory of a screen: {run['model']}, {run['images']:,} images"
        yield f"{what}, {run['magnitudes']} magnitudes", f"{run['peak_mib']:,.0f} MiB"


def _parts(record: Record) -> Iterator[tuple[str, str]]:
    where = f"{record['model']}, {record['batch']} images of {record['pixels'][-1]} px"
    for names, over in record["over_backward"].items():
        yield f"{where}: a step with {names} over a forward and backward pass, processor time", _spread(over)


def _boxes(record: Record) -> Iterator[tuple[str, str]]:
    for run in record.values():
        where = f"{run['model']}, {run['images']} images of {run['pixels'][-1]} px"
        yield f"{where}: a search in a box over bare passes", _spread(run["ratio"]["search"])
        yield f"{where}: its passes alone over bare ones", _spread(run["ratio"]["passes"])


def _spread(ratio: Record) -> str:
    return f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})"


def _medians(ratios: dict[str, Record]) -> str:
    return ", ".join(f"{name} {ratio['median']:.2f}" for name, ratio in ratios.items())


LINES = {
    "floors": _floors,
    "processes": _processes,
    "threads": _threads,
    "rivals": _rivals,
    "growth": _growth,
    "parts": _parts,
    "boxes": _boxes,
}


SCRIPTS = (
    ("floors.py", "screening and learning over the bare classifier on the same batches", "20"),
    ("processes.py", "how much faster two processes screen than one", "10"),
    ("threads.py", "how threads should wait for each other, alone and beside busy processes", "12"),
    ("rivals.py", "Captum, foolbox, torchvision, imagecorruptions, and a learner like Augerino", "40"),
    ("growth.py", "how time and memory grow with images, magnitudes, pixels and steps", "10"),
    ("architectures.py", "what the preflight finds in networks that are in order, and what it costs", "15"),
    ("operations.py", "what each transformation of the table costs beside a forward pass", "3"),
    ("parts.py", "what a learning step costs with each part that a run can name", "10"),
    ("boxes.py", "what a search for the worst case in a box costs over its own forward passes", "5"),
    ("kills.py", "runs killed at random moments and continued", "30"),
    ("damage.py", "commands on damaged inputs and on damaged unfinished runs", "15"),
    ("labels.py", "class maps and files of labels as people write them, intact and spoiled", "2"),
    ("checkpoints.py", "files of weights as trainers, accidents and attackers write them", "2"),
    ("device.py", "what a GPU has to show, in a file of its own; --quick rehearses on a CPU", "8"),
)


def readme(results: Path) -> str:
    """Return the text of README.md."""
    names = ("kills", "damage", "labels", "checkpoints")
    kills, damage, labels, checkpoints = (
        json.loads((results / f"{name}.json").read_text()) for name in names
    )
    runs = sum(command["runs"] for command in kills["commands"].values())
    abuse = (
        (
            f"runs ({'; '.join(kills['commands'])}) killed by SIGKILL, up to three times a run; "
            "then all files must equal those of an undisturbed run",
            f"{kills['kills']} kills of {runs} runs",
            f"{len(kills['missing_or_different'])}",
            "`kills.py`",
        ),
        (
            "photographs, digits, weights, class maps and files of unfinished runs truncated, emptied, "
            "overwritten, or with one bit flipped; no traceback, no half-written file",
            f"{damage['cases']:,} files",
            f"{len(damage['wrong'])}",
            "`damage.py`",
        ),
        (
            "class maps and files of labels in twelve forms and five encodings, a third of them intact; "
            "these are read as written, all others read or refused in one line",
            f"{labels['cases']:,} files",
            f"{len(labels['wrong'])}",
            "`labels.py`",
        ),
        (
            "checkpoints of every kind, intact, of wrong types, cyclic, damaged, or with code in them; what "
            "is intact is loaded, all else is loaded or refused in one line, and no code runs",
            f"{checkpoints['cases']:,} files",
            f"{len(checkpoints['wrong'])}",
            "`checkpoints.py`",
        ),
    )
    scripts = ((f"[{name}]({name})", what, minutes) for name, what, minutes in SCRIPTS)
    return f"""# Benchmarks and stress tests

Each script measures one thing and writes one file in [results/](results), with versions, threads and commit.

{_markdown(("script", "what it measures", "minutes"), scripts)}

```bash
python benchmarks            # floors, processes, threads, rivals and growth; pip install ".[benchmark]" first
python benchmarks/kills.py
python benchmarks/damage.py
python benchmarks/labels.py
python benchmarks/checkpoints.py
python benchmarks --table    # prints the table below from the committed results, and writes this file
```

Measured on 2 CPU cores with other work beside it. Ratios are of times in one run, in which both take turns:
the median, the least and the most of the repetitions. Digits are classified by shipped networks, random
pixels by resnet18 with random weights. Slopes are of logarithms: 1 is proportional. No GPU was measured;
`python benchmarks/floors.py --device cuda` would do it. `--add --seed N` adds more kills, or more files, to
the record that is there.

{table(results)}

{_markdown(("what was done", "cases", "missing, different or unhandled", "by"), abuse)}
"""


def main() -> None:
    """Be the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--table", action="store_true", help="only print the table, and write README.md")
    if not parser.parse_args().table:
        for name in LINES:
            print(f"{name}.py", flush=True)
            subprocess.run([sys.executable, HERE / f"{name}.py"], check=True)
    (HERE / "README.md").write_text(readme(RESULTS))
    print(table(RESULTS))


if __name__ == "__main__":
    main()
