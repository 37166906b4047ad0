"""The worst k is found where it is known on paper, and learning knows of it."""

import pytest
import torch

import itn


@torch.no_grad()
def shift_along_x(learner, first, second):
    """Let k = (1, 0) and (0, 1) shift all rows along x by so much: blobs break beyond 0.5."""
    hidden, output = learner.families.hidden[0], learner.families.output[0]
    hidden.zero_()
    output.zero_()
    hidden[:, 0, 0] = hidden[:, 1, 1] = 1
    output[:, 0, 0], output[:, 0, 1] = first, second
    learner.families.units[0].fill_(1)
    learner.families.log_scale.zero_()


@pytest.mark.parametrize(
    ("ends", "worst"), [((0.9, -0.7), [1.0, 0.0]), ((-0.3, 0.9), [0.0, 1.0]), ((0.4, 0.4), [1.0, 1.0])]
)
def test_the_worst_k_is_where_entries_do_not_make_up_for_each_other(make_learner, blobs, side, ends, worst):
    data = itn.preflight(side, *blobs)
    learner = make_learner(side, data, parts=("spatial",), family="translation", padding="border")
    shift_along_x(learner, *ends)
    learner._search_worst()
    assert learner.worst[:, 1].tolist() == 4 * [worst]


def test_the_worst_k_may_lie_on_the_way_to_full_strength(make_learner, blobs, side, monkeypatch):
    """A family whose middle breaks what its end does not: scaled back it would be no family at all."""
    data = itn.preflight(side, *blobs)
    learner = make_learner(side, data, parts=("spatial",), family="translation", padding="border")
    shift_along_x(learner, 0.9, 0.0)
    middle = learner.families.parameters(
        learner.families.log_scale, learner.net.of_parts([torch.full((1, 2), 0.75)] * 2)
    )[0][0, 0, 0].item()

    def soft_changes(index, parameters):
        away = parameters[0][..., 0].detach() - middle
        return torch.exp(-((away / 0.1) ** 2))

    monkeypatch.setattr(learner, "soft_changes", soft_changes)
    learner._search_worst()
    assert learner.worst[:, 1].tolist() == 4 * [[0.75, 0.75]]


def test_what_drives_nothing_stays_at_full_strength(make_learner, blobs, side):
    learner = make_learner(side, itn.preflight(side, *blobs), parts=("spatial",))
    learner._search_worst()
    assert (learner.worst[:, 0] == 1).all()


def test_scales_follow_the_worst_k(make_learner, blobs, side):
    """Full strength breaks nothing; k = (1, 0) breaks half of the blobs: the scale must shrink."""
    data = itn.preflight(side, *blobs)
    learner = make_learner(side, data, parts=("spatial",), family="translation", padding="border", steps=40)
    shift_along_x(learner, 0.9, -0.88)
    for number in range(4):  # before directions have turned
        learner.step(number)
    drops = learner.primal_dual.room.drops[learner.families.remaining]
    assert (drops[:, 1] > drops[:, 0]).all()
    assert (learner.families.log_scale[learner.families.remaining] < -0.1).all()
