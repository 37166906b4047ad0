"""The three criteria, with one or several answers: on counts by hand, and on classifiers known on paper."""

import itertools
import json
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

import itn
from itn import ScreenConfig, screen
from itn.runtime.progress import progress_bar
from itn.screening.criteria import Outcomes, kept, outcomes
from itn.screening.passes import Screener
from itn.screening.records import PairRecord
from itn.screening.stored_passes import StoredPasses
from itn.stats import clopper_pearson, paired_ratio


def point(*top):
    """Return a measurement with these answers, N x k."""
    top = np.array(top)
    return {"predictions": top[:, 0]} | ({"top": top} if top.shape[1] > 1 else {})


def test_outcomes_are_counted_image_by_image():
    labels = np.array([0, 1, 2, 3, 4])
    clean, moved = point([0], [1], [2], [0], [0]), point([0], [2], [2], [3], [1])
    unchanged, changed = outcomes([clean, moved], clean, labels)
    assert unchanged == Outcomes(5, both=3, broken=0, mended=0, agreeing=5)
    assert changed == Outcomes(5, both=2, broken=1, mended=1, agreeing=2)
    assert changed.right == 3


def test_with_two_answers_an_image_is_right_and_agrees_if_one_of_them_does():
    labels = np.array([0, 1, 2])
    clean, moved = point([0, 1], [2, 1], [3, 0]), point([1, 0], [2, 3], [0, 3])
    (counted,) = outcomes([moved], clean, labels)
    assert counted == Outcomes(3, both=1, broken=1, mended=0, agreeing=3)


def test_what_is_kept_by_each_criterion():
    counts = [Outcomes(1000, 700, 0, 0, 1000), Outcomes(1000, 640, 60, 30, 850)]
    accuracy, broken, agreement = (
        kept(name, counts, 0.9, 0.95) for name in ("accuracy", "broken", "agreement")
    )
    assert accuracy.share == (0.7, 0.67)
    assert broken.share == (0.7, 0.64)
    assert agreement.share == (1.0, 0.85)
    assert (accuracy.level, broken.level, agreement.level) == (0.9 * 0.7, 0.9 * 0.7, 0.9)
    assert [curve[1] for curve in accuracy.relative()] == pytest.approx(
        [67 / 70, *map(float, paired_ratio(640, 60, 30))]
    )
    assert [curve[1] for curve in broken.relative()] == pytest.approx([64 / 70, *clopper_pearson(640, 700)])
    assert [curve[1] for curve in agreement.relative()] == pytest.approx([0.85, *clopper_pearson(850, 1000)])


