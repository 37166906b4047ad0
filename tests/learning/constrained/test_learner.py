"""The learner as a whole: several problems, and its state."""

import copy

import torch

import itn
from itn.learning.constrained.learner import ConstrainedLearner


def test_every_problem_has_its_own_images_and_restarts(make_learner, blobs, side):
    data = itn.preflight(side, *blobs)
    parts = [data.part((data.labels == label).nonzero().flatten()) for label in (0, 1)]
    single = [make_learner(side, part, parts=("spatial",), steps=10) for part in (*parts, data)]
    problems = [
        learner.problems[0]._replace(references={"spatial": 0.1 * n}) for n, learner in enumerate(single, 1)
    ]
    learner = ConstrainedLearner(problems, single[0].config, 0.06)
    assert [members.tolist() for members in learner.sampler.members] == [
        list(range(100)),
        list(range(100, 200)),
        list(range(200, 400)),
    ]
    index = torch.tensor([[3, 5], [103, 105], [203, 205]])
    matrices = torch.eye(2, 3).repeat(12, 2, 1, 1)
    matrices[4:8, :, 0, 2] = 0.9  # content far to the left, for the second problem alone
    margins = learner.margins(index, [matrices]).view(3, 4, 2)
    assert (margins[[0, 2]] > 0).all()
    assert (margins[1] < 0).all()  # which lies on the right
    assert [learner.step(number).restarts for number in range(10)] == [4] * 3 + [1] * 7
    assert (learner.families.remaining // 4).tolist() == [0, 1, 2]
    families, remaining = learner.families, learner.families.remaining
    best = families.output_weights(0, families.log_scale[remaining], remaining)
    learner.finish()
    for problem, weights in zip(problems, best, strict=True):
        assert torch.equal(problem.net.spatial.head.output.weight, weights)
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
