"""The page of an explorer: one component of Gradio, drawn by ``page.js``."""

from importlib import resources
from typing import TYPE_CHECKING, Any

from itn.explorer.explorer import Explorer
from itn.explorer.requests import Json, PageRequests, slider_json

if TYPE_CHECKING:
    from gradio import Blocks

POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; font-src 'self' data:; "
    "style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "worker-src 'self' blob:; connect-src 'self' data: blob:; form-action 'none'; frame-ancestors 'none'"
)
"""Content security policy: whatever Gradio asks for, the browser talks to this server alone."""


def page_blocks(requests: PageRequests) -> "Blocks":
    """Return the page; Gradio must be installed."""
    import gradio  # noqa: PLC0415  # an extra, and slow to import

    # Functions, since Gradio marks what the page may call, which methods do not allow
    def photograph(asked: Json) -> Json:
        return requests.photograph(asked)

    def answer(asked: Json) -> Json:
        return requests.answer(asked)

    def changes(asked: Json) -> Json:
        return requests.changes(asked)

    with gradio.Blocks(title="itn explore", analytics_enabled=False, fill_width=True) as blocks:
        gradio.HTML(
            html_template='<div class="itn"></div>',
            js_on_load=text_file("page.js"),
            apply_default_css=False,
            server_functions=[photograph, answer, changes],
            page=page_json(requests.explorer),
        )
    return blocks


def page_json(explorer: Explorer) -> dict[str, Any]:
    """Return what the page shows from the beginning."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for slider in explorer.sliders.values():
        title = "Applied last, as a single warp" if slider.spatial else "Applied first"
        if slider.part is not None:
            title = f"Learned family, {slider.part}"
        groups.setdefault(title, []).append(slider_json(slider))
    return {
        "title": f"What {explorer.classifier.name} answers, as you move the image",
        "groups": [{"title": title, "sliders": sliders} for title, sliders in groups.items()],
        "notes": [explorer.order, *explorer.notes],
    }


def text_file(name: str) -> str:
    """Return a file of this folder."""
    return resources.files("itn.explorer").joinpath(name).read_text(encoding="utf-8")
