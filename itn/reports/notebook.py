"""Results as notebooks show them."""

import html


def text_html(text: str) -> str:
    """Return a closing table as HTML in which its columns stay aligned, however long its lines are."""
    style = "white-space: pre; overflow-x: auto; line-height: 1.3"
    return f'<pre style="{style}">{html.escape(text)}</pre>'
