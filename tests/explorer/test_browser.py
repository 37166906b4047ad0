"""``itn explore`` in a real Chromium: a photograph is dropped and moved, and nothing is left or sent."""

import base64
import contextlib
import io
import math
import os
import re
import select
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import itn
from itn.cli.main import main
from tests.browsing import WAIT, needs_chromium

pytestmark = [
    needs_chromium,
    pytest.mark.skipif(find_spec("gradio") is None, reason='no Gradio: pip install "itn[explore]"'),
]

MODEL = '''
import torch
import itn

class Shade(torch.nn.Module):
    """Whether the mean of an image exceeds one half."""

    def forward(self, images):
        excess = 20 * (images.mean((1, 2, 3)) - 0.5)
        return torch.stack([-excess, excess], 1)

def make():
    return itn.Classifier(
        Shade(), (0,) * 3, (1,) * 3, name="shade", class_names=("dark <b>", "light"),
        preprocessing=itn.Preprocessing(resize=96, crop=(80, 80)),
    )
'''
# Runs the command, and writes down whom it talks to and which files it writes
WATCHED = """
import os, sys

log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def watch(event, arguments):
    if event == "socket.connect":
        os.write(log, f"connect {arguments[1]!r}\\n".encode())
    elif event == "socket.getaddrinfo":
        os.write(log, f"look up {arguments[0]!r}\\n".encode())
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        os.write(log, f"write {arguments[0]!r}\\n".encode())

sys.addaudithook(watch)
from itn.cli.main import main
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    """A JPEG of 160 x 120 pixels whose central crop has a mean of about 0.4; and that mean."""
    y, x = np.mgrid[0:120, 0:160]
    shade = 100 + 25 * np.sin(x / 9.0) + 20 * np.cos(y / 7.0)
    path = tmp_path_factory.mktemp("photographs") / "holiday.jpg"
    pixels = np.stack([shade, shade * 0.9, shade * 1.1], -1)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=92)
    return path


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with the model, and the run of a family of it that moves far."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "net.py").write_text(MODEL)
    classifier = itn.load_classifier(f"{folder / 'net.py'}:make")
    images = torch.rand(40, 3, 80, 80, generator=torch.Generator().manual_seed(0)) / 4
    images[::2] += 0.6
    config = itn.LearnConfig(objective="switched", steps=2, batch_size=16)
    itn.learn(classifier, images, itn.predict(classifier, images), config, folder / "run")
    weights = folder / "run" / "model.safetensors"
    generator = torch.Generator().manual_seed(2)
    large = {
        name: torch.randn(tensor.shape, generator=generator) * 0.2 if tensor.ndim == 2 else tensor
        for name, tensor in load_file(weights).items()
    }
    save_file(large, weights)
    return folder


class Served:
    """The command in a process of its own, and what it has written and asked for."""

    def __init__(self, folder, *arguments):
        self.log, self.home, self.temporary = folder / "log", folder / "home", folder / "temporary"
        for place in (self.home, self.temporary):
            place.mkdir(parents=True)
        self.log.touch()
        environment = os.environ | {
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(
                [str(Path(itn.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
            ),
            "GRADIO_SHARE": "True",  # nothing in the environment lets anything out
            "GRADIO_ANALYTICS_ENABLED": "True",
        }
        command = [sys.executable, "-c", WATCHED, str(self.log), "explore", *arguments]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdout=pipe, stderr=pipe, text=True, env=environment, cwd=self.home
        )
        readable, _, _ = select.select([self.process.stdout], [], [], WAIT)
        line = self.process.stdout.readline() if readable else ""
        found = re.match(r"open (http://127\.0\.0\.1:\d+/) in a browser; Ctrl-C ends it", line)
        assert found, (line, self.process.poll() is not None and self.process.stderr.read())
        self.address = found[1]

    def end(self):
        """Send Ctrl-C; return the exit status and what was said on stderr."""
        self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=WAIT)
        return self.process.returncode, said

    def logged(self, kind):
        lines = self.log.read_text().splitlines()
        return [line.removeprefix(f"{kind} ") for line in lines if line.startswith(f"{kind} ")]

    def files(self):
        """All files in the home folder and the temporary one."""
        return [path for place in (self.home, self.temporary) for path in place.rglob("*") if path.is_file()]

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


@pytest.fixture(scope="module")
def served(work, tmp_path_factory):
    """The command for several tests."""
    folder = tmp_path_factory.mktemp("served")
    with contextlib.closing(Served(folder, "--model", f"{work / 'net.py'}:make", "--port", "0")) as command:
        yield command


@pytest.fixture
def opened(visits):
    """Return a function that opens an address; the page must ask only there."""
    visits.allowed.append("blob:")

    def open_page(address, width=1280, scheme="light"):
        visits.allowed.append(address)
        page = visits.open(address, width, scheme)
        page.wait_for_selector(".itn .slider")
        return page

    yield open_page
    assert visits.asked


def drop(page, path):
    """Drop a file on the page as a hand does, and wait for the answer."""
    transfer = page.evaluate_handle(
        """([data, name]) => {
            const bytes = Uint8Array.from(atob(data), letter => letter.charCodeAt(0));
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], name));
            return transfer;
        }""",
        [base64.b64encode(path.read_bytes()).decode(), path.name],
    )
    page.dispatch_event(".itn .drop", "drop", {"dataTransfer": transfer})


def wait_for_answer(page, answer):
    page.wait_for_function(
        "answer => document.querySelector('.itn .top li .name')?.textContent === answer", arg=answer
    )


def shown(page):
    """The picture, C x H x W."""
    address = page.locator(".itn .picture img").get_attribute("src")
    image = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("RGB")
    return torch.from_numpy(np.asarray(image).copy()).movedim(-1, 0) / 255


def slider(page, name):
    return page.locator(f"[data-name='{name}']")


def move(page, name, value):
    """Move a slider, and wait for another picture."""
    before = page.locator(".itn .picture img").get_attribute("src")
    slider(page, name).locator("input[type=range]").fill(str(value))
    page.wait_for_function("before => document.querySelector('.itn .picture img').src !== before", arg=before)


def test_a_photograph_is_dropped_moved_and_answered_and_nothing_is_left(opened, photograph, work, tmp_path):
    model = "--model", f"{work / 'net.py'}:make"
    with contextlib.closing(Served(tmp_path, *model, "--run", str(work / "run"), "--port", "0")) as command:
        check_a_session(command, opened, photograph, work)


def check_a_session(command, opened, photograph, work):
    page = opened(command.address)
    names = page.eval_on_selector_all(".itn .slider", "all => all.map(each => each.dataset.name)")
    assert names[:-4] == sorted(itn.TRANSFORMS, key=lambda name: itn.TRANSFORMS[name].spatial)
    assert names[-4:] == ["k1[0]", "k1[1]", "k2[0]", "k2[1]"]

    drop(page, photograph)
    wait_for_answer(page, "dark <b>")
    classifier = itn.load_classifier(f"{work / 'net.py'}:make")
    crop = classifier.preprocessing(Image.open(photograph).convert("RGB"))
    pixels = torch.from_numpy(np.asarray(crop).copy()).movedim(-1, 0) / 255
    assert (shown(page) - pixels).abs().mean() < 0.02  # shown as a JPEG
    assert "up to 1.5 times its size" in page.locator(".itn").inner_text()

    slider(page, "brightness").locator("input[type=range]").fill("0.3")
    wait_for_answer(page, "light")
    assert slider(page, "brightness").locator("input[type=number]").input_value() == "0.3"
    assert (shown(page) - (pixels + 0.3).clamp(0, 1)).abs().mean() < 0.02

    slider(page, "brightness").get_by_role("button").click()
    page.wait_for_selector("[data-name=brightness] .marks .nearest")
    edge = 0.5 - pixels.mean().item()
    (mark,) = page.eval_on_selector_all(
        "[data-name=brightness] .marks i",
        "all => all.map(each => [Number(each.dataset.value), each.style.left, each.title])",
    )
    assert mark[0] == pytest.approx(edge, abs=2 / 32 / 256)
    assert float(mark[1].rstrip("%")) == pytest.approx(50 * (1 + edge), abs=0.1)
    assert mark[2].endswith("(dark <b> to light)")
    text = slider(page, "brightness").locator(".found").inner_text()
    assert "the answer changes at least 1 time between -1 and 1" in text
    assert "finer islands of other answers can be missed" in text

    before = shown(page)
    move(page, "k2[0]", 1)
    assert (shown(page) - before).abs().mean() > 0.01
    assert page.locator("[data-name=brightness] .marks i").count() == 0  # they were of the other place of k2

    page.get_by_role("button", name="All to their identity").click()
    wait_for_answer(page, "dark <b>")
    assert slider(page, "brightness").locator("input[type=number]").input_value() == "0"

    assert command.files() == []
    # Python tries once whether it can write into the folder for temporary files, by one of eight letters
    # Gradio draws a seed for the names of its caches when it is used for the first time
    tried = re.escape(str(command.temporary)) + r"/\w{8}|/dev/null|.*/gradio/hash_seed\.txt"
    assert [line for line in command.logged("write") if not re.fullmatch(f"'({tried})'", line)] == []
    assert command.logged("connect") == []
    assert set(command.logged("look up")) <= {"'127.0.0.1'"}
    assert command.end() == (130, "itn: ended; no photograph was kept\n")
    assert command.files() == []
    assert list(command.temporary.iterdir()) == []
    assert list(command.home.iterdir()) == []


def test_a_number_can_be_typed_and_what_is_no_photograph_is_refused(served, opened, photograph, tmp_path):
    page = opened(served.address)
    slider(page, "contrast").get_by_role("button").click()
    assert page.locator(".itn .failure").inner_text() == "Drop a photograph first."
    wrong = tmp_path / "letter.txt"
    wrong.write_text("Dear all")
    drop(page, wrong)
    page.get_by_text("this is not an image that PIL can read").wait_for()
    drop(page, photograph)
    wait_for_answer(page, "dark <b>")
    number = slider(page, "contrast").locator("input[type=number]")
    number.fill("2.5")
    number.press("Enter")
    wait_for_answer(page, "light")
    number.fill("99")
    number.press("Enter")
    assert number.input_value() == "2.5"
    place = float(slider(page, "contrast").locator("input[type=range]").input_value())
    assert place == pytest.approx(math.log(2.5))
    slider(page, "contrast").locator("input[type=range]").dblclick()
    wait_for_answer(page, "dark <b>")
    assert number.input_value() == "1"


def test_a_flip_has_two_values(served, opened, photograph):
    page = opened(served.address)
    drop(page, photograph)
    wait_for_answer(page, "dark <b>")
    before = shown(page)
    move(page, "horizontal_flip", 1)
    assert (shown(page) - before.flip(-1)).abs().mean() < 0.02
    slider(page, "horizontal_flip").get_by_role("button").click()
    page.get_by_text("no change of the answer dark <b> was found between 0 and 1").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_fits_its_screen(served, opened, photograph, scheme, width):
    page = opened(served.address, width, scheme)
    drop(page, photograph)
    wait_for_answer(page, "dark <b>")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    colors = [
        page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color")
    ]
    paper, ink = (sum(map(int, color[4:-1].split(","))) for color in colors)
    assert abs(paper - ink) > 400
    assert (paper > ink) == (scheme == "light")


def test_bad_input_ends_in_one_line(capsys, work):
    model = f"{work / 'net.py'}:make"
    assert main(["explore", "--model", model, "--run", str(work)]) == 2
    assert re.fullmatch(r"itn: \S+ holds no finished run of itn learn \(.*\)\n", capsys.readouterr().err)
    assert main(["explore", "--model", model, "--transforms", "rotat"]) == 2
    assert "unknown transformation 'rotat': nearest are rotate" in capsys.readouterr().err
    assert main(["explore", "--model", model, "--size", "28"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
