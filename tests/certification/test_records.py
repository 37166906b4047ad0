"""Certificates: on a classifier whose answers are known on paper, and by simulation with a known truth."""

import math

import numpy as np
import pytest
import torch

from itn.certification.records import certify
from itn.certification.search import search_worst_k
from itn.stats.fixed_sequence import SEQUENCE, fixed_sequence_test, max_failures
from itn.stats.sampling import generator
from tests.certification.test_parametric import DARKEN, SHADE, evaluation_set, flat_images, scaled


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
