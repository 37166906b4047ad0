"""Where numbers come from, for the end of a page."""

from collections.abc import Mapping
from typing import Any

from itn.reports.page import Block, Code, Facts, Section
from itn.runtime.wording import counted

_LIBRARIES = ("torch", "torchvision", "timm", "kornia", "numpy", "scipy")


def sources(provenance: Mapping[str, Any], settings: Mapping[str, Any], call: str) -> Section:
    """Return the section that says what was run on what, with what.

    Args:
        provenance: That of the record.
        settings: The content of config.json; empty if it is not known.
        call: What has made the run in Python, if it did not come from the command line.
    """
    classifier, images = settings.get("classifier", {}), settings.get("images", {})
    shape = images.get("shape")
    seen = provenance.get("weights")
    rows = {
        "classifier": classifier.get("name"),
        "hash of its weights": classifier.get("sha256"),
        "weights": None if seen is None else ", ".join(f"{key}: {value}" for key, value in seen.items()),
        "images": images.get("source"),
        "their number and size": shape
        and f"{counted(shape[0], 'image')}, {shape[1]} x {shape[2]} x {shape[3]} (channels, height, width)",
        "hash of the images": images.get("sha256"),
        "notes on the images": "; ".join(provenance.get("images", ())),
        "labels": provenance.get("labels"),
        "accepted": "; ".join(
            f"{name}: {found or 'nothing found'}" for name, found in provenance.get("accepted", {}).items()
        ),
        "seed": provenance.get("seed"),
        "itn": provenance.get("itn"),
        "commit": provenance.get("commit"),
        "libraries": ", ".join(f"{name} {provenance[name]}" for name in _LIBRARIES if provenance.get(name)),
        "Python": provenance.get("python"),
        "device": provenance.get("device"),
        "threads": provenance.get("threads"),
    }
    facts = Facts(tuple((name, str(value)) for name, value in rows.items() if value not in (None, "")))
    command = provenance.get("command") or call
    blocks: tuple[Block, ...] = (facts, *((Code(str(command)),) if command else ()))
    return Section("sources", "How this was made", blocks)


def python_call(function: str, config: str, settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Return the call that made a run, with the settings that differ from their defaults.

    Args:
        function: Such as itn.screen.
        config: The class of its settings, such as itn.ScreenConfig.
        settings: The content of config.json.
        defaults: What it would hold of the settings if all were defaults.
    """
    if not settings:
        return ""
    given = [
        f"{name}={_value(value)}"
        for name, value in settings.get("config", {}).items()
        if _value(value) != _value(defaults.get(name))
    ]
    return f"{function}(classifier, images, labels, {config}({', '.join(given)}))"


def _value(value: Any) -> str:
    if isinstance(value, Mapping) and "name" in value:
        return repr(value["name"])
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_value, value))}{',' * (len(value) == 1)})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_value(each)}" for key, each in value.items()) + "}"
    return repr(value)
