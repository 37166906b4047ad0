"""What a page consists of: sections of blocks, for each run that it is about.

A kind of run says what its page holds with these; ``itn.reports.html`` makes a file of them.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

Tone = Literal["", "kept", "broken"]


@dataclasses.dataclass(frozen=True)
class Block:
    """A piece of a section."""

    kind: ClassVar[str]
    """Which part of the template shows it."""


@dataclasses.dataclass(frozen=True)
class Text(Block):
    """Paragraphs, or a list."""

    kind: ClassVar[str] = "text"

    lines: tuple[str, ...]
    listed: bool = False


@dataclasses.dataclass(frozen=True)
class Table(Block):
    """Rows of cells."""

    kind: ClassVar[str] = "table"

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    reading: tuple[str, ...] = ()
    """How to read it."""


@dataclasses.dataclass(frozen=True)
class Figure(Block):
    """A drawing."""

    kind: ClassVar[str] = "figure"

    svg: str
    """Made by ``itn.plotting.svg``, which escapes what is written in it."""
    reading: str
    """How to read it, in one sentence."""
    wide: bool = False
    """Whether it is drawn for the width of a page of text: on narrow screens it can be pushed sideways."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """An image with what is said of it."""

    file: bytes
    """PNG or JPEG."""
    lines: tuple[str, ...]
    tone: Tone = ""
    """Color of its frame."""


@dataclasses.dataclass(frozen=True)
class Strip:
    """One image after several changes."""

    title: str
    pictures: tuple[Picture, ...]


def at_the_change(title: str, moments: Sequence[tuple[bytes, str, str]]) -> Strip:
    """Return an image at the point where its prediction changes.

    Args:
        title: Which image.
        moments: Unchanged, with the last prediction that was kept, with the first that was not: the file,
            where that is, and the predicted class.
    """
    what: tuple[tuple[str, Tone], ...] = (
        ("unchanged", "kept"),
        ("last kept", "kept"),
        ("first changed", "broken"),
    )
    pictures = (
        Picture(file, (name, where, f"says {answer}"), tone)
        for (file, where, answer), (name, tone) in zip(moments, what, strict=True)
    )
    return Strip(title, tuple(pictures))


@dataclasses.dataclass(frozen=True)
class Strips(Block):
    """Images in rows."""

    kind: ClassVar[str] = "strips"

    strips: tuple[Strip, ...]
    reading: str


@dataclasses.dataclass(frozen=True)
class Sliders(Block):
    """Images that move with k in the browser."""

    kind: ClassVar[str] = "sliders"

    data: Mapping[str, Any]
    """What ``sliders.js`` computes with: JSON."""
    reading: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Facts(Block):
    """Names and values."""

    kind: ClassVar[str] = "facts"

    rows: tuple[tuple[str, str], ...]


@dataclasses.dataclass(frozen=True)
class Code(Block):
    """A command or a call."""

    kind: ClassVar[str] = "code"

    text: str


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a page; of several runs side by side, those with the same key stand beside each other."""

    key: str
    title: str
    blocks: tuple[Block, ...]
    folded: bool = False
    """Whether it is opened by a click."""


@dataclasses.dataclass(frozen=True)
class RunPage:
    """What a page says of one run."""

    title: str
    statement: tuple[str, ...]
    """What was found, in sentences to quote."""
    sections: tuple[Section, ...]
