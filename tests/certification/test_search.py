"""Searches: on a classifier whose answers are known on paper."""

import math

import pytest
import torch

import itn
from itn.certification.criteria import Accuracy
from itn.certification.parametric import Count, EvaluationSet, ParametricTransform, remember
from itn.certification.search import (
    SMALLEST,
    estimate_scale_and_worst_k,
    expected_to_pass,
    search_worst_k,
)
from itn.stats import DropTest, fixed_sequence_test, max_failures, smallest_tolerance
from itn.stats.fixed_sequence import SEQUENCE
from tests.certification.test_criteria import BRIGHTEN, SHADES
from tests.certification.test_parametric import CLASSIFIER, SHADE, evaluation_set, flat_images, of_matrix


@pytest.mark.parametrize(("n", "tolerance"), [(20, 0.01), (150, 0.02), (600, 0.01), (6000, 0.01)])
def test_max_failures_is_the_last_count_that_one_in_twenty_would_show(n, tolerance):
    chance, count = 0.0, -1
    while (
        chance := chance
        + math.comb(n, count + 1) * tolerance ** (count + 1) * (1 - tolerance) ** (n - count - 1)
    ) <= 0.05:
        count += 1
    assert max_failures(n, tolerance) == count


@pytest.mark.parametrize("n", [29, 150, 6000])
def test_smallest_tolerance_is_what_no_failure_proves(n):
    least = smallest_tolerance(n)
    assert (1 - least) ** n == pytest.approx(0.05)
    assert max_failures(n, least * 1.001) == 0
    assert max_failures(n, least * 0.999) == -1


COUNTS = {1.0: (0, 0), 2.0: (0, 1), 3.0: (0, 18), 4.0: (0, 0), 5.0: (0, 19), 6.0: (0, 0)}


def broken_of_600(scale):
    return torch.stack([torch.arange(600) < count for count in COUNTS[scale]]).to(torch.int8)


TEST_OF_600 = DropTest(600, 0.01, signed=False)


def test_scales_are_tested_in_order_until_one_fails():
    calibration = fixed_sequence_test(broken_of_600, list(COUNTS), TEST_OF_600)
    assert calibration.scale == 2.0
    assert calibration.scales == (1.0, 2.0, 3.0)


def test_nothing_is_chosen_where_nothing_is_sure():
    calibration = fixed_sequence_test(
        lambda _: torch.zeros(1, 20, dtype=torch.int8), SEQUENCE, DropTest(20, 0.01, signed=False)
    )
    assert calibration.scale == 0.0


def test_the_worst_is_found_inside_not_at_full_strength():
    # Half as dark at full strength as at (1, 0)
    data = flat_images(torch.linspace(0.5, 1.0, 402)[1:-1])
    worst = search_worst_k(evaluation_set(data), SHADE, scale=0.3)
    assert worst.k.tolist() == [[1.0, 0.0]]
    assert worst.outcomes.right.float().mean() == pytest.approx(0.4, abs=0.01)
    assert torch.equal(worst.outcomes.right, worst.right_everywhere)


def test_each_image_has_its_own_worst_control():
    # Brightening breaks the darker class, darkening the brighter one: no single k does both
    data = flat_images(
        torch.cat([torch.linspace(0.401, 0.499, 50), torch.linspace(0.501, 0.6, 50), torch.ones(900)])
    )
    worst = search_worst_k(evaluation_set(data), SHADE, scale=0.2)
    assert int((~worst.outcomes.right).sum()) == 50
    assert int((~worst.right_everywhere).sum()) == 100


def test_refinement_goes_where_the_grid_does_not():
    # Brightness falls fastest at 3/4 of the way and recovers after it
    def dip(k):
        matrix = torch.zeros(len(k), 1, 2) + torch.tensor([1.0, 0.0])
        matrix[:, 0, 1] = -(0.4 - 1.6 * (k[:, 0] - 0.75).abs()).clamp_min(0)
        return [matrix]

    data = flat_images(torch.linspace(0.51, 1.0, 400))
    assert (
        search_worst_k(evaluation_set(data), ParametricTransform(1, dip, of_matrix), scale=1.0).k.item()
        == 0.75
    )


