"""Sequences of tests: on counts known on paper, and by simulation where every scale loses the tolerance."""

import pytest
import torch

from itn.stats import DropTest, binomial_tail, fixed_sequence_test, generator, max_failures
from itn.stats.fixed_sequence import FINE, SECOND, SEQUENCE

TEST = DropTest(700, 0.01, signed=False)
ALL, HALF = max_failures(700, 0.01, 0.95), max_failures(700, 0.01, 0.975)


def sequence_of(*counts, second):
    """Test scales 1, 2, ... at which so many of 700 images break."""
    changes = [(torch.arange(700) < count)[None].to(torch.int8) for count in counts]
    scales = [float(number) for number in range(1, len(counts) + 1)]
    return fixed_sequence_test(lambda scale: changes[int(scale) - 1], scales, TEST, second)


def test_half_and_all_allow_different_counts():
    assert (HALF, ALL) == (1, 2)


@pytest.mark.parametrize(
    ("counts", "tried", "scale"),
    [
        ((HALF, HALF, ALL, ALL, 9), (1, 2, 3, 4, 5), 4.0),  # nothing fails: the second half is added
        ((9, 0, HALF, HALF, 9, 0), (1, 3, 4, 5), 4.0),  # a failure: on with half, from the second beginning
        ((HALF, 9, ALL, 0), (1, 2, 3), 1.0),  # that half does not allow as many
        ((HALF, 9, HALF, ALL), (1, 2, 3, 4), 3.0),
        ((ALL, 0, 9, 0), (1, 3), 0.0),  # before, half is all there is
    ],
)
def test_half_of_the_error_begins_anew_where_the_first_sequence_fails(counts, tried, scale):
    sequence = sequence_of(*counts, second=2)
    assert (sequence.scales, sequence.scale) == (tried, scale)


@pytest.mark.parametrize(
    ("counts", "comparable"),
    [((0, 0, 9), [0, 1, 2]), ((0, 9, 0, 0, 9), [2, 3, 4]), ((9, 0, 9), [0, 1])],
)
def test_a_curve_begins_behind_a_small_scale_that_fails(counts, comparable):
    assert [*sequence_of(*counts, second=2).comparable] == comparable


def test_one_beginning_has_all():
    assert sequence_of(ALL, ALL, 9, 0, second=0).scale == 2.0


def test_few_images_that_half_cannot_convince_have_one_beginning():
    few = DropTest(300, 0.01, signed=False)
    assert max_failures(300, 0.01, 0.975) == -1
    sequence = fixed_sequence_test(lambda _: torch.zeros(1, 300, dtype=torch.int8), SEQUENCE, few, SECOND)
    assert sequence.scale == SEQUENCE[-1]
    assert {test.confidence for test in sequence.tests} == {0.95}


@pytest.mark.parametrize("signed", [False, True])
def test_a_sequence_errs_as_rarely_as_one_test(signed):
    """Every scale loses just the tolerance, by images drawn anew: whatever is chosen is wrong."""
    test, randomness = DropTest(600, 0.05, 0.9, signed), generator(0, "sequence")

    def changes_at(scale):
        draws = torch.rand(1, 600, generator=randomness)
        mended = 0.02 if signed else 0.0
        return (draws < 0.05 + mended).to(torch.int8) - (draws > 1 - mended).to(torch.int8)

    wrong = sum(fixed_sequence_test(changes_at, SEQUENCE[:8], test, SECOND).scale > 0 for _ in range(2000))
    assert 0.02 < wrong / 2000 < 0.1 + 2 * (0.1 * 0.9 / 2000) ** 0.5


def test_both_sequences_begin_anew_at_the_same_scale():
    assert SEQUENCE[SECOND] == FINE[SECOND] == 0.65


@pytest.mark.parametrize("confidence", [0.01, 0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("tolerance", [0.0, 1e-4, 0.01, 0.05, 0.3, 0.5, 0.99, 1.0])
def test_max_failures_is_found_by_counting_up(tolerance, confidence):
    """Compare the chance of at most ``count`` failures for one count after another; -1 if none passes."""
    for n in (*range(1, 301), 6000):
        count = -1
        while binomial_tail(n - count - 1, n, 1 - tolerance) <= 1 - confidence:
            count += 1
        assert max_failures(n, tolerance, confidence) == count, n
