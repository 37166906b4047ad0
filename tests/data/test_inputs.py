"""Runs are resumed by a classifier that answers as the one that has started them."""

import json

import pytest
import torch
from torch import nn

import itn
from itn.runtime.run_dir import content_of

SCREEN = itn.ScreenConfig(
    transforms=("contrast",), magnitudes={"contrast": (0.5, 2.0)}, bisections=0, accuracy_bisections=0
)
LEARN = itn.LearnConfig(objective="switched", parts=("color",), steps=3, batch_size=16)
RUNS = {"screen": (itn.screen, SCREEN), "learn": (itn.learn, LEARN)}


class Code(nn.Module):
    """Weights, and a forward that may change while they do not."""

    def __init__(self, scale=1.0, stops_after=1000):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(20.0))
        self.scale, self.left = scale, stops_after

    def forward(self, images):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        excess = self.scale * self.weight * (images.mean((1, 2, 3)) - 0.5)
        return torch.stack([-excess, excess], 1)


def interrupted(kind, flats, folder):
    work, config = RUNS[kind]
    passes = 17 if kind == "screen" else 34  # a few more than before the run itself
    with pytest.raises(itn.Interrupted):
        work(itn.Classifier(Code(stops_after=passes), name="mine"), *flats, config, folder)


@pytest.mark.parametrize("kind", RUNS)
def test_the_same_weights_in_other_code_do_not_resume(kind, flats, tmp_path):
    interrupted(kind, flats, tmp_path)
    before = content_of(tmp_path)
    work, config = RUNS[kind]
    other = itn.Classifier(Code(1.05), name="mine")
    assert other.sha256() == itn.Classifier(Code()).sha256()
    with pytest.raises(
        ValueError, match=r"same weights but answered differently.*undo .* or add overwrite=True"
    ):
        work(other, *flats, config, tmp_path)
    assert content_of(tmp_path) == before


@pytest.mark.parametrize("kind", RUNS)
def test_answers_that_differ_by_rounding_do(kind, flats, tmp_path):
    """And config.json is that of a run which was not interrupted, with the answers that it has now."""
    interrupted(kind, flats, tmp_path / "resumed")
    work, config = RUNS[kind]
    for folder in ("resumed", "whole"):
        work(itn.Classifier(Code(1.001), name="mine"), *flats, config, tmp_path / folder)
    settings = [(tmp_path / folder / "config.json").read_bytes() for folder in ("resumed", "whole")]
    assert settings[0] == settings[1]
    assert json.loads(settings[0])["answers"] == pytest.approx([10.01] * 8)
