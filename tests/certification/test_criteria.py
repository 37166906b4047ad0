"""What counts as kept: criteria of one's own, on logits and on a classifier known on paper."""

import dataclasses
import json

import pytest
import torch

import itn
from itn.certification.criteria import CRITERIA, Accuracy, Agreement, Broken
from itn.certification.parametric import EvaluationSet, ParametricTransform, remember
from itn.models.classifier import margins
from tests.certification.test_parametric import of_matrix


class TopTwo(itn.Criterion):
    """The true class is among the two with the largest logits."""

    def surrogate(self, logits, reference, labels):
        others = logits.scatter(1, labels[:, None], -torch.inf)
        return logits.gather(1, labels[:, None])[:, 0] - others.topk(2).values[:, 1]


class Stable(itn.Criterion):
    """The prediction is that on the unchanged image, right or wrong."""

    name = "stable"

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
    criterion = Stable()
    reference = criterion.reference(LOGITS, TRUE)
    assert reference.tolist() == [0, 1, 2, 3]
    assert criterion.held(reference).tolist() == [True] * 4
    assert criterion.surrogate(LOGITS, reference, TRUE).tolist() == [1, 1, 1, 1]
    assert criterion.change(LOGITS, reference, TRUE).tolist() == [0, 0, 0, 0]
    assert criterion.change(LOGITS[[0, 0, 2, 2]], reference, TRUE).tolist() == [0, 1, 0, 1]
    assert str(criterion) == "stable"


def test_broken_are_those_that_were_right_and_are_wrong():
    criterion = CRITERIA["broken"](1)
    reference = criterion.reference(LOGITS, TRUE)
    assert reference.tolist() == [True, False, False, False]
    assert criterion.surrogate(LOGITS, reference, TRUE).tolist() == [1, -1, -2, -3]
    assert criterion.change(LOGITS[[1, 1, 0, 0]], reference, TRUE).tolist() == [1, 0, 0, 0]
    assert criterion.change(LOGITS, reference, TRUE).tolist() == [0, 0, 0, 0]
    assert str(criterion) == "broken"


def test_what_is_mended_makes_up_for_what_is_broken_by_accuracy_alone():
    after = LOGITS[[1, 0, 2, 3]]  # the first turns wrong, the second right
    for name, expected in (
        ("accuracy", [1, -1, 0, 0]),
        ("broken", [1, 0, 0, 0]),
        ("agreement", [1, 1, 0, 0]),
    ):
        criterion = CRITERIA[name](1)
        reference = criterion.reference(LOGITS, TRUE)
        assert criterion.change(after, reference, TRUE).tolist() == expected
        assert criterion.change(LOGITS, reference, TRUE).tolist() == [0, 0, 0, 0]
        assert str(criterion) == name


@pytest.mark.parametrize("topk", [1, 2, 3])
def test_top_k_counts_those_among_the_first(topk):
    """The true class is first, second, third and last in these logits."""
    criterion, ranks = Accuracy(topk), torch.arange(4)
    assert torch.equal(criterion.reference(LOGITS, TRUE), ranks < topk)
    assert torch.equal(criterion.surrogate(LOGITS, None, TRUE) > 0, ranks < topk)
    assert Broken(topk).change(LOGITS.flip(0), ranks < topk, TRUE).tolist() == [
        int(rank < topk <= 3 - rank) for rank in range(4)
    ]
    # The prediction of the first image, 0, is second, third and last in the others
    agreement = Agreement(topk)
    assert agreement.reference(LOGITS, TRUE).tolist() == [0, 1, 2, 3]
    assert agreement.change(LOGITS, torch.zeros(4).long(), TRUE).tolist() == (ranks >= topk).long().tolist()
    assert str(agreement) == ("agreement" if topk == 1 else f"top-{topk} agreement")


def test_top_k_of_no_more_classes_is_refused():
    with pytest.raises(ValueError, match="top 4 of 4 classes are all of them"):
        Accuracy(4).reference(LOGITS, TRUE)
    with pytest.raises(ValueError, match="topk must be at least 1"):
        Accuracy(0)


