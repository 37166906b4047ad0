"""What can be compared: of a run, what became of every image, and what its numbers mean.

Each kind of run says how its folder becomes a ``Subject``; ``compare`` knows of no kind.
"""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar, get_args, runtime_checkable

import numpy as np

from itn.screening.criteria import CriterionName
from itn.screening.outcomes import ImageOutcomes

Loaded = Callable[[Path], "Comparable"]
L = TypeVar("L", bound=Loaded)

_LOADERS: dict[str, Loaded] = {}


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


def loader_of(command: str) -> Callable[[L], L]:
    """Register the function that loads the result of a finished run from its folder.

    Args:
        command: Value of "command" in the config.json of such runs.
    """

    def registered(function: L) -> L:
        _LOADERS[command] = function
        return function

    return registered


def load_subject(path: Path) -> Subject:
    """Return what is compared of the run in a folder.

    Raises:
        ValueError: If it holds no finished run, or one of a kind that cannot be compared.
    """
    command: Any = "screen"
    with contextlib.suppress(OSError, ValueError, AttributeError):  # its loader says what is wrong
        command = json.loads((path / "config.json").read_text()).get("command")
    if command not in _LOADERS:
        known = " or ".join(sorted(_LOADERS))
        raise ValueError(
            f"{path} is a run of itn {command}: itn compare takes runs of itn {known}; "
            "families are compared with their rivals by the headline of itn learn"
        )
    return _LOADERS[command](path).subject()