@pytest.mark.parametrize("criterion", ["accuracy", "broken", "agreement"])
@pytest.mark.parametrize("n", [20, 70, 100, 500])
def test_ties_with_the_level_are_kept_in_sweeps_and_in_pairs(criterion, n):
    """All counts that are exactly the asked for share of the right ones, and one fewer."""
    ties = 0
    for written in ("0.7", "0.8", "0.9", "0.95", "0.98"):
        for right in [n] if criterion == "agreement" else range(n // 2, n + 1):
            least = Fraction(written) * right
            if least.denominator > 1:
                continue
            ties += 1
            counts = [
                Outcomes(n, both=int(least) - less, broken=right - int(least) + less, mended=0, agreeing=c)
                for less, c in ((0, int(least)), (1, int(least) - 1))
            ]
            judged = kept(criterion, counts, float(written), 0.95)
            assert [share >= judged.level for share in judged.share] == [True, False]
            tables = {
                "accuracy": (tuple(c.right / n for c in counts),),
                "agreement": (tuple(c.agreeing / n for c in counts),),
                "broken": (tuple(c.broken / n for c in counts),),
            }
            unused = dict.fromkeys(("ci_low", "ci_high", "softmax_true", "mended"), ())
            pair = PairRecord(
                "blur", "zoom", criterion, 1, float(written), (0.0, 1.0), (1.0,), n, **tables, **unused
            )
            shares, level = pair.kept_of_all(right / n)
            assert [share >= level for share in shares[0]] == [True, False]
            assert (shares[0], level) == (judged.share, judged.level)
    assert ties >= 3


class Churning(nn.Module):
    """Images of one value p in [0, 1]; brightened by v, the answer is the tenth in which p + v lies.

    Or, with ``spare``, that tenth comes second after one more than it.
    """

    def __init__(self, spare=False):
        super().__init__()
        self.spare = spare

    def forward(self, images):
        tenth = (10 * images.flatten(1).mean(1) + 1e-4).floor().long() % 10
        return nn.functional.one_hot((tenth + self.spare) % 10, 10).float() * 2 + nn.functional.one_hot(
            tenth, 10
        )


@pytest.fixture
def levels():
    """400 images at 0.305, 0.315, ... 0.395 and 0.3 above: 300 labeled by their tenth, 100 by the next."""
    number = torch.arange(400)
    second = number // 200
    images = (0.305 + number % 10 / 100 + 0.3 * second).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()
    return images, 3 + 3 * second + (number // 10 % 4 == 3).long()


CONFIG = {"transforms": ("brightness",), "magnitudes": {"brightness": (0.0, 0.012, 0.032, 0.052, 0.072)}}


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        # Each step of 0.01 breaks 30 images and mends 10
        ("accuracy", {"accuracy": (1, 280 / 300, 240 / 300, 200 / 300, 160 / 300)}),
        ("broken", {"broken": (1, 0.9, 0.7, 0.5, 0.3)}),
        ("agreement", {"agreement": (1, 0.9, 0.7, 0.5, 0.3)}),
    ],
)
def test_the_threshold_of_a_screen_is_that_of_its_criterion(levels, criterion, expected):
    classifier = itn.Classifier(Churning())
    config = ScreenConfig(**CONFIG, criterion=criterion, accuracy_fraction=0.85, accuracy_bisections=0)
    record = screen(classifier, *levels, config).record
    sweep = record.transforms["brightness"]
    assert (record.criterion, record.clean_accuracy) == (criterion, 0.75)
    assert sweep.kept_share == pytest.approx(expected[criterion])
    assert sweep.broken == pytest.approx((0, 0.075, 0.225, 0.375, 0.525))
    assert sweep.mended == pytest.approx((0, 0.025, 0.075, 0.125, 0.175))
    assert sweep.agreement == pytest.approx((1, 0.9, 0.7, 0.5, 0.3))
    found = sweep.thresholds
    shares = {
        "accuracy": (1, 280 / 300, 240 / 300, 200 / 300, 160 / 300),
        "broken": (1, 0.9, 0.7, 0.5, 0.3),
        "agreement": (1, 0.9, 0.7, 0.5, 0.3),
    }
    for name, share in shares.items():  # all three are recorded
        before, after = share[1:3]
        at = 0.012 + 0.02 * (before - 0.85) / (before - after)
        assert getattr(found, name)["above"].value == pytest.approx(at)
    assert found.of_criterion is getattr(found, criterion)
    assert found.of_criterion["above"].ci_low < found.of_criterion["above"].value
    at, place = found.at["above"], (found.of_criterion["above"].value - 0.012) / 0.02
    assert (at.broken, at.mended) == pytest.approx((0.075 + 0.15 * place, 0.025 + 0.05 * place))
    assert at.agreement == pytest.approx(0.9 - 0.2 * place)


def test_bisections_refine_the_threshold_of_the_criterion(levels):
    """Between 0.012 and 0.032 the images at 0.37 and 0.38 break, at 0.02 and 0.03."""
    classifier = itn.Classifier(Churning())
    values = {}
    for criterion in ("accuracy", "broken"):
        config = ScreenConfig(**CONFIG, criterion=criterion, accuracy_fraction=0.85, accuracy_bisections=5)
        found = screen(classifier, *levels, config).record.transforms["brightness"]
        values[criterion] = found.thresholds.of_criterion["above"].value
    # The second tenth of the right images that breaks is one too many; accuracy falls by two thirds of that
    assert values == {"broken": pytest.approx(0.015, abs=0.001), "accuracy": pytest.approx(0.025, abs=0.001)}


def test_words_say_which_criterion(levels):
    classifier = itn.Classifier(Churning())
    for criterion, header, sentence in (
        ("accuracy", "accuracy >= 85 % of clean", "accuracy stays at or above 85 % of its clean value from"),
        (
            "broken",
            "right images kept >= 85 %",
            "the share of right images still right stays at or above 85 %",
        ),
        (
            "agreement",
            "predictions kept >= 85 %",
            "the share of predictions unchanged stays at or above 85 %",
        ),
    ):
        text = str(
            screen(classifier, *levels, ScreenConfig(**CONFIG, criterion=criterion, accuracy_fraction=0.85))
        )
        assert header in text
        assert sentence in " ".join(text.split())
        assert "broken - mended, unchanged there" in text