def test_equal_logits_never_change_by_themselves():
    """The first of equal logits is the prediction, before and after."""
    logits, labels = torch.zeros(3, 4), torch.tensor([0, 1, 3])
    for criterion in (Accuracy(), Broken(), Agreement(), Accuracy(2), Agreement(2)):
        reference = criterion.reference(logits, labels)
        assert not criterion.change(logits, reference, labels).any()
    # And no more than two classes are among the first two
    right = [Accuracy(2).reference(logits[:1], torch.tensor([label])).item() for label in range(4)]
    assert sum(right) == 2


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
        (Broken(), [0], {0.1: [], 0.2: [0], 0.45: [0]}),
        (TopTwo(), [0, 1], {0.05: [], 0.2: [1], 0.45: [0, 1]}),
        (Broken(2), [0, 1], {0.05: [], 0.2: [1], 0.45: [0, 1]}),
        (Agreement(), [0, 1, 2, 3], {0.1: [], 0.2: [0, 2], 0.4: [0, 1, 2]}),
        (Stable(), [0, 1, 2, 3], {0.1: [], 0.2: [0, 2], 0.4: [0, 1, 2]}),
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
        assert images.changes(BRIGHTEN, k).nonzero().flatten().tolist() == expected
        assert images.tally(BRIGHTEN, k).drop == len(expected) / 4
        kept = images.outcomes(BRIGHTEN, k).margins > 0
        assert [number for number in held if not kept[number]] == expected
        # Each image takes what is remembered of it along
        last = images.part(torch.tensor([3, 0]))
        assert last.changes(BRIGHTEN, k).tolist() == [3 in expected, 0 in expected]
        assert images.spread(2).changes(BRIGHTEN, k).tolist() == [0 in expected, 3 in expected]
    joined = itn.CheckedImages.joined([images.data, images.data.part(torch.tensor([2]))])
    again = images._replace(data=joined).changes(BRIGHTEN, torch.tensor([[0.2]]))
    assert again.nonzero().flatten().tolist() == broken_by[0.2] + [4] * (2 in broken_by[0.2])


def test_what_is_known_since_the_check_is_not_evaluated_again():
    """For "accuracy" that is whether the prediction is right, also of predictions that were given."""
    given = dataclasses.replace(DATA, predictions=torch.zeros(4, dtype=torch.long))
    images = EvaluationSet(SHADES, given)
    assert remember(images._replace(criterion=Broken())) is given
    assert remember(images) is given
    assert images.held.all()
    assert remember(EvaluationSet(SHADES, given, 250, Agreement())).reference.tolist() == [0, 1, 1, 2]


class Undone(itn.Criterion):
    """Says that bright images have become better, which does not count unless it says so."""

    def surrogate(self, logits, reference, labels):
        return margins(logits, labels)

    def change(self, logits, reference, labels):
        return super().change(logits, reference, labels) - (logits.argmax(1) == 2).long()


class Made(Undone):
    """The same, and it counts."""

    mends = True


def test_better_images_count_only_where_the_criterion_says_so():
    k = torch.tensor([[0.45]])
    for criterion, expected in ((Undone(), {0, 1}), (Made(), {-1, 0, 1})):
        images = EvaluationSet(SHADES, DATA, 250, criterion)
        images = images._replace(data=remember(images))
        changes = images.changes(BRIGHTEN, k)
        assert set(changes.tolist()) <= expected
        assert torch.equal(changes, images.outcomes(BRIGHTEN, k).change)
    assert (changes < 0).any()


class Overflow(NearestShade):
    """Logits are no numbers for bright images."""

    def forward(self, images):
        return super().forward(images) / (images.mean((1, 2, 3)) < 0.8)[:, None]


@pytest.mark.parametrize("criterion", [Accuracy(2), Agreement(), Broken()], ids=str)
def test_answers_that_are_no_numbers_are_refused(criterion):
    classifier = itn.Classifier(Overflow(), name="overflow")
    images = EvaluationSet(classifier, checked([0.1, 0.4], [0, 0]), 250, criterion)
    images = images._replace(data=remember(images))
    images.changes(BRIGHTEN, torch.tensor([[0.1]]))
    for evaluate in (images.changes, images.outcomes, images.tally):
        with pytest.raises(itn.RunError, match="logits of overflow are not finite"):
            evaluate(BRIGHTEN, torch.tensor([[0.75]]))