class Counted:
    """A transformation that counts how often it is evaluated."""

    def __init__(self, controls, generate, apply):
        self.evaluations = 0

        def counting(k):
            self.evaluations += 1
            return generate(k)

        self.transform = ParametricTransform(controls, counting, apply)


def darkened(by):
    """Color matrices that darken by so much, B x 1 x 2."""
    return [torch.stack([torch.ones_like(by), -by], -1)[:, None]]


def bias_along(direction):
    """A transformer that darkens by up to 0.1 in a direction of k, and does nothing in the other one."""
    transformer = itn.ColorTransformer(1, hidden=1, family="bias")
    with torch.no_grad():
        transformer.head.hidden.weight.copy_(torch.tensor([direction]))
        transformer.head.output.weight.fill_(-torch.atanh(torch.tensor(0.1)).item())
    return transformer


GRAYS = torch.linspace(0.5, 1.0, 402)[1:-1]


def test_of_three_parts_the_worst_is_found_with_few_evaluations():
    """All combinations of six controls would be 729; parts are searched one after another."""
    parts = {"a": bias_along((1.0, -1.0)), "b": bias_along((-1.0, 1.0)), "c": bias_along((0.5, 0.5))}
    net = itn.InvariantTransformerNet(CLASSIFIER, parts)
    counted = Counted(*ParametricTransform.of_net(net))
    assert counted.transform.controls == 6
    worst = search_worst_k(evaluation_set(flat_images(GRAYS)), counted.transform, scale=1.0)
    assert worst.k.tolist() == [[1, 0, 0, 1, 1, 1]]
    full = evaluation_set(flat_images(GRAYS)).outcomes(counted.transform, torch.ones(1, 6))
    assert full.right.float().mean() == pytest.approx(0.8, abs=0.01)  # of it only one part is left
    assert worst.outcomes.right.float().mean() == pytest.approx(0.4, abs=0.01)
    assert torch.equal(worst.outcomes.right, worst.right_everywhere)
    assert counted.evaluations < 100


def test_of_six_controls_the_worst_is_refined():
    def dip(k):
        worst = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.5, 0.75])
        return darkened(0.4 - 0.4 * (k - worst).abs().mean(1))

    counted = Counted(6, dip, of_matrix)
    worst = search_worst_k(evaluation_set(flat_images(GRAYS)), counted.transform, scale=1.0)
    assert worst.k.tolist() == [[1, 0, 0, 1, 0.5, 0.75]]
    assert counted.evaluations < 100


def test_of_four_controls_all_combinations_are_tried():
    """Where two parts break images only together, one after the other would not find it."""

    def both(k):
        return darkened(0.3 * k[:, 0] * (1 - k[:, 1]) * (1 - k[:, 2]) * k[:, 3])

    counted = Counted(4, both, of_matrix)
    worst = search_worst_k(evaluation_set(flat_images(GRAYS)), counted.transform, scale=1.0)
    assert worst.k.tolist() == [[1, 0, 0, 1]]
    assert worst.outcomes.right.float().mean() == pytest.approx(0.4, abs=0.01)
    assert evaluation_set(flat_images(GRAYS)).outcomes(counted.transform, torch.ones(1, 4)).right.all()


def test_of_an_odd_number_of_controls_the_worst_is_found():
    """Five controls go two at a time; the last one is searched by itself."""

    def dip(k):
        worst = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.5])
        return darkened(0.4 - 0.4 * (k - worst).abs().mean(1))

    worst = search_worst_k(evaluation_set(flat_images(GRAYS)), ParametricTransform(5, dip, of_matrix), 1.0)
    assert worst.k.tolist() == [[1, 0, 0, 1, 0.5]]


def test_what_breaks_on_the_way_to_full_strength_is_found():
    """A family that darkens between 5 and 15 % of full strength alone: no corner, edge or middle shows it."""

    def shift(k):
        matrix = torch.zeros(len(k), 1, 2) + torch.tensor([1.0, 0.0])
        matrix[:, 0, 1] = -0.02 * ((k > 0.05) & (k < 0.15)).all(1)
        return [matrix]

    images = evaluation_set(flat_images(torch.linspace(0.505, 0.515, 100)))
    worst = search_worst_k(images, ParametricTransform(2, shift, of_matrix), 1.0)
    torch.testing.assert_close(worst.k, torch.tensor([[0.1, 0.1]]))
    assert int(worst.outcomes.change.sum()) > 0


