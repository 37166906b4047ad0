"""Typed records to JSON and back."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

SCHEMA_VERSION = 2
"""Schema version of result.json; raised when a key changes its name or its meaning."""

R = TypeVar("R")


def to_json(record: Any) -> Any:
    """Return a record, a dataclass of plain values, mappings and tuples, as what json.dumps takes."""
    return msgspec.to_builtins(record)


def from_json(content: Any, kind: type[R], command: str) -> R:
    """Return the record that ``to_json`` and a JSON file made the content from.

    Args:
        content: What json.loads returned.
        kind: The dataclass that it should be.
        command: The command that writes such records, for the error.

    Raises:
        ValueError: If the content is not such a record, or has another schema version.
    """
    if isinstance(content, Mapping) and hasattr(kind, "schema_version"):
        version = content.get("schema_version", 1)
        if version != SCHEMA_VERSION:
            raise ValueError(
                f"the record of {command} has schema version {version}, this itn reads {SCHEMA_VERSION}: "
                "run it again into a new folder, or read it with the version of itn that wrote it"
            )
    try:
        record = msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"the content is no record of {command} ({error})") from None
    if json.loads(json.dumps(to_json(record))) != content:  # msgspec itself passes over unknown keys
        raise ValueError(f"the content is no record of {command} (it has unknown keys)")
    return record
