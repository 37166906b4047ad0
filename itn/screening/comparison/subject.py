"""What can be compared: of a run, what became of every image, and what its numbers mean.

Each kind of run says how its folder becomes a ``Subject``; ``compare`` knows of no kind.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, get_args, runtime_checkable

import numpy as np

from itn.runtime.config_file import settings_of
from itn.screening.criteria import CriterionName
from itn.screening.outcomes import ImageOutcomes

LOADERS: dict[str, Callable[[Path], "Comparable"]] = {}
"""By the command of a run, from its folder to its result; each kind of run puts its own here."""


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """One of the runs that are compared."""

    model: str
    n: int
    criterion: str
    topk: int
    fraction: float | None
    """The share of what unchanged images have that is enough; None: nothing was swept."""
    units: Mapping[str, tuple[str, float]]
    """Unit and identity of each transformation."""
    settings: Mapping[str, Any]
    """Further settings that may differ, which is then said."""
    outcomes: ImageOutcomes | None
    """What became of every image; None: an earlier itn made the run, and has not kept it."""
    content: Mapping[str, Any]
    """The content of its result.json."""
    criteria: tuple[str, ...] = get_args(CriterionName)
    """The criteria that it has measured."""
    only_right: bool = False
    """Whether it knows only of images that are right unchanged where they change."""

    def sha256(self) -> str:
        """Return a hash of all that a comparison depends on."""
        digest = hashlib.sha256(json.dumps(self.content, sort_keys=True).encode())
        assert self.outcomes is not None  # or it would not have been matched
        for name, array in self.outcomes.arrays().items():
            digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


@runtime_checkable
class Comparable(Protocol):
    """A result in memory that can be compared."""

    def subject(self) -> Subject:
        """Return what is compared of it."""


def load_subject(path: Path) -> Subject:
    """Return what is compared of the run in a folder.

    Raises:
        ValueError: If it holds no finished run, or one of a kind that cannot be compared.
    """
    command = settings_of(path).get("command", "screen")  # whose loader says what is wrong
    if command not in LOADERS:
        known = " or ".join(sorted(LOADERS))
        raise ValueError(
            f"{path} is a run of itn {command}: itn compare takes runs of itn {known}; "
            "families are compared with their rivals by the headline of itn learn"
        )
    return LOADERS[command](path).subject()
