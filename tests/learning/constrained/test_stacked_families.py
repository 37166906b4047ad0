"""The log displacement of families."""

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
