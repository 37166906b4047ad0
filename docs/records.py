"""Where the committed results are that the documents quote, and what their figures are called in JSON."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "experiments/results"
PATHS = {
    "screening": RESULTS / "screen-lenet5.json",
    "learning": RESULTS / "largest_family/result.json",
    "spatial_alone": RESULTS / "largest_family-space/result.json",
    "against_switched": RESULTS / "largest_family-switched/result.json",
    "against_search": RESULTS / "largest_family-direct/result.json",
    "photographs": RESULTS / "largest_family-lite0/result.json",
    "furthest": RESULTS / "furthest_map/result.json",
    "per_class": RESULTS / "per-class-lenet5.json",
    "switched": RESULTS / "learned_invariances.json",
    "planted": RESULTS / "planted/result.json",
    "floors": RESULTS / "floors.json",
    "rivals": RESULTS / "rivals.json",
    "processes": RESULTS / "processes.json",
    "growth": RESULTS / "growth.json",
    "kills": RESULTS / "kills.json",
    "damage": RESULTS / "damage.json",
    "screening_picture": RESULTS / "screen-rotate.png",
    "thresholds_picture": RESULTS / "screen-thresholds.png",
    "learning_picture": RESULTS / "largest_family/ratios.png",
    "furthest_picture": RESULTS / "furthest_map/reached.png",
    "per_class_picture": RESULTS / "per-class-families.png",
    "planted_picture": RESULTS / "planted/ranges.png",
    "benchmarks": ROOT / "experiments/benchmarks/__main__.py",
}
KEYS = {  # figures that have had other names in JSON: today's first
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
    "training_images": ("split.training", "split.learned"),
    "class_bound": ("break_rate_upper_bound", "tolerance"),
    "recoveries": ("recoveries", "islands"),
}
SCRIPTS = {  # what makes them
    "learning": "experiments/largest_family.py",
    "furthest": "experiments/furthest_map.py",
    "switched": "experiments/learned_invariances.py",
    "planted": "experiments/planted.py",
    "benchmarks": "experiments/benchmarks",
    "kills": "experiments/reliability/kills.py",
    "damage": "experiments/reliability/damage.py",
}
Record = Mapping[str, Any]


def read(name: str) -> Any:
    """Return the JSON of a result in PATHS."""
    return json.loads(PATHS[name].read_text())


def value(record: Record, name: str) -> Any:
    """Return a figure of a record by its name in KEYS, or None where the record has none."""
    for path in KEYS[name]:
        found: Any = record
        for key in path.split("."):
            found = found.get(key) if isinstance(found, Mapping) else None
        if found is not None:
            return found
    return None


def link(name: str) -> str:
    """Return the path of a result, or of a picture beside it, as a document in docs/ links to it."""
    return os.path.relpath(PATHS[name], ROOT / "docs")