def test_too_many_classes_are_refused_before_anything_is_learned(shades):
    for settings in ({"topk": 3}, {"topk": 3, "criterion": "agreement"}):
        with pytest.raises(ValueError, match="the top 3 of 3 classes are all of them"):
            itn.learn(SHADES, *shades, dataclasses.replace(QUICK, **settings))


QUICK = itn.LearnConfig(parts=("color",), color_family="bias", tolerance=0.06, steps=20, batch_size=64)


@pytest.fixture
def shades():
    """200 images, dark gray called black or light gray called white."""
    labels = 2 * (torch.arange(200) % 2)
    return (0.1 + 0.4 * labels).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).clone(), labels


@pytest.mark.parametrize(
    ("criterion", "limit"),
    [
        *(("accuracy", 0.15), ("broken", 0.15), ("agreement", 0.15)),
        *((TopTwo(), 0.4), (Stable(), 0.15), (Steady(), 0.15)),
    ],
    ids=str,
)
@pytest.mark.usefixtures("no_figures")
def test_a_family_goes_as_far_as_the_criterion_allows(criterion, limit, shades, tmp_path):
    config = dataclasses.replace(QUICK, criterion=criterion)
    record = itn.learn(SHADES, *shades, config, tmp_path / "run").record
    assert record.criterion == str(criterion)
    bias = record.parts["color"].range
    assert -limit <= bias.low < -0.9 * limit
    assert 0.9 * limit < bias.high <= limit
    certificate = record.certificate
    assert record.clean_accuracy == 1
    assert certificate.full.drop == certificate.worst.drop == certificate.searched.drop == 0
    if limit == 0.15:  # the prediction may not change; accuracy is accuracy, whatever the criterion
        assert record.accuracy_full == certificate.searched.accuracy_per_image == 1
    written = json.loads((tmp_path / "run" / "config.json").read_text())["config"]["criterion"]
    assert written["name"] == str(criterion)
    assert ("code_sha256" in written) == (not isinstance(criterion, str))


def test_what_was_wrong_counts_where_the_criterion_asks_for_it(shades):
    """A tenth of the images is nearly gray and called black: wrong, but as stable as the others."""
    images, labels = shades
    images, labels = images.clone(), labels.clone()
    images[:20], labels[:20] = 0.4, 0
    kept = {
        criterion: itn.learn(SHADES, images, labels, dataclasses.replace(QUICK, criterion=criterion)).record
        for criterion in ("broken", "agreement")
    }
    broken, agreement = kept.values()
    for record in kept.values():  # accuracy is accuracy, whatever the criterion
        assert 0.8 < record.clean_accuracy < 0.97
        assert record.certificate.clean_accuracy == record.clean_accuracy
    assert broken.accuracy_full == broken.clean_accuracy
    assert broken.changes["full"].broken == 0
    # To break the nearly gray images a bias of 0.15 is enough: only agreement cares
    assert agreement.changes["full"].agreement > 0.9
    assert agreement.certificate.full.drop < 0.06


def test_by_accuracy_a_family_may_go_where_as_many_are_mended():
    """Brightening mends as many images as it breaks: to accuracy that is no loss, to the others it is."""
    values = torch.tensor([0.2, 0.2, 0.9, 0.9]).repeat(300)
    labels = torch.tensor([0, 1, 2, 2]).repeat(300)
    images = values.view(-1, 1, 1, 1).expand(-1, 1, 4, 4).clone()
    order = torch.randperm(1200, generator=torch.Generator().manual_seed(0))
    high = {}
    for criterion in ("accuracy", "broken"):
        config = dataclasses.replace(QUICK, criterion=criterion, tolerance=0.1, steps=60)
        record = itn.learn(SHADES, images[order], labels[order], config).record
        high[criterion] = record.parts["color"].range.high
        assert record.certificate.full.drop < 0.1
    assert high["broken"] <= 0.05  # beyond, a quarter of all turns wrong
    assert high["accuracy"] > 0.1
