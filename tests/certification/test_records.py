"""Certificates: on a classifier whose answers are known on paper, and by simulation with a known truth."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from itn.certification.criteria import Accuracy, Agreement, Broken
from itn.certification.records import Measured, Terms, _obstacle, certify
from itn.certification.search import search_worst_k
from itn.stats import FixedSequence, fixed_sequence_test, max_failures
from itn.stats.fixed_sequence import SEQUENCE
from itn.stats.sampling import generator
from tests.certification.test_parametric import DARKEN, SHADE, evaluation_set, flat_images, scaled


def certified(images, transform, scales, uniform, tolerance, confidence=0.95, worst_k=None):
    """Calibrate a transformation on images, and certify it on the same ones."""
    worst_k = transform.full_strength if worst_k is None else worst_k
    test = Terms(tolerance, confidence, 0).test(len(images.data), images.criterion)
    sequence = fixed_sequence_test(lambda scale: images.changes_at(transform, scale, worst_k), scales, test)
    moved = scaled(transform, sequence.scale)
    measured = Measured(
        images.data.clean,
        images.outcomes(moved, uniform),
        images.outcomes(moved, moved.full_strength),
        images.outcomes(moved, worst_k),
        search_worst_k(images, moved, 1.0),
    )
    return certify(measured, sequence, images.criterion, confidence, {"k1": worst_k[0].tolist()})


def test_certificate_counts_what_it_says():
    data = flat_images(torch.linspace(0.5, 1.0, 1002)[1:-1])
    uniform = torch.rand(1000, 2, generator=generator(0, "certificate"))
    worst_k = torch.tensor([[1.0, 0.0]])
    found = certified(evaluation_set(data), SHADE, (0.1, 0.2), uniform, 0.5, worst_k=worst_k)
    assert (found.images, found.scale, found.criterion) == (1000, 0.2, "broken")
    assert found.clean_accuracy == 1.0
    assert found.full.accuracy == pytest.approx(0.8, abs=2e-3)  # darker by 0.1 of the range of 0.5
    assert found.worst.accuracy == found.searched.accuracy == pytest.approx(0.6, abs=2e-3)
    assert found.worst.drop == found.searched.drop == pytest.approx(0.4, abs=2e-3)
    assert found.worst.k == found.searched.k == (1.0, 0.0)
    assert found.searched.accuracy_per_image == pytest.approx(0.6, abs=2e-3)
    # Darker by 0.2 (a - b / 2), a and b uniform: its positive part is 0.2 * 7 / 24 in the mean
    assert found.uniform.accuracy == pytest.approx(1 - 0.2 * 7 / 24 / 0.5, abs=0.03)
    for condition in (found.uniform, found.full, found.worst):
        assert condition.lower_bound < condition.accuracy
        assert condition.drop < condition.drop_upper_bound
        # Nothing is labeled wrong: what is broken is what accuracy loses
        assert condition.drop == pytest.approx(1 - condition.accuracy)
    assert found.full.drop_upper_bound < found.tolerance  # it holds for far less
    assert "at most 50 % of images like these turn from right to wrong" in found.statement
    assert "at full strength and at k1 = (1, 0), the worst k" in found.statement


def test_a_bound_that_says_less_than_the_sequence_gives_way_to_it():
    data = flat_images(torch.linspace(0.5, 1.0, 1002)[1:-1])
    scales = [0.1 * factor for factor in SEQUENCE]
    found = certified(evaluation_set(data), DARKEN, scales, torch.rand(1000, 1), 0.2)
    assert 0.15 < found.full.drop < 0.2
    assert found.full.drop_upper_bound == 0.2
    assert found.uniform.drop_upper_bound < 0.2
    assert found.statement.startswith("With 95 % confidence, at most 20 % of images like these")
    assert "at full strength, which is also the worst k" in found.statement


@pytest.mark.parametrize(
    ("criterion", "claim"),
    [
        (Accuracy(), "accuracy falls by at most 20 points"),
        (Accuracy(5), "top-5 accuracy falls by at most 20 points"),
        (Agreement(), "at most 20 % of predictions on images like these change"),
    ],
    ids=str,
)
def test_the_statement_says_what_the_criterion_counts(criterion, claim):
    assert criterion.claim("20") == claim
    assert Accuracy().claim("1") == "accuracy falls by at most 1 point"


def test_where_nothing_passes_it_says_why_and_what_would_help():
    """A tenth of the images lies so near to the boundary that any darkening breaks it."""
    data = flat_images(torch.cat([torch.full((100,), 0.50001), torch.full((900,), 0.9)]))
    found = certified(evaluation_set(data), DARKEN, (0.001, 0.002), torch.rand(1000, 1), 0.05)
    assert found.scale == 0
    assert found.full.drop == found.full.drop_upper_bound == found.uniform.drop_upper_bound == 0
    assert found.full.accuracy == found.clean_accuracy
    assert found.statement.startswith("No transformation of the family is certified")
    most = max_failures(1000, 0.05, 0.96)
    expected = f"100 of 1,000 images became worse; to prove 5 % it may be at most {most}."
    assert expected in found.obstacle
    assert "so may the criterion accuracy" in found.obstacle
    assert certified(evaluation_set(data), DARKEN, (1e-7,), torch.rand(1000, 1), 0.05).obstacle is None


def test_what_is_in_the_way_is_the_condition_that_fails():
    """At full strength more images are lost, but at the worst k too many change in both directions."""
    n = 2000
    full, worst = torch.zeros(2, n, dtype=torch.int8)
    full[:20] = 1
    worst[:150], worst[150:285] = 1, -1
    test = Terms(0.02, 0.95, 0).test(n, Accuracy())
    sequence = FixedSequence((0.1,), torch.stack([full, worst])[None], (test,))
    assert sequence.scale == 0
    most = test.largest(285)
    text = _obstacle(sequence, Accuracy())
    assert f"150 of 2,000 images became worse and 135 better; to prove 2 % it may be at most {most}" in text
    many = torch.zeros(n, dtype=torch.int8)
    many[:300], many[300:597] = 1, -1
    sequence = FixedSequence((0.1,), torch.stack([many, many])[None], (test,))
    assert f"it may be at least {-test.largest(597)} more better than worse" in _obstacle(
        sequence, Accuracy()
    )


@pytest.mark.parametrize("criterion", [Accuracy(), Broken(), Agreement()], ids=str)
def test_coverage_by_simulation(criterion):
    """Over 300 repetitions, all that is said with 90 % is true in at least 90 %, less two standard errors.

    Brightness is uniform between 1/2 and 1, a tenth of the labels is wrong. Darkened by d, the share 2 d of
    the images changes its class: 0.9 * 2 d are broken, 0.1 * 2 d are mended.
    """
    repetitions, tolerance, n = 300, 0.04, 400
    randomness = generator(0, "population")
    slope = {"accuracy": 2 * 0.8, "broken": 2 * 0.9, "agreement": 2.0}[str(criterion)]

    def sample():
        labels = torch.rand(n, generator=randomness) > 0.1
        return flat_images(0.5 + 0.5 * torch.rand(n, generator=randomness), labels.long())

    limit, kept, covered, chosen = tolerance / slope, 0, 0, []
    for _ in range(repetitions):
        images = evaluation_set(sample(), n, criterion)
        if str(criterion) == "agreement":
            images = images._replace(
                data=dataclasses.replace(images.data, remembered=images.data.predictions)
            )
        uniform = torch.rand(n, 1, generator=randomness)
        found = certified(images, DARKEN, [limit * s for s in SEQUENCE], uniform, tolerance, 0.9)
        chosen.append(found.scale / limit)
        kept += found.scale <= limit
        covered += (
            found.scale <= limit
            and found.full.lower_bound <= 0.9 - 1.6 * found.scale
            and found.uniform.lower_bound <= 0.9 - 0.8 * found.scale
            and found.full.drop_upper_bound >= slope * found.scale
            and found.uniform.drop_upper_bound >= slope * found.scale / 2
        )
    least = 0.9 - 2 * math.sqrt(0.9 * 0.1 / repetitions)
    assert kept / repetitions >= least
    assert covered / repetitions >= least
    assert np.median(chosen) > 0.4  # and still says something
