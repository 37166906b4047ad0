import pytest
import torch
from torch import nn

import itn
from itn.models.fingerprint import answers, rounding


def test_answers_are_margins_of_labels_on_images_of_all_parts(flats, brightness):
    """Logits are -e and e with e = 20 (mean - 0.5) = 5 or -5, so that each margin is 10."""
    data = itn.preflight(brightness, *flats)
    assert answers(brightness, data) == [10] * 8
    assert answers(brightness, data.part(torch.arange(3))) == [10] * 3
    wrong = itn.CheckedImages(data.images, 1 - data.labels, data.predictions)
    assert answers(brightness, wrong) == [-10] * 8


def test_answers_are_numbers_that_json_can_hold(flats, brightness):
    net = nn.Sequential(brightness.net, nn.Threshold(0, torch.inf))
    assert all(
        abs(answer) < 1e39 for answer in answers(itn.Classifier(net), itn.preflight(brightness, *flats))
    )


@pytest.mark.parametrize(
    ("precision", "share"), [("float32", 2**-8), ("float16", 2**-8), ("bfloat16", 2**-5)]
)
def test_half_precision_may_round_more(precision, share, brightness):
    assert rounding(brightness.with_backend(precision)) == share


def test_half_precision_differs_by_no_more_than_its_rounding(flats):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2))
    data = itn.CheckedImages(torch.rand(50, 1, 4, 4), torch.arange(50) % 2, torch.arange(50) % 2)
    classifier = itn.Classifier(net)
    whole = torch.tensor(answers(classifier, data))
    for precision in ("bfloat16", "float16"):
        half = classifier.with_backend(precision)
        difference = (torch.tensor(answers(half, data)) - whole).abs().max()
        assert 0 < difference <= rounding(half) * whole.abs().max()
