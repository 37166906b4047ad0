"""Where the committed results are that the documents quote, and what their figures are called in JSON."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PATHS = {  # where a file is: today's place first, then its earlier one
    "screening": ("experiments/lenet5/screen/result.json", "experiments/results/screen-lenet5.json"),
    "screening_picture": ("experiments/lenet5/screen/rotate.png", "experiments/results/screen-rotate.png"),
    "learning": (
        "experiments/largest_family/result.json",
        "experiments/results/largest_family-switched/result.json",
    ),
    "learning_picture": (
        "experiments/largest_family/ratios.png",
        "experiments/results/largest_family-switched/ratios.png",
    ),
    "spatial_alone": (
        "experiments/largest_family/spatial/result.json",
        "experiments/results/largest_family-space/result.json",
    ),
    "against_search": (
        "experiments/largest_family/direct/result.json",
        "experiments/results/largest_family-direct/result.json",
    ),
    "photographs": (
        "experiments/largest_family/lite0/result.json",
        "experiments/results/largest_family-lite0/result.json",
    ),
    "furthest": ("experiments/furthest_map/result.json", "experiments/results/furthest_map/result.json"),
    "per_class": ("experiments/lenet5/per_class/result.json", "experiments/results/per-class-lenet5.json"),
    "per_class_picture": (
        "experiments/lenet5/per_class/families.png",
        "experiments/results/per-class-families.png",
    ),
    "switched": (
        "experiments/learned_invariances/result.json",
        "experiments/results/learned_invariances.json",
    ),
    "planted": ("experiments/planted/result.json", "experiments/results/planted/result.json"),
    "planted_picture": ("experiments/planted/ranges.png", "experiments/results/planted/ranges.png"),
    "floors": ("benchmarks/results/floors.json", "experiments/results/floors.json"),
    "rivals": ("benchmarks/results/rivals.json", "experiments/results/rivals.json"),
    "kills": ("benchmarks/results/kills.json", "experiments/results/kills.json"),
    "kills_script": ("benchmarks/kills.py", "experiments/reliability/kills.py"),
    "damage": ("benchmarks/results/damage.json", "experiments/results/damage.json"),
    "damage_script": ("benchmarks/damage.py", "experiments/reliability/damage.py"),
    "benchmarks": ("benchmarks/__main__.py", "experiments/benchmarks/__main__.py"),
}
KEYS = {  # what a figure is called in JSON: today's name first, then its earlier one
    "clean_accuracy": ("clean_accuracy",),
    "accuracy_uniform": ("accuracy_uniform", "accuracy"),
    "accuracy_full": ("accuracy_full", "accuracy_at_corner"),
    "uniform_bound": ("certificate.uniform.lower_bound", "certificate.accuracy_lower_bound"),
    "full_bound": ("certificate.full.lower_bound", "certificate.corner_lower_bound"),
    "clean_certified": ("certificate.clean_accuracy",),
    "color": ("parts.color.displacement_full", "color_displacement_at_corner"),
    "spatial": ("parts.spatial.displacement_full", "spatial_displacement_at_corner"),
    "shift": ("parts.spatial.rms_shift_full", "spatial_rms_displacement_at_corner"),
    "color_matrix": ("parts.color.matrix_full", "color_matrix_at_corner"),
    "spatial_matrix": ("parts.spatial.matrix_full", "spatial_matrix_at_corner"),
    "color_ratio": ("headline.color", "axis_ratio.color"),
    "ratio": ("headline.spatial", "axis_ratio.spatial"),
    "baselines": ("baselines", "axes"),
    "baseline_displacement": ("displacement", "certified_displacement"),
    "others_displacement": ("baseline_displacement", "axis_displacement"),
    "searched": ("searched", "found"),
    "training_images": ("split.training", "split.learned"),
    "class_bound": ("break_rate_upper_bound", "tolerance"),
    "recoveries": ("recoveries", "islands"),
}
Record = Mapping[str, Any]


def path(name: str) -> Path:
    """Return where a file of PATHS is."""
    return next(ROOT / place for place in PATHS[name] if (ROOT / place).exists())


def read(name: str) -> Any:
    """Return the JSON of a result in PATHS."""
    return json.loads(path(name).read_text())


def link(name: str) -> str:
    """Return a file of PATHS as a document in docs/ links to it."""
    return os.path.relpath(path(name), ROOT / "docs")


def command(study: str) -> str:
    """Return the command line of a study, without options."""
    by_name = (ROOT / "experiments/__main__.py").exists()
    return f"python experiments {study}" if by_name else f"python experiments/{study}.py"


def value(record: Record, name: str) -> Any:
    """Return a figure of a record by its name in KEYS, or None where the record has none."""
    for keys in KEYS[name]:
        content: Any = record
        for key in keys.split("."):
            content = content.get(key) if isinstance(content, Mapping) else None
        if content is not None:
            return content
    return None
