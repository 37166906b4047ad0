"""The log displacement of families, and the directions of their controls."""

import math

import torch

import itn


def test_gains_beyond_a_baseline_at_its_bound_count_little(make_learner, blobs, side):
    """Beyond the reference, a bounded part gains a tenth of what others gain."""
    parameters = [torch.zeros(4, 1, 2), torch.zeros(4, 1, 6)]
    parameters[0][..., 1] = 2**0.5  # a bias, displacement 1, twice the reference
    data = itn.preflight(side, *blobs)
    free, bounded = (make_learner(side, data, bounded=parts) for parts in ((), ("color",)))
    free_gain, bounded_gain = (learner.families.log_displacement(parameters) for learner in (free, bounded))
    torch.testing.assert_close(free_gain - bounded_gain, torch.full((4, 1), 0.9 * math.log(2) / 2))


def test_entries_of_k_should_differ_in_direction_and_both_lead_somewhere(make_learner, blobs, side):
    """Row 0: along x and along y, equally far; row 1: both along x; row 2: the second a tenth as far."""
    learner = make_learner(
        side, itn.preflight(side, *blobs), parts=("spatial",), family="translation", padding="border"
    )
    families = learner.families
    with torch.no_grad():
        families.hidden[0].zero_()
        families.hidden[0][:, 0, 0] = families.hidden[0][:, 1, 1] = 1
        families.output[0].zero_()
        families.output[0][:, 0, 0] = 0.02
        for row, (x, y) in enumerate([(0, 0.02), (0.02, 0), (0, 0.002), (0, 0.02)]):
            families.output[0][row, 0, 1], families.output[0][row, 1, 1] = x, y
        families.units[0].fill_(1)
        aligned, lacking = families.directions(torch.zeros(4, 1), least_arm=0.2)
    torch.testing.assert_close(aligned, torch.tensor([0.0, 1.0, 0.0, 0.0]))
    # Displacement is a square: with a tenth of the shift the second has 1 / 101 of that at full strength
    torch.testing.assert_close(lacking[2], torch.tensor(5 / 101).log(), atol=1e-2, rtol=0)
    assert lacking[[0, 1, 3]].tolist() == [0, 0, 0]
