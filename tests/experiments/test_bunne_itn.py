"""The study of the learned families: its numbers against known matrices, and that it goes on."""

import json

import numpy as np
import pytest
import torch
from scipy.linalg import polar

import itn


@pytest.fixture
def script(experiment):
    return experiment("bunne_itn.run")


class Known:
    """A net whose matrices are k[0] on the way from the identity to given ones."""

    def __init__(self, color, spatial):
        self.parts = {"color": Way(torch.tensor(color)), "spatial": Way(torch.tensor(spatial))}

    def part(self, name):
        return self.parts[name]


class Way:
    """A transformer of which k[0] is the fraction of the way to a matrix."""

    def __init__(self, end):
        self.end, self.head = end, itn.nn.ControlHead(end.numel(), bound=0.5)

    def matrix(self, k):
        identity = torch.eye(*self.end.shape)
        return identity + k[:, :1, None] * (self.end - identity)


def test_the_numbers_of_a_known_family(script):
    """Gray 0.5 with gain 1.2 and bias -0.3 is 0.3; a turn of square pixels, and a zoom."""
    c, s = 1.5 * np.cos(np.radians(20)), 1.5 * np.sin(np.radians(20))
    gray = torch.full((3, 1, 10, 20), 0.5)
    held = itn.CheckedImages(gray, torch.zeros(3).long(), torch.zeros(3).long())
    family = script.family_numbers(Known([[1.2, -0.3]], [[c, s / 2, 0.4], [-s * 2, c, 0.0]]), held)
    assert family["pixel_change"] == pytest.approx(0.2, abs=1e-6)
    assert family["share_of_color_bound"] == pytest.approx(0.6, abs=1e-6)
    for name in ("zoom", "scale_x", "scale_y"):
        assert family[name] == pytest.approx(1.5, abs=1e-5)
    assert family["area"] == pytest.approx(2.25, abs=1e-5)
    for name in ("rotation", "nearest_rotation", "most_rotation", "most_nearest_rotation"):
        assert family[name] == pytest.approx(20, abs=1e-3)
    assert family["least_zoom"] == 1


def test_the_nearest_rotation_is_that_of_the_polar_decomposition(script):
    matrix = np.array([[1.2, 0.4], [0.1, 0.8]])
    square = itn.CheckedImages(torch.rand(2, 1, 8, 8), torch.zeros(2).long(), torch.zeros(2).long())
    known = Known([[1.0, 0.0]], np.c_[matrix, [0.1, 0.2]].astype("float32").tolist())
    family = script.family_numbers(known, square)
    turn, _ = polar(matrix)
    assert family["nearest_rotation"] == pytest.approx(
        np.degrees(np.arctan2(turn[0, 1], turn[0, 0])), abs=1e-4
    )
    assert family["rotation"] == pytest.approx(np.degrees(np.arctan2(-0.1, 1.2)), abs=1e-4)
    assert family["zoom"] == family["least_zoom"] == pytest.approx(0.92**0.5, abs=1e-6)


def test_claims_at_their_limits(script):
    zooms_out, never_in, rotates_little, colors_little = script.CLAIMS
    assert not zooms_out.holds(1.0)
    assert zooms_out.holds(1.001)
    assert never_in.holds(0.95)
    assert not never_in.holds(0.9)
    assert rotates_little.holds(10.0)
    assert not rotates_little.holds(10.1)
    assert colors_little.holds(0.1)
    assert not colors_little.holds(0.11)


def test_finished_runs_are_kept_and_figures_redraw_from_json(script, tmp_path, monkeypatch):
    options = {"photos": None, "model": "efficientnet-lite0", "weights": None}
    protocol = script.Protocol("smoke", (0,), tmp_path, torch.device("cpu"), options)
    record = json.loads(json.dumps(script.measure(protocol)))
    assert {(run["model"], run["reading"]) for run in record["runs"]} == {
        ("jennings-cnn", "linear"),
        ("jennings-cnn", "nonnegative"),
    }
    monkeypatch.setattr(script, "_run", lambda *args: pytest.fail("learned again"))
    assert json.loads(json.dumps(script.measure(protocol))) == record
    # At t = 0 images are unchanged, and so is what is said of them
    run = record["runs"][0]
    images = itn.load_images("mnist:heldout").images[run["shown"]]
    predicted = itn.predict(itn.load_classifier("jennings-cnn"), images).tolist()
    assert [row[0] for row in run["predictions"]["color"]] == predicted
    assert [row[0] for row in run["predictions"]["spatial"]] == predicted
    with monkeypatch.context() as without:
        without.setattr(itn, "load_classifier", lambda *args: pytest.fail("drawing needs no classifier"))
        drawn = script.figures(record)
    names = [f"{kind}-jennings-cnn-{heads}" for heads in script.READINGS for kind in ("classes", "grid")]
    assert list(drawn) == ["losses-jennings-cnn", *names]
    assert script.table(record).count("1 of 1 runs") + script.table(record).count("0 of 1 runs") == 8
    part = tmp_path / "parts" / "jennings-cnn-linear-seed0.json"
    part.write_text(part.read_text().replace('"steps": 4', '"steps": 5'))
    with pytest.raises(ValueError, match="was learned otherwise: remove it, or name another --out"):
        script.measure(protocol)
