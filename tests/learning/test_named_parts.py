"""Parts that a run names: their order, their ks, what is loaded, and planted ranges that they find."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from torch import nn

import itn
from itn import LearnConfig
from itn.learning.config import describe_part
from itn.learning.constrained.settings import ConstrainedSettings
from itn.learning.load import make_net
from itn.nn import NAMED_PARTS, PartSettings, controls_of_parts

FEW = itn.Constrained(settings=ConstrainedSettings(restarts=4))
QUICK = {"tolerance": 0.2, "steps": 20, "batch_size": 32, "objective": FEW}


class Dot(nn.Module):
    """Says whether a bright dot at the center, 0.2 above its surroundings, is left unchanged up to a level.

    The squared difference of what a filter makes of a dot is the squared difference of its kernel.
    """

    def __init__(self, level):
        super().__init__()
        self.level = level

    def forward(self, images):
        gray = (images[:, 0] - 0.5) / 0.2
        expected = torch.zeros_like(gray)
        expected[:, 7, 7] = 1
        has_dot = gray[:, 0, 0] < 1  # the others are all white
        excess = 20 * (self.level - (gray - expected).square().sum((1, 2)))
        return torch.stack([torch.where(has_dot, excess, -20.0), torch.where(has_dot, -excess, 20.0)], 1)


class Area(nn.Module):
    """Says whether what is white covers a share of the frame."""

    def __init__(self, share):
        super().__init__()
        self.share = share

    def forward(self, images):
        excess = 50 * (images.mean((1, 2, 3)) - self.share)
        return torch.stack([-excess, excess], 1)


def test_a_filter_reaches_the_blur_up_to_which_a_dot_is_known():
    level, images = 0.3, torch.full((120, 1, 15, 15), 0.5)
    images[::2, :, 7, 7], images[1::2] = 0.7, 1.0
    labels = torch.arange(120) % 2
    parts = {"filter": itn.FilterTransformer(padding="border")}
    run = itn.learn(itn.Classifier(Dot(level)), images, labels, LearnConfig(parts=parts, **QUICK))

    def change(sigma):
        line = np.exp(-0.5 * (np.arange(-2, 3) / sigma) ** 2)
        kernel = np.outer(line, line) / line.sum() ** 2
        kernel[2, 2] -= 1
        return (kernel**2).sum()

    known = brentq(lambda sigma: change(sigma) - level, 0.1, 2)
    (blur,) = (b for b in run.record.baselines["filter"] if b.transform == "blur")
    assert 0.9 * known <= blur.estimated_magnitude <= known
    assert 0.9 * level <= run.record.parts["filter"].displacement_full <= level


def test_tilts_reach_the_angle_up_to_which_a_square_is_large_enough():
    def area(tilt):
        """Of the square of half the frame's side on a board that turns, by projecting its corners."""
        half = math.tan(math.radians(25))
        corners = half * np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
        depth = 1 + math.sin(tilt) * corners[:, 0]
        x, y = corners[:, 0] * math.cos(tilt) / depth / half, corners[:, 1] / depth / half
        return abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2 / 4

    known, images = math.radians(25), torch.zeros(120, 1, 24, 24)
    images[::2, :, 6:18, 6:18] = 1
    labels = (torch.arange(120) + 1) % 2
    parts = {"tilts": itn.HomographyTransformer("tilts")}
    classifier = itn.Classifier(Area(area(known)))
    run = itn.learn(classifier, images, labels, LearnConfig(parts=parts, **QUICK))
    module, frame = run.net.part("tilts"), run.net.part("tilts").frame(images.shape)
    tilts = [b for b in run.record.baselines["tilts"] if b.transform == "perspective_x"]
    assert all(0.9 * 25 <= abs(b.estimated_magnitude) <= 1.05 * 25 for b in tilts)
    at_known = module.displacement(torch.tensor([[known, 0.0]]), frame).item()
    assert run.record.parts["tilts"].displacement_full >= 0.9 * at_known


def test_parts_are_applied_and_driven_in_the_order_in_which_they_are_named(side, blobs):
    images = blobs[0][:4]
    net = make_net(side, LearnConfig(parts=("tone", "spatial", "filter")), images.shape)
    assert net.parts == net.controls == ("tone", "spatial", "filter")
    expected = images
    for name in net.parts:
        expected = net.part(name)(expected, torch.ones(2))
    torch.testing.assert_close(
        net.transform(images, k1=torch.ones(2), k2=torch.ones(2), k3=torch.ones(2)), expected
    )
    paper = make_net(side, LearnConfig(parts=("spatial",)), images.shape)
    assert paper.controls == ("color", "spatial")
    assert make_net(side, LearnConfig(parts=("spatial", "color")), images.shape).parts == ("color", "spatial")
    assert controls_of_parts(("filter",)) == ("filter",)


@pytest.mark.parametrize("name", NAMED_PARTS)
def test_parts_are_made_from_the_settings_of_the_run(name):
    settings = PartSettings(3, hidden=5, nonnegative=True, padding="border", interpolation="bicubic")
    described = describe_part(NAMED_PARTS[name](settings))
    assert described["hidden"] == 5
    assert described["nonnegative"]
    assert described["padding"] == ("border" if name not in ("color", "tone") else "zeros")
    assert "code_sha256" not in described


@pytest.mark.usefixtures("no_figures")
def test_a_run_of_named_parts_is_loaded_without_them_and_shown_again(side, blobs, tmp_path):
    config = LearnConfig(parts=("elastic", "filter", "homography", "tone"), **QUICK | {"steps": 3})
    run = itn.learn(side, *blobs, config, tmp_path)
    assert set(run.record.baselines) == set(config.parts)
    assert set(run.record.headline) == {"joint"}
    assert all(part.description and part.displacement_full > 0 for part in run.record.parts.values())
    assert "(displacement of tone: mean square of the exponent in octaves" in str(run)
    assert "A the matrix of the transformation (homography))" in str(run)
    ks = [torch.rand(8, 2) for _ in config.parts]
    net = itn.load_net(tmp_path, side)
    assert net.controls == config.parts
    assert torch.equal(net.transform(blobs[0][:8], *ks), run.net.transform(blobs[0][:8], *ks))
    assert "all computed beforehand" in (tmp_path / "report.html").read_text()  # pictures, no sliders
    again = itn.learn(side, *blobs, config, tmp_path)
    assert str(again) == str(run)
    assert itn.load_augmentation(tmp_path)(blobs[0][:8]).shape == blobs[0][:8].shape


def test_interpolation_is_chosen_for_all_that_moves_pixels():
    assert LearnConfig(parts=("homography",)).chooses_interpolation
    assert LearnConfig(parts=("elastic", "tone")).chooses_interpolation
    assert not LearnConfig(parts=("filter", "tone")).chooses_interpolation
