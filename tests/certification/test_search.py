"""Certificates: on a classifier whose answers are known on paper, and by simulation with a known truth."""

import math

import numpy as np
import pytest
import torch

import itn
from itn.certification.parametric import EvaluationSet, ParametricTransform
from itn.certification.records import certify
from itn.certification.search import estimate_scale, search_worst_k
from itn.models.preflight import CheckedImages
from itn.stats.fixed_sequence import SEQUENCE, fixed_sequence_test, max_failures, smallest_tolerance
from itn.stats.sampling import generator


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


def shade(k):
    """Two controls: the first darkens by as much as it says, the second brightens by half of that."""
    matrix = torch.zeros(len(k), 1, 2) + torch.tensor([1.0, 0.0])
    matrix[:, 0, 1] = -k[:, 0] + k[:, 1] / 2
    return {"color": matrix}


def scaled(transform, scale):
    """The same transformation at a scale."""
    return ParametricTransform(transform.controls, lambda k: transform.matrices(scale * k))


CLASSIFIER = itn.Classifier(Brightness())


def evaluation_set(data, batch_size=250):
    return EvaluationSet(CLASSIFIER, data, batch_size)


SHADE = ParametricTransform(2, shade)


def test_margins_are_those_on_paper():
    data = flat_images([0.6, 0.9, 0.3], labels=[1, 1, 1])
    k = torch.tensor([[0.0, 0.0], [0.2, 0.1], [0.0, 0.4]])
    assert evaluation_set(data, 2).margins(SHADE, k).tolist() == pytest.approx([0.2, 0.5, 0.0], abs=1e-6)


def test_broken_are_those_that_were_right():
    data = flat_images([0.6, 0.6, 0.9, 0.4], labels=[1, 0, 1, 0])
    everyone = torch.tensor([[0.2, 0.0]])
    assert evaluation_set(data).broken(SHADE, everyone).tolist() == [True, False, False, False]
    own = torch.tensor([[0.0, 0.0], [0.2, 0.0], [0.5, 0.0], [0.0, 0.3]])
    assert evaluation_set(data).broken(SHADE, own).tolist() == [False, False, True, True]


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
    return torch.stack([torch.arange(600) < count for count in COUNTS[scale]])


def test_scales_are_tested_in_order_until_one_fails():
    calibration = fixed_sequence_test(broken_of_600, list(COUNTS), tolerance=0.01)
    assert calibration.scale == 2.0
    assert calibration.scales == (1.0, 2.0, 3.0)


def test_going_on_beyond_a_failure_changes_no_choice_and_ends_where_more_fail():
    calibration = fixed_sequence_test(broken_of_600, list(COUNTS), tolerance=0.01, beyond=3)
    assert calibration.scale == 2.0
    assert calibration.scales == (1.0, 2.0, 3.0, 4.0, 5.0)


def test_resampled_images_choose_for_themselves():
    calibration = fixed_sequence_test(broken_of_600, list(COUNTS), tolerance=0.01, beyond=3)
    weights = torch.ones(3, 600)
    weights[1, 0] = 5  # an image that fails from the second scale on, five times
    weights[2, :60] = 0  # all that ever fail, never
    assert calibration.passed(weights).tolist() == [2, 1, 5]


def test_nothing_is_chosen_where_nothing_is_sure():
    calibration = fixed_sequence_test(
        lambda _: torch.zeros(1, 20, dtype=torch.bool), SEQUENCE, tolerance=0.01
    )
    assert calibration.scale == 0.0


def test_estimate_brackets_the_scale_where_the_tolerance_is_reached():
    def share_at(scale):
        return scale

    assert estimate_scale(share_at, 0.25, largest=1.0, bisections=9) == pytest.approx(0.25, abs=0.003)
    assert estimate_scale(share_at, 0.25, largest=0.2) == 0.2
    assert 0.009 < estimate_scale(share_at, 0.01, largest=1.0, bisections=2) <= 0.01
    assert estimate_scale(lambda scale: scale > 0, 0.5, largest=1.0) == 0
    first = estimate_scale(lambda scale: 0.3 < scale < 0.6, 0.5, largest=1.0)
    assert first == pytest.approx(0.3, abs=0.01)  # what holds again beyond is not reached


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
    share = images.break_rate(DARKEN, 0.05 * DARKEN.full_strength, enough)
    assert share == pytest.approx(0.1 * 0.98, abs=0.05)  # the darkest tenth
    assert sum(batches) == pytest.approx(evaluated, abs=0 if enough in (1.0, 0.2, 0.005) else 150)


