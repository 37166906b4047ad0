"""Examples in docstrings are code: without a fence they would be shown as text."""

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^( *)Example:\n((?:\1    .*\n?|\n)+)", re.MULTILINE)


class FencedExamples(griffe.Extension):
    """Puts what stands below ``Example:`` into a fence, before docstrings are read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of any object of the package."""
        fenced = r"\1Example:\n\1    ```python\n\2\n\1    ```\n"
        if obj.docstring is not None:
            obj.docstring.value = EXAMPLE.sub(fenced, obj.docstring.value)
