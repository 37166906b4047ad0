"""The constrained objective: as far as possible at every k, with no more images lost than tolerated.

Maximise, in the mean over k, the product of the displacements of color and of space, subject to the share
of images lost. A product needs no weights: what a part gains counts in proportion to what it has, so that
neither can starve the other. Where a single axis meets its bound unbroken, the bound says how far that part
can go, not the classifier: what it gains beyond such an axis counts for little, or it would eat up the
tolerance.

Along every ray of k displacement and losses grow together. Size and direction are therefore learned apart:

- Size follows twice the share that may be lost: it grows while a running mean at the corner is below it. Only
  few images are lost at the tolerance itself, and directions that spare just those go less far on others.
  Calibration brings the size back.
- Direction climbs displacement minus a multiplier times losses. The multiplier is that at which the slope
  along the size vanishes, as it must at the constrained optimum (Karush, Kuhn and Tucker). It is known at
  every step; a dual ascent would have to find it, and oscillates, since the share lost answers late.
- The multiplier is raised at those vertices of k where too much is lost, lowered where little is.

The ends of a single parameter's range are found beforehand, each for itself; only their common size is
learned, from what is lost at the longer one.

Losses have no slope, so that a sigmoid of the margin stands in for them. Images near the decision boundary
are drawn more often and weigh less for it, which leaves all means unbiased. Several restarts are learned side
by side, and the worse ones given up on the way; so are the families of several problems, such as one a class.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call

from itn.functional.displacement import displacement
from itn.learning.config import LearnConfig
from itn.learning.records import LearnStep
from itn.models.classifier import Classifier, margins
from itn.models.preflight import CheckedImages
from itn.nn.control_head import CONTROLS
from itn.nn.net import InvariantTransformerNet, apply_matrices
from itn.runtime import distributed
from itn.runtime.batching import map_in_memory
from itn.runtime.errors import RunError
from itn.runtime.sharded_forward import ShardedForward
from itn.stats.sampling import generator

STARTS = 16
AIMED = 0.75  # share of the restarts that set out along single axes and sums of two
CUTS, KEPT = (0.3, 0.65), 4  # after these shares of the steps, one restart in so many goes on
CORNER = 0.5  # share of the draws with k1 = k2 = (1, 1)
VERTICES = 0.3  # share of the draws with k1 and k2 at vertices; all others lie on edges between them
ELSEWHERE = 0.1  # worth of displacement at other k than the corner
SURPLUS = 0.1  # worth of what a part gains beyond an axis that is unbroken at its bound
FIRST = 0.25  # displacement of each restart, of the reference
SENSED = 1000  # images that tell how sensitive the classifier is to each parameter
TARGETED = 0.8  # share of the images that are drawn by how nearly they are lost
LEAST = 64  # images of each of several problems in a step
JUDGED = 1000  # images that decide between restarts, at most
MEMORY, VERTEX_MEMORY = 400, 200  # images over which running means look back
EXPONENT = 2.5  # with which power of the scale the share lost grows, about
BALANCE = 0.05  # step of the log scales of color and space against each other
LARGEST = 30.0  # of the log scales
SATURATED = 3.0  # raw parameters, in bounds, at which growth ends: tanh 3 is 0.995
STRICT = (0.2, 30.0)  # least and largest factor on the multiplier at a vertex
LEARNED_AT = 2.0  # odds of an image to be lost while learning, over those of the target
HELD = 0.7  # share of what is lost then, for vertices: the worst of them is what calibration meets

_VERTICES = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
_BETWEEN = len(_VERTICES) ** 2  # pairs of vertices come first, the last of them the corner


class _Draw(NamedTuple):
    """Controls of color and space, draws x 2, and to which pair of vertices they belong."""

    k1: Tensor
    k2: Tensor
    group: Tensor


class FamilyProblem(NamedTuple):
    """A family to learn, from which images, and what is known of it beforehand."""

    net: InvariantTransformerNet
    """Is given the result."""
    restarts: Sequence[InvariantTransformerNet]
    """Nets like it with other weights; those of ``net`` itself are one of them if it is listed."""
    data: CheckedImages
    references: Mapping[str, float]
    """Displacement of each part that counts as 1."""
    bounded: Collection[str]
    """Parts whose reference is an axis unbroken at its bound: beyond it they count for less."""
    directions: Mapping[str, Tensor]
    """For each part, pairs of parameters that promise much together, m x 2 x P; m may be 0. For a part with
    a single parameter 1 x 2 x 1, the ends of its range, the longer one first."""


class ConstrainedLearner:
    """The loop's body: draws images and k, moves all restarts that are left, gives the worse ones up.

    Args:
        problems: Families to learn side by side, in front of one classifier, with equally many restarts each.
        config: Settings.
        target: Share of the images of each problem that may be lost in the end, in [0, 1).
    """

    def __init__(self, problems: Sequence[FamilyProblem], config: LearnConfig, target: float) -> None:
        net = problems[0].net  # all have the same parts
        assert isinstance(net.classifier, Classifier)
        self.problems, self.net, self.classifier, self.config = problems, net, net.classifier, config
        self.target = LEARNED_AT * target / (1 + (LEARNED_AT - 1) * target)
        device = self.classifier.device
        right = [problem.data.part(problem.data.clean) for problem in problems]
        self.data = CheckedImages.joined(right).to(device)
        self.members = torch.arange(len(self.data)).split([len(each) for each in right])
        self.shares = [len(each) / len(problem.data) for each, problem in zip(right, problems, strict=True)]
        restarts = len(problems[0].restarts)
        self.references, self.discount = (
            torch.tensor(each, device=device).repeat_interleave(restarts, 0)  # restarts x parts
            for each in (
                [[problem.references[part] for part in net.parts] for problem in problems],
                [[(1 - SURPLUS) * (part in problem.bounded) for part in net.parts] for problem in problems],
            )
        )
        self.rows = ShardedForward()
        self.generator = generator(config.seed, "batches")
        self.remaining = torch.arange(len(problems) * restarts)  # those of the first problem come first
        self.hidden, self.output = (
            [
                torch.stack(
                    [
                        getattr(restart, part).head.get_parameter(name).detach()
                        for problem in problems
                        for restart in problem.restarts
                    ]
                )
                for part in net.parts
            ]
            for name in ("hidden.weight", "output.weight")
        )
        units = distributed.on_rank_zero(lambda: [self._units(each) for each in right])
        self.unit = [
            torch.stack(each).to(device).repeat_interleave(restarts, 0) for each in zip(*units, strict=True)
        ]
        self.output = [_normalised(weights) for weights in self.output]
        for first, problem in enumerate(problems):
            rows = slice(first * restarts, (first + 1) * restarts)
            for number, part in enumerate(net.parts):
                self._init_directions(number, rows, problem.directions[part].to(device))
        for weights in (*self.hidden, *self.output):
            weights.requires_grad_()
        self.optimizer = torch.optim.Adam(
            [*self.hidden, *self.output], lr=config.learning_rate, betas=(0.9, 0.95)
        )
        self.log_scale = self._first_log_scales()
        self.break_rate = torch.full((len(self.remaining),), math.nan, device=device)
        self.slope = self.break_rate.clone()
        self.break_rate_at = torch.full((len(self.remaining), _BETWEEN + 1), self.target, device=device)
        self.vulnerability = self._first_vulnerability()

    def step(self, number: int) -> LearnStep:
        """Take one step and return what happened in it to the best restart so far, the mean over problems.

        Args:
            number: Index of the step, from 0.

        Raises:
            RunError: If a logit is not finite.
        """
        config, remaining, count = self.config, self.remaining, len(self.remaining)
        left = count // len(self.problems)  # restarts of each problem
        batch = max(config.batch_size // len(self.problems), min(config.batch_size, LEAST))
        each = max(2, batch // left)
        draw = self._draw(each)
        index, weight = (
            torch.stack(found) for found in zip(*self._choose(each), strict=True)
        )  # problems x each
        weight = weight.to(self.log_scale).repeat_interleave(left, 0)

        log_scale = self.log_scale[remaining].requires_grad_()
        matrices = self._matrices(log_scale, draw.k1, draw.k2)
        margin = self._margins(index, matrices)
        if not margin.isfinite().all():
            raise RunError(f"logits are not finite at step {number}: look at the classifier on moved images")
        nearly = torch.sigmoid(-margin)
        gone = (margin <= 0) * weight
        strictness = self._strictness(draw.group.expand(count, -1), gone, number)
        losses = (nearly * weight * strictness).mean(1)
        wanted = torch.where(draw.group == _BETWEEN - 1, 1.0, ELSEWHERE)
        gain = (wanted * self._log_displacement(matrices)).mean(1) - self._alignment(log_scale)

        learned = [log_scale, *self.hidden, *self.output]
        down = torch.autograd.grad(losses.sum(), learned, retain_graph=True)
        up = torch.autograd.grad(gain.sum(), learned)
        with torch.no_grad():
            seen = nearly.sqrt().view(-1, left, each).mean(1).cpu()
            self.vulnerability[index] = 0.7 * self.vulnerability[index] + 0.3 * seen
            memory = max(min(1.0, each / MEMORY), 1 / (number + 1))
            corner = gone[:, : round(CORNER * each)].mean(1)
            self.break_rate[remaining] = _follow(self.break_rate[remaining], corner, memory)
            self.slope[remaining] = _follow(self.slope[remaining], down[0].sum(1), memory)
            multiplier = up[0].sum(1) / self.slope[remaining].clamp_min(0.3 * self.target)
            fade = 0.5 * (1 + math.cos(math.pi * number / config.steps))
            self._step_directions(config.learning_rate * fade, up[1:], down[1:], multiplier)
            self._step_scales(up[0], down[0], multiplier, max(memory, 0.1) * max(fade, 0.2))
            scores, displacements = self._scores()
            best = self._best(scores)
            moved = dict(zip(self.net.parts, displacements[best].mean(0).tolist(), strict=True))
            if left > 1 and number + 1 in [round(cut * config.steps) for cut in CUTS]:
                standings = self._standings().view(-1, left)
                # Decided by one for all: processes that rounded otherwise would go on with different restarts
                order = distributed.on_rank_zero(lambda: standings.argsort(descending=True).cpu())
                self.remaining = (
                    remaining.view(-1, left).gather(1, order[:, : max(1, left // KEPT)]).flatten()
                )
        return LearnStep(
            step=number,
            displacement=moved,
            break_rate=self.break_rate[remaining[best]].mean().item(),
            multiplier=multiplier[best].mean().item(),
            restarts=left,
        )

    def finish(self) -> None:
        """Give the weights of the best restart of each problem to its net."""
        best = self.remaining[self._best(self._scores()[0])]
        with torch.no_grad():
            for number, part in enumerate(self.net.parts):
                outputs = self._weights(number, self.log_scale[best], best)
                for problem, row, output in zip(self.problems, best, outputs, strict=True):
                    head = getattr(problem.net, part).head
                    head.hidden.weight.copy_(self.hidden[number][row])
                    head.output.weight.copy_(output)

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on, as references to the live tensors."""
        return {
            "weights": [*self.hidden, *self.output],
            "unit": self.unit,
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            **{name: getattr(self, name) for name in ("remaining", *self._means)},
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go back to a state."""
        with torch.no_grad():
            for own, saved in zip((*self.hidden, *self.output), state["weights"], strict=True):
                own.copy_(saved)
            for own, saved in zip(self.unit, state["unit"], strict=True):
                own.copy_(saved)
            for name in self._means:
                getattr(self, name).copy_(state[name])
        self.remaining = state["remaining"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])

    def is_finite(self) -> bool:
        """Return whether all weights are finite."""
        return all(bool(weights.isfinite().all()) for weights in (*self.hidden, *self.output, self.log_scale))

    _means = ("log_scale", "break_rate", "slope", "break_rate_at", "vulnerability")

    def _choose(self, each: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Draw images of each problem, with the weights that leave means over all of its images unbiased."""
        for members, share in zip(self.members, self.shares, strict=True):
            vulnerability = self.vulnerability[members]
            chances = (1 - TARGETED) / len(members) + TARGETED * vulnerability / vulnerability.sum()
            index = torch.multinomial(chances, each, replacement=True, generator=self.generator)
            yield members[index], share / len(members) / chances[index]

    def _margins(self, index: Tensor, matrices: Sequence[Tensor | None]) -> Tensor:
        """Return margins, restarts x draws, of images, problems x draws, moved by restarts."""
        problems, each = index.shape
        left = len(self.remaining) // problems
        chosen = index.to(self.data.labels.device)
        images = self.data.pixels(index.flatten(), chosen.device).unflatten(0, (problems, 1, each))
        images = images.expand(-1, left, *images.shape[2:]).flatten(0, 2)
        color, spatial = (None if matrix is None else matrix.flatten(0, 1) for matrix in matrices)
        logits = self.rows(self._logits, images, color, spatial)
        labels = self.data.labels[chosen].repeat_interleave(left, 0)
        return margins(logits, labels.flatten()).view(-1, each)

    def _logits(self, images: Tensor, color: Tensor | None, spatial: Tensor | None) -> Tensor:
        return self.classifier.logits(apply_matrices(images, color, spatial, self.config.padding))

    def _best(self, scores: Tensor) -> Tensor:
        """Return which of the restarts that are left is the best of each problem."""
        table = scores.view(len(self.problems), -1)
        return table.argmax(1).cpu() + torch.arange(len(table)) * table.shape[1]

    def _draw(self, each: int) -> _Draw:
        """Draw controls: first the corner, then pairs of vertices, then points of the outer edges."""
        corner = round(CORNER * each)
        vertices = slice(corner, corner + round(VERTICES * each))
        group = torch.full((each,), _BETWEEN)
        group[:corner] = _BETWEEN - 1
        group[vertices] = 0
        ks = []
        for place in (len(_VERTICES), 1):
            along, side = torch.rand(2, each, generator=self.generator)
            k = torch.stack([along.where(side < 0.5, 1.0), along.where(side >= 0.5, 1.0)], -1)
            vertex = torch.randint(len(_VERTICES), group[vertices].shape, generator=self.generator)
            k[vertices] = _VERTICES[vertex]
            k[:corner] = 1
            group[vertices] += place * vertex
            ks.append(k.to(self.log_scale))
        return _Draw(ks[0], ks[1], group.to(self.log_scale.device))

    def _strictness(self, group: Tensor, gone: Tensor, number: int) -> Tensor:
        """Follow the share lost at each pair of vertices; return factors, restarts x draws."""
        count = len(self.remaining)
        zero = gone.new_zeros(count, _BETWEEN + 1)
        members = zero.scatter_add(1, group, torch.ones_like(gone))
        shares = zero.scatter_add(1, group, gone) / members.clamp_min(1)
        memory = torch.maximum((members / VERTEX_MEMORY).clamp(max=1), (members > 0) / (number + 1))
        break_rate_at = self.break_rate_at[self.remaining]
        self.break_rate_at[self.remaining] = break_rate_at = break_rate_at + memory * (shares - break_rate_at)
        factors = (break_rate_at / (HELD * self.target)).pow(3).clamp(*STRICT)
        factors[:, _BETWEEN - 1] = 1  # there the scale sees to it
        return factors.gather(1, group)

    def _step_directions(
        self, rate: float, up: Sequence[Tensor], down: Sequence[Tensor], multiplier: Tensor
    ) -> None:
        """Take a step in direction, and none in scale."""
        multipliers = (
            self.log_scale.new_zeros(len(self.log_scale))
            .index_put((self.remaining,), multiplier)
            .view(-1, 1, 1)
        )
        for weights, more, less in zip((*self.hidden, *self.output), up, down, strict=True):
            weights.grad = multipliers * less - more
        for hidden, output in zip(self.hidden, self.output, strict=True):
            if output.shape[1] == 1:  # the ends of a range are known from the start
                hidden.grad, output.grad = None, None
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        for weights in self.output:
            weights.copy_(_normalised(weights))

    def _step_scales(self, up: Tensor, down: Tensor, multiplier: Tensor, rate: float) -> None:
        """Let scales follow the target, and color and space find their balance."""
        missing = (self.target / (self.break_rate[self.remaining] + 0.1 * self.target)).log() / EXPONENT
        slope = up - multiplier[:, None] * down
        uneven = (slope - slope.mean(1, keepdim=True)).clamp(-2, 2)
        step = 2 * rate * missing.clamp(-0.3, 0.3)
        self.log_scale[self.remaining] += step[:, None] + BALANCE * uneven
        for number, part in enumerate(self.net.parts):
            hidden = self.hidden[number].sum(-1).relu()  # at k = (1, 1)
            raw = self._weights(number, self.log_scale, torch.arange(len(self.log_scale))) @ hidden[..., None]
            beyond = raw.abs().amax((1, 2)) / (SATURATED * getattr(self.net, part).head.bound)
            self.log_scale[:, number] -= beyond.log().clamp_min(0)
        self.log_scale.clamp_(max=LARGEST)  # of a family that cannot move

    def _parameters(self, number: int, log_scale: Tensor, k: Tensor) -> Tensor:
        """Return what the heads of one part make of k, restarts x draws x 2, for restarts that are left."""
        head = getattr(self.net, self.net.parts[number]).head
        weights = {
            "hidden.weight": self.hidden[number][self.remaining],
            "output.weight": self._weights(number, log_scale, self.remaining),
        }
        made: Tensor = torch.vmap(lambda own, k: functional_call(head, own, (k,)))(weights, k)
        return made

    def _weights(self, number: int, log_scale: Tensor, restarts: Tensor) -> Tensor:
        """Return the last layer of one part for some restarts, restarts x P x H."""
        units = self.unit[number][restarts, :, None]
        return log_scale[:, number, None, None].exp() * units * self.output[number][restarts]

    def _matrices(self, log_scale: Tensor, k1: Tensor, k2: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Return color and spatial matrices, restarts x draws x n x m, for restarts that are left."""
        k1, k2 = (k.expand(len(log_scale), -1, -1) for k in (k1, k2))
        found: dict[str, Tensor] = {}
        for number, part in enumerate(self.net.parts):
            parameters = self._parameters(number, log_scale, k1 if part == "color" else k2)
            found[part] = getattr(self.net, part).from_parameters(parameters)
        return found.get("color"), found.get("spatial")

    def _ratios(self, matrices: Sequence[Tensor | None]) -> Tensor:
        """Return displacements over their references, restarts x draws x parts."""
        moved = [displacement(m.flatten(0, 1)).view(m.shape[:2]) for m in matrices if m is not None]
        return torch.stack(moved, -1) / self.references[self.remaining, None]

    def _log_displacement(self, matrices: Sequence[Tensor | None]) -> Tensor:
        """Return the logarithm of the geometric mean of the ratios, less the discount, restarts x draws."""
        ratios = self._ratios(matrices) + 1e-9
        surplus = ratios.clamp_min(1).log() * self.discount[self.remaining, None]
        return (ratios.log() - surplus).mean(-1)

    def _alignment(self, log_scale: Tensor) -> Tensor:
        """Return how much both entries of k push along the same line, restarts: squares of cosines."""
        total = log_scale.new_zeros(len(log_scale))
        arms = torch.eye(CONTROLS).to(log_scale).expand(len(log_scale), -1, -1)
        for number, weights in enumerate(self.output):
            if weights.shape[1] > 1:  # of a single parameter there is but one direction
                first, second = self._parameters(number, log_scale, arms).unbind(1)
                total = total + torch.cosine_similarity(first, second, dim=-1).square()
        return total

    @torch.no_grad()
    def _full_strength(self, log_scale: Tensor) -> Sequence[Tensor | None]:
        ones = log_scale.new_ones(1, CONTROLS)
        return self._matrices(log_scale, ones, ones)

    @torch.no_grad()
    def _scores(self) -> tuple[Tensor, Tensor]:
        """Return how far each restart that is left would go if it lost what it may, and how far it is."""
        matrices = self._full_strength(self.log_scale[self.remaining])
        excess = (self.break_rate[self.remaining] / self.target).clamp_min(0.2).log()
        scores = self._log_displacement(matrices)[:, 0] - 2 / EXPONENT * excess
        return scores, self._ratios(matrices)[:, 0] * self.references[self.remaining]

    def _standings(self) -> Tensor:
        """Return how far each restart that is left goes if it nearly lost as many images as its rivals."""
        log_scale = self.log_scale[self.remaining]
        before = self._soft_break_count(log_scale)
        left = len(log_scale) // len(self.problems)
        common = before.view(-1, left).median(1).values.repeat_interleave(left)
        step = ((common / before).log() / EXPONENT).clamp(-0.3, 0.3)
        after = self._soft_break_count(log_scale + step[:, None])
        exponent = ((after / before).log() / step).nan_to_num(EXPONENT).clamp(EXPONENT / 2, 2 * EXPONENT)
        step = step + (common / after).log() / exponent
        return self._log_displacement(self._full_strength(log_scale + step[:, None]))[:, 0]

    def _soft_break_count(self, log_scale: Tensor) -> Tensor:
        """Return how many of the most fragile images are lost at the corner, smoothly, by restart."""
        matrices, found = self._full_strength(log_scale), []
        # With small batches choosing would else cost more than learning
        judged = min(JUDGED, 4 * self.config.batch_size, max(map(len, self.members)))
        fragile = torch.zeros(len(self.members), judged, dtype=torch.long)
        counts = torch.zeros(len(self.members), judged)  # a problem may have fewer
        for row, members in enumerate(self.members):
            worst = members[self.vulnerability[members].topk(min(judged, len(members))).indices]
            fragile[row, : len(worst)], counts[row, : len(worst)] = worst, 1
        counts = counts.to(log_scale).repeat_interleave(len(log_scale) // len(counts), 0)
        width = max(1, self.config.batch_size // len(log_scale))
        for index, counted in zip(fragile.split(width, 1), counts.split(width, 1), strict=True):
            expanded = [None if m is None else m.expand(-1, index.shape[1], *m.shape[2:]) for m in matrices]
            found.append((torch.sigmoid(-self._margins(index, expanded)) * counted).sum(1))
        return torch.stack(found).sum(0) + 1e-6

    @torch.no_grad()
    def _init_directions(self, number: int, rows: slice, directions: Tensor) -> None:
        """Let most restarts of a problem have a pair of parameters at (1, 0) and (0, 1), their sum at (1, 1).

        A single parameter is a range: it has its longer end where k[0] = 1, its other end at (0, 1), and
        grows in proportion to k between them.
        """
        hidden, weights, units = (each[number][rows] for each in (self.hidden, self.output, self.unit))
        if weights.shape[1] == 1:
            bound = getattr(self.net, self.net.parts[number]).head.bound
            ends = bound * (directions[0, :, 0] / bound).atanh().clamp(-SATURATED, SATURATED)
            hidden.zero_()
            weights.zero_()
            for unit, row in enumerate(((1.0, 0.0), (-1.0, 1.0))):
                hidden[:, unit : unit + 1] = hidden.new_tensor(row)
                weights[:, 0, unit : unit + 1] = ends[unit]
        for restart in range(round(AIMED * len(weights)) if weights.shape[1] > 1 and len(directions) else 0):
            first, second = directions[restart % len(directions)].to(weights) / units[restart]
            features = (_VERTICES.to(weights) @ hidden[restart].T).relu()  # vertices x H
            along = torch.stack([first, second, first + second], 1) @ torch.linalg.pinv(features).T
            weights[restart] += 0.5 * along / along.square().mean().sqrt().clamp_min(1e-9)
        weights.copy_(_normalised(weights))

    def _units(self, right: CheckedImages) -> list[Tensor]:
        """Return about how far each parameter of each part may go, at most to its bound.

        Extrapolated from how fast margins change where nothing is moved: a shift breaks what a shear of the
        same size leaves alone, and directions drawn without regard to that would nearly all be shifts.
        """
        few = right.spread(SENSED).to(self.classifier.device)

        def look(rows: slice) -> list[Tensor]:
            labels = few.labels[rows]
            images = few.pixels(rows, labels.device)
            at = [
                labels.new_zeros(len(labels), getattr(self.net, part).head.output.out_features).float()
                for part in self.net.parts
            ]
            found = {
                part: getattr(self.net, part).from_parameters(p.requires_grad_())
                for part, p in zip(self.net.parts, at, strict=True)
            }
            moved = apply_matrices(images, found.get("color"), found.get("spatial"), self.config.padding)
            margin = margins(self.classifier.logits(moved), labels)
            slopes = torch.autograd.grad(margin.sum(), at)
            return [(slope / (margin.detach()[:, None] + 1e-3)).square() for slope in slopes]

        squares, _ = map_in_memory(len(few), self.config.batch_size, look)
        reach = [torch.cat(each).mean(0).rsqrt() for each in zip(*squares, strict=True)]
        bounds = [getattr(self.net, part).head.bound for part in self.net.parts]
        return [torch.minimum(own, bound) for own, bound in zip(reach, bounds, strict=True)]

    @torch.no_grad()
    def _first_log_scales(self) -> Tensor:
        """Return log scales, restarts x parts, at which displacements are a fraction of their references."""
        log_scale = self.references.new_zeros(len(self.remaining), len(self.net.parts))
        for _ in range(20):  # displacement is nearly quadratic there
            log_scale += ((FIRST / self._ratios(self._full_strength(log_scale))[:, 0]).log() / 2).clamp(-1, 1)
        return log_scale

    @torch.no_grad()
    def _first_vulnerability(self) -> Tensor:
        """Return how nearly each image is lost when it is not moved."""

        def look(rows: slice) -> Tensor:
            labels = self.data.labels[rows]
            return margins(self.classifier.logits(self.data.pixels(rows, labels.device)), labels)

        found, _ = map_in_memory(len(self.data), self.config.batch_size, look)
        unchanged = torch.cat(found).cpu()
        return torch.sigmoid(2 - 4 * unchanged / unchanged.median())


def _follow(mean: Tensor, value: Tensor, memory: float) -> Tensor:
    return value.where(mean.isnan(), mean + memory * (value - mean))


def _normalised(weights: Tensor) -> Tensor:
    """Return weights, restarts x P x H, with a root mean square of 1/2 for each restart."""
    return 0.5 * weights / weights.square().mean((1, 2), keepdim=True).sqrt().clamp_min(1e-9)
