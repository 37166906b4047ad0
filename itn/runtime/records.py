"""Typed records to JSON and back, and how they print."""

import dataclasses
import html
import json
from typing import Any, ClassVar, Self

import msgspec

SCHEMA_VERSION = 6
"""Schema version of result.json; raised when a key is added, or changes its name or its meaning."""


def check_schema(content: Any, command: str) -> None:
    """Raise ValueError if a result.json, as JSON, has another schema version than this package reads."""
    version = content.get("schema_version", 1) if isinstance(content, dict) else SCHEMA_VERSION
    if version != SCHEMA_VERSION:
        raise ValueError(
            f"the record of {command} has schema version {version}, this itn reads {SCHEMA_VERSION}: "
            "run it again into a new folder, or read it with the version of itn that wrote it"
        )


def text_html(text: str) -> str:
    """Return a closing table as HTML in which its columns stay aligned, however long its lines are."""
    style = "white-space: pre; overflow-x: auto; line-height: 1.3"
    return f'<pre style="{style}">{html.escape(text)}</pre>'


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class Record:
    """The content of a result.json: a dataclass of plain values, mappings, tuples and other dataclasses.

    It prints as a short table.
    """

    command: ClassVar[str]
    """The command that writes such records, for errors."""
    schema_version: int = SCHEMA_VERSION

    optional: ClassVar[tuple[str, ...]] = ("surround", "softening")
    """Keys that are absent in JSON where they are None."""

    def __repr__(self) -> str:  # not thousands of numbers
        return self.summary()

    def _repr_html_(self) -> str:  # in a notebook
        return text_html(self.summary())

    def summary(self) -> str:
        """Return what was found as a short table."""
        return f"a record of {self.command}"

    def to_json(self) -> dict[str, Any]:
        """Return the record as what json.dumps takes."""
        content: dict[str, Any] = msgspec.to_builtins(self)
        return {key: value for key, value in content.items() if value is not None or key not in self.optional}

    @classmethod
    def from_json(cls, content: Any) -> Self:
        """Return the record that ``to_json`` and a JSON file made the content from.

        Raises:
            ValueError: If the content is not such a record, or has another schema version.
        """
        check_schema(content, cls.command)
        try:
            record = msgspec.convert(content, cls)
        except msgspec.ValidationError as error:
            raise ValueError(f"the content is no record of {cls.command} ({error})") from None
        if json.loads(json.dumps(record.to_json())) != content:  # msgspec itself passes over unknown keys
            raise ValueError(f"the content is no record of {cls.command} (it has unknown keys)")
        return record


class Result:
    """What a run returns in memory: its record, and what else it has; it prints as its record does."""

    record: Record

    def __repr__(self) -> str:  # not the thousands of rows
        return self.record.summary()

    def _repr_html_(self) -> str:  # in a notebook
        return text_html(self.record.summary())
