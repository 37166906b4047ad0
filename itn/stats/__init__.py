"""Intervals, exact tests, survival curves and reproducible draws; no images and no networks."""

from itn.stats.fixed_sequence import FixedSequence, fixed_sequence_test, max_failures, smallest_tolerance
from itn.stats.intervals import binomial_tail, clopper_pearson
from itn.stats.ratio import paired_ratio
from itn.stats.rivals import Margin, margin_over_rivals
from itn.stats.sampling import generator, one_per_class, stratified_split, stratified_subset
from itn.stats.survival import Survival, kaplan_meier

__all__ = [
    "FixedSequence",
    "Margin",
    "Survival",
    "binomial_tail",
    "clopper_pearson",
    "fixed_sequence_test",
    "generator",
    "kaplan_meier",
    "margin_over_rivals",
    "max_failures",
    "one_per_class",
    "paired_ratio",
    "smallest_tolerance",
    "stratified_split",
    "stratified_subset",
]
