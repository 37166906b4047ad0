"""Where the committed results are that the documents quote, and what their figures are called in JSON."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PATHS = {  # where a file is
    "screening": "experiments/lenet5/screen/result.json",
    "screening_picture": "experiments/lenet5/screen/rotate.png",
    "sizes_jennings-cnn": "experiments/family_sizes/jennings-cnn/result.json",
    "sizes_lenet5": "experiments/family_sizes/lenet5/result.json",
    "sizes_resnet20": "experiments/family_sizes/resnet20/result.json",
    "sizes_resnet20-bilinear": "experiments/family_sizes/resnet20-bilinear/result.json",
    "sizes_picture": "experiments/family_sizes/jennings-cnn/families.png",
    "small_networks": "experiments/small_networks/result.json",
    "small_networks_picture": "experiments/small_networks/ratios.png",
    "per_class": "experiments/lenet5/per_class/result.json",
    "per_class_picture": "experiments/lenet5/per_class/families.png",
    "switched": "experiments/learned_invariances/result.json",
    "worst_case": "experiments/worst_case/lenet5/result.json",
    "worst_case_picture": "experiments/worst_case/lenet5/broken.png",
    "compare_networks": "experiments/compare_networks/digits/result.json",
    "resampling": "experiments/resampling/resnet20/result.json",
    "planted": "experiments/planted/result.json",
    "coverage": "experiments/threshold_coverage/result.json",
    "planted_picture": "experiments/planted/ranges.png",
    "floors": "benchmarks/results/floors.json",
    "rivals": "benchmarks/results/rivals.json",
    "kills": "benchmarks/results/kills.json",
    "kills_script": "benchmarks/kills.py",
    "damage": "benchmarks/results/damage.json",
    "damage_script": "benchmarks/damage.py",
    "labels": "benchmarks/results/labels.json",
    "labels_script": "benchmarks/labels.py",
    "checkpoints": "benchmarks/results/checkpoints.json",
    "checkpoints_script": "benchmarks/checkpoints.py",
    "benchmarks": "benchmarks/__main__.py",
}
KEYS = {  # what a figure is called in JSON
    "clean_accuracy": "clean_accuracy",
    "accuracy_uniform": "accuracy_uniform",
    "accuracy_full": "accuracy_full",
    "full_bound": "certificate.full.lower_bound",
    "clean_certified": "certificate.clean_accuracy",
    "tolerance": "certificate.tolerance",
    "color": "parts.color.displacement_full",
    "spatial": "parts.spatial.displacement_full",
    "shift": "parts.spatial.rms_shift_full",
    "color_matrix": "parts.color.matrix_full",
    "spatial_matrix": "parts.spatial.matrix_full",
    "baselines": "baselines",
    "class_bound": "worst.drop_upper_bound",
    "recoveries": "recoveries",
}
Record = Mapping[str, Any]


def path(name: str) -> Path:
    """Return where a file of PATHS is."""
    return ROOT / PATHS[name]


def read(name: str) -> Any:
    """Return the JSON of a result in PATHS."""
    return json.loads(path(name).read_text())


def link(name: str) -> str:
    """Return a file of PATHS as a document in docs/ links to it."""
    return os.path.relpath(path(name), ROOT / "docs")


def command(study: str) -> str:
    """Return the command line of a study, without options."""
    return f"python experiments {study}"


def value(record: Record, name: str) -> Any:
    """Return a figure of a record by its name in KEYS, or None where the record has none."""
    content: Any = record
    for key in KEYS[name].split("."):
        content = content.get(key) if isinstance(content, Mapping) else None
    return content
