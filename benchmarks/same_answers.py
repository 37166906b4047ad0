"""Compare the runs of two versions of itn: is every number of the old one in the new one, bit for bit?

    python benchmarks/same_answers.py OLD_RUNS NEW_RUNS --out benchmarks/results/same_answers.json

Both folders hold run folders of the same names, made by the same commands on one thread, the old ones at
the last commit with the old names. The functions below are the table of renamed keys. Settings and
provenance, which differ by design, are left out; so is what the new records have beside the old ones.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

Json = Any
PARTS = ("color", "spatial")
TABLES = ("curves", "flips", "softmax", "pairs")


def baseline(old: Json) -> Json:
    """Rename what was an axis."""
    return {
        "transform": old["transform"],
        "sign": old["sign"],
        "magnitude": old["certified_magnitude"],
        "displacement": old["certified_displacement"],
        "reached_bound": old["unbroken"],
        "estimated_magnitude": old["estimated_magnitude"],
        "estimated_displacement": old["estimated_displacement"],
        "evaluations": old["looks"],
    }


def baselines(old: Json) -> Json:
    """Rename the axes of all parts."""
    return {part: [baseline(axis) for axis in axes] for part, axes in old.items()}


def displacements(old: Json) -> Json:
    """Gather what stood beside each other by part."""
    by_part = {part: old[f"{part}_displacement"] for part in PARTS}
    return {part: value for part, value in by_part.items() if value is not None}


def calibration_point(old: Json) -> Json:
    """Rename a scale that was tried."""
    return {
        "scale": old["scale"],
        "break_rate_full": old["lost_at_corner"],
        "break_rate_worst": old["lost_at_worst"],
        "displacement_full": displacements(old),
    }


def certificate(old: Json) -> Json:
    """Nest the accuracies of a certificate."""
    return {
        **{name: old[name] for name in ("confidence", "tolerance", "images", "clean_accuracy")},
        "scale": old["family_scale"],
        "uniform": {"accuracy": old["accuracy"], "lower_bound": old["accuracy_lower_bound"]},
        "full": {"accuracy": old["corner_accuracy"], "lower_bound": old["corner_lower_bound"]},
        "searched": {
            "k": old["worst_k"],
            "accuracy": old["worst_k_accuracy"],
            "accuracy_per_image": old["worst_image_accuracy"],
        },
    }


def split(old: Json) -> Json:
    """Rename the training images."""
    return {{"learned": "training"}.get(name, name): value for name, value in old.items()}


def shifts(old: Json, part: str, *names: str) -> Json:
    """Rename the shifts of pixels, which the spatial part alone has."""
    olds = {"rms_shift_uniform": "spatial_rms_displacement"}
    olds["rms_shift_full"] = "spatial_rms_displacement_at_corner"
    return {name: old[olds[name]] if part == "spatial" else None for name in names}


def learned(old: Json) -> Json:
    """Rename the record of ``itn learn``."""
    parts = {
        part: {
            "displacement_uniform": old[f"{part}_displacement"],
            "displacement_full": old[f"{part}_displacement_at_corner"],
            **shifts(old, part, "rms_shift_uniform", "rms_shift_full"),
            "bound": old[f"{part}_bound"],
            "matrix_full": old[f"{part}_matrix_at_corner"],
            "decomposition_full": old[f"{part}_at_corner"],
            "angle": old["angle"][part],
            "range": old["ranges"][part],
        }
        for part in displacements(old)
    }
    points, ratios = old["calibration"], old["axis_ratio"]
    return {
        **{name: old[name] for name in ("objective", "tolerance", "clean_accuracy", "clean_accuracy_ci")},
        "accuracy_uniform": old["accuracy"],
        "accuracy_uniform_ci": old["accuracy_ci"],
        "accuracy_full": old["accuracy_at_corner"],
        "accuracy_full_ci": old["accuracy_at_corner_ci"],
        "parts": parts,
        "cross_entropy_share": old["cross_entropy_share"],
        "curves": [point | {"part": point["part"].replace("space", "spatial")} for point in old["curves"]],
        "certificate": old["certificate"] and certificate(old["certificate"]),
        "baselines": old["axes"] and baselines(old["axes"]),
        "headline": ratios,
        "calibration": points and [calibration_point(point) for point in points],
        "split": split(old["split"]),
    }


def learned_per_class(old: Json) -> Json:
    """Rename the record of ``itn learn --per-class``."""
    return {
        **{name: old[name] for name in ("objective", "tolerance", "clean_accuracy")},
        "accuracy_uniform": old["accuracy"],
        "accuracy_full": old["accuracy_at_corner"],
        "parts": {
            part: {
                "displacement_uniform": old[f"{part}_displacement"],
                "displacement_full": old[f"{part}_displacement_at_corner"],
                **shifts(old, part, "rms_shift_uniform"),
            }
            for part in displacements(old)
        },
        "certificate": certificate(old["certificate"]),
        "calibration": [calibration_point(point) for point in old["calibration"]],
        "classes": [class_family(family) for family in old["classes"]],
        "split": split(old["split"]),
    }


def class_family(old: Json) -> Json:
    """Rename the record of one class."""
    return {
        **{name: old[name] for name in ("label", "name", "images", "clean_accuracy")},
        "accuracy_uniform": old["accuracy"],
        "accuracy_full": old["accuracy_at_corner"],
        "searched": {"k": old["worst_k"], "accuracy": old["worst_k_accuracy"]},
        "break_rate_full": old["lost_at_corner"],
        "break_rate_upper_bound": old["tolerance"],
        "parts": {
            part: {
                "displacement_full": old[f"{part}_displacement_at_corner"],
                "matrix_full": old[f"{part}_matrix_at_corner"],
            }
            for part in PARTS
            if old[f"{part}_displacement_at_corner"] is not None
        },
        "baselines": baselines(old["axes"]),
    }


def screened(old: Json) -> Json:
    """Rename the record of ``itn screen``."""
    sweeps = {
        name: {{"islands": "recoveries"}.get(key, key): value for key, value in sweep.items()}
        for name, sweep in old["transforms"].items()
    }
    return {key: value for key, value in old.items() if key != "provenance"} | {"transforms": sweeps}


def step(old: Json) -> Json:
    """Rename a line of history.jsonl; what only the other objective reports, null, has no key any more."""
    names = {"lost": "break_rate", "price": "multiplier", "starts": "restarts"}
    kept = {
        names.get(key, key): value
        for key, value in old.items()
        if not key.endswith("_displacement") and value is not None
    }
    return kept | {"displacement": displacements(old)}


def differences(old: Json, new: Json, path: str = "") -> Iterator[str]:
    """Yield where the new content lacks or changes what the old one has."""
    if isinstance(old, Mapping):
        for key, value in old.items():
            if not isinstance(new, Mapping) or key not in new:
                yield f"{path}.{key} is missing"
            else:
                yield from differences(value, new[key], f"{path}.{key}")
    elif isinstance(old, list):
        if not isinstance(new, list) or len(old) != len(new):
            yield f"{path} has another length"
            return
        for number, pair in enumerate(zip(old, new, strict=True)):
            yield from differences(*pair, f"{path}[{number}]")
    elif old != new:
        yield f"{path}: {old!r}, now {new!r}"


def leaves(content: Json) -> int:
    """Return the number of values in nested content."""
    if isinstance(content, Mapping | list):
        return sum(map(leaves, content.values() if isinstance(content, Mapping) else content))
    return 1


def compare(old: Path, new: Path) -> tuple[int, list[str]]:
    """Return how many values of a run were compared, and the differences."""
    record, changed = (json.loads((run / "result.json").read_text()) for run in (old, new))
    rename: Callable[[Json], Json] = learned
    if "transforms" in record:
        rename = screened
    elif "classes" in record:
        rename = learned_per_class
    expected = rename(record)
    values, faults = leaves(expected), list(differences(expected, changed))
    if (old / "history.jsonl").exists():
        steps, now = (
            [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
            for run in (old, new)
        )
        expected = [step(line) for line in steps]
        values, faults = values + leaves(expected), [*faults, *differences(expected, now, "history")]
        weights, now = (load_file(run / "model.safetensors") for run in (old, new))
        weights = {name.replace("space.", "spatial."): value for name, value in weights.items()}
        values += sum(value.numel() for value in weights.values())
        faults += [
            f"weights {name}"
            for name in weights.keys() | now.keys()
            if not (name in weights and name in now and torch.equal(weights[name], now[name]))
        ]
    for table in (old / f"{name}.csv" for name in TABLES):
        if table.exists():
            text = table.read_text()
            values += text.count(",")
            faults += [] if text == (new / table.name).read_text() else [table.name]
    return values, faults


def main() -> int:
    """Compare all runs that both folders hold; return 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("old", type=Path, help="folder of runs at the old commit")
    parser.add_argument("new", type=Path, help="folder of the same runs at the new one")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    rows, faults = {}, []
    for new in sorted(path.parent for path in args.new.glob("*/result.json")):
        values, found = compare(args.old / new.name, new)
        rows[new.name] = {"values": values, "differing": len(found)}
        faults += [f"{new.name}: {fault}" for fault in found]
        print(f"{new.name}: {values:,} values, {len(found)} differ")
    print(*faults[:20], sep="\n")
    if args.out:
        args.out.write_text(json.dumps({"runs": rows}, indent=2) + "\n")
    return bool(faults) or not rows


if __name__ == "__main__":
    sys.exit(main())
