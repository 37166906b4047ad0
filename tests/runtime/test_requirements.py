"""The language of requirements, and its two reports."""

import xml.etree.ElementTree as ET

import pytest

from itn.runtime.requirements import Requirements, Verdict, check_known, parse_requirements


def test_a_list_is_read_as_it_is_written():
    found = parse_requirements(" rotate>=15, drop<=1% ,zoom.below>=1.5,translate_x>=-.5")
    assert [(each.name, each.relation, each.number) for each in found] == [
        ("rotate", ">=", 15),
        ("drop", "<=", 0.01),
        ("zoom.below", ">=", 1.5),
        ("translate_x", ">=", -0.5),
    ]
    assert found[1].text == "drop<=1%"


@pytest.mark.parametrize(
    "text", ["", "rotate", "rotate=15", "rotate>15", "rotate>=", "rotate>=15,", "a>=1 b>=2", "x>=nan"]
)
def test_what_is_none_is_refused(text):
    with pytest.raises(ValueError, match="is no requirement: expected NAME>=NUMBER or NAME<=NUMBER"):
        parse_requirements(text)


def test_names_and_relations_are_checked():
    def check(text, judge_by="bound"):
        check_known(parse_requirements(text), ["rotate", "rotate.above"], ["drop"], judge_by)

    check("rotate>=15,drop<=1%,rotate.above>=3")
    with pytest.raises(
        ValueError, match="rotat cannot be required here, only rotate, drop; nearest are rotate"
    ):
        check("rotat>=15")
    with pytest.raises(ValueError, match="rotate<=15: rotate takes >=, such as rotate>=1"):
        check("rotate<=15")
    with pytest.raises(ValueError, match="drop>=1%: drop takes <=, such as drop<=1"):
        check("drop>=1%")
    with pytest.raises(ValueError, match="judge_by must be one of bound, estimate, got 'mood'"):
        check("rotate>=1", "mood")


def test_a_number_that_is_met_exactly_is_met():
    (at_least,) = parse_requirements("rotate>=0.3")
    assert at_least.holds(0.1 + 0.2)
    assert at_least.holds(0.3 - 1e-12)
    assert not at_least.holds(0.2999)
    (at_most,) = parse_requirements("drop<=1%")
    assert at_most.holds(0.01)
    assert not at_most.holds(0.0101)


def test_reports_hold_every_verdict():
    verdicts = [
        Verdict("rotate>=15", "accuracy above the identity", 20.0, 14.0, None, 14.0, False, "degrees"),
        Verdict("drop<=1%", "a < b & c", 0.2, None, 0.8, 0.8, True, "points"),
    ]
    found = Requirements.of("rotate>=15,drop<=1%", "bound", 0.95, verdicts)
    assert not found.met
    assert Requirements.of("", "bound", 0.95, verdicts[1:]).met
    assert "NOT MET  rotate>=15   accuracy above the identity  20 [14, beyond] degrees" in str(found)
    assert "met      drop<=1%     a < b & c                    0.2 [at most 0.8] points" in str(found)
    suite = ET.fromstring(found.to_xml("itn screen lenet5")).find("testsuite")
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "0")
    failed, passed = suite.findall("testcase")
    assert failed.get("name") == "rotate>=15: accuracy above the identity"
    assert failed.find("failure").get("message").endswith("measured 20 [14, beyond] degrees, judged 14")
    assert passed.get("name") == "drop<=1%: a < b & c"
    assert passed.find("failure") is None
    content = found.to_json()
    assert content["verdicts"][1]["ci_low"] is None
    assert (content["judged_by"], content["met"]) == ("bound", False)
