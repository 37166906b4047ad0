"""What can be required of a screen, and whether it is met.

``rotate>=15``: what the criterion asks for is kept out to a distance of 15 from the identity, on every side
that was swept (``rotate.above>=15``: above it alone); of factors, ``zoom>=1.5`` means from 1/1.5 to 1.5.
``accuracy>=97%``: of the unchanged images. ``drop<=1%``: at all magnitudes that were swept up to those of the
requirements ``NAME>=NUMBER`` of the same list, and at the first one at or beyond, accuracy falls by at most
1 point.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

from itn.data.inputs import PREDICTED
from itn.runtime.requirements import (
    JudgeBy,
    Requirement,
    Requirements,
    Verdict,
    check_known,
    parse_requirements,
)
from itn.screening.config import ScreenConfig
from itn.screening.criteria import measure
from itn.screening.records import ScreenRecord, SweepRecord
from itn.screening.thresholds import Threshold
from itn.stats import drop_upper_bound

SIDES = ("below", "above")


def check_requirements(text: str, config: ScreenConfig, judge_by: JudgeBy = "bound") -> None:
    """Raise ValueError unless a screen with these settings can decide what is required.

    It is asked before the screen, so that a wrong name costs no time.
    """
    swept = {name: config.sweep(name) for name in config.names}
    identities = {name: config.resolved[name].identity for name in swept}
    factors = {name for name in swept if config.resolved[name].logarithmic}
    _check(parse_requirements(text), swept, identities, factors, config.needs_labels, judge_by)


def judge_screen(
    text: str, record: ScreenRecord, factors: set[str], judge_by: JudgeBy = "bound"
) -> Requirements:
    """Return whether a finished screen meets what is required.

    Args:
        text: The requirements.
        record: Of the screen.
        factors: Its transformations whose magnitude is a factor.
        judge_by: bound: the less favorable end of each interval has to satisfy the requirement, so that a
            screen that does not passes with a chance of at most 2.5 % at a confidence of 95 %. estimate: the
            measured value has to.

    Raises:
        ValueError: If the requirements are unknown, or about magnitudes that were not swept.
    """
    requirements = parse_requirements(text)
    swept = {name: sweep.magnitudes for name, sweep in record.transforms.items()}
    for each in requirements:
        if reason := record.left_out.get(each.name.partition(".")[0]):
            raise ValueError(f"{each.text}: {each.name} was left out, since {reason}")
    identities = {name: sweep.identity for name, sweep in record.transforms.items()}
    labeled = record.provenance.get("labels") != PREDICTED
    _check(requirements, swept, identities, factors, labeled, judge_by)
    verdicts: list[Verdict] = []
    for each in requirements:
        if each.name == "accuracy":
            low, high = record.clean_accuracy_ci
            verdicts.append(_accuracy(each, record.clean_accuracy, low, high, judge_by))
        elif each.name == "drop":
            for other in requirements:
                if other.name not in ("accuracy", "drop"):
                    verdicts += _drops(each, other, record, factors, judge_by)
        else:
            name, sides = _named(each)
            verdicts += _reaches(each, name, sides, record, name in factors, judge_by)
    return Requirements.of(text, judge_by, record.confidence, verdicts)


def reach(v: float, identity: float, factor: bool) -> float:
    """Return how far a magnitude is from the identity; of factors as a factor of at least 1."""
    return max(v / identity, identity / v) if factor else abs(v - identity)


def _named(requirement: Requirement) -> tuple[str, tuple[str, ...]]:
    """Return the transformation of a requirement and the sides that it is about."""
    name, _, side = requirement.name.partition(".")
    return name, (side,) if side else SIDES


def _check(
    requirements: Sequence[Requirement],
    swept: Mapping[str, Sequence[float]],
    identities: Mapping[str, float],
    factors: set[str],
    labeled: bool,
    judge_by: JudgeBy,
) -> None:
    names = {
        name: [side for side in SIDES if _on_side(magnitudes, identities[name], side)]
        for name, magnitudes in swept.items()
    }
    sided = [f"{name}.{side}" for name, sides in names.items() for side in sides]
    check_known(requirements, [*names, *sided, "accuracy"], ["drop"], judge_by)
    reaching = [each for each in requirements if each.name not in ("accuracy", "drop")]
    for each in requirements:
        if each.name in ("accuracy", "drop"):
            if not labeled:
                raise ValueError(
                    f"{each.text}: {each.name} needs labels, require how far a transformation goes"
                )
            if not 0 <= each.number <= 1:
                raise ValueError(f"{each.text}: write a percentage from 0% to 100%, such as 97%")
        if each.name == "drop" and not reaching:
            raise ValueError(
                f"{each.text}: say up to where accuracy may not fall further, as in rotate>=15,{each.text}"
            )
    for each in reaching:
        name, sides = _named(each)
        identity, factor = identities[name], name in factors
        least = 1 if factor else 0
        if each.number < least:
            of = "a factor is at least 1" if factor else "a distance from the identity is at least 0"
            raise ValueError(f"{each.text}: {of}")
        for side in sides:
            on_side = _on_side(swept[name], identity, side)
            tested = max((reach(v, identity, factor) for v in on_side), default=math.inf)
            if not math.isinf(tested) and each.number > tested * (1 + 1e-9):
                raise ValueError(
                    f"{each.text}: {name} is only tried up to {tested:g} {side} the identity: require less, "
                    f"or give it other magnitudes"
                )


def _on_side(magnitudes: Sequence[float], identity: float, side: str) -> list[float]:
    return [v for v in magnitudes if (v < identity if side == "below" else v > identity)]


def _accuracy(each: Requirement, value: float, low: float, high: float, judge_by: JudgeBy) -> Verdict:
    judged = value if judge_by == "estimate" else low
    return Verdict(
        each.text,
        "unchanged images right",
        100 * value,
        100 * low,
        100 * high,
        100 * judged,
        each.holds(judged),
        "%",
    )


def _reaches(
    each: Requirement,
    name: str,
    sides: Sequence[str],
    record: ScreenRecord,
    factor: bool,
    judge_by: JudgeBy,
) -> Iterator[Verdict]:
    """Yield the verdict on each side of a transformation."""
    sweep = record.transforms[name]
    for side, threshold in sweep.thresholds.of_criterion.items():
        if side in sides:
            value, low, high = _distances(threshold, side, sweep, factor)
            judged = value if judge_by == "estimate" else low
            yield Verdict(
                each.text,
                f"{measure(record.criterion, record.topk)} {side} the identity"
                + (", beyond all that was tried" if threshold.value is None else ""),
                value,
                low,
                None if math.isinf(high) else high,
                judged,
                each.holds(judged),
                sweep.unit,
            )


def _distances(
    threshold: Threshold, side: str, sweep: SweepRecord, factor: bool
) -> tuple[float, float, float]:
    """Return how far a side goes, with its interval; what lies beyond counts as the last magnitude.

    A discrete transformation goes as far as the last magnitude before it breaks.
    """
    on_side = sorted(
        reach(v, sweep.identity, factor) for v in _on_side(sweep.magnitudes, sweep.identity, side)
    )
    near, far = (
        (threshold.ci_high, threshold.ci_low) if side == "below" else (threshold.ci_low, threshold.ci_high)
    )

    def distance(v: float | None, beyond: float) -> float:
        if v is None:
            return beyond
        at = reach(v, sweep.identity, factor)
        if sweep.kept is None:
            return at
        return max((d for d in on_side if d < at * (1 - 1e-9)), default=1.0 if factor else 0.0)

    last = on_side[-1]
    return distance(threshold.value, last), distance(near, last), distance(far, math.inf)


def _drops(
    each: Requirement, other: Requirement, record: ScreenRecord, factors: set[str], judge_by: JudgeBy
) -> Iterator[Verdict]:
    """Yield, for each side, the largest drop of accuracy up to the magnitude of another requirement."""
    name, sides = _named(other)
    sweep, factor = record.transforms[name], name in factors
    for side in sides:
        path = sorted(
            (reach(v, sweep.identity, factor), v) for v in _on_side(sweep.magnitudes, sweep.identity, side)
        )
        if not path:
            continue
        inside = [v for distance, v in path if distance <= other.number * (1 + 1e-9)]
        within = [v for _, v in path[: len(inside) + 1]]
        if inside and math.isclose(reach(inside[-1], sweep.identity, factor), other.number, rel_tol=1e-9):
            within = inside
        found = [_drop(sweep, v, record.confidence) for v in within]
        drop, bound, v = max(((d, b, v) for (d, b), v in zip(found, within, strict=True)), key=lambda f: f[0])
        bound = max(b for _, b in found)
        judged = drop if judge_by == "estimate" else bound
        yield Verdict(
            each.text,
            f"largest drop of accuracy, {name} up to {within[-1]:g} (at {v:g})",
            100 * drop,
            None,
            100 * bound,
            100 * judged,
            each.holds(judged),
            "points",
        )


def _drop(sweep: SweepRecord, v: float, confidence: float) -> tuple[float, float]:
    """Return how far accuracy falls at a magnitude, and the upper bound of that."""
    at = sweep.magnitudes.index(v)
    broken, mended = (round(curve[at] * sweep.n) for curve in (sweep.broken, sweep.mended))
    return (broken - mended) / sweep.n, drop_upper_bound(broken, mended, sweep.n, (1 + confidence) / 2)
