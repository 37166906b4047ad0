"""A small constrained learner that the tests of this folder share."""

import pytest
import torch

import itn
from itn.learning.constrained.learner import ConstrainedLearner
from itn.learning.constrained.stacked_families import FamilyProblem
from itn.learning.load import make_net


@pytest.fixture
def make_learner():
    """Return a function that makes a learner of four restarts from a classifier and checked images."""

    def make(classifier, data, references=None, bounded=(), **settings):
        config = itn.LearnConfig(
            **{"objective": "constrained", "tolerance": 0.06, "steps": 60, "batch_size": 64, **settings}
        )
        restarts = [make_net(classifier, config, data.images.shape, restart) for restart in range(4)]
        references = references or {"color": 0.5, "spatial": 0.1}
        directions = {"color": torch.zeros(0, 2, 2), "spatial": torch.zeros(0, 2, 6)}
        problem = FamilyProblem(restarts[0], restarts, data, references, bounded, directions)
        return ConstrainedLearner([problem], config, config.tolerated)

    return make
