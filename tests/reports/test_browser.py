"""The page in a real Chromium: sliders move pixels as the net does, nothing fails, nothing is loaded."""

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from tests.browsing import needs_chromium

pytestmark = needs_chromium

# Rounding to 8 bits is half a step; single precision is far below another half
TOLERANCE = 1 / 255


@pytest.fixture
def opened(visits):
    """Return a function that opens a file; it must be all that the page asks for."""
    visits.allowed.append("file:")

    def open_page(path, width=1280, scheme="light"):
        return visits.open(path.as_uri(), width, scheme)

    yield open_page
    assert len([url for url in visits.asked if url.startswith("file:")]) == len(visits.contexts)


def pixels_of(page):
    """Return what the canvases of a page show, each C x H x W."""
    addresses = page.eval_on_selector_all("canvas", "all => all.map(each => each.toDataURL())")
    images = [Image.open(io.BytesIO(base64.b64decode(each.partition(",")[2]))) for each in addresses]
    return [
        torch.from_numpy(np.asarray(image.convert("RGB")).copy()).movedim(-1, 0) / 255 for image in images
    ]


def move(page, values):
    """Set the sliders as a hand does, and wait until the page has drawn."""
    for place, value in enumerate(values):
        slider = page.locator("input[type=range]").nth(place)
        slider.evaluate("(e, v) => { e.value = v; e.dispatchEvent(new Event('input')); }", str(value))
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def test_sliders_move_pixels_as_the_net_does(opened, learned):
    result, folder = learned
    page = opened(folder / "report.html")
    page.wait_for_selector("canvas")
    sliders = page.locator("input[type=range]")
    stored = [
        torch.from_numpy(np.array(Image.open(io.BytesIO(image.picture))))
        for image in result.examples.lattice.images
    ]
    changed = 0.0
    for k in ((0, 0, 0, 0), (1, 1, 1, 1), (0.25, 0.7, 0.5, 0.11)):
        move(page, k)
        assert [sliders.nth(n).input_value() for n in range(4)] == [f"{v:g}" for v in k]
        k1, k2 = torch.tensor(k, dtype=torch.float32).split(2)
        for shown, image in zip(pixels_of(page), stored, strict=True):
            with torch.no_grad():
                expected = result.net.transform(image[None, None], k1, k2)[0]
            assert (shown - expected).abs().max() <= TOLERANCE
            changed = max(changed, (shown - image / 255).abs().max().item())
    assert changed > 0.1
    page.get_by_role("button", name="full strength").click()
    assert sliders.first.input_value() == "1"


def test_the_answer_is_that_of_the_nearest_point(opened, learned):
    result, folder = learned
    page = opened(folder / "report.html")
    page.wait_for_selector("canvas")
    move(page, (0.9, 0.1, 0.4, 0.6))
    number = sum(n * 5 ** (3 - place) for place, n in enumerate((4, 0, 2, 2)))
    answers = [str(image.answers[number]) for image in result.examples.lattice.images]
    assert page.locator(".sliders figcaption").all_inner_texts() == answers
    assert "k1 = (1, 0), k2 = (0.5, 0.5)" in page.locator(".sliders").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_a_page_fits_its_screen(opened, screened, scheme, width):
    page = opened(screened[1] / "report.html", width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    colors = [
        page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color")
    ]
    paper, ink = (sum(map(int, color[4:-1].split(","))) for color in colors)
    assert abs(paper - ink) > 500
    assert (paper > ink) == (scheme == "light")


def test_rays_show_their_pictures(opened, faded):
    page = opened(faded[1] / "report.html")
    first, slider = page.locator(".sliders img").first, page.locator(".sliders input")
    before = first.get_attribute("src")
    slider.evaluate("e => { e.value = 4; e.dispatchEvent(new Event('input')); }")
    assert first.get_attribute("src") != before
    slider.evaluate("e => { e.value = 0; e.dispatchEvent(new Event('input')); }")
    assert first.get_attribute("src") == before