def test_the_worst_is_found_inside_not_at_full_strength():
    # Half as dark at full strength as at (1, 0)
    data = flat_images(torch.linspace(0.5, 1.0, 402)[1:-1])
    worst = search_worst_k(evaluation_set(data), SHADE, scale=0.3)
    assert worst.k.tolist() == [[1.0, 0.0]]
    assert worst.right.float().mean() == pytest.approx(0.4, abs=0.01)
    assert torch.equal(worst.right, worst.right_everywhere)


def test_each_image_has_its_own_worst_control():
    # Brightening breaks the darker class, darkening the brighter one: no single k does both
    data = flat_images(
        torch.cat([torch.linspace(0.4, 0.499, 50), torch.linspace(0.501, 0.6, 50), torch.ones(900)])
    )
    worst = search_worst_k(evaluation_set(data), SHADE, scale=0.2)
    assert int((~worst.right).sum()) == 50
    assert int((~worst.right_everywhere).sum()) == 100


def test_refinement_goes_where_the_grid_does_not():
    # Brightness falls fastest at 3/4 of the way and recovers after it
    def dip(k):
        matrix = torch.zeros(len(k), 1, 2) + torch.tensor([1.0, 0.0])
        matrix[:, 0, 1] = -(0.4 - 1.6 * (k[:, 0] - 0.75).abs()).clamp_min(0)
        return {"color": matrix}

    data = flat_images(torch.linspace(0.51, 1.0, 400))
    assert search_worst_k(evaluation_set(data), ParametricTransform(1, dip), scale=1.0).k.item() == 0.75


def certified(data, transform, uniform, scale, tolerance, batch_size=250):
    images = evaluation_set(data, batch_size)
    recognized = images.margins(transform, uniform) > 0
    return certify(data.clean, recognized, search_worst_k(images, transform, 1.0), scale, tolerance)


def test_certificate_counts_what_it_says():
    data = flat_images(torch.linspace(0.5, 1.0, 1002)[1:-1])
    uniform = torch.rand(1000, 2, generator=generator(0, "certificate"))
    found = certified(data, scaled(SHADE, 0.2), uniform, 0.2, 0.01)
    assert found.images == 1000
    assert found.clean_accuracy == 1.0
    assert found.full.accuracy == pytest.approx(0.8, abs=2e-3)  # darker by 0.1 of the range of 0.5
    assert found.searched.accuracy == found.searched.accuracy_per_image == pytest.approx(0.6, abs=2e-3)
    assert found.full.lower_bound == pytest.approx(0.7738, abs=3e-3)
    # Darker by 0.2 (a - b / 2), a and b uniform: its positive part is 0.2 * 7 / 24 in the mean
    assert found.uniform.accuracy == pytest.approx(1 - 0.2 * 7 / 24 / 0.5, abs=0.03)
    assert found.uniform.lower_bound < found.uniform.accuracy


DARKEN = ParametricTransform(1, lambda k: {"color": torch.stack([torch.ones_like(k), -k], -1)})


def test_coverage_by_simulation():
    """Over 1,000 repetitions, what is said with 95 % is true in at least 95 %, less two standard errors.

    Brightness is uniform between 1/2 and 1, a fiftieth of the labels is wrong. Darkened by d, the share 2 d
    of the images changes its class: 0.98 * 2 d are broken, and the accuracy is 0.98 - 0.96 * 2 d.
    """
    repetitions, tolerance, n = 1000, 0.04, 500
    randomness = generator(0, "population")

    def sample():
        labels = torch.rand(n, generator=randomness) > 0.02
        return flat_images(0.5 + 0.5 * torch.rand(n, generator=randomness), labels.long())

    limit = tolerance / (0.98 * 2)
    estimate = (max_failures(n, tolerance) + 0.5) / n / (0.98 * 2)  # where calibration will end, about
    kept = covered = 0
    chosen = []
    for _ in range(repetitions):
        images, held_out = evaluation_set(sample(), n), sample()
        scale = fixed_sequence_test(
            lambda s, images=images: images.broken(DARKEN, s * DARKEN.full_strength)[None],
            [estimate * s for s in SEQUENCE],
            tolerance,
        ).scale
        uniform = torch.rand(n, 1, generator=randomness)
        found = certified(held_out, scaled(DARKEN, scale), uniform, scale, tolerance, n)
        chosen.append(scale / limit)
        kept += scale <= limit
        covered += (
            found.full.lower_bound <= 0.98 - 0.96 * 2 * scale
            and found.uniform.lower_bound <= 0.98 - 0.96 * scale
        )
    least = 0.95 - 2 * math.sqrt(0.95 * 0.05 / repetitions)
    assert kept / repetitions >= least
    assert covered / repetitions >= least
    assert np.median(chosen) > 0.5  # and still says something
