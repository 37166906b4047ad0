"""The constrained objective on classifiers whose limits are known on paper."""

import copy
import dataclasses
import math

import pytest
import torch

import itn
from itn.learning.constrained.learner import ConstrainedLearner, FamilyProblem
from itn.learning.load import make_net

QUICK = itn.LearnConfig(objective="constrained", tolerance=0.06, steps=60, batch_size=64)


def learner(classifier, data, references=None, bounded=(), **settings):
    config = dataclasses.replace(QUICK, **settings)
    restarts = [make_net(classifier, config, data.images.shape, restart) for restart in range(4)]
    references = references or {"color": 0.5, "spatial": 0.1}
    directions = {"color": torch.zeros(0, 2, 2), "spatial": torch.zeros(0, 2, 6)}
    problem = FamilyProblem(restarts[0], restarts, data, references, bounded, directions)
    return ConstrainedLearner([problem], config, config.tolerated)


@pytest.mark.parametrize("seed", range(2))
def test_turns_as_far_as_a_blob_may_and_no_further(seed, blobs, side):
    """Less than a right angle changes nothing, more changes every answer."""
    config = dataclasses.replace(QUICK, parts=("spatial",), family="rotation", steps=150, seed=seed)
    result = itn.learn(side, *blobs, config)
    record, (corner,) = result.record, result.net.spatial.head(torch.ones(1, 2)).abs()
    assert 0.9 * math.pi / 2 < corner.item() < math.pi / 2  # scales are tested in steps of 2 %
    assert record.accuracy_at_corner == record.certificate.worst_image_accuracy == 1
    assert record.certificate.corner_lower_bound == pytest.approx(0.025 ** (1 / 60))


@pytest.mark.parametrize("seed", range(2))
def test_shifts_to_the_bound_where_nobody_looks(seed, blobs, side):
    """Shifts along x below 0.5 change nothing, larger ones lose one class; along y only the bound does."""
    config = dataclasses.replace(
        QUICK, parts=("spatial",), family="translation", spatial_bound=0.8, steps=150, seed=seed
    )
    result = itn.learn(side, *blobs, config)
    vertices = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    x, y = result.net.spatial.matrix(vertices)[:, :, 2].abs().unbind(1)
    assert 0.75 < y[-1] <= 0.8
    assert x.max() < 0.5
    assert result.record.certificate.worst_image_accuracy == 1


def test_color_goes_as_far_as_a_threshold_allows(flats, brightness):
    """Gain g and bias b hold if and only if 0.25 g + b <= 0.5 <= 0.75 g + b, best at (2, -1), (0, 0.5)."""
    config = dataclasses.replace(QUICK, parts=("color",), steps=150)
    record = itn.learn(brightness, *flats, config).record
    ((gain, bias),) = record.color_matrix_at_corner
    assert 0.25 * gain + bias <= 0.5 <= 0.75 * gain + bias
    assert record.color_displacement_at_corner > 0.3  # of at most 1; a gain alone has 0.06 or 0.5
    assert record.certificate.worst_k_accuracy == 1


@pytest.mark.parametrize("family", ["rotation", "zoom"])
def test_a_single_parameter_has_both_signs(family, blobs, side):
    """Right angles both ways, and zooms down to nothing and up to twice the size, change no answer."""
    config = dataclasses.replace(QUICK, parts=("spatial",), family=family, steps=150)
    net = itn.learn(side, *blobs, config).net
    limit = {"rotation": math.pi / 2, "zoom": 1.0}[family]
    low, high = net.spatial.head(torch.cartesian_prod(*2 * [torch.linspace(0, 1, 11)])).aminmax()
    assert -limit <= low.item() < -0.9 * limit
    assert 0.9 * limit < high.item() <= limit


def test_the_ends_of_a_range_need_not_be_alike(flats, brightness):
    """A gain holds if and only if 0.25 g <= 0.5 <= 0.75 g: from 2/3 to the bound, which is 2."""
    config = dataclasses.replace(QUICK, parts=("color",), color_family="gain", steps=150)
    result = itn.learn(brightness, *flats, config)
    found = result.record.ranges["color"]
    assert found.transform == "contrast"
    assert 2 / 3 <= found.low < 0.72
    assert 1.9 < found.high <= 2
    assert f"over all k, contrast from {found.low:.3g} to {found.high:.3g} (factor)" in str(result)
    gains = 1 + result.net.color.head(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.5]]))
    torch.testing.assert_close(gains[:, 0], torch.tensor([found.high, found.low, found.high, found.high]))


