"""Learning from photographs that show more than the crop, with a classifier that is known on paper."""

import json

import pytest
import torch
from torch import nn

import itn
from itn.certification.parametric import EvaluationSet, ParametricTransform
from itn.functional import Surround
from itn.learning.figures import directions, grid, strips
from itn.learning.objective import Learner, LearnProblem
from tests.shades import shade_classifier, shade_photographs


@pytest.fixture
def classifier():
    return shade_classifier(0.5, 8)


@pytest.fixture
def photographs(tmp_path, classifier):
    """Of one shade each, 16 x 8: half the crop to its left and right, nothing above it."""
    return shade_photographs(tmp_path / "photos", classifier, 60)


def config(**settings):
    return itn.LearnConfig(
        parts=("spatial",), family="translation_x", tolerance=0.2, steps=20, batch_size=64, **settings
    )


def test_a_family_goes_as_far_as_the_photographs_show(classifier, photographs, tmp_path):
    """Light images break where a third of them is black: without a surround shifts end there."""
    seen = itn.learn(classifier, photographs, config=config(), out=tmp_path / "seen")
    blind = itn.learn(classifier, photographs, config=config(surround="none"))
    assert (seen.record.surround, blind.record.surround) == (2, None)
    reached = blind.record.parts["spatial"].range
    assert (reached.low, reached.high) == pytest.approx((-1 / 3, 1 / 3), abs=0.05)
    reached = seen.record.parts["spatial"].range
    assert (reached.low, reached.high) == pytest.approx((-1 / 2, 1 / 2), abs=0.05)
    assert "up to 2 times their size" in str(seen)
    assert "surround: none" in str(blind)
    assert {path.stem for path in (tmp_path / "seen" / "figures").iterdir()} >= {"grid", "classes"}
    plain = itn.learn(classifier, *photographs, config())
    assert plain.record == blind.record


def test_baselines_look_around_too(classifier, photographs):
    """Along the photographs nothing breaks; across them a third of black does."""
    record = itn.learn(classifier, photographs, config=config()).record
    baselines = {(b.transform, b.sign): b for b in record.baselines["spatial"]}
    for sign in "+-":
        assert abs(baselines["translate_x", sign].estimated_magnitude) == 0.5  # its bound
        assert abs(baselines["translate_y", sign].estimated_magnitude) == pytest.approx(1 / 3, abs=0.02)


@pytest.mark.parametrize("objective", ["switched", "constrained"])
def test_both_parts_are_learned_with_both_objectives(objective, classifier, photographs):
    settings = itn.LearnConfig(objective=objective, tolerance=0.2, steps=3, batch_size=32)
    record = itn.learn(classifier, photographs, config=settings).record
    assert record.surround == 2
    assert record == itn.LearnRecord.from_json(json.loads(json.dumps(record.to_json())))


def test_families_of_classes_are_learned_and_drawn(classifier, photographs, tmp_path):
    settings = itn.LearnConfig(parts=("spatial",), family="translation_x", tolerance=0.2, steps=3)
    result = itn.learn_per_class(classifier, photographs, config=settings, out=tmp_path / "run")
    assert result.record.surround == 2
    assert "up to 2 times their size" in str(result)
    assert (tmp_path / "run" / "figures" / "classes.png").exists()


def noise(images=6):
    """Canvases of noise, of photographs that end in them at different places."""
    generator = torch.Generator().manual_seed(3)
    pixels = torch.randint(0, 256, (images, 3, 14, 17), generator=generator).to(torch.uint8)
    boxes = torch.tensor([[0, 0, 17, 14], [1, 2, 15, 11], [3, 0, 13, 14]]).repeat(images // 3, 1)
    surround = Surround(2, 3, 9, 10, boxes)
    canvases = itn.models.canvases.Canvases(itn.functional.fill_outside(pixels, surround, "zeros"), surround)
    labels = torch.arange(images) % 2
    return itn.CheckedImages(canvases.crops, labels, labels, canvases=canvases)


@pytest.fixture
def net(classifier):
    net = itn.InvariantTransformerNet(classifier, itn.ColorTransformer(3), itn.SpatialTransformer())
    for part in net.members:
        nn.init.normal_(part.head.output.weight, std=0.1, generator=torch.Generator().manual_seed(0))
    return net


def test_learners_see_what_evaluations_see_in_chunks_of_any_size(net, classifier):
    data = noise()
    settings = itn.LearnConfig(objective="switched", steps=1, batch_size=6)
    images = EvaluationSet(classifier, data)
    learner = Learner(LearnProblem.of(net, images, None), settings, settings.goal)
    k = torch.rand(2, 6, 2, generator=torch.Generator().manual_seed(1))
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    whole = learner.logits(order, net.generate(*k))
    learner.sharded_forward.max_chunk = 4
    torch.testing.assert_close(learner.logits(order, net.generate(*k)), whole)
    canvases, surround = data.with_surround(order, torch.device("cpu"))
    torch.testing.assert_close(net(canvases, *k, surround=surround), whole)
    margins = images.part(order).outcomes(ParametricTransform.of_net(net), torch.cat(list(k), 1)).margins
    labels = data.labels[order]
    expected = (whole[:, 0] - whole[:, 1]) * (1 - 2 * labels)
    torch.testing.assert_close(margins, expected.detach())


def test_figures_show_what_the_classifier_sees(net):
    data = noise()
    canvases, surround = data.stored
    one = torch.ones(2)
    pixels = canvases / 255
    expected = net.transform(pixels, one, one, surround=surround)
    cells = grid(net, canvases, (0.0, 1.0), (0.0, 1.0), surround)
    torch.testing.assert_close(cells[1, 1], expected)
    assert torch.equal(cells[0, 0], data.images / 255)
    pictures, _ = strips(net, canvases, (0.0, 0.5), surround)
    assert torch.equal(pictures["color"][:, 0], data.images / 255)
    k = torch.tensor([0.5, 0.0])
    torch.testing.assert_close(pictures["spatial"][:, 1], net.transform(pixels, 0 * k, k, surround=surround))
    grids, vertices = directions(net, canvases[:1], 3, surround.part(slice(1)))
    assert grids["spatial"].shape == (3, 3, 6)
    full = net.transform(pixels[:1], 0 * one, one, surround=surround.part(slice(1)))
    torch.testing.assert_close(vertices["spatial"][3:], full)
