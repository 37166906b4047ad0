"""The closing table says what was learned, and no more."""

import dataclasses

import pytest
import torch

import itn
from itn import ColorTransformer, SpatialTransformer
from itn.learning.summary import summary
from itn.nn import Frame

QUICK = itn.LearnConfig(objective="switched", steps=5, batch_size=32)


@pytest.fixture
def record(blobs, side):
    return itn.learn(side, *blobs, QUICK).record


def test_summary_says_what_the_matrices_do(record):
    """Known matrices, known words: a gain of 1.5, and a clockwise turn that also moves left."""
    turn = torch.tensor(12.34).deg2rad()
    turned = torch.tensor([[turn.cos(), turn.sin()], [-turn.sin(), turn.cos()]])
    linear = turned @ torch.tensor([[1.0, -0.05], [0.0, 1.0]]) @ torch.diag(torch.tensor([1.25, 0.9]))
    linear *= torch.tensor([[1.0, 0.5], [2.0, 1.0]])  # of square pixels, in a frame twice as wide as high
    shift = -linear @ (2 * torch.tensor([[-0.034], [0.021]]))
    spatial = (torch.cat([linear, shift], 1) - torch.eye(2, 3)).view(1, 6)
    words = {
        "color": ColorTransformer(1).describe(torch.tensor([[0.5, -0.25]]), Frame(1, 20, 40)),
        "spatial": SpatialTransformer().describe(spatial, Frame(1, 20, 40)),
    }
    parts = {name: dataclasses.replace(part, description=words[name]) for name, part in record.parts.items()}
    told = summary(
        dataclasses.replace(record, accuracy_uniform=0.9876, accuracy_uniform_ci=(0.98, 0.99), parts=parts)
    )
    assert "98.76 % [98.00, 99.00] " in told
    assert "gain 1.50 and bias -0.25 of full range" in told
    assert (
        "turned 12.3 degrees clockwise, scaled x 1.25 and y 0.90 (above 1 shrinks), sheared by +0.05 "
        "(pixels to the right per pixel down)" in told
    )
    assert "shifted 3.4 % of the width left and 2.1 % of the height down" in told


@pytest.mark.parametrize("part", ["color", "spatial"])
def test_summary_and_record_leave_out_what_was_not_learned(part, blobs, side):
    record = itn.learn(side, *blobs, dataclasses.replace(QUICK, parts=(part,))).record
    told = summary(record)
    assert ("colors have gain" in told) == (part == "color")
    assert ("content is turned" in told) == (part == "spatial")
    assert set(record.parts) == {part}
    assert (record.parts[part].rms_shift_full is None) == (part == "color")
    assert {point.part for point in record.curves} == {part}


def test_what_replaces_what_was_learned_is_told_in_words(record):
    """The signs of a single transformation, and the unit of a fall, are said where they are printed."""
    parts = {name: dataclasses.replace(part, member="zoom +") for name, part in record.parts.items()}
    told = summary(dataclasses.replace(record, parts=parts))
    assert "spatial: the family goes along zoom + (+: its magnitude rises, -: it falls) instead of" in told
    assert "falls by (points)" in told
    assert "what moves in from outside the images is padding" in told


def test_bounds_are_told_with_the_criterion_and_the_confidence(blobs, side):
    config = itn.LearnConfig(tolerance=0.2, steps=5, batch_size=32, parts=("spatial",), family="rotation")
    told = summary(itn.learn(side, *blobs, config).record)
    assert "what is lost (accuracy), measured, and at most with 95 % confidence: full strength " in told
