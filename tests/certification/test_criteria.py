"""What counts as kept: criteria of one's own, on logits and on a classifier known on paper."""

import dataclasses
import json

import pytest
import torch

import itn
from itn.certification.criteria import CRITERIA
from itn.certification.parametric import EvaluationSet, ParametricTransform, remember
from itn.models.classifier import margins
from tests.certification.test_parametric import of_matrix


class TopTwo(itn.Criterion):
    """The true class is among the two with the largest logits."""

    def surrogate(self, logits, reference, labels):
        others = logits.scatter(1, labels[:, None], -torch.inf)
        return logits.gather(1, labels[:, None])[:, 0] - others.topk(2).values[:, 1]


class Agreement(itn.Criterion):
    """The prediction is that on the unchanged image, right or wrong."""

    name = "agreement"

    def reference(self, logits, labels):
        return logits.argmax(1)

    def surrogate(self, logits, reference, labels):
        return margins(logits, reference)


class Steady(itn.Criterion):
    """No probability has changed by a half."""

    def reference(self, logits, labels):
        return logits.softmax(1)

    def surrogate(self, logits, reference, labels):
        return 0.5 - (logits.softmax(1) - reference).abs().amax(1)


class NearestShade(torch.nn.Module):
    """Says which of black, gray and white an image is nearest to."""

    def forward(self, images):
        shades = torch.tensor([0.0, 0.5, 1.0], device=images.device)
        return -20 * (images.mean((1, 2, 3))[:, None] - shades).abs()


SHADES = itn.Classifier(NearestShade(), name="shades")
BRIGHTEN = ParametricTransform(1, lambda k: [torch.stack([torch.ones_like(k), k], -1)], of_matrix)
TRUE = torch.zeros(4, dtype=torch.long)
LOGITS = torch.tensor(
    [[3.0, 2, 1, 0], [2, 3, 1, 0], [1, 2, 3, 0], [0, 1, 2, 3]]
)  # first, second, third, last


def test_a_criterion_needs_only_its_surrogate():
    criterion = TopTwo()
    assert criterion.surrogate(LOGITS, None, TRUE).tolist() == [2, 1, -1, -2]
    reference = criterion.reference(LOGITS, TRUE)
    assert reference.tolist() == [True, True, False, False]
    assert torch.equal(criterion.held(reference), reference)
    # What did not hold before cannot be lost
    assert criterion.change(LOGITS.flip(0), reference, TRUE).tolist() == [1, 1, 0, 0]
    assert criterion.change(LOGITS, reference, TRUE).tolist() == [0, 0, 0, 0]
    tie = torch.tensor([[1.0, 2, 1, 0]])
    assert criterion.change(tie, reference[:1], TRUE[:1]).tolist() == [1]
    assert str(criterion) == "TopTwo"
    with pytest.raises(NotImplementedError, match="Criterion lacks surrogate"):
        itn.Criterion().reference(LOGITS, TRUE)


def test_a_reference_may_be_anything_and_then_holds_for_all():
    criterion = Agreement()
    reference = criterion.reference(LOGITS, TRUE)
    assert reference.tolist() == [0, 1, 2, 3]
    assert criterion.held(reference).tolist() == [True] * 4
    assert criterion.surrogate(LOGITS, reference, TRUE).tolist() == [1, 1, 1, 1]
    assert criterion.change(LOGITS, reference, TRUE).tolist() == [0, 0, 0, 0]
    assert criterion.change(LOGITS[[0, 0, 2, 2]], reference, TRUE).tolist() == [0, 1, 0, 1]
    assert str(criterion) == "agreement"


def test_broken_are_those_that_were_right_and_are_wrong():
    criterion = CRITERIA["broken"]
    reference = criterion.reference(LOGITS, TRUE)
    assert reference.tolist() == [True, False, False, False]
    assert criterion.surrogate(LOGITS, reference, TRUE).tolist() == [1, -1, -2, -3]
    assert criterion.change(LOGITS[[1, 1, 0, 0]], reference, TRUE).tolist() == [1, 0, 0, 0]
    assert criterion.change(LOGITS, reference, TRUE).tolist() == [0, 0, 0, 0]
    assert str(criterion) == "broken"


def checked(values, labels):
    values = torch.tensor(values)
    images = values.view(-1, 1, 1, 1).expand(-1, 1, 4, 4).contiguous()
    return itn.CheckedImages(images, torch.tensor(labels), SHADES(images).argmax(1))


# All are called black. From 1/4 on an image is gray, from 1/2 on nearer to white than to black, from 3/4 on
# white: only the first is called what it is, and black is the last choice for the third and the fourth
DATA = checked([0.1, 0.4, 0.6, 0.9], [0, 0, 0, 0])


