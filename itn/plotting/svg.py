"""Figures as SVG within a page: sharp at every size, in the colors of the page."""

import io
import re

import matplotlib
from matplotlib.figure import Figure

from itn.plotting.style import prepared

COLORS = {  # those that a page in the dark has lighter ones for
    "#000000": "currentColor",
    "#222222": "currentColor",
    "#4477aa": "var(--blue)",
    "#ee7733": "var(--orange)",
    "#228833": "var(--green)",
    "#aa3377": "var(--purple)",
    "#b2182b": "var(--broken)",
    "#1b7837": "var(--kept)",
    "#666666": "var(--muted)",
    "#777777": "var(--muted)",
    "#808080": "var(--muted)",
    "#e0e0e0": "var(--shade)",
}


def svg_text(figure: Figure, name: str) -> str:
    """Return a figure as an SVG element; equal figures with equal names make equal text.

    Args:
        figure: The figure; texts are written in a font that the reader has.
        name: Tells the parts of one figure in a page from those of another.
    """
    figure.set_dpi(72)
    figure.patch.set_alpha(0)
    for ax in figure.axes:
        ax.patch.set_alpha(0)
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        prepared(figure).savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return _for_a_page(file.getvalue())


def _for_a_page(text: str) -> str:
    """Return the element of an SVG file without what a page has no use for."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', text))
    text = re.sub(r'\s+id="([^"]+)"', lambda found: found[0] if found[1] in used else "", text)
    text = re.sub(r"<[^>]*>", lambda found: _tag(found[0]), text)  # not what is written between them
    return re.sub(r"\n\s*", "\n", text).replace("<defs>\n</defs>\n", "").strip()


def _tag(tag: str) -> str:
    """Return a tag with fewer decimals, and with the colors and the font of the page."""
    if tag.startswith("<svg"):
        tag = re.sub(r' (?:width|height|version|xmlns\S*)="[^"]*"', "", tag)
    tag = re.sub(r"\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}", tag)
    tag = re.sub(r" font-family: [^;\"]*;?", "", tag).replace("xlink:href", "href")
    for color, own in COLORS.items():
        tag = re.sub(rf"(?<=: ){color}(?=[;\"])", own, tag)
    return tag
