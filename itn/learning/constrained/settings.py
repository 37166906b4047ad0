"""Settings of the constrained objective that no user needs to change."""

import dataclasses

from itn.certification.family_baselines import SURPLUS
from itn.nn.control_head import SATURATION


@dataclasses.dataclass(frozen=True)
class ConstrainedSettings:
    """How constrained learning samples, steps and prunes."""

    restarts: int = 16
    """Restarts of a problem."""
    restarts_of_class: int = 8
    """Restarts of each of several problems, such as one for each class."""
    directed_share: float = 0.75
    """Share of the restarts that begin along single transformations and sums of two."""
    prune_at: tuple[float, ...] = (0.3, 0.65)
    """Restarts are pruned after these shares of the steps."""
    keep_one_in: int = 4
    """Pruning keeps one restart in this many."""
    full_strength_share: float = 0.4
    """Share of the draws with k1 = k2 = (1, 1)."""
    worst_share: float = 0.3
    """Share of the draws at the worst k that is known of each restart."""
    vertex_share: float = 0.1
    """Share of the draws with k1 and k2 at vertices."""
    way_share: float = 0.1
    """Share of the draws on the straight way to full strength; all others lie on edges between vertices."""
    search_every: float = 0.04
    """The worst k is searched again after this share of the steps."""
    search_batches: int = 5
    """Batches that one such search takes, about."""
    search_images: int = 16
    """Images on which controls are compared there, at least."""
    partial_strength_weight: float = 0.1
    """Weight of displacement at less than full strength."""
    surplus_weight: float = SURPLUS
    """Weight of what a part gains beyond a baseline that reached its bound."""
    initial_ratio: float = 0.25
    """Displacement at the first step, as a fraction of the reference."""
    sensitivity_images: int = 1000
    """Images that show how sensitive the classifier is to each parameter, at most."""
    vulnerable_share: float = 0.8
    """Share of the images that are drawn in proportion to their vulnerability; the others are uniform."""
    min_batch: int = 64
    """Images of each of several problems in a step, at least."""
    ranking_images: int = 400
    """Images on which restarts are compared before pruning, at most."""
    average_over: int = 400
    """Images over which running means of slopes and variances are taken; over 2,000, slopes came too late."""
    room_deviation: float = 0.5
    """Standard deviation of the room at the first step."""
    room_drift: float = 0.05
    """By how much directions, as they change, change the room in a step at the first learning rate."""
    scale_rate: float = 0.2
    """Share of the room that the scale grows by in a step."""
    growth_exponent: float = 2.5
    """The drop grows with about this power of the scale."""
    balance_rate: float = 0.05
    """Step size that balances the log scales of the parts."""
    max_log_scale: float = 30.0
    """Largest log scale, which a part that cannot move reaches."""
    saturation: float = SATURATION
    """Largest raw parameter, as a multiple of its bound: growth ends there."""
    least_factor: float = 0.05
    """Least factor on the multiplier, of full strength and of the worst k, whichever loses less."""
    other_factor: float = 0.2
    """Factor on the multiplier at all other k."""
    least_arm: float = 0.3
    """Displacement that each entry of k by itself should reach, as a fraction of that at full strength."""
    arm_weight: float = 0.5
    """Weight of the log displacement that it lacks."""
    alignment_weight: float = 0.1
    """Weight of how much both entries of k push along the same line: at 1 color gave up half its displacement
    for a second direction."""
    target_odds: float = 2.0
    """Odds of the target drop, as a multiple of the tolerated odds."""


DEFAULT_SETTINGS = ConstrainedSettings()
