"""What several test modules share: images without symmetry, and a classifier known on paper."""

import contextlib
import importlib
import os
import signal
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import itn
from itn.learning.checkpoint import save_checkpoint
from tests.browsing import CHROMIUM, Visits

# Where tests are started with SIGINT ignored (by nohup, or in the background of a script), the processes that
# they start would inherit that and not end on it
signal.signal(signal.SIGINT, signal.default_int_handler)

if "PYTEST_XDIST_WORKER" in os.environ:  # processes share the cores, those that tests start included
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"


class BlobSide(nn.Module):
    """Says on which side of the frame's middle the centre of brightness lies: 0 left, 1 right."""

    def forward(self, images: Tensor) -> Tensor:
        width = images.shape[-1]
        x = (2 * torch.arange(width, dtype=images.dtype, device=images.device) + 1) / width - 1
        mass = images.sum((1, 2, 3)).clamp_min(1e-6)
        centre = (images * x).sum((1, 2, 3)) / mass
        return torch.stack([-20 * centre, 20 * centre], 1)


class Brightness(nn.Module):
    """Says whether the mean of an image exceeds one half: 0 dark, 1 bright."""

    def forward(self, images: Tensor) -> Tensor:
        excess = 20 * (images.mean((1, 2, 3)) - 0.5)
        return torch.stack([-excess, excess], 1)


@pytest.fixture
def odd_images() -> Tensor:
    """Float64 images, 3 x 2 x 9 x 13: not square, odd, asymmetric, all different."""
    return torch.rand(3, 2, 9, 13, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture
def blobs() -> tuple[Tensor, Tensor]:
    """200 images of one bright blob each, at x = -0.5 (class 0) or +0.5 (class 1), y = 0; 1 x 20 x 20."""
    y, x = torch.meshgrid(*[(2 * torch.arange(20) + 1) / 20 - 1] * 2, indexing="ij")
    labels = torch.arange(200) % 2
    centres = labels.float() - 0.5
    squares = (x - centres.view(-1, 1, 1)) ** 2 + y**2
    return torch.exp(-squares / (2 * 0.1**2)).unsqueeze(1), labels


@pytest.fixture
def flats() -> tuple[Tensor, Tensor]:
    """200 constant gray images: 0.25 (class 0) or 0.75 (class 1); 1 x 4 x 4."""
    labels = torch.arange(200) % 2
    return (0.25 + 0.5 * labels.float()).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).clone(), labels


@pytest.fixture
def side() -> itn.Classifier:
    return itn.Classifier(BlobSide(), name="side")


@pytest.fixture
def brightness() -> itn.Classifier:
    return itn.Classifier(Brightness(), name="brightness")


@pytest.fixture
def no_figures(monkeypatch):
    """Let runs draw nothing, where a test is of what else they write: drawing takes longer than learning."""
    for name in ("draw", "draw_classes"):
        monkeypatch.setattr(f"itn.learning.figures.{name}", lambda *_: {})


@pytest.fixture
def experiment(monkeypatch):
    """Import a script of experiments/ as python does that runs it: its folder comes first on the path."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent.parent / "experiments"))
    return importlib.import_module


@pytest.fixture
def texts():
    """Return a function from a figure to all that is written in it."""

    def written(figure):
        figure.draw_without_rendering()
        return [
            text.get_text()
            for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))
            if text.get_text()
        ]

    return written


@pytest.fixture(scope="module")
def browser():
    """A Chromium without a window; the test module says that it needs one."""
    api = pytest.importorskip("playwright.sync_api", reason='no Playwright: pip install "itn[browser]"')
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def visits(browser):
    """What opens pages, and closes them when the test ends."""
    visits = Visits(browser)
    yield visits
    visits.close()


@pytest.fixture
def cut_after_three_steps(monkeypatch):
    """A context in which learning is interrupted as soon as three steps are kept."""

    def interrupted(learner, history, *where):
        written = save_checkpoint(learner, history, *where)
        if len(history) == 3:
            raise KeyboardInterrupt
        return written

    @contextlib.contextmanager
    def cut():
        with monkeypatch.context() as patch:
            patch.setattr("itn.learning.trainer.CHECKPOINT_SECONDS", -1.0)
            patch.setattr("itn.learning.trainer.save_checkpoint", interrupted)
            with pytest.raises(itn.Interrupted, match="the state after 3 steps is kept in"):
                yield

    return cut