def test_several_answers_count_in_everything_that_is_called_accuracy(levels, tmp_path):
    """The tenth comes second: with one answer the images with the next label are right, with two all are."""
    classifier, (images, labels) = itn.Classifier(Churning(spare=True)), levels
    labels = torch.where(labels % 3 == 0, labels + 1, labels - 1)  # 300 by the next, 100 by their own
    magnitudes = {"brightness": (0.0, 0.032, 0.1), "translate_x": (0.0, 0.5)}
    config = ScreenConfig(("brightness", "translate_x"), (("brightness", "contrast"),), magnitudes, topk=2)
    result = screen(classifier, images, labels, config, tmp_path)
    record, sweep = result.record, result.record.transforms["brightness"]
    assert (record.topk, record.clean_accuracy) == (2, 1.0)
    # At 0.1 the answers are 4 and 5: label 3 is lost, 4 is not; the clean prediction, 4, is second
    assert sweep.accuracy == pytest.approx((1, 1 - 0.3 * 0.25, 0.75))
    assert sweep.agreement == (1, 1, 1)
    assert sweep.thresholds.topk == 2
    rows = {(row.magnitude, row.class_): row for row in result.curves if row.transform == "brightness"}
    assert (rows[0.1, "3"].accuracy, rows[0.1, "4"].accuracy) == (0, 1)
    # Shifted by half and back, half of each image is black: 0.15 to 0.2, and so is the control
    control = record.transforms["translate_x"].control_accuracy
    assert control == (1, 0)
    assert "clean top-2 accuracy 100.00 %" in str(result)
    assert "top-2 accuracy >= 90 % of clean" in str(result)
    assert record.pairs["brightness,contrast"].topk == 2
    pair = [row for row in result.pairs if (row.magnitude_x, row.magnitude_y, row.class_) == (0.1, 1, "all")]
    assert [row.accuracy for row in pair] == [0.75]
    assert str(itn.load_screen(tmp_path)) == str(result)
    one = screen(classifier, images, labels, ScreenConfig(("brightness",), magnitudes={"brightness": (0.1,)}))
    assert one.record.clean_accuracy == 0.75
    assert "topk" in json.loads((tmp_path / "config.json").read_text())["config"]


def test_topk_must_leave_something_to_be_wrong(side, blobs):
    with pytest.raises(ValueError, match=r"topk must be less than the 2 outputs of .*, got 2"):
        screen(side, *blobs, ScreenConfig(("rotate",), topk=2))
    for topk, message in ((0, "topk must be at least 1, got 0"), (1.5, "topk must be an integer, got 1.5")):
        with pytest.raises(ValueError, match=message):
            ScreenConfig(topk=topk)
    with pytest.raises(ValueError, match="criterion must be one of accuracy, broken, agreement, got 'kept'"):
        ScreenConfig(criterion="kept")


@pytest.mark.parametrize("criterion", ["accuracy", "broken", "agreement"])
def test_pairs_count_what_the_criterion_keeps(levels, criterion):
    magnitudes = {"brightness": (0.0, 0.012, 0.032), "blur": (0.0, 1.0)}
    config = ScreenConfig(
        (),
        (("brightness", "blur"),),
        magnitudes,
        criterion=criterion,
        accuracy_fraction=0.75,
        padding="border",
    )
    result = screen(itn.Classifier(Churning()), *levels, config)
    pair = result.record.pairs["brightness,blur"]
    rows = pair.kept_share(result.record.clean_accuracy)
    expected = {"accuracy": (1, 280 / 300, 0.8), "broken": (1, 0.9, 0.7), "agreement": (1, 0.9, 0.7)}[
        criterion
    ]
    assert list(itertools.chain(*rows)) == pytest.approx(expected * 2)
    kept_cells = 6 if criterion == "accuracy" else 4
    assert f"at {kept_cells} of 6 pairs of magnitudes" in str(result)


def test_a_discrete_transformation_is_judged_by_the_criterion(levels):
    images, labels = levels
    jump = itn.Transform(
        "jump", "step", 0.0, (0.0, 0.032), lambda images, v: (images + v).clamp(0, 1), discrete=True
    )
    for criterion, is_kept in (("accuracy", True), ("broken", False), ("agreement", False)):
        config = ScreenConfig((jump,), criterion=criterion, accuracy_fraction=0.75)
        result = screen(itn.Classifier(Churning()), images, labels, config)
        assert result.record.transforms["jump"].kept == (True, is_kept)
        if criterion == "broken":
            low, high = (100 * end for end in clopper_pearson(210, 300))
            assert f"falls below 75 % at 0.032 (70.00 % [{low:.2f} %, {high:.2f} %])" in str(result)
            assert "breaks at 0.032: 70.0 % still right" in str(result)


def test_steps_with_the_threshold_and_the_ends_of_its_interval_are_halved(levels):
    """Of the accuracy 93 %, 80 % and 67 % are left at 0.012, 0.032 and 0.052, with ends 4 to 7 % off.

    85 % are passed between the first two, by the near end as well; by the far end between the last two.
    """
    classifier, brightness = itn.Classifier(Churning()), itn.TRANSFORMS["brightness"]
    data = itn.preflight(classifier, *levels)
    for bisections, expected in ((1, [0.017, 0.022, 0.042]), (0, [])):
        config = ScreenConfig(**CONFIG, accuracy_fraction=0.85, accuracy_bisections=bisections)
        with progress_bar("screen", 1, "passes", False) as bar:
            sweep = StoredPasses(Screener(classifier, data, config), None, bar).sweep(brightness)
        assert sorted(sweep.refinements) == pytest.approx(expected)
