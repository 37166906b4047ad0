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


def test_an_order_needs_ten_images_of_a_class():
    labels = torch.arange(12).repeat(9)
    assert better_order(labels, 11 - labels, 12, None) is None
    assert better_order(labels[:50].repeat(3), 11 - labels[:50].repeat(3), 12, None) is not None


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
