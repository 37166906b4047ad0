"""The files that a run of each command writes."""

from itertools import combinations
from typing import Any, Literal, get_args

CHECKPOINT, PREVIOUS_CHECKPOINT = "checkpoint.pt", "checkpoint-before.pt"
TIMING = "timing.json"
REPORT = "report.html"
ANIMATION = "animation.gif"
EXAMPLES = "examples.json"  # images that the report shows
OUTCOMES = "outcomes.npz"  # what became of every image
ANSWERS = "answers"  # key of config.json: what the classifier answers to a few images
LOCK = ".itn-lock"
POINTS = ".itn-points"  # a folder with one file for each completed pass of a screen
JOURNAL = ".itn-evaluations"  # what a run of learning, or in a box, has evaluated so far
REQUIREMENTS = ("requirements.json", "requirements.xml")  # where --require was given
_LEARNED = (*("history.jsonl", "model.safetensors", OUTCOMES, CHECKPOINT, PREVIOUS_CHECKPOINT),)
_FILES = {  # what a run of each command writes, besides figures
    "screen": ("curves.csv", "pairs.csv", "softmax.csv", "flips.csv", OUTCOMES, *REQUIREMENTS),
    "worst": ("worst.csv", OUTCOMES),
    "compare": ("comparison.csv", "images.csv", *REQUIREMENTS),
    "learn": _LEARNED,
    "learn --per-class": _LEARNED,
}
_OF_LEARNING = (
    *("losses", "classes", "grid", "curves", "directions", "baselines", "families", "allowed"),
    "axes",  # the former name of baselines
)
_FIGURES = {  # besides those with the names of its transformations
    "screen": ("thresholds",),
    "worst": ("worst", "growth"),
    "compare": (),
    "learn": _OF_LEARNING,
    "learn --per-class": _OF_LEARNING,
}
_OF_SWEEP = ("accuracy", "softmax", "survival")  # figures of each transformation
_OF_PAIR = ("thresholds", "flips", "images")  # figures of every two runs that are compared

FigureFormat = Literal["png", "pdf", "svg"]
FORMATS: tuple[FigureFormat, ...] = get_args(FigureFormat)


def written_by(settings: Any) -> tuple[str, ...]:
    """Return the paths of all files that a run with these settings writes; none if they are not of a run."""
    try:
        swept = settings.get("magnitudes", {})
        figures = [f"{kind}-{name}" for name in swept.get("sweeps", ()) for kind in _OF_SWEEP]
        figures += [f"pair-{'-'.join(pair)}" for pair in swept.get("pairs", ())]
        pairs = combinations(range(1, len(settings.get("runs", ())) + 1), 2)
        figures += [f"{kind}-{a}-{b}" for a, b in pairs for kind in _OF_PAIR]
        files, _ = _FILES[settings["command"]], settings["config"]
        figures += _FIGURES[settings["command"]]
    except (AttributeError, KeyError, TypeError):  # whatever a config.json holds that is damaged or foreign
        return ()
    common = ("config.json", "result.json", TIMING, EXAMPLES, REPORT)
    return (*common, ANIMATION, *files, *(f"figures/{name}.{kind}" for name in figures for kind in FORMATS))