def test_a_rectified_range_has_one_end(flats, brightness):
    """A bias holds if and only if it is in [-1/4, 1/4]; what is rectified is not below 0."""
    config = dataclasses.replace(QUICK, parts=("color",), color_family="bias", nonnegative=True)
    found = itn.learn(brightness, *flats, config).record.ranges["color"]
    assert found.low == 0
    assert 0.2 < found.high <= 0.25


def test_beyond_an_axis_that_meets_its_bound_little_is_gained(blobs, side):
    """Twice the reference counts as much more than it as a tenth of that in a part that is not bounded."""
    matrices = [torch.eye(1, 2).expand(4, 1, 1, 2).clone(), torch.eye(2, 3).expand(4, 1, 2, 3)]
    matrices[0][..., 1] = 2**0.5  # displacement 1, twice the reference
    data = itn.preflight(side, *blobs)
    free, bounded = (learner(side, data, bounded=parts) for parts in ((), ("color",)))
    whole, little = (made._log_displacement(matrices) for made in (free, bounded))
    torch.testing.assert_close(whole - little, torch.full((4, 1), 0.9 * math.log(2) / 2))


def test_what_moves_grows_along_both_controls_in_directions_of_their_own(blobs, side):
    config = dataclasses.replace(QUICK, parts=("spatial",), steps=150)
    net = itn.learn(side, *blobs, config).net
    first, second = (net.spatial.matrix(k) - torch.eye(2, 3) for k in torch.eye(2))
    assert torch.cosine_similarity(first.flatten(), second.flatten(), dim=0).abs() < 0.5
    assert min(itn.displacement(matrix + torch.eye(2, 3)).item() for matrix in (first, second)) > 1e-3


