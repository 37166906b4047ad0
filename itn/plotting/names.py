"""Names of classes as figures can show them: of any length, in any script."""

import functools
import unicodedata
from collections.abc import Sequence

import matplotlib
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text
from matplotlib.textpath import text_to_path

ROOM = 14.0  # letters of a name that are drawn
AVERAGE = 0.6  # width of a letter over the size of its font
_SHAPES = matplotlib.__version_info__ >= (3, 11)  # joins letters, and writes from right to left


def literal(name: str) -> str:
    """Return a name escaped so that matplotlib draws it literally: no formulas, valid Unicode, one line."""
    return " ".join(_valid(name).split()).replace("$", r"\$")


def class_label(name: str, number: int) -> str:
    """Return what a class is called in figures: its name, with its number if that will be cut.

    It is "class 3" if no font that is installed can draw its name.
    """
    name = _valid(name)
    if not _drawable(name):
        return f"class {number}"
    return name if name_width(name) <= ROOM else f"{number}: {name}"


def class_called(name: str, names: Sequence[str] | None) -> str:
    """Return what ``class_label`` does of a class whose number is its place among the names of all."""
    return class_label(name, names.index(name)) if names and name in names else name


def shortened(name: str, most: float = ROOM) -> str:
    """Return a name as it can be drawn, its middle left out if it is wider than so many letters.

    The end stays, since it often tells one name from another. What no font can draw is "?".
    """
    text = " ".join(_valid(name).split())
    if not _drawable(text):
        text = "".join(each if _drawable(each) else "?" for each in text)
    kept = text
    for left in range(len(text) - 1, 1, -1):
        if name_width(kept) <= most:
            break
        kept = f"{text[: left - left // 3]}…{text[len(text) - left // 3 :]}"
    return literal(kept)


def choose_fonts(figure: Figure) -> None:
    """Let the texts of a figure fall back to an installed font for characters that the usual one lacks."""
    for text in figure.findobj(Text):
        if not (content := text.get_text()).isascii() and (family := _other_font(_lacking(content))):
            text.set_fontfamily([*text.get_fontfamily(), family])


def name_width(name: str) -> float:
    """Return how wide a name is, in letters."""
    return sum(map(_width, name))


def _valid(name: str) -> str:
    """Return a name in valid Unicode, accents on their letters."""
    return unicodedata.normalize("NFC", name.encode(errors="backslashreplace").decode())


def _drawable(name: str) -> bool:
    if name.isascii():
        return True
    if not _SHAPES and any(
        unicodedata.category(c).startswith("M") or unicodedata.bidirectional(c) in ("R", "AL") for c in name
    ):
        return False
    lacking = _lacking(name)
    return not lacking or _other_font(lacking) is not None


def _lacking(text: str) -> frozenset[str]:
    """Return the characters that the usual font lacks."""
    known = _characters(findfont(FontProperties()))
    return frozenset(c for c in text if ord(c) not in known and not c.isspace())


@functools.cache
def _characters(path: str) -> frozenset[int]:
    return frozenset(get_font(path).get_charmap())


@functools.cache
def _other_font(lacking: frozenset[str]) -> str | None:
    """Return the name of an installed font that has these characters; None if there is none, or no need."""
    upright = (entry.name for entry in fontManager.ttflist if (entry.style, entry.weight) == ("normal", 400))
    for name in dict.fromkeys(upright) if lacking else ():
        path = findfont(FontProperties(family=[name]))
        # The last resort has a box for every character; fonts of pictures cannot be scaled
        has_all = {ord(c) for c in lacking} <= _characters(path) and not name.startswith("Last Resort")
        if has_all and get_font(path).scalable:
            return name
    return None


@functools.cache
def _width(character: str) -> float:
    """Return the width of a character in letters."""
    if _lacking(character):
        return (1.0 if unicodedata.east_asian_width(character) in "WF" else AVERAGE) / AVERAGE
    if character == " ":
        return 0.5
    return text_to_path.get_text_width_height_descent(character, FontProperties(size=100), False)[0] / 60
