"""The inputs of a run: what config.json says of them."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from itn.models.classifier import Classifier
from itn.runtime.provenance import data_fingerprint, package_version


def run_settings(
    command: str,
    config: Any,
    origin: Mapping[str, Any],
    classifier: Classifier,
    images: Tensor,
    labels: Tensor,
    source: str | None,
) -> dict[str, Any]:
    """Return all that the results of a run depend on: the content of config.json."""
    return {
        "command": command,
        "version": package_version("itn"),
        "config": dataclasses.asdict(config),
        "device": classifier.device.type,
        "environment": {key: origin[key] for key in ("torch", "device", "threads")},
        "classifier": {"name": classifier.name, "sha256": classifier.sha256()},
        "images": {
            "source": source,
            "shape": list(images.shape),
            "sha256": data_fingerprint(images, labels),
        },
    }
