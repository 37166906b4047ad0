"""All benchmarks, one after the other, and the README's table of what they found.

Command:   python experiments/benchmarks            (pip install "itn[benchmark]" for what is compared)
           python experiments/benchmarks --table    prints the table of the committed results alone
Machine:   any; 2 idle CPU cores, about an hour and a quarter
Writes:    experiments/results/: floors.json, rivals.json, growth.json, processes.json
Published: none
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results"
SCRIPTS = ("floors", "rivals", "growth", "processes")
Record = dict[str, Any]


def table(results: Path) -> str:
    """Return the rows of the README from the JSON of all scripts."""
    found = {name: json.loads((results / f"{name}.json").read_text()) for name in SCRIPTS}
    rows = [("what", "measured", "by")]
    for name, lines in (
        ("floors", _floors(found["floors"])),
        ("processes", _processes(found["processes"])),
        ("rivals", _rivals(found["rivals"])),
        ("growth", _growth(found["growth"])),
    ):
        rows += [(what, value, f"`{name}.py`") for what, value in lines]
    rows.insert(1, ("---",) * 3)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _floors(record: Record) -> Iterator[tuple[str, str]]:
    for network in record["networks"]:
        pixels = network["pixels"][-1]
        screening, learning = network["screening"], network["learning"]
        at = f"{network['model']}, {network['screening_batch']} images of {pixels} px"
        yield f"screening over bare forward passes: {at}", _spread(screening["ratio"])
        at = f"{network['model']}, {network['learning_batch']} images of {pixels} px"
        for name, what in (
            ("constrained", "a step of learning over bare forward and backward passes"),
            ("cross-entropy", "switched, a step for cross-entropy over the same"),
            ("displacement", "switched, a step for displacement over a bare forward pass"),
        ):
            yield f"{what}: {at}", _spread(learning["ratio"][name])
        yield f"all steps of a run, with the choice between starts: {at}", f"{learning['ratio_run']:.2f}"


def _processes(record: Record) -> Iterator[tuple[str, str]]:
    what = f"a screen on {record['processes']} processes of one thread, times as fast as on one"
    yield what, _spread(record["speedup"])


def _rivals(record: Record) -> Iterator[tuple[str, str]]:
    captum, foolbox, sweeps = record["captum"], record["foolbox"], record["torchvision"]
    yield "Captum MinParamPerturbation over itn: rotation thresholds", _spread(captum["captum_over_itn"])
    for grid, what in (("engstrom", "30 degrees, 3 px"), ("half", "15 degrees, 1.5 px")):
        each = foolbox[grid]
        yield f"foolbox SpatialAttack over itn: grid of {what}", _spread(each["foolbox_over_itn"])
    for model, each in sweeps.items():
        if isinstance(each, dict) and "torchvision_over_itn" in each:
            whole = _spread(each["torchvision_over_itn_screen"])
            yield f"a loop over torchvision's functions over a whole `itn.screen`: {model}", whole
            for name, ratio in each["torchvision_over_itn"].items():
                yield f"the same over passes of itn: {model}, {name}", _spread(ratio)
    for key, how in (("itn", "a batch"), ("itn_one_at_a_time", "one image")):
        for name, ratio in record["imagecorruptions"][f"imagecorruptions_over_{key}"].items():
            yield f"imagecorruptions one image at a time over itn {how} at a time: {name}", _spread(ratio)
    for run, ratio in record["augerino"]["itn_over_augerino"].items():
        value = "none: it certifies nothing" if ratio is None else f"{ratio:.2f}"
        yield f"certified displacement of itn over Augerino's symmetric widths: {run}", value


def _growth(record: Record) -> Iterator[tuple[str, str]]:
    for name, each in record["time"].items():
        sizes = list(each["seconds"])
        yield f"growth of cost, {name} from {sizes[0]} to {sizes[-1]}", f"slope {each['slope']:.2f}"
    for run in record["memory"]:
        what = f"peak memory of a screen: {run['model']}, {run['images']:,} images"
        yield f"{what}, {run['magnitudes']} magnitudes", f"{run['peak_mib']:,.0f} MiB"


def _spread(found: Record) -> str:
    return f"{found['median']:.2f} ({found['least']:.2f} to {found['most']:.2f})"


def main() -> None:
    """Be the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--table", action="store_true", help="measure nothing")
    if not parser.parse_args().table:
        for name in SCRIPTS:
            print(f"{name}.py", flush=True)
            subprocess.run([sys.executable, HERE / f"{name}.py"], check=True)
    print(table(RESULTS))


if __name__ == "__main__":
    main()