def test_the_worst_k_is_that_with_the_largest_count_of_all_that_were_tried_on_all_images():
    """The images that come nearest to changing break at (1, 0), many others at full strength alone.

    Darkening by the first control hurts images just above a half; full strength brightens, which breaks all
    that are labeled dark.
    """

    def shift(k):
        matrix = torch.zeros(len(k), 1, 2) + torch.tensor([1.0, 0.0])
        both = k[:, 0] * k[:, 1]
        matrix[:, 0, 1] = -0.02 * k[:, 0] * (1 - k[:, 1]) + 0.3 * both
        return [matrix]

    bright, dark = torch.linspace(0.505, 0.515, 100), torch.linspace(0.25, 0.3, 500)
    data = flat_images(torch.cat([bright, dark]))
    images = evaluation_set(data)
    transform = ParametricTransform(2, shift, of_matrix)
    worst = search_worst_k(images, transform, 1.0)
    tried = {k: int(images.changes(transform, torch.tensor([k])).sum()) for k in ((1.0, 0.0), (1.0, 1.0))}
    assert tried[1.0, 1.0] > tried[1.0, 0.0] > 0
    assert worst.k.tolist() == [[1.0, 1.0]]
    assert int(worst.outcomes.change.sum()) >= max(tried.values())


def test_by_accuracy_the_worst_k_is_where_fewest_images_are_mended():
    """Darkening breaks bright images and mends as many that are labeled dark; brightening only breaks."""
    values = torch.cat(
        [torch.linspace(0.501, 0.699, 100), torch.linspace(0.501, 0.699, 100), torch.full((40,), 0.45)]
    )
    labels = torch.cat([torch.ones(100), torch.zeros(100), torch.zeros(40)]).long()
    broken = search_worst_k(evaluation_set(flat_images(values, labels)), SHADE, 0.2)
    net = search_worst_k(evaluation_set(flat_images(values, labels), criterion=Accuracy()), SHADE, 0.2)
    assert broken.k.tolist() == [[1.0, 0.0]]  # 100 of them
    assert net.k[0, 1] > net.k[0, 0]
    assert int(net.outcomes.change.sum()) == 40


def test_the_scale_of_a_family_is_that_of_its_worst_k():
    """Darkening by d breaks the share 2 d of images; full strength darkens by half as much as (1, 0)."""
    images = evaluation_set(flat_images(torch.linspace(0.5, 1.0, 2002)[1:-1]))
    test = DropTest(2000, 0.1, signed=False)
    scale, k = estimate_scale_and_worst_k(SHADE, images, test)
    assert k.tolist() == [[1.0, 0.0]]
    assert scale == pytest.approx(test.target(0) / 2, rel=0.1)


def test_counts_of_some_images_say_what_others_may_expect():
    test = DropTest(1000, 0.02)
    assert expected_to_pass(Count(5, 2, 500), test)
    assert not expected_to_pass(Count(11, 1, 500), test)


def test_with_top_k_an_image_is_right_everywhere_if_its_class_is_among_the_first():
    """Of three shades the second one is always among the first two, whatever is done."""
    values = torch.linspace(0.26, 0.74, 64)
    images = values.view(-1, 1, 1, 1).expand(-1, 1, 4, 4).contiguous()
    labels = torch.ones(64, dtype=torch.long)
    labels[::2] = 0  # top-1 wrong, and among the first two below a half
    data = itn.CheckedImages(images, labels, SHADES(images).argmax(1))
    evaluation = EvaluationSet(SHADES, data, 250, Accuracy(2), topk=2)
    evaluation = evaluation._replace(data=remember(evaluation))
    worst = search_worst_k(evaluation, BRIGHTEN, 0.01)
    clean = evaluation.recognized()
    assert not data.clean[::2].any()
    assert clean[::2].any()
    assert int(worst.right_everywhere.sum()) >= int(clean.sum()) - 4


def test_an_estimate_is_never_nothing():
    """Where any motion breaks the image, calibration still has a scale to begin with."""
    images = evaluation_set(flat_images(torch.full((200,), 0.50000001)))
    scale, _ = estimate_scale_and_worst_k(SHADE, images, DropTest(300, 0.02, signed=False))
    assert scale * SEQUENCE[0] == SMALLEST
