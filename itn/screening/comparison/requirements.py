"""What can be required of a comparison: of every later screen against the first one.

``rotate>=-2``: on every side, what the criterion asks for is kept out to a distance that is at most 2 less
than in the first screen; of factors, ``zoom>=0.95`` means at least 0.95 times its factor. ``drop<=1%``: the
accuracy on unchanged images is at most 1 point lower.
"""

from collections.abc import Iterator, Sequence

from itn.runtime.requirements import (
    JudgeBy,
    Requirement,
    Requirements,
    Verdict,
    check_known,
    parse_requirements,
)
from itn.screening.comparison.records import ComparisonRecord, PairComparison
from itn.screening.comparison.rows import beyond
from itn.screening.criteria import measure
from itn.stats import drop_upper_bound


def judge_comparison(text: str, record: ComparisonRecord, judge_by: JudgeBy = "bound") -> Requirements:
    """Return whether the later screens meet what is required of them against the first.

    Args:
        text: The requirements.
        record: Of the comparison.
        judge_by: bound: the less favorable end of each interval has to satisfy the requirement; estimate: the
            measured difference has to.

    Raises:
        ValueError: If a name is unknown, or needs labels that there are not.
    """
    requirements = parse_requirements(text)
    against_first = record.pairs[: len(record.screens) - 1]
    transforms = against_first[0].transforms
    sided = [f"{name}.{side}" for name, compared in transforms.items() for side in compared.tested]
    check_known(requirements, [*transforms, *sided], ["drop"], judge_by)
    for each in requirements:
        name = each.name.partition(".")[0]
        if each.name == "drop" and not record.labeled:
            raise ValueError(f"{each.text}: drop needs labels, require how far a transformation goes")
        if name in transforms and transforms[name].logarithmic and each.number <= 0:
            raise ValueError(f"{each.text}: of a factor a quotient is required, such as {each.name}>=0.95")
    verdicts: list[Verdict] = []
    for pair in against_first:
        for each in requirements:
            if each.name == "drop":
                verdicts.append(_drop(each, pair, record, judge_by))
            else:
                verdicts += _reaches(each, pair, record, judge_by)
    return Requirements.of(text, judge_by, record.confidence, verdicts)


def _drop(each: Requirement, pair: PairComparison, record: ComparisonRecord, judge_by: JudgeBy) -> Verdict:
    clean = pair.clean
    bound = drop_upper_bound(clean.first_only, clean.second_only, record.n, (1 + record.confidence) / 2)
    judged = -clean.value if judge_by == "estimate" else bound
    subject = f"unchanged images, {pair.second} against {pair.first}"
    return Verdict(
        each.text, subject, -100 * clean.value, None, 100 * bound, 100 * judged, each.holds(judged), "points"
    )


def _reaches(
    each: Requirement, pair: PairComparison, record: ComparisonRecord, judge_by: JudgeBy
) -> Iterator[Verdict]:
    name, _, only = each.name.partition(".")
    compared = pair.transforms[name]
    sides: Sequence[str] = [only] if only else list(compared.tested)
    for side in sides:
        found = compared.thresholds[record.criterion][side]
        judged = found.value if judge_by == "estimate" else found.ci_low
        further = {"": "", "both": ", both beyond all that was tried"}.get(
            beyond(found), f", {beyond(found)} beyond all that was tried"
        )
        yield Verdict(
            each.text,
            f"{measure(record.criterion, record.topk)} {side} the identity, {pair.second} against "
            f"{pair.first}{further}",
            found.value,
            found.ci_low,
            found.ci_high,
            judged,
            each.holds(judged),
            "times" if compared.logarithmic else compared.unit,
        )
