"""The command line: types in, a table out, errors as one plain line."""

import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import torch
from cyclopts import App, CycloptsError, Parameter, Token

from itn.classifiers import load_classifier, model_cards
from itn.data import load_images
from itn.folder import package_version
from itn.learning import learn
from itn.settings import LearnConfig, Part

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130

app = App(
    name="itn",
    help="To which transformations is a trained image classifier invariant, and how far?",
    version=package_version("itn") or "unknown",
    help_format="plaintext",
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,  # ours names what was kept
)


def _listed(type_: object, tokens: Sequence[Token]) -> tuple[str, ...]:
    """Read ``a,b`` as a list."""
    return tuple(item for token in tokens for item in token.value.split(","))


@dataclasses.dataclass(frozen=True)
class _LearnOptions(LearnConfig):
    parts: Annotated[tuple[Part, ...], Parameter(converter=_listed, n_tokens=1)] = LearnConfig.parts
    """Transformers to learn, separated by commas."""


@app.command(name="learn")
def _learn(
    *,
    model: str = "jennings-cnn",
    data: str = "mnist:unseen",
    out: Path = Path("runs/learn"),
    weights: Path | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    overwrite: bool = False,
    config: Annotated[_LearnOptions, Parameter(name="*")] = _LearnOptions(),
) -> None:
    """Learn the transformations F(k1, k2) that a classifier does not see.

    Args:
        model: A shipped classifier (see itn models), or FILE.py:factory, a function without arguments that
            returns a torch module taking images in [0, 1] and returning logits.
        data: Labelled images: mnist (the test set), mnist:train, or mnist:unseen (the 20,000 digits that no
            shipped classifier was trained on).
        out: Folder for results and figures: new, empty, or that of an unfinished run, which goes on.
        weights: A local state dict to load into the model.
        device: Where to compute; auto takes a GPU if there is one.
        overwrite: Replace an earlier run in the folder.
        config: Settings of the run.
    """
    classifier = load_classifier(model, weights).to(_device(device))
    images, labels = load_images(data)
    result = learn(classifier, images, labels, config, out, source=data, overwrite=overwrite)
    print(f"What {classifier.name} does not see in {data}:\n{result}")
    print(f"figures: {out / 'figures'}; numbers: {out / 'result.json'}")


@app.command(name="models")
def _models() -> None:
    """List the shipped classifiers."""
    rows = [("model", "parameters", "test accuracy", "trained on")]
    for name, card in model_cards().items():
        accuracy = f"{100 * card['test_accuracy']:.2f} %"
        rows.append((name, f"{card['parameters']:,}", accuracy, card["data"]))
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: no CUDA device is available here; use --device cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 1 failed, 2 bad input, 130 interrupted."""
    try:
        app(arguments, exit_on_error=False, print_error=False, result_action="return_none")
    except (CycloptsError, ValueError) as error:
        return _complain(error, BAD_INPUT)
    except KeyboardInterrupt as error:
        return _complain(error, INTERRUPTED)
    except Exception as error:  # whatever it is, a user gets one line; ITN_DEBUG=1 shows where it came from
        if os.environ.get("ITN_DEBUG"):
            raise
        return _complain(error, FAILED)
    return 0


def _complain(error: BaseException, status: int) -> int:
    text = " ".join(str(error).split()) or ("interrupted" if status == INTERRUPTED else type(error).__name__)
    print(f"itn: {text}", file=sys.stderr)
    return status
