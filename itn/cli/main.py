"""The command line: types in, a table out, errors as one plain line."""

import contextlib
import dataclasses
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import torch
from cyclopts import App, CycloptsError, Parameter, Token

from itn.data.loading import ImageSet, read_images
from itn.learning.config import LearnConfig, Part
from itn.learning.family import learn
from itn.learning.per_class import learn_per_class
from itn.models.classifier import Classifier
from itn.models.sources import load_classifier, model_cards, model_table
from itn.runtime import distributed
from itn.runtime.batching import keep_memory
from itn.runtime.provenance import package_version
from itn.screening.config import ScreenConfig
from itn.screening.run import screen
from itn.transforms.magnitudes import steps
from itn.transforms.registry import TRANSFORMS

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
SIGTERM_AGAIN = 0.2  # seconds

app = App(
    name="itn",
    help="To which transformations is a trained image classifier invariant, and how far?",
    version=package_version("itn") or "unknown",
    help_format="markdown",
    default_parameter=Parameter(negative=()),
    suppress_keyboard_interrupt=False,  # ours names what was kept
)


def _listed(type_: object, tokens: Sequence[Token]) -> tuple[str, ...]:
    """Read ``a,b`` as a list."""
    return tuple(item for token in tokens for item in token.value.split(","))


def _sweeps(texts: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Read ``NAME=START:STOP:STEP`` or ``NAME=V,V,...``, once for each name."""
    sweeps: dict[str, tuple[float, ...]] = {}
    for given in texts:
        name, _, text = given.partition("=")
        if name in sweeps:
            raise ValueError(f"--magnitudes {given}: {name} has its magnitudes already")
        try:
            if ":" in text:
                start, stop, step = map(float, text.split(":"))
                sweeps[name] = steps(start, stop, step)
            else:
                sweeps[name] = tuple(map(float, text.split(",")))
        except ValueError as error:
            expected = "expected NAME=START:STOP:STEP or NAME=V,V,..., such as rotate=-180:180:5"
            raise ValueError(f"--magnitudes {given}: {expected} ({error})") from None
    return sweeps


@dataclasses.dataclass(frozen=True)
class _LearnOptions(LearnConfig):
    parts: Annotated[tuple[Part, ...], Parameter(converter=_listed, n_tokens=1)] = LearnConfig.parts
    """Transformers to learn, separated by commas."""


@dataclasses.dataclass(frozen=True)
class _ScreenOptions(ScreenConfig):
    transforms: Annotated[tuple[str, ...] | None, Parameter(converter=_listed, n_tokens=1)] = None
    """Transformations to sweep, separated by commas (see itn transforms); default the eleven of the paper, or
    none if there is a pair."""
    pairs: Annotated[tuple[tuple[str, ...], ...], Parameter(parse=False)] = ()
    magnitudes: Annotated[Mapping[str, tuple[float, ...]], Parameter(parse=False)] = dataclasses.field(
        default_factory=dict
    )
    round_trip: Annotated[bool, Parameter(negative="--no-round-trip")] = ScreenConfig.round_trip
    """Classify, beside each spatial curve, the same images warped there and back."""


@dataclasses.dataclass(frozen=True)
class _Common:
    """What learn and screen take alike."""

    weights: Path | None = None
    """A local state dict (.safetensors, or what torch.save wrote) to load into the model."""
    class_map: Path | None = None
    """What class folders mean to the model, if their names do not say so: a JSON object or lines
    folder,class, with the number or the name of the class."""
    skip_bad: bool = False
    """List and leave out photographs that cannot be read, instead of stopping."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    deterministic: bool = False
    """Take algorithms that repeat their results on a GPU, where there are any: slower."""
    overwrite: bool = False
    """Replace an earlier run in the folder."""

    def load(self, model: str, data: str, limit: int, seed: int) -> tuple[Classifier, ImageSet]:
        """Return the classifier and its images; list those that were left out."""
        distributed.join()
        if self.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # which cuBLAS asks for
            torch.use_deterministic_algorithms(True, warn_only=True)
        card = model_cards().get(model, {})
        if data == "mnist:heldout" and self.weights is None and card.get("heldout", data) != data:
            raise ValueError(f"{model} was trained on half of mnist:heldout: take --data {card['unseen']}")
        classifier = load_classifier(model, self.weights).to(_device(self.device))
        images = read_images(data, classifier, self.class_map, limit=limit, seed=seed, skip_bad=self.skip_bad)
        for bad in images.skipped if distributed.rank() == 0 else ():
            print(f"left out {bad}", file=sys.stderr)
        return classifier, images


@app.command(name="learn")
def _learn(
    *,
    model: str = "jennings-cnn",
    data: str | None = None,
    out: Path = Path("runs/learn"),
    limit: int = 0,
    per_class: Annotated[bool, Parameter(negative="")] = False,
    common: Annotated[_Common, Parameter(name="*")] = _Common(),
    config: Annotated[_LearnOptions, Parameter(name="*")] = _LearnOptions(),
) -> None:
    """Learn the transformations F(k1, k2) that a classifier does not see.

    Args:
        model: A shipped classifier (see itn models), torchvision:NAME, timm:NAME, or FILE.py:factory, a
            function without arguments that returns a torch module taking images in [0, 1] and returning
            logits.
        data: Labelled images: mnist (the test set), mnist:train, mnist:heldout (the last 10,000 training
            digits and the test set), or a folder of class folders. Default: mnist:heldout, or mnist where
            the model was trained on a part of that.
        out: Folder for results and figures: new, empty, or that of an unfinished run, which goes on.
        limit: Take a random subset of this many images, the same share of each class; 0 for all.
        per_class: Learn one family for each class, side by side; with the constrained objective.
        common: Where models and images come from, where to compute.
        config: Settings of the run.
    """
    data = data or model_cards().get(model, {}).get("heldout", "mnist:heldout")
    classifier, images = common.load(model, data, limit, config.seed)
    result = (learn_per_class if per_class else learn)(
        classifier, images.images, images.labels, config, out, source=data, overwrite=common.overwrite
    )
    _say(f"What {classifier.name} does not see in {data}:\n{result}")
    _say(f"figures: {out / 'figures'}; numbers: {out / 'result.json'}")


@app.command(name="screen")
def _screen(
    *,
    model: str = "lenet5",
    data: str = "mnist",
    out: Path = Path("runs/screen"),
    limit: int = 2000,
    pair: Annotated[tuple[str, ...], Parameter(show_default=False)] = (),
    magnitudes: Annotated[tuple[str, ...], Parameter(show_default=False)] = (),
    common: Annotated[_Common, Parameter(name="*")] = _Common(),
    config: Annotated[_ScreenOptions, Parameter(name="*")] = _ScreenOptions(),
) -> None:
    """Find how far each transformation goes before the predictions of a classifier break.

    Args:
        model: A shipped classifier (see itn models), torchvision:NAME, timm:NAME, or FILE.py:factory, a
            function without arguments that returns a torch module taking images in [0, 1] and returning
            logits.
        data: Labelled images: mnist (the test set), mnist:train, mnist:heldout (the last 10,000 training
            digits and the test set), or a folder of class folders.
        out: Folder for results and figures: new, empty, or that of an unfinished run, which goes on.
        limit: Take a random subset of this many images, the same share of each class; 0 for all.
        pair: Two transformations, X,Y, to sweep together; repeat it for several pairs.
        magnitudes: NAME=START:STOP:STEP, with STOP if a step hits it, or NAME=V,V,...; repeat it for several
            transformations. Default as itn transforms lists them; in pairs every other one.
        common: Where models and images come from, where to compute.
        config: Settings of the run.
    """
    pairs = tuple(tuple(names.split(",")) for names in pair)
    config = dataclasses.replace(config, pairs=pairs, magnitudes=_sweeps(magnitudes))
    classifier, images = common.load(model, data, limit, config.seed)
    result = screen(
        classifier,
        images.images,
        images.labels,
        config,
        out,
        source=data,
        names=images.paths or [str(number) for number in images.index.tolist()],
        overwrite=common.overwrite,
    )
    _say(f"How far {classifier.name} holds on {data}:\n{result}")
    if result.record.transforms:
        _say(f"first look: {out / 'figures' / 'thresholds.png'}")
    _say(f"figures: {out / 'figures'}; numbers: {out / 'result.json'}, curves.csv, flips.csv, softmax.csv")


@app.command(name="models")
def _models() -> None:
    """List the classifiers that are at hand."""
    _print_table(model_table())


@app.command(name="transforms")
def _transforms() -> None:
    """List the transformations with their units, identities and default magnitudes."""
    rows = [("transformation", "unit", "identity", "magnitudes", "what it does")]
    for name, transform in TRANSFORMS.items():
        first, *_, last = transform.magnitudes
        swept = f"{first:g} to {last:g}, {len(transform.magnitudes)} values"
        meaning = (transform.function.__doc__ or "").partition("\n")[0]
        rows.append((name, transform.unit, f"{transform.identity:g}", swept, meaning))
    _print_table(rows)


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _device(name: str) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: no CUDA device is available here; use --device cpu")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", distributed.local_rank() % torch.cuda.device_count())


