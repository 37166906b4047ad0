"""The objectives that are compared: that of ``itn learn``, and others with its tolerance and certificate."""

import dataclasses
from typing import ClassVar

import study
from family_sizes.direct_search import DirectSearch

import itn

OBJECTIVES = ("constrained", "switched", "dual-ascent", "direct-search")
TIMES = 10  # images that direct search may use, over those of learning
dual_ascent = study.example("dual_ascent")


@dataclasses.dataclass(frozen=True)
class Certified(itn.Switched):
    """The objective of Bunne et al., with a calibration and a certificate like the others."""

    tolerance: float = 0.01

    certifies: ClassVar[bool] = True


def with_objective(config: itn.LearnConfig, name: str) -> itn.LearnConfig:
    """Return settings with another objective that has the same tolerance and as many images."""
    tolerance, steps = config.goal.tolerance, config.goal.steps
    if name == "constrained":
        return config
    if name == "direct-search":
        # A backward pass costs about two forward passes
        search = DirectSearch(images=TIMES * 3 * steps * config.batch_size)
        return dataclasses.replace(config, objective=search, tolerance=tolerance, steps=None)
    objective = dual_ascent.DualAscent() if name == "dual-ascent" else Certified()
    return dataclasses.replace(config, objective=objective, tolerance=tolerance, steps=steps)
