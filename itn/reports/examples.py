"""Images that a run leaves for its report: examples.json."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from itn.runtime.run_files import EXAMPLES

E = TypeVar("E")


def examples_json(examples: Sequence[object]) -> dict[str, object]:
    """Return the content of examples.json."""
    return {"examples": msgspec.to_builtins(examples)}


def read_examples(folder: Path, kind: type[E]) -> tuple[E, ...]:
    """Return the examples of a finished run; none if it has left none of this kind that can be read."""
    try:
        content = json.loads((folder / EXAMPLES).read_text())
        return msgspec.convert(content["examples"], tuple[kind, ...])  # type: ignore[valid-type]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ()
