"""Intervals, exact tests, survival curves and reproducible draws; no images and no networks."""

from itn.stats.concordance import Concordance, censored_tau
from itn.stats.difference import paired_difference
from itn.stats.fixed_sequence import FixedSequence, fixed_sequence_test
from itn.stats.intervals import binomial_tail, clopper_pearson
from itn.stats.paired import DropTest, drop_p_value, drop_upper_bound, max_failures, smallest_tolerance
from itn.stats.ratio import paired_ratio
from itn.stats.rivals import Margin, margin_over_rivals
from itn.stats.sampling import (
    generator,
    one_per_class,
    stratified_split,
    stratified_subset,
    training_split,
)
from itn.stats.scales import last_scale
from itn.stats.survival import Survival, kaplan_meier

__all__ = [
    "Concordance",
    "DropTest",
    "FixedSequence",
    "Margin",
    "Survival",
    "binomial_tail",
    "censored_tau",
    "clopper_pearson",
    "drop_p_value",
    "drop_upper_bound",
    "fixed_sequence_test",
    "generator",
    "kaplan_meier",
    "last_scale",
    "margin_over_rivals",
    "max_failures",
    "one_per_class",
    "paired_difference",
    "paired_ratio",
    "smallest_tolerance",
    "stratified_split",
    "stratified_subset",
    "training_split",
]
