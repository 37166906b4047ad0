"""What batches say of the room that is left, and what they cannot say."""

import torch

from itn.learning.constrained.controls import draw_controls
from itn.learning.constrained.room import Room
from itn.learning.constrained.settings import DEFAULT_SETTINGS
from itn.stats import generator

TARGET, EXPECTED = 0.02, 0.7
ROWS = torch.tensor([0])


def controls(draws):
    return draw_controls(torch.ones(1, 1, 2), draws, generator(0, "controls"), DEFAULT_SETTINGS)


def room_at(estimate, deviation=0.3):
    room = Room(1, TARGET, estimate, DEFAULT_SETTINGS, torch.device("cpu"))
    room.variances[:] = deviation**2
    return room


def changes(drop, churn, draws, random):
    """Return changes of images of which churn / 2 + drop / 2 are broken and churn / 2 - drop / 2 mended."""
    u = torch.rand(1, draws, generator=random)
    broken = u < (churn + drop) / 2
    return broken.float() - (u > 1 - (churn - drop) / 2).float()


def test_scales_settle_where_the_drop_is_at_the_target():
    """The drop is the target at log scale 1, with power 3 instead of the assumed one; 15 % change."""
    random, found = generator(0, "changes"), []
    for _ in range(10):
        room, log_scale = room_at(EXPECTED, deviation=0.5), 0.0
        for _ in range(400):
            drop = TARGET * torch.tensor(3 * (log_scale - 1)).exp().item()
            room.observe(ROWS, changes(drop, max(0.15, drop), 100, random), controls(100), fade=0.2)
            step = 0.2 * room.least.clamp(-1, 1)
            room.use(ROWS, step)
            log_scale += step.item()
        found.append(log_scale)
    assert abs(torch.tensor(found).mean() - 1) < 0.1
    assert torch.tensor(found).std() < 0.2


def test_rising_accuracy_far_below_the_target_is_no_reason_to_run_away():
    """As under a slight zoom: accuracy rises by the tolerance, whatever the scale was before."""
    room, before = room_at(1.5), 1.5
    for _ in range(20):
        room.observe(ROWS, changes(-TARGET, 0.15, 16, generator(0, "changes")), controls(16), fade=0.0)
    assert before < room.least.item() < before + 0.1


def test_many_images_settle_the_matter():
    """Half of the target is lost: room for a factor of 2 to the power of 1 / 2.5."""
    room, change = room_at(0.0, deviation=1.0), torch.zeros(1, 100_000)
    change[:, ::100] = 1
    for _ in range(20):
        room.observe(ROWS, change, controls(100_000), fade=0.0)
    expected = torch.tensor(2.0).log() / DEFAULT_SETTINGS.growth_exponent
    torch.testing.assert_close(room.estimates, expected.expand(1, 2), atol=0.02, rtol=0)
    torch.testing.assert_close(room.drops, torch.full((1, 2), TARGET / 2), atol=5e-4, rtol=0)


def test_full_strength_and_the_worst_k_are_told_apart():
    room, draw = room_at(0.0), controls(1000)
    change = torch.zeros(1, 1000)
    change[:, draw.worst] = 0.1
    room.observe(ROWS, change, draw, fade=0.0)
    full, worst = room.estimates[0]
    assert full > 0 > worst
    assert room.least == worst


def test_more_changes_that_cancel_out_say_less():
    """A lost target and a half, once among few changes and once among many."""
    quiet, noisy = room_at(0.0), room_at(0.0)
    noisy.change_variance[:] = 100 * quiet.change_variance
    change = torch.full((1, 100), 1.5 * TARGET)
    for room in (quiet, noisy):
        room.observe(ROWS, change, controls(100), fade=0.0)
    assert quiet.least < noisy.least < 0
    assert (quiet.variances < noisy.variances).all()
