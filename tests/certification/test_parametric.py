"""What transformations change: on a classifier whose answers are known on paper."""

import pytest
import torch

import itn
from itn.certification.criteria import Accuracy, Agreement, Broken
from itn.certification.parametric import Count, EvaluationSet, ParametricTransform, remember
from itn.functional import apply_color
from itn.learning.load import make_net
from itn.models.checked_images import CheckedImages


class Brightness(torch.nn.Module):
    """Says 1 where the mean of an image exceeds a half: two opposite logits."""

    def forward(self, images):
        excess = images.mean((1, 2, 3)) - 0.5
        return torch.stack([-excess, excess], 1)


def flat_images(values, labels=None):
    """Images of one value each; by default all are what the classifier says."""
    values = torch.as_tensor(values, dtype=torch.float32)
    images = values.view(-1, 1, 1, 1).expand(-1, 1, 4, 4).contiguous()
    said = (values > 0.5).long()
    return CheckedImages(images, said if labels is None else torch.as_tensor(labels), said)


def of_matrix(images, rows):
    """Apply a color matrix that was made by hand."""
    return apply_color(images, rows[0])


def shade(k):
    """Two controls: the first darkens by as much as it says, the second brightens by half of that."""
    matrix = torch.zeros(len(k), 1, 2) + torch.tensor([1.0, 0.0])
    matrix[:, 0, 1] = -k[:, 0] + k[:, 1] / 2
    return [matrix]


def scaled(transform, scale):
    """The same transformation at a scale."""
    return transform._replace(generate=lambda k: transform.generate(scale * k))


CLASSIFIER = itn.Classifier(Brightness())


def evaluation_set(data, batch_size=250, criterion=None):
    return EvaluationSet(CLASSIFIER, data, batch_size, criterion or Broken())


SHADE = ParametricTransform(2, shade, of_matrix)
DARKEN = ParametricTransform(1, lambda k: [torch.stack([torch.ones_like(k), -k], -1)], of_matrix)


def test_margins_are_those_on_paper():
    data = flat_images([0.6, 0.9, 0.3], labels=[1, 1, 1])
    k = torch.tensor([[0.0, 0.0], [0.2, 0.1], [0.0, 0.4]])
    outcomes = evaluation_set(data, 2).outcomes(SHADE, k)
    assert outcomes.margins.tolist() == pytest.approx([0.2, 0.5, 0.0], abs=1e-6)


def test_broken_are_those_that_were_right():
    data = flat_images([0.6, 0.6, 0.9, 0.4], labels=[1, 0, 1, 0])
    everyone = torch.tensor([[0.2, 0.0]])
    assert evaluation_set(data).changes(SHADE, everyone).tolist() == [1, 0, 0, 0]
    own = torch.tensor([[0.0, 0.0], [0.2, 0.0], [0.5, 0.0], [0.0, 0.3]])
    assert evaluation_set(data).changes(SHADE, own).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [(Accuracy(), [1, -1, 0, 0]), (Broken(), [1, 0, 0, 0]), (Agreement(), [1, 1, 0, 0])],
    ids=str,
)
def test_each_criterion_counts_what_it_says(criterion, expected):
    """Darkened by 0.2, the first image turns wrong and the second, whose label is 0, turns right."""
    data = flat_images([0.6, 0.6, 0.9, 0.4], labels=[1, 0, 1, 0])
    images = evaluation_set(data, 3, criterion)
    images = images._replace(data=remember(images))
    everyone = torch.tensor([[0.2, 0.0]])
    assert images.changes(SHADE, everyone).tolist() == expected
    assert images.tally(SHADE, everyone) == Count(expected.count(1), expected.count(-1), 4)
    outcomes = images.outcomes(SHADE, everyone)
    assert outcomes.change.tolist() == expected
    assert outcomes.right.tolist() == [False, True, True, True]
    assert outcomes.same.tolist() == [False, False, True, True]
    # Nothing has changed where nothing is done
    assert not images.changes(SHADE, 0 * everyone).any()
    assert images.outcomes(SHADE, 0 * everyone).same.all()


def test_the_drop_is_what_is_broken_less_what_is_mended():
    assert Count(30, 10, 200).drop == 0.1
    assert Count.of(torch.tensor([1, 1, -1, 0, 1])) == Count(3, 1, 5)


def test_a_tally_stops_only_where_no_mended_image_could_make_up_for_it():
    """A tenth is mended, four tenths are broken: those that can be mended are seen first, few others then."""
    values = torch.linspace(0.501, 1.0, 1000)
    labels = torch.ones(1000).long()
    labels[::10] = 0
    images = evaluation_set(flat_images(values, labels), 50, Accuracy())
    seen = []

    def counted(pixels, rows, surround=None):
        seen.append(len(pixels))
        return SHADE.apply(pixels, rows)

    counting, k = SHADE._replace(apply=counted), torch.tensor([[0.25, 0.0]])
    whole = images.tally(counting, k)
    assert whole.n == sum(seen) == 1000
    assert whole.drop == pytest.approx(0.8 * 0.5, abs=0.01)
    seen.clear()
    count = images.tally(counting, k, 0.02)
    # 50 are mended and 20 more may be lost: after 200 of 900 others more than 70 are broken
    assert sum(seen) <= 100 + 200
    assert count.n == 1000
    assert count.mended == whole.mended == 50
    assert count.broken == pytest.approx(whole.broken, rel=0.2)


@pytest.mark.parametrize(("enough", "evaluated"), [(1.0, 981), (0.2, 981), (0.05, 550), (0.005, 100)])
def test_a_share_is_that_of_all_unless_it_is_certainly_too_large(enough, evaluated):
    labels = torch.ones(1000).long()
    labels[::50] = 0  # a fiftieth is wrong unchanged, and not broken; so is the first, at the boundary
    data = flat_images(torch.linspace(0.5, 1.0, 1000), labels)
    batches = []

    class Counting(itn.Classifier):
        def logits(self, images):
            batches.append(len(images))
            return super().logits(images)

    counting = Counting(CLASSIFIER.net, CLASSIFIER.mean.flatten().tolist(), CLASSIFIER.std.flatten().tolist())
    images = EvaluationSet(counting, data, 100)
    images = images._replace(criterion=Broken())
    share = images.tally(DARKEN, 0.05 * DARKEN.full_strength, enough).drop
    assert share == pytest.approx(0.1 * 0.98, abs=0.05)  # the darkest tenth
    assert sum(batches) == pytest.approx(evaluated, abs=0 if enough in (1.0, 0.2, 0.005) else 150)


@pytest.mark.parametrize("parts", [("color",), ("spatial",), ("color", "spatial")])
def test_controls_of_a_net_are_those_that_it_listens_to(parts, blobs, side):
    net = make_net(side, itn.LearnConfig(parts=parts), blobs[0].shape)
    transform, k = ParametricTransform.of_net(net), torch.rand(5, 2 * len(parts))
    assert transform.controls == 2 * len(parts)
    assert net.parts == parts
    generated = transform.generate(k)
    for number, (part, rows) in enumerate(zip(parts, generated, strict=True)):
        assert torch.equal(rows, net.part(part).parameters_at(k[:, 2 * number : 2 * number + 2]))
    ks = k.split(2, 1) if len(parts) == 2 else [k, k]  # the k of a part that is missing drives nothing
    shown = transform.apply(blobs[0][:5], generated).clamp(0, 1)
    torch.testing.assert_close(shown, net.transform(blobs[0][:5], *ks), rtol=0, atol=1e-6)
