"""The last choice before calibration: single transformations, as members, beside what was learned.

A member drives a part along one single transformation, or along two, one for each entry of k. Every member is
a family that learning could have found, so it is judged as that is: by how far it is estimated to go at full
strength and at its own worst k, on training images.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from itn.certification.family_baselines import SURPLUS, FamilyBaselines, Member
from itn.certification.parametric import EvaluationSet, ParametricTransform, displacements_full
from itn.certification.search import (
    NOTHING_HOLDS,
    SMALLEST,
    estimate_scale_and_worst_k,
    expected_to_pass,
)
from itn.nn import CONTROLS, ControlHead, InvariantTransformerNet
from itn.nn.control_head import SATURATION

FEW, MORE = 500, 1500  # images: few sort out most candidates, more judge the others
LOG_LARGEST, BISECTIONS = 7.0, 30  # of a scale
LARGEST = math.exp(LOG_LARGEST)
AHEAD = 0.1  # in the log displacement: by how much a candidate must be ahead of what it replaces
SHIFTS = (-0.6, 0.6)  # of the log displacement of one part, at the cost of the others
SINGLES, PAIRS = 2, 1  # members of a part that are candidates, at most
FINALISTS = 2  # of the members, beside what was learned
SHARES = (0.5, 0.6, 0.7, 0.85, 1.0)  # of the tolerance: drops at which finalists are compared
MOST_SCALES = 16  # that a finalist is tried at


class Choice(NamedTuple):
    """The family that calibration starts from."""

    scale: float
    """Estimate of the scale up to which it passes."""
    worst_k: Tensor
    """The controls that a search has found worst, 1 x controls."""
    members: dict[str, str]
    """Of parts that are plain members, in words which."""


class _Option(NamedTuple):
    """What one part may do: weights of its head, of some size."""

    name: str
    """Empty: what was learned."""
    hidden: Tensor
    output: Tensor


class _Candidate(NamedTuple):
    """What each part does, and how the parts share displacement."""

    options: tuple[_Option, ...]
    shares: tuple[float, ...]
    """Log displacement of each part over its reference, as it is loaded."""


def choose_family(
    net: InvariantTransformerNet, training: EvaluationSet, baselines: FamilyBaselines, members: bool
) -> Choice:
    """Give the net the family that is estimated to go farthest; return where its calibration starts.

    Args:
        net: With the learned weights.
        training: The images that they were learned from.
        baselines: Single transformations, estimated on these images.
        members: Whether members are candidates; otherwise the learned family is the only one.
    """
    if not members or net.only_ranges:
        family = ParametricTransform.of_net(net)
        return Choice(*estimate_scale_and_worst_k(family, training, baselines.test), {})
    search = _Search(net, training, baselines)
    for plain in search.plain():
        search.consider(plain)
    for neighbor in search.neighbors(search.best):
        search.consider(neighbor)
    return search.settled()


class _Search:
    """Judges candidates on training images; ``best`` is the best so far, at first the learned family."""

    def __init__(
        self, net: InvariantTransformerNet, training: EvaluationSet, baselines: FamilyBaselines
    ) -> None:
        self.net, self.test = net, baselines.test
        self.references, self.bounded = baselines.references, baselines.bounded
        self.training, self.images, self.few = training, training.spread(MORE), training.spread(FEW)
        self.shape, self.family = training.data.images.shape, ParametricTransform.of_net(net)
        self.options = [
            # A single parameter has a range, of which members know one end
            [_learned(part.head), *([] if part.single else _members(part.head, baselines.members(name)))]
            for name, part in zip(net.parts, net.members, strict=True)
        ]
        ratios = [
            math.log(max(displacement / self.references[part], 1e-9))
            for part, displacement in displacements_full(net, self.shape).items()
        ]
        learned = tuple(options[0] for options in self.options)
        self.best = self.learned = _Candidate(learned, tuple(ratios))
        self.score, self.estimate = self._judged(self.best, self.images)
        self.passed = list[_Candidate]()
        alone = torch.eye(len(net.parts)).repeat_interleave(CONTROLS, 1)
        self.ks = self.family.judged_at(self.estimate[1]) + list(alone.split(1) if len(alone) > 1 else ())
        """Controls at which candidates are tried, each 1 x controls."""

    def plain(self) -> list[_Candidate]:
        """Return candidates of which every part is one of its two largest single transformations."""
        options = [of_part[1 : 1 + SINGLES] or of_part[:1] for of_part in self.options]
        return [_Candidate(each, (0.0,) * len(each)) for each in itertools.product(*options)]

    def neighbors(self, candidate: _Candidate) -> Iterator[_Candidate]:
        """Yield candidates that share displacement otherwise, or of which one part does something else."""
        parts = range(len(candidate.shares))
        sharing = parts if len(parts) > 2 else parts[1:]  # of two, one gains what the other loses
        for part, shift in itertools.product(sharing, SHIFTS):
            rest = shift / (len(parts) - 1)
            shares = [share + (shift if i == part else -rest) for i, share in enumerate(candidate.shares)]
            yield candidate._replace(shares=tuple(shares))
        for part in parts:
            for option in self.options[part]:
                if option is not candidate.options[part]:
                    options = list(candidate.options)
                    options[part] = option
                    yield candidate._replace(options=tuple(options))

    def consider(self, candidate: _Candidate) -> None:
        """Make a candidate the best if it is ahead of it, and let it go on as far as it keeps to the test.

        It is judged at its own worst k in the end: that takes as long as trying ten candidates.
        """
        self._load(candidate)
        step = AHEAD
        while step >= AHEAD:
            if self._holds(self.score + step):
                self.best, self.score, step = candidate, self.score + step, 2 * step
            else:
                step /= 4
        if self.best is candidate:
            self.passed.append(candidate)

    def _holds(self, score: float) -> bool:
        """Return whether the net is expected to pass where it has a score; most fail on few images."""
        scale = _bisected(self._score, score)
        return scale < math.inf and all(
            expected_to_pass(images.tally(self.family, scale * k, self.test.tolerance), self.test)
            for images, ks in ((self.few, self.ks[:1]), (self.images, self.ks))
            for k in ks
        )

    def settled(self) -> Choice:
        """Give the net the finalist that goes farthest; return where its calibration starts.

        Where a single drop is first exceeded says little of a family that loses some images early and few
        for long after. So finalists are compared over a range of drops, as the headline compares rivals.
        """
        finalists = [self.learned, *self.passed[-FINALISTS:]]
        judged = []
        for candidate in finalists:
            _, estimate = self._judged(candidate, self.training)
            judged.append((self._reached(estimate) if len(finalists) > 1 else 0.0, estimate))
        number = max(range(len(finalists)), key=lambda n: judged[n][0])
        best, estimate = finalists[number], judged[number][1]
        self._load(best)
        names = dict(zip(self.net.parts, (option.name for option in best.options), strict=True))
        return Choice(*estimate, {part: name for part, name in names.items() if name})

    def _reached(self, estimate: tuple[float, Tensor]) -> float:
        """Return the mean score where drops from half the tolerance to all of it are first exceeded.

        Args:
            estimate: Of the candidate that is loaded: a scale, and the k that is worst there.
        """
        scales, drops, tolerance = [0.0], [0.0], self.test.tolerance
        scale, ks = max(estimate[0] / 2, SMALLEST), self.family.judged_at(estimate[1])
        while drops[-1] <= tolerance and len(scales) <= MOST_SCALES:
            drop = max(self.images.tally(self.family, scale * k, tolerance).drop for k in ks)
            scales.append(scale)
            drops.append(max(drop, drops[-1]))
            scale *= math.sqrt(2)
        crossed = np.interp([share * tolerance for share in SHARES], drops, scales)
        return sum(map(self._score, crossed.tolist())) / len(SHARES)

    def _judged(self, candidate: _Candidate, images: EvaluationSet) -> tuple[float, tuple[float, Tensor]]:
        """Return how far a candidate goes, at full strength and at its own worst k, and where that is."""
        self._load(candidate)
        estimate = estimate_scale_and_worst_k(self.family, images, self.test)
        return self._score(estimate[0] if estimate[0] != NOTHING_HOLDS else SMALLEST), estimate

    def _score(self, scale: float) -> float:
        """Return the mean log displacement over its reference; beyond a bound it hardly counts."""
        logs = []
        for part, displacement in displacements_full(self.net, self.shape, scale).items():
            log = math.log(max(displacement / self.references[part], 1e-9))
            logs.append(log - ((1 - SURPLUS) * max(log, 0.0) if part in self.bounded else 0.0))
        return sum(logs) / len(logs)

    @torch.no_grad()
    def _load(self, candidate: _Candidate) -> None:
        """Give the net the weights of a candidate."""
        for (name, part), option, share in zip(
            zip(self.net.parts, self.net.members, strict=True),
            candidate.options,
            candidate.shares,
            strict=True,
        ):
            wanted, head = math.log(self.references[name]) + share, part.head
            head.hidden.weight.copy_(option.hidden)
            head.output.weight.copy_(option.output)

            def log_displacement(scale: float, name: str = name) -> float:
                return math.log(max(displacements_full(self.net, self.shape, scale)[name], 1e-30))

            scale = _bisected(log_displacement, wanted)
            head.output.weight.mul_(min(scale, _saturating(head)))


def _bisected(function: Callable[[float], float], value: float) -> float:
    """Return the scale at which an increasing function has a value; infinity if it stays below."""
    low, high = -LOG_LARGEST, LOG_LARGEST
    if function(math.exp(high)) < value:
        return math.inf
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if function(math.exp(middle)) < value else (low, middle)
    return math.exp(high)


def _saturating(head: ControlHead) -> float:
    """Return the factor on the last layer at which its largest parameter is at its bound; finite."""
    raw = head.output.weight @ head.hidden.weight.sum(1).relu()
    largest = float((raw.abs() / head.bound).max())
    return min(SATURATION / largest, LARGEST) if largest else LARGEST


def _learned(head: ControlHead) -> _Option:
    return _Option("", head.hidden.weight.detach().clone(), head.output.weight.detach().clone())


def _members(head: ControlHead, members: Sequence[Member]) -> list[_Option]:
    """Return members as weights of a head: one hidden unit for each entry of k."""
    options = []
    single, pairs = ([m for m in members if m.is_pair == is_pair] for is_pair in (False, True))
    for member in (*single[:SINGLES], *pairs[:PAIRS]):
        ends = member.ends.to(head.bound)
        if head.hidden.out_features < CONTROLS or (head.nonnegative and bool((ends < 0).any())):
            continue
        hidden, output = torch.zeros_like(head.hidden.weight), torch.zeros_like(head.output.weight)
        hidden[:CONTROLS] = torch.eye(CONTROLS)
        # Of a single transformation, which both entries share, exactly at full strength
        parameters, share = (ends, 1.0) if member.is_pair else (ends.sum(0).expand_as(ends), 0.5)
        raw = (parameters / head.bound).clamp(-1, 1).atanh().clamp(-SATURATION, SATURATION)
        raw = share * head.bound * raw
        output[:, :CONTROLS] = raw.T
        options.append(_Option(member.name, hidden, output))
    return options
