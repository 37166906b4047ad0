"""A small constrained learner that the tests of this folder share."""

import dataclasses

import pytest
import torch

import itn
from itn.certification.family_baselines import FamilyBaselines
from itn.certification.parametric import EvaluationSet
from itn.learning.constrained.settings import ConstrainedSettings
from itn.learning.load import make_net
from itn.learning.objective import LearnProblem
from itn.stats import DropTest


@dataclasses.dataclass(frozen=True)
class KnownBaselines(FamilyBaselines):
    """Baselines that nobody has estimated: what they say is given, and no direction is promising."""

    given: dict = dataclasses.field(default_factory=dict)
    at_bound: tuple = ()

    @property
    def references(self):
        return self.given

    @property
    def target(self):
        return self.test.tolerance

    @property
    def bounded(self):
        return set(self.at_bound)

    def promising_pairs(self, part):
        return torch.zeros(0, 2, 1)


@pytest.fixture
def make_config():
    """Return a function that makes the settings of a learner of four restarts.

    It aims at what the baselines say can be proven, not at the tolerance.
    """

    def make(**settings):
        four = itn.Constrained(settings=ConstrainedSettings(restarts=4, restarts_of_class=4))
        return itn.LearnConfig(
            **{"objective": four, "tolerance": 0.08, "steps": 60, "batch_size": 64, **settings}
        )

    return make


@pytest.fixture
def make_problem():
    """Return a function that makes a problem from a classifier, checked images and settings.

    As many images are broken in the end as are tolerated, 0.06.
    """

    def make(classifier, data, config, references=None, bounded=()):
        baselines = KnownBaselines(
            {}, DropTest(1000, 0.06), given=references or {"color": 0.5, "spatial": 0.1}, at_bound=bounded
        )
        net = make_net(classifier, config, data.images.shape)
        return LearnProblem(net, EvaluationSet(classifier, data, config.batch_size), baselines)

    return make


@pytest.fixture
def make_learner(make_config, make_problem):
    """Return a function that makes a learner of four restarts from a classifier and checked images."""

    def make(classifier, data, references=None, bounded=(), **settings):
        config = make_config(**settings)
        return config.goal.learner([make_problem(classifier, data, config, references, bounded)], config)

    return make