@pytest.mark.parametrize(
    ("criterion", "held", "broken_by"),
    [
        (CRITERIA["broken"], [0], {0.1: [], 0.2: [0], 0.45: [0]}),
        (TopTwo(), [0, 1], {0.05: [], 0.2: [1], 0.45: [0, 1]}),
        (Agreement(), [0, 1, 2, 3], {0.1: [], 0.2: [0, 2], 0.4: [0, 1, 2]}),
        (Steady(), [0, 1, 2, 3], {0.1: [], 0.2: [0, 2], 0.4: [0, 1, 2]}),
    ],
    ids=str,
)
@pytest.mark.parametrize("batch_size", [1, 250])
def test_what_breaks_is_what_the_criterion_says(criterion, held, broken_by, batch_size):
    images = EvaluationSet(SHADES, DATA, batch_size, criterion)
    images = images._replace(data=remember(images))
    assert images.held.nonzero().flatten().tolist() == held
    for shift, expected in broken_by.items():
        k = torch.tensor([[shift]])
        assert images.broken(BRIGHTEN, k).nonzero().flatten().tolist() == expected
        assert images.break_rate(BRIGHTEN, k) == len(expected) / 4
        kept = images.margins(BRIGHTEN, k) > 0
        assert [number for number in held if not kept[number]] == expected
        # Each image takes what is remembered of it along
        last = images.part(torch.tensor([3, 0]))
        assert last.broken(BRIGHTEN, k).tolist() == [3 in expected, 0 in expected]
        assert images.spread(2).broken(BRIGHTEN, k).tolist() == [0 in expected, 3 in expected]
    joined = itn.CheckedImages.joined([images.data, images.data.part(torch.tensor([2]))])
    again = images._replace(data=joined).broken(BRIGHTEN, torch.tensor([[0.2]]))
    assert again.nonzero().flatten().tolist() == broken_by[0.2] + [4] * (2 in broken_by[0.2])


def test_what_is_known_since_the_check_is_not_evaluated_again():
    """For "broken" that is whether the prediction is right, also of predictions that were given."""
    given = dataclasses.replace(DATA, predictions=torch.zeros(4, dtype=torch.long))
    images = EvaluationSet(SHADES, given)
    assert remember(images) is given
    assert images.held.all()
    assert remember(EvaluationSet(SHADES, given, 250, Agreement())).reference.tolist() == [0, 1, 1, 2]


QUICK = itn.LearnConfig(parts=("color",), color_family="bias", tolerance=0.06, steps=20, batch_size=64)


@pytest.fixture
def shades():
    """200 images, dark gray called black or light gray called white."""
    labels = 2 * (torch.arange(200) % 2)
    return (0.1 + 0.4 * labels).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).clone(), labels


@pytest.mark.parametrize(
    ("criterion", "limit"),
    [("broken", 0.15), (TopTwo(), 0.4), (Agreement(), 0.15), (Steady(), 0.15)],
    ids=str,
)
def test_a_family_goes_as_far_as_the_criterion_allows(criterion, limit, shades, tmp_path):
    config = dataclasses.replace(QUICK, criterion=criterion)
    record = itn.learn(SHADES, *shades, config, tmp_path / "run").record
    assert record.criterion == str(criterion)
    bias = record.parts["color"].range
    assert -limit <= bias.low < -0.9 * limit
    assert 0.9 * limit < bias.high <= limit
    assert record.clean_accuracy == record.accuracy_full == 1
    assert record.certificate.searched.accuracy_per_image == 1
    written = json.loads((tmp_path / "run" / "config.json").read_text())["config"]["criterion"]
    assert written["name"] == str(criterion)
    assert ("code_sha256" in written) == (criterion != "broken")


def test_what_was_wrong_counts_where_the_criterion_asks_for_it(shades):
    """A tenth of the images is nearly gray and called black: wrong, but as stable as the others."""
    images, labels = shades
    images, labels = images.clone(), labels.clone()
    images[:20], labels[:20] = 0.4, 0
    kept = {
        criterion: itn.learn(SHADES, images, labels, dataclasses.replace(QUICK, criterion=criterion)).record
        for criterion in ("broken", Agreement())
    }
    broken, agreement = kept.values()
    assert 0.8 < broken.clean_accuracy < 0.97
    assert broken.accuracy_full == broken.clean_accuracy
    assert agreement.clean_accuracy == agreement.certificate.clean_accuracy == 1
    assert agreement.certificate.full.accuracy == 1
