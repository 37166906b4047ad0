"""What the page asks is answered in JSON, and so is what goes wrong."""

import base64
import json

import pytest

import itn
from itn.explorer.explorer import Explorer
from itn.explorer.page import page_json
from itn.explorer.requests import KEPT, PageRequests


@pytest.fixture
def requests(colors):
    return PageRequests(Explorer(colors), wording=str.upper)


@pytest.fixture
def token(requests, file):
    return requests.photograph({"data": base64.b64encode(file).decode()})["token"]


def test_answers_are_json_with_a_picture(requests, token, file):
    found = json.loads(json.dumps(requests.answer({"token": token, "values": {"rotate": 20}})))
    explorer = requests.explorer
    expected = explorer.answer(explorer.read(file), {"rotate": 20})
    assert found["top"] == [list(pair) for pair in expected.top]
    assert found["picture"].startswith("data:image/png;base64,")
    assert (found["width"], found["height"]) == (18, 14)
    assert found["seconds"] > 0


def test_changes_are_marks_and_a_sentence(requests, token, file):
    found = json.loads(json.dumps(requests.changes({"token": token, "name": "rotate", "values": {}})))
    explorer = requests.explorer
    expected = explorer.changes(explorer.read(file), "rotate")
    assert found["text"] == str(expected)
    assert [mark["value"] for mark in found["marks"]] == [change.value for change in expected.found]
    assert sum(mark["nearest"] for mark in found["marks"]) == sum(
        side is not None for side in expected.nearest
    )
    assert expected.found


def test_the_page_knows_every_slider_and_the_order(requests, family, colors):
    page = json.loads(json.dumps(page_json(Explorer(colors, family[0]))))
    named = [slider["name"] for group in page["groups"] for slider in group["sliders"]]
    assert sorted(named) == sorted(Explorer(colors, family[0]).sliders)
    assert [group["title"] for group in page["groups"]] == [
        "Applied first",
        "Applied last, as a single warp",
        "Learned family, color",
        "Learned family, spatial",
    ]
    still, moving = ([t.name for t in itn.TRANSFORMS.values() if t.spatial == s] for s in (False, True))
    assert page["notes"] == [
        f"Applied in this order: {', '.join(still)}, color; then, as a single warp, {', '.join(moving)}, "
        "spatial."
    ]


@pytest.mark.parametrize(
    ("question", "request_", "message"),
    [
        ("photograph", {"data": "####"}, "HAS NOT ARRIVED"),
        ("photograph", {"data": base64.b64encode(b"hello").decode()}, "NOT AN IMAGE THAT PIL CAN READ"),
        ("photograph", {}, "UP TO 150 MB"),
        ("answer", {"values": {}}, "NO LONGER IN MEMORY"),
        ("answer", {"token": "there is none", "values": {}}, "NO LONGER IN MEMORY"),
        ("answer", {"token": ..., "values": {"rotate": "20"}}, "MUST BE NUMBERS"),
        ("answer", {"token": ..., "values": [20]}, "MUST BE NUMBERS"),
        ("answer", {"token": ..., "values": {"rotate": 1e9}}, "ROTATE GOES FROM -180 TO 180"),
        ("changes", {"token": ..., "name": "turn", "values": {}}, "THERE IS NO SLIDER 'TURN'"),
    ],
)
def test_what_goes_wrong_is_a_sentence(requests, token, question, request_, message):
    asked = {key: token if value is ... else value for key, value in request_.items()}
    assert message in getattr(requests, question)(asked)["error"]


def test_only_the_last_photographs_stay_in_memory(requests, token, file):
    for _ in range(KEPT):
        requests.photograph({"data": base64.b64encode(file).decode()})
    assert "NO LONGER IN MEMORY" in requests.answer({"token": token, "values": {}})["error"]
    assert len(requests._photographs) == KEPT
