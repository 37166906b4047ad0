"""What the page asks of an explorer, as JSON; photographs stay in memory, and only there."""

import base64
import binascii
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from itn.explorer.changes import Changes
from itn.explorer.explorer import Answer, Explorer
from itn.explorer.photograph import Photograph
from itn.explorer.sliders import Slider
from itn.reports.pictures import data_uri, encoded
from itn.runtime.errors import RunError

KEPT = 8  # photographs in memory, the last ones that were dropped
LARGEST = 200 * 2**20  # bytes of base64

Json = dict[str, Any]


class PageRequests:
    """Answers a page in JSON; an error is a sentence in ``error``.

    Args:
        explorer: Whom to ask.
        wording: From a message of the package to the one that is shown.
    """

    def __init__(self, explorer: Explorer, wording: Callable[[str], str] = str) -> None:
        self.explorer, self.wording = explorer, wording
        self._lock = threading.Lock()  # one question at a time: they share the processor
        self._photographs: OrderedDict[str, Photograph] = OrderedDict()

    def photograph(self, request: Json) -> Json:
        """Take the photograph ``data``, base64; return its ``token``, and what is known around it."""
        return self._answered(self._take, request)

    def answer(self, request: Json) -> Json:
        """Return the photograph of a ``token`` under ``values``: ``picture``, ``top`` and ``seconds``."""
        return self._answered(self._answer, request)

    def changes(self, request: Json) -> Json:
        """Return where the answer changes along the slider ``name``: ``marks`` and ``text``."""
        return self._answered(self._changes, request)

    def _answered(self, answer: Callable[[Json], Json], request: Json) -> Json:
        try:
            with self._lock:
                return answer(request)
        except (ValueError, RunError) as error:
            return {"error": self.wording(" ".join(str(error).split()))}

    def _take(self, request: Json) -> Json:
        data = request.get("data")
        if not isinstance(data, str) or len(data) > LARGEST:
            raise ValueError("a photograph may have up to 150 MB: give a smaller one")
        try:
            file = base64.b64decode(data, validate=True)
        except binascii.Error:
            raise ValueError("the photograph has not arrived as it was sent: drop it again") from None
        photograph = self.explorer.read(file)
        token = secrets.token_urlsafe(16)
        self._photographs[token] = photograph
        while len(self._photographs) > KEPT:
            self._photographs.popitem(last=False)
        return {"token": token, "surround": surround_sentence(photograph)}

    def _answer(self, request: Json) -> Json:
        start = time.perf_counter()
        answer = self.explorer.answer(*self._asked(request))
        return answer_json(answer) | {"seconds": round(time.perf_counter() - start, 4)}

    def _changes(self, request: Json) -> Json:
        photograph, values = self._asked(request)
        return changes_json(self.explorer.changes(photograph, str(request.get("name")), values))

    def _asked(self, request: Json) -> tuple[Photograph, dict[str, float]]:
        """Return the photograph and the values of a request."""
        token, values = request.get("token"), request.get("values")
        if not isinstance(token, str) or token not in self._photographs:
            raise ValueError("this photograph is no longer in memory: drop it again")
        numbers = isinstance(values, Mapping) and all(
            isinstance(v, int | float) and not isinstance(v, bool) for v in values.values()
        )
        if not numbers:
            raise ValueError(f"values of sliders must be numbers, got {values!r}")
        assert isinstance(values, Mapping)
        self._photographs.move_to_end(token)
        return self._photographs[token], {str(name): float(v) for name, v in values.items()}


def slider_json(slider: Slider) -> Json:
    """Return what the page has to know of a slider."""
    return {
        "name": slider.name,
        "unit": slider.unit,
        "low": slider.low,
        "high": slider.high,
        "identity": slider.identity,
        "logarithmic": slider.logarithmic,
        "values": list(slider.values),
        "part": slider.part,
        "meaning": slider.meaning,
    }


def answer_json(answer: Answer) -> Json:
    """Return an answer with its image as a small file."""
    return {
        "picture": data_uri(encoded(answer.picture)),
        "width": answer.picture.shape[-1],
        "height": answer.picture.shape[-2],
        "top": [[name, softmax] for name, softmax in answer.top],
    }


def changes_json(changes: Changes) -> Json:
    """Return changes as marks on a slider, and in words."""
    marks = [
        {"value": change.value, "text": str(change), "nearest": change in changes.nearest}
        for change in changes.found
    ]
    return {"marks": marks, "text": str(changes)}


def surround_sentence(photograph: Photograph) -> str:
    """Return what geometry brings in from outside the image, in a sentence."""
    if photograph.canvases is None:
        return "Nothing is known around the image: geometry brings in padding."
    return (
        "Geometry brings in what the photograph shows around the crop, up to "
        f"{photograph.canvases.ratio:.3g} times its size, and padding where the photograph ends."
    )
