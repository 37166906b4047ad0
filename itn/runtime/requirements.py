"""Requirements of a run, such as ``rotate>=15,drop<=1%``: the little language, verdicts, and their reports.

A list is separated by commas. Each requirement is a name, ``>=`` or ``<=``, and a number, in percent if it
ends with ``%``. What names mean, and from which values a verdict follows, is the matter of the command.
"""

import dataclasses
import difflib
import re
from collections.abc import Collection, Sequence
from typing import Any, Literal
from xml.etree import ElementTree

import msgspec

from itn.runtime.records import SCHEMA_VERSION
from itn.runtime.tables import text_table
from itn.runtime.validation import check_choice

JudgeBy = Literal["bound", "estimate"]
_FORM = re.compile(r"\s*(\w+(?:\.\w+)?)\s*(>=|<=)\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(%?)\s*")
EXPECTED = "expected NAME>=NUMBER or NAME<=NUMBER, separated by commas, such as rotate>=15,drop<=1%"


@dataclasses.dataclass(frozen=True)
class Requirement:
    """One requirement, as written."""

    text: str
    name: str
    relation: str
    """>= or <=."""
    number: float
    """Of percent the fraction."""

    def holds(self, value: float) -> bool:
        """Return whether a value satisfies it; a rounding error is none."""
        slack = 1e-9 * max(1.0, abs(self.number))
        return value >= self.number - slack if self.relation == ">=" else value <= self.number + slack


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What became of one requirement in one place, such as one side of the identity."""

    requirement: str
    subject: str
    """What was measured, in words."""
    value: float
    ci_low: float | None
    """The interval; None where only one end is known, or where it is beyond what was tested."""
    ci_high: float | None
    judged: float
    """What was compared with the number: an end of the interval, or the estimate."""
    met: bool
    unit: str


@dataclasses.dataclass(frozen=True)
class Requirements:
    """All verdicts: the content of requirements.json; ``print`` shows them as a table."""

    requirements: str
    """As they were given."""
    judged_by: str
    """bound: the end of the interval that is less favorable; estimate: the measured value."""
    confidence: float
    """Of the intervals."""
    met: bool
    verdicts: tuple[Verdict, ...]
    schema_version: int = SCHEMA_VERSION

    @classmethod
    def of(
        cls, text: str, judge_by: JudgeBy, confidence: float, verdicts: Sequence[Verdict]
    ) -> "Requirements":
        """Return verdicts with whether all are met."""
        met = all(verdict.met for verdict in verdicts)
        return cls(text, judge_by, confidence, met, tuple(verdicts))

    def to_json(self) -> dict[str, Any]:
        """Return the content of requirements.json."""
        content: dict[str, Any] = msgspec.to_builtins(self)
        return content

    def __str__(self) -> str:
        rows = [
            (
                "met" if verdict.met else "NOT MET",
                verdict.requirement,
                verdict.subject,
                f"{verdict.value:.4g} {_interval(verdict)} {verdict.unit}".rstrip(),
            )
            for verdict in self.verdicts
        ]
        by = "the less favorable end of its interval" if self.judged_by == "bound" else "its estimate"
        table = text_table(rows, ("verdict", "requirement", "of", f"measured [{100 * self.confidence:g} %]"))
        return f"{table}\neach is judged by {by}"

    def to_xml(self, suite: str) -> str:
        """Return a report in the format of JUnit, a test case for each verdict."""
        failed = sum(not verdict.met for verdict in self.verdicts)
        root = ElementTree.Element("testsuites")
        of_suite = ElementTree.SubElement(
            root, "testsuite", name=suite, tests=str(len(self.verdicts)), failures=str(failed), errors="0"
        )
        for verdict in self.verdicts:
            measured = f"{verdict.value:.6g} {_interval(verdict)} {verdict.unit}".rstrip()
            case = ElementTree.SubElement(
                of_suite, "testcase", classname=suite, name=f"{verdict.requirement}: {verdict.subject}"
            )
            if not verdict.met:
                message = f"required {verdict.requirement}, measured {measured}, judged {verdict.judged:.6g}"
                ElementTree.SubElement(case, "failure", message=message)
            ElementTree.SubElement(case, "system-out").text = measured
        ElementTree.indent(root)
        return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, "unicode") + "\n"


class NotMetError(Exception):
    """A run that has finished does not meet what is required of it."""


def parse_requirements(text: str) -> tuple[Requirement, ...]:
    """Return the requirements of a list.

    Raises:
        ValueError: If it is not of the form; the message says which.
    """
    found = []
    for part in text.split(","):
        match = _FORM.fullmatch(part)
        if match is None:
            raise ValueError(f"{part.strip()!r} is no requirement: {EXPECTED}")
        name, relation, number, percent = match.groups()
        found.append(Requirement(part.strip(), name, relation, float(number) / (100 if percent else 1)))
    return tuple(found)


def check_known(
    requirements: Sequence[Requirement], least: Collection[str], most: Collection[str], judge_by: str
) -> None:
    """Raise ValueError unless all names are known, and stand before the relation that they take.

    Args:
        requirements: What is required.
        least: Names that take >=.
        most: Names that take <=.
        judge_by: By what they are judged.
    """
    check_choice("judge_by", judge_by, ("bound", "estimate"))
    for each in requirements:
        if each.name not in (*least, *most):
            near = difflib.get_close_matches(each.name, [*least, *most], n=3, cutoff=0.4)
            known = ", ".join(name for name in (*least, *most) if "." not in name)
            nearest = f"; nearest are {', '.join(near)}" if near else ""
            raise ValueError(f"{each.text}: {each.name} cannot be required here, only {known}{nearest}")
        relation = ">=" if each.name in least else "<="
        if each.relation != relation:
            raise ValueError(f"{each.text}: {each.name} takes {relation}, such as {each.name}{relation}1")


def _interval(verdict: Verdict) -> str:
    if verdict.ci_low is None and verdict.ci_high is None:
        return ""
    if verdict.ci_low is None:
        return f"[at most {verdict.ci_high:.4g}]"
    ends = ("beyond" if end is None else f"{end:.4g}" for end in (verdict.ci_low, verdict.ci_high))
    return f"[{', '.join(ends)}]"
