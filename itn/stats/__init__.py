"""Intervals, exact tests, survival curves and reproducible draws; no images and no networks."""

from itn.stats.fixed_sequence import FixedSequence, fixed_sequence_test, max_failures, smallest_tolerance
from itn.stats.intervals import binomial_tail, clopper_pearson
from itn.stats.sampling import (
    calibration_split,
    generator,
    one_per_class,
    stratified_split,
    stratified_subset,
)
from itn.stats.scales import last_scale
from itn.stats.survival import Survival, kaplan_meier

__all__ = [
    "FixedSequence",
    "Survival",
    "binomial_tail",
    "calibration_split",
    "clopper_pearson",
    "fixed_sequence_test",
    "generator",
    "kaplan_meier",
    "last_scale",
    "max_failures",
    "one_per_class",
    "smallest_tolerance",
    "stratified_split",
    "stratified_subset",
]
