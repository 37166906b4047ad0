"""Images that are likely to break are drawn more often."""

import itn


def test_images_far_from_the_boundary_are_drawn_less_and_less(make_learner, blobs, side):
    learner = make_learner(side, itn.preflight(side, *blobs))
    before = learner.sampler.vulnerability.median()
    learner.families.log_scale[:] = -20.0  # the identity: margins of 20 are never in danger
    for number in range(40):
        learner.step(number)
    assert learner.sampler.vulnerability.median() < 0.2 * before
