"""The learner as a whole: several problems, and its state."""

import copy

import pytest
import torch

import itn


def test_every_problem_has_its_own_images_and_restarts(make_config, make_problem, blobs, side):
    data = itn.preflight(side, *blobs)
    parts = [data.part((data.labels == label).nonzero().flatten()) for label in (0, 1)]
    config = make_config(parts=("spatial",), steps=10)
    problems = [
        make_problem(side, part, config, {"spatial": 0.1 * n}) for n, part in enumerate((*parts, data), 1)
    ]
    learner = config.goal.learner(problems, config)
    assert [members.tolist() for members in learner.sampler.members] == [
        list(range(100)),
        list(range(100, 200)),
        list(range(200, 400)),
    ]
    index = torch.tensor([[3, 5], [103, 105], [203, 205]])
    parameters = torch.zeros(12, 2, 6)
    parameters[4:8, :, 2] = 0.9  # content far to the left, for the second problem alone
    changes = learner.soft_changes(index, [parameters]).view(3, 4, 2)
    assert (changes[[0, 2]] < 0.5).all()
    assert (changes[1] > 0.5).all()  # which lies on the right
    assert [learner.step(number).values["restarts"] for number in range(10)] == [4] * 3 + [1] * 7
    assert (learner.families.remaining // 4).tolist() == [0, 1, 2]
    families, remaining = learner.families, learner.families.remaining
    best = families.output_weights(0, families.log_scale[remaining], remaining)
    learner.finish()
    for problem, weights in zip(problems, best, strict=True):
        assert torch.equal(problem.net.part("spatial").head.output.weight, weights)
    assert len({weights.sum().item() for weights in best}) == 3


def test_state_round_trip(make_learner, blobs, side):
    data = itn.preflight(side, *blobs)
    learner = make_learner(side, data, steps=20)
    for number in range(8):
        learner.step(number)
    state = copy.deepcopy(learner.state())
    expected = [learner.step(number) for number in range(8, 16)]
    fresh = make_learner(side, data, steps=20)
    fresh.load_state(state)
    assert [fresh.step(number) for number in range(8, 16)] == expected


@pytest.mark.parametrize("learn", [itn.learn, itn.learn_per_class])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_no_pass_has_more_images_than_a_batch(learn, batch_size, blobs, side):
    """Restarts and classes that would need more share a step, not a pass."""
    passed = []
    side.net.register_forward_pre_hook(lambda module, arguments: passed.append(len(arguments[0])))
    config = itn.LearnConfig(
        tolerance=0.3, steps=2, batch_size=batch_size, parts=("spatial",), family="translation"
    )
    learn(side, *(part[:120] for part in blobs), config)
    assert max(passed) == batch_size