def _say(text: str) -> None:
    if distributed.rank() == 0:
        print(text)


@contextlib.contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """End on SIGTERM as on Ctrl-C, but let what ends already say why itself.

    Whether an error that is being handled ends the run is not known; if it does not, the signal comes again.
    """
    again = threading.Timer(0, lambda: None)

    def stop(number: int, _: object) -> None:
        nonlocal again
        if sys.exc_info()[0] is None:
            raise KeyboardInterrupt
        again.cancel()
        again = threading.Timer(SIGTERM_AGAIN, os.kill, (os.getpid(), number))
        again.daemon = True
        again.start()

    own = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGTERM, stop) if own else None
    try:
        yield
    finally:
        again.cancel()
        if own:
            signal.signal(signal.SIGTERM, before)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0, 1 failed, 2 bad input, 130 interrupted."""
    with sigterm_interrupts():
        try:
            keep_memory()
            try:
                app(arguments, exit_on_error=False, print_error=False, result_action="return_none")
            finally:
                distributed.leave()
        except (CycloptsError, ValueError) as error:
            return _complain(error, BAD_INPUT)
        except KeyboardInterrupt as error:
            return _complain(error, INTERRUPTED)
        except Exception as error:  # a user gets one line; ITN_DEBUG=1 shows where it came from
            if os.environ.get("ITN_DEBUG"):
                raise
            return _complain(error, FAILED)
    return 0


def _complain(error: BaseException, status: int) -> int:
    text = " ".join(str(error).split()) or ("interrupted" if status == INTERRUPTED else type(error).__name__)
    number = os.environ.get("RANK", "0")
    print(f"itn{f' (process {number})' if number != '0' else ''}: {text}", file=sys.stderr)
    return status
