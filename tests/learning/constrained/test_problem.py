"""What is known of a family before it is learned, and the weights that its restarts begin with."""

import pytest
import torch

import itn
from itn.learning.constrained.problem import family_problem
from itn.nn import ControlHead
from itn.stats import generator


def test_restarts_have_weights_of_their_own_and_the_first_those_of_the_net(
    make_config, make_problem, blobs, side
):
    problem = make_problem(side, itn.preflight(side, *blobs), make_config())
    found = family_problem(problem, seed=5, restarts=3)
    assert found.net is problem.net
    assert found.restarts[0] == [part.head for part in problem.net.members]
    for number in (1, 2):
        weights = generator(5, f"weights {number}")
        for head, outputs in zip(found.restarts[number], (2, 6), strict=True):
            expected = ControlHead(outputs, generator=weights)
            assert torch.equal(head.hidden.weight, expected.hidden.weight)
            assert torch.equal(head.output.weight, expected.output.weight)
    before = problem.net.part("color").head.output.weight.clone()
    found.restarts[1][0].output.weight.data.zero_()
    assert torch.equal(problem.net.part("color").head.output.weight, before)


@pytest.mark.parametrize(("color_family", "restarts"), [("affine", 4), ("gain", 1)])
def test_one_restart_will_do_where_all_directions_are_known(
    color_family, restarts, make_config, make_problem, blobs, side
):
    config = make_config(family="rotation", color_family=color_family)
    problem = make_problem(side, itn.preflight(side, *blobs), config)
    ranges = {"color": (1.0, -0.25), "spatial": (-1.5, 1.0)}
    given = problem.baselines
    known = type(given)({}, 0.06, ranges, given=given.given, at_bound=("color",))
    found = family_problem(problem._replace(baselines=known), 0, 4)
    assert len(found.restarts) == restarts
    assert found.directions["spatial"].tolist() == [[[-1.5], [1.0]]]
    if color_family == "gain":
        assert found.directions["color"].tolist() == [[[1.0], [-0.25]]]
    assert found.references == {"color": 0.5, "spatial": 0.1}
    assert found.bounded == {"color"}


def test_only_images_that_are_right_can_break(make_config, make_problem, blobs, side):
    images, labels = blobs
    data = itn.preflight(side, images, labels.index_fill(0, torch.arange(10), 1))
    found = family_problem(make_problem(side, data, make_config()), 0, 1)
    assert len(found.training.data) == 200
    assert len(found.recognized.data) == 195
    assert found.recognized.held.all()
