"""The extremes of classes, and what is to be known of them."""

import pytest

from itn.reports.classes import caution, extremes


@pytest.mark.parametrize(
    ("order", "most", "least"),
    [("abc", "a", "c"), ("abcd", "ab", "dc"), ("abcdefgh", "abc", "hgf")],
)
def test_no_class_is_among_both_extremes(order, most, least):
    assert extremes(order) == [*((name, "most") for name in most), *((name, "least") for name in least)]


def test_chance_and_classes_with_few_images_are_named():
    said = caution(12, 0, 0.95)
    assert said.startswith("these are the extremes of 12 classes, picked after measuring")
    assert said.endswith("each 95 % interval is of its class alone.")
    assert caution(12, 1, 0.95) == f"{said} 1 class with fewer than 10 images is left out."
    assert caution(12, 2, 0.95) == f"{said} 2 classes with fewer than 10 images are left out."
