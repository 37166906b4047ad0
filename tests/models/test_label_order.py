"""Labels in another order than the outputs are told by that order; confusion is not."""

import re

import pytest
import torch

from itn.models.label_order import better_order

NAMES = ["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck", "apple", "zebra"]


def by_text(classes, first):
    return torch.tensor(sorted(range(classes), key=lambda number: str(number + first)))


ORDERS = {
    "numbers from 0": (
        by_text(12, 0),
        r"^they are in the order of the folders numbered from 0 .*\(0, 1, 10, 11\)",
    ),
    "numbers from 1": (
        by_text(12, 1).argsort(),
        "^the outputs are in the order of the folders numbered from 1",
    ),
    "names": (
        torch.tensor(sorted(range(12), key=NAMES.__getitem__)),
        r"names of the classes .*\(apple, bird, car",
    ),
    "too low": (torch.arange(12).roll(-1), "one too low"),
    "too high": (torch.arange(12).roll(1), "one too high"),
    "reverse": (torch.arange(12).flip(0), "in reverse"),
    "any": (
        torch.tensor([4, 6, 1, 5, 0, 2, 9, 8, 3, 7, 11, 10]),
        r"other outputs, 0 for 4, 1 for 6, .* 9 for 7 and 2 more$",
    ),
}


@pytest.mark.parametrize("order", ORDERS)
def test_another_order_is_found_with_the_accuracy_that_it_would_give(order):
    outputs, text = ORDERS[order]
    labels = torch.arange(12).repeat(12)
    predictions = outputs[labels]
    predictions[:12] = 3  # some are wrong
    found, accuracy = better_order(labels, predictions, 12, NAMES)
    assert torch.equal(found.labels, outputs)
    assert accuracy == pytest.approx((outputs[labels] == predictions).float().mean().item())
    assert re.search(text, found.text)


def test_an_order_without_a_name_needs_ten_images_of_a_class():
    outputs = ORDERS["any"][0]
    for images, found in ((9, False), (10, True)):
        labels = torch.arange(12).repeat(images)
        assert (better_order(labels, outputs[labels], 12, NAMES) is not None) == found


def test_an_order_with_a_name_is_found_in_two_images_of_each_of_many_classes():
    """As many as a default screen takes of the thousand classes of ImageNet."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(1000).repeat(2)
    right = torch.rand(2000, generator=generator) < 0.7
    predictions = torch.where(
        right, by_text(1000, 0)[labels], torch.randint(1000, (2000,), generator=generator)
    )
    found, accuracy = better_order(labels, predictions, 1000, None)
    assert "folders numbered from 0" in found.text
    assert accuracy == pytest.approx(0.7, abs=0.02)
    honest = torch.where(right, labels, (labels + 1) % 1000)  # similar classes lie side by side
    assert better_order(labels, honest, 1000, None) is None
    assert better_order(torch.tensor([0, 1, 2]), torch.tensor([1, 2, 0]), 3, None) is None


def test_two_classes_that_are_exchanged_among_many_are_found():
    labels = torch.arange(12).repeat(20)
    predictions = torch.where(torch.arange(240) % 10 > 0, labels, (labels + 5) % 12)
    exchanged = labels.clone()
    exchanged[labels == 4], exchanged[labels == 7] = 7, 4
    found, accuracy = better_order(exchanged, predictions, 12, None)
    assert found.text == "labels stand for other outputs, 4 for 7, 7 for 4"
    assert accuracy == pytest.approx(0.9)
    # Two classes for which the network always says a third one are merely hard
    hard = torch.where((labels == 4) | (labels == 7), 5, predictions)
    hard_pair = torch.where(labels == 4, 7, predictions)
    for other in (hard, hard_pair):
        assert better_order(labels, other, 12, None) is None


def test_confusion_constant_and_random_answers_are_no_order():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(12).repeat(20)
    confused = torch.where(torch.rand(240, generator=generator) < 0.5, labels, labels ^ 1)
    weak = torch.where(
        torch.rand(240, generator=generator) < 0.3, labels, torch.zeros(240, dtype=torch.int64)
    )
    for predictions in (labels, confused, weak, torch.full((240,), 3)):
        assert better_order(labels, predictions, 12, NAMES) is None
    for _ in range(200):
        guesses = torch.randint(12, (240,), generator=generator)
        assert better_order(labels, guesses, 12, NAMES) is None
        two = torch.randint(2, (20,), generator=generator)
        assert better_order(torch.arange(2).repeat(10), two, 2, None) is None


def test_classes_that_take_from_each_other_without_trading_places_are_left():
    """Class 3 is always taken for 5, which is mostly taken for others: that is a confusion, not an order."""
    labels = torch.arange(10).repeat_interleave(50)
    predictions = labels.clone()
    predictions[labels == 3] = 5
    of_five = torch.tensor([5] * 10 + [3] * 5 + [7] * 35)
    predictions[labels == 5] = of_five
    assert better_order(labels, predictions, 10, None) is None