def test_every_task_has_images_and_starts_of_its_own(blobs, side):
    data = itn.preflight(side, *blobs)
    parts = [data.part((data.labels == label).nonzero().flatten()) for label in (0, 1)]
    single = [learner(side, part, parts=("spatial",), steps=10) for part in (*parts, data)]
    problems = [
        made.problems[0]._replace(references={"spatial": 0.1 * n}) for n, made in enumerate(single, 1)
    ]
    made = ConstrainedLearner(problems, single[0].config, 0.06)
    assert [members.tolist() for members in made.members] == [
        list(range(100)),
        list(range(100, 200)),
        list(range(200, 400)),
    ]
    index = torch.tensor([[3, 5], [103, 105], [203, 205]])
    matrices = (None, torch.eye(2, 3).repeat(12, 2, 1, 1))
    matrices[1][4:8, :, 0, 2] = 0.9  # content far to the left, for the second problem alone
    found = made._margins(index, matrices).view(3, 4, 2)
    assert (found[[0, 2]] > 0).all()
    assert (found[1] < 0).all()  # which lies on the right
    assert [made.step(number).starts for number in range(10)] == [4] * 3 + [1] * 7
    assert (made.remaining // 4).tolist() == [0, 1, 2]
    best = made._weights(0, made.log_scale[made.remaining], made.remaining)
    made.finish()
    for problem, weights in zip(problems, best, strict=True):
        assert torch.equal(problem.net.spatial.head.output.weight, weights)
    assert len({weights.sum().item() for weights in best}) == 3


def test_directions_do_not_change_sizes(blobs, side):
    made = learner(side, itn.preflight(side, *blobs))
    norms = [weights.detach().square().mean((1, 2)) for weights in made.output]
    for number in range(3):
        made.step(number)
    for weights, norm in zip(made.output, norms, strict=True):
        torch.testing.assert_close(weights.detach().square().mean((1, 2)), norm)


@torch.no_grad()
def resized(made, lost, rate):
    """Return how scales change where a share is lost and color and space are in balance."""
    made.break_rate[:] = lost
    before = made.log_scale.clone()
    made._step_scales(torch.zeros(4, 2), torch.zeros(4, 2), torch.ones(4), rate)
    return made.log_scale - before


def test_sizes_follow_twice_the_odds_of_the_tolerance(blobs, side):
    """0.06 / 0.94 doubled is 0.12 / 0.94, which is a share of 0.12 / 1.06; they settle a tenth below it."""
    made = learner(side, itn.preflight(side, *blobs))
    assert (resized(made, lost=0.89 * 0.12 / 1.06, rate=0.1) > 0).all()
    assert (resized(made, lost=0.91 * 0.12 / 1.06, rate=0.1) < 0).all()


def test_growth_ends_where_tanh_is_flat(blobs, side):
    """What nothing is lost by would otherwise grow for ever, and no scale could bring it back."""
    made = learner(side, itn.preflight(side, *blobs))
    for _ in range(300):
        resized(made, lost=0.0, rate=1.0)
    for number in range(2):
        most = made._parameters(number, made.log_scale, torch.ones(4, 1, 2)).abs().amax((1, 2))
        torch.testing.assert_close(most, torch.full((4,), 3.0).tanh())


def test_first_displacements_are_a_quarter_of_the_references(blobs, side):
    made = learner(side, itn.preflight(side, *blobs), references={"color": 0.2, "spatial": 0.04})
    _, moved = made._scores()
    torch.testing.assert_close(moved, torch.tensor([[0.05, 0.01]]).expand(4, 2), rtol=1e-3, atol=0)


def test_units_tell_what_the_classifier_is_sensitive_to(blobs, side):
    """It reads the horizontal centre: a shift by 0.5 along x is as far as it goes, along y to the bound."""
    made = learner(side, itn.preflight(side, *blobs), parts=("spatial",))
    ((unit, *_),) = made.unit
    _, skew_x, shift_x, skew_y, scale_y, shift_y = unit.tolist()
    assert shift_x == pytest.approx(0.5, rel=0.05)
    assert skew_x == skew_y == scale_y == shift_y == 1


def test_draws_are_corners_then_vertices_then_edges(blobs, side):
    made = learner(side, itn.preflight(side, *blobs))
    k1, k2, group = made._draw(100)
    assert (k1[:50] == 1).all()
    assert (k2[:50] == 1).all()
    assert (group[:50] == 8).all()
    number = {(1.0, 0.0): 0, (0.0, 1.0): 1, (1.0, 1.0): 2}
    for i in range(50, 80):
        pair = tuple(k1[i].tolist()), tuple(k2[i].tolist())
        assert group[i] == 3 * number[pair[0]] + number[pair[1]]
    for k in (k1[80:], k2[80:]):
        assert (k.amax(-1) == 1).all()
        assert ((k >= 0) & (k <= 1)).all()
        assert 0.2 < k.amin(-1).mean() < 0.8


def test_worse_starts_are_given_up_and_the_best_is_what_the_net_gets(blobs, side):
    made = learner(side, itn.preflight(side, *blobs), steps=20)
    history = [made.step(number) for number in range(20)]
    assert [step.starts for step in history] == [4] * 6 + [1] * 14
    made.finish()
    color, spatial = (itn.displacement(m).item() for m in made.net.matrices(*[torch.ones(1, 2)] * 2))
    assert color == pytest.approx(history[-1].color_displacement, rel=1e-5)
    assert spatial == pytest.approx(history[-1].spatial_displacement, rel=1e-5)


def test_directions_that_go_nowhere_leave_the_starts_as_they_were_drawn(blobs, side):
    made = learner(side, itn.preflight(side, *blobs), parts=("spatial",))
    before = made.output[0].detach().clone()
    made._init_directions(0, slice(None), torch.zeros(1, 2, 6))
    torch.testing.assert_close(made.output[0].detach(), before)


@pytest.mark.parametrize("settings", [{"batch_size": 1}, {"hidden": 1}])
def test_the_smallest_settings_are_learned_with(settings, blobs, side):
    config = dataclasses.replace(QUICK, steps=3, **settings)
    assert itn.learn(side, *blobs, config).record.certificate.clean_accuracy == 1


def test_nothing_moves_where_every_motion_is_seen(blobs):
    """A classifier of exact images: no axis may move, nor any family."""
    images, labels = blobs

    class Exact(torch.nn.Module):
        def forward(self, x):
            same = (x[:, None] - images[:2]).abs().amax((2, 3, 4)) < 1e-6
            return 20 * same.float() - 10 * torch.eye(2)[0] + 0 * x.sum()

    few = images[:2].repeat(60, 1, 1, 1), labels[:2].repeat(60)
    record = itn.learn(
        itn.Classifier(Exact()), *few, dataclasses.replace(QUICK, tolerance=0.1, steps=5)
    ).record
    assert record.certificate.family_scale == 0
    assert record.spatial_displacement_at_corner == record.color_displacement_at_corner == 0
    assert record.displacement_ratio == {"color": None, "spatial": None}
    assert record.certificate.worst_image_accuracy == 1


def test_state_round_trip(blobs, side):
    data = itn.preflight(side, *blobs)
    made = learner(side, data, steps=20)
    for number in range(8):
        made.step(number)
    state = copy.deepcopy(made.state())
    expected = [made.step(number) for number in range(8, 16)]
    fresh = learner(side, data, steps=20)
    fresh.load_state(state)
    assert [fresh.step(number) for number in range(8, 16)] == expected


def test_interrupted_and_resumed_equals_uninterrupted(blobs, side, tmp_path, monkeypatch):
    config = dataclasses.replace(QUICK, parts=("spatial",), family="translation", steps=12)
    whole = itn.learn(side, *blobs, config, tmp_path / "whole")
    monkeypatch.setattr("itn.learning.trainer.CHECKPOINT_SECONDS", -1.0)
    step = ConstrainedLearner.step

    def interrupted(self, number):
        if number == 6:
            raise KeyboardInterrupt
        return step(self, number)

    monkeypatch.setattr(ConstrainedLearner, "step", interrupted)
    with pytest.raises(itn.Interrupted, match="state after 6 steps is kept"):
        itn.learn(side, *blobs, config, tmp_path / "run")
    monkeypatch.setattr(ConstrainedLearner, "step", step)
    itn.learn(side, *blobs, config, tmp_path / "run")
    for name in ("result.json", "history.jsonl", "model.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert itn.LearnRecord.from_json(whole.record.to_json()) == whole.record


def test_an_interrupt_before_the_first_step_is_explained(blobs, side, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("itn.learning.family.yardsticks", interrupted)
    with pytest.raises(itn.Interrupted, match="interrupted; nothing was kept; the same command"):
        itn.learn(side, *blobs, QUICK, tmp_path / "run")


def test_the_part_that_lags_catches_up(blobs, side):
    """Where a larger color would gain and a larger space would not, color grows at the cost of space."""
    made = learner(side, itn.preflight(side, *blobs))
    made.break_rate[:] = made.target / 1.1 * 0.99  # nothing to do for the size as a whole, nearly
    before = made.log_scale.clone()
    with torch.no_grad():
        made._step_scales(torch.tensor([[1.0, 0.0]]).expand(4, 2), torch.zeros(4, 2), torch.ones(4), rate=0.1)
    color, spatial = (made.log_scale - before).unbind(1)
    assert (color > 0.02).all()
    assert (spatial < -0.02).all()


def test_images_far_from_the_boundary_are_drawn_less_and_less(blobs, side):
    made = learner(side, itn.preflight(side, *blobs))
    before = made.vulnerability.median()
    made.log_scale[:] = -20.0  # nothing moves: margins of 20 are never in danger
    for number in range(40):
        made.step(number)
    assert made.vulnerability.median() < 0.2 * before


def test_starts_set_out_along_pairs_of_promising_directions(blobs, side):
    """Three restarts of four: the first at (1, 0), the second at (0, 1), the sum at the corner, about."""
    data = itn.preflight(side, *blobs)
    made = learner(side, data, parts=("spatial",))
    pair = torch.zeros(1, 2, 6)
    pair[0, 0, 0], pair[0, 1, 4] = 0.3, 0.3  # scales along x and along y
    made._init_directions(0, slice(None), pair)
    vertices = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]).expand(4, -1, -1)
    found = made._parameters(0, made.log_scale, vertices)
    wanted = torch.stack([pair[0, 0], pair[0, 1], pair[0].sum(0)])
    cosines = torch.cosine_similarity(found, wanted, dim=-1)
    assert cosines[:3].mean() > 0.8
    assert cosines[3].mean() < cosines[:3].mean()


def test_starts_are_compared_as_if_all_lost_the_same(blobs, side):
    """A restart that moves along y alone, which nobody sees, stands before one that moves along x."""
    made = learner(side, itn.preflight(side, *blobs), parts=("spatial",), family="translation")
    with torch.no_grad():
        for restart in range(4):
            made.output[0][restart] = 0
            made.output[0][restart, restart % 2] = 0.5  # x, y, x, y
        made.log_scale += torch.tensor([[0.0], [0.0], [0.5], [0.5]])
    x, y, x_larger, y_larger = made._standings()
    assert min(y, y_larger) > max(x, x_larger)
    # Scales of restarts with the same direction count for nothing
    assert abs(x - x_larger) < 0.3
