"""Tables of text for the terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDE = 10_000  # columns: a table is never folded, whatever the terminal


def text_table(
    rows: Sequence[Sequence[str]],
    header: Sequence[str] = (),
    right: Sequence[int] = (),
    rule: bool = False,
) -> str:
    """Return rows in columns, as plain text without trailing spaces.

    Args:
        rows: Equally long rows of cells, each a single line.
        header: Names of the columns; none draws no header.
        right: Numbers of the columns that are aligned to the right.
        rule: Draw a line below the header.
    """
    table = Table(box=box.SIMPLE if rule else None, show_header=bool(header), show_edge=False, pad_edge=False)
    for number in range(len(header or rows[0])):
        title = Text(header[number]) if header else ""
        table.add_column(title, justify="right" if number in right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(width=_WIDE, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().rstrip("\n").split("\n"))
