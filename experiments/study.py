"""What the studies share: protocols, a training loop that can be interrupted, files, tables.

A study is a folder with a script, ``run.py``, that has ``measure`` (does the work and returns the content of
result.json), ``figures`` and ``table`` (both from that content alone), ``readme``, and, if it has options of
its own, ``add_arguments``.

Networks are trained by a ``Recipe``, once for each seed. Every network is kept in ``OUT/parts`` after each
epoch: a study that was interrupted continues when the same command is given again, and one with more seeds
or more epochs starts from what is there. Commands with different ``--seeds`` may run side by side in one
folder; the last one to finish writes the record of all.
"""

import argparse
import copy
import dataclasses
import importlib.util
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from statistics import median
from types import ModuleType
from typing import Any, Literal, NamedTuple

import matplotlib
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

import itn
from itn import plotting
from itn.runtime import batching
from itn.runtime.progress import progress_bar
from itn.runtime.provenance import data_fingerprint, provenance
from itn.runtime.records import SCHEMA_VERSION
from itn.runtime.run_dir import write_whole
from itn.screening.summary import kept_text, range_text
from itn.stats import training_split

__all__ = ["data_fingerprint", "progress_bar", "provenance", "write_whole"]

HERE = Path(__file__).parent
SMOKE_DIGITS = 200
MOST_BYTES = 500_000  # of a figure
Record = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How much work a study does, and where it writes."""

    name: Literal["short", "full", "smoke"]
    """Short reaches the same conclusions in minutes, full is the document's, smoke only checks the code."""
    seeds: tuple[int, ...]
    out: Path
    device: torch.device
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """The arguments of the command line by name, with those of the script."""

    def pick(self, short: Any, full: Any, smoke: Any) -> Any:
        """Return the value for this protocol."""
        return {"short": short, "full": full, "smoke": smoke}[self.name]


@dataclasses.dataclass(frozen=True)
class Recipe:
    """All that training depends on but the seed."""

    network: str
    optimizer: Literal["adam", "sgd"]
    rate: float
    batch: int
    epochs: int
    mean: float
    """What is subtracted from pixels in [0, 1]."""
    std: float
    momentum: float = 0.0
    initial: Literal["torch", "keras"] = "torch"
    """Initial weights: the default of torch, or that of Keras (uniform after Glorot, biases zero)."""
    softmax_twice: bool = False
    """Hand probabilities to a loss that expects logits."""
    dropout_in_tests: bool = False
    shift: float = 0.0
    """Augmentation: shifts of up to this fraction of the frame along x and y, border repeated."""
    turn: int = 0
    """By how many times 90 degrees all images are rotated, counter-clockwise."""
    digits: int = 60_000
    log_every: int = 0
    """Keep the loss of one in so many batches; 0: only means of epochs."""


@dataclasses.dataclass(frozen=True)
class Epoch:
    """One line of a history. Losses are means over batches, accuracies fractions of images."""

    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    batch_losses: tuple[float, ...] = ()


class Trained(NamedTuple):
    """A network and how it came to be."""

    net: nn.Module
    recipe: Recipe
    seed: int
    untrained: tuple[float, float]
    """Test loss and accuracy before the first step."""
    history: tuple[Epoch, ...]
    origin: Record
    seconds: float

    def record(self) -> Record:
        """Return what JSON holds of it."""
        return {
            "recipe": dataclasses.asdict(self.recipe),
            "seed": self.seed,
            "parameters": sum(p.numel() for p in self.net.parameters()),
            "untrained": dict(zip(("test_loss", "test_accuracy"), self.untrained, strict=True)),
            "history": [dataclasses.asdict(epoch) for epoch in self.history],
            "seconds": round(self.seconds, 1),
            "provenance": self.origin,
        }


def train(
    recipe: Recipe,
    seed: int,
    name: str,
    protocol: Protocol,
    *,
    start: Mapping[str, Tensor] | None = None,
    optimized: nn.Module | None = None,
) -> Trained:
    """Train a network on MNIST, or continue where an earlier call was interrupted.

    Args:
        recipe: How.
        seed: Of weights, order of the images, dropout and augmentation.
        name: What to call it in ``OUT/parts``.
        protocol: Where that is, and on which device.
        start: Weights to begin with instead of random ones.
        optimized: The network whose weights the optimizer holds, if not this one (a slip to repeat).
    """
    if protocol.name == "smoke":
        recipe = dataclasses.replace(recipe, epochs=1, digits=SMOKE_DIGITS)
    net = untrained(recipe.network, seed)
    if recipe.initial == "keras":
        net.apply(_as_keras_does)
    if start is not None:
        net.load_state_dict(dict(start))
    # Convolutions of small images are up to twice as fast on a CPU in this format
    net.to(protocol.device, memory_format=torch.channels_last)
    optimizer = _optimizer(recipe, net if optimized is None else optimized)
    loop = _Loop(recipe, net, optimizer, protocol.device)
    path = protocol.out / "parts" / f"{name}-seed{seed}.pt"
    state = _read(path, recipe, seed)
    if state is None:
        state = {
            "recipe": dataclasses.asdict(recipe),
            "seed": seed,
            "untrained": loop.tested(),
            "history": [],
            "origin": provenance(protocol.device),
            "seconds": 0.0,
        }
    else:
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["randomness"])
    history = state["history"]
    with progress_bar(f"{name}, seed {seed}", recipe.epochs, "epochs", done=len(history)) as bar:
        while len(history) < recipe.epochs:
            clock = time.perf_counter()
            history.append(dataclasses.asdict(loop.epoch()))
            state |= {
                "net": net.state_dict(),
                "optimizer": optimizer.state_dict(),
                "randomness": torch.get_rng_state(),
                "seconds": state["seconds"] + time.perf_counter() - clock,
            }
            write_whole(path, partial(torch.save, state))
            bar.advance()
            bar.note(f"test accuracy {history[-1]['test_accuracy']:.4f}")
    epochs = tuple(Epoch(**epoch) for epoch in history[: recipe.epochs])
    return Trained(net.eval(), recipe, seed, state["untrained"], epochs, state["origin"], state["seconds"])


class _Loop:
    """Passes of one network over the digits."""

    def __init__(
        self, recipe: Recipe, net: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device
    ) -> None:
        self.recipe, self.net, self.optimizer, self.device = recipe, net, optimizer, device
        self.test = self._digits("mnist", 10_000 if recipe.digits == 60_000 else SMOKE_DIGITS)

    @cached_property
    def train(self) -> tuple[Tensor, Tensor]:
        """The training digits and their labels, read when they are needed."""
        return self._digits("mnist:train", self.recipe.digits)

    def _digits(self, source: str, n: int) -> tuple[Tensor, Tensor]:
        images, labels = itn.load_images(source)
        return images[:n].rot90(self.recipe.turn, (2, 3)), labels[:n]

    def epoch(self) -> Epoch:
        """Train on every image once, in random order, and test."""
        self.net.train()
        images, labels = self.train
        losses, right = [], 0
        for batch in torch.randperm(len(images)).split(self.recipe.batch):
            pixels = self._pixels(images[batch])
            if self.recipe.shift:
                pixels = _shifted(pixels, self.recipe.shift)
            target = labels[batch].to(self.device)
            self.optimizer.zero_grad()
            self.net.zero_grad()  # also where the optimizer holds the weights of another network
            outputs = self.net(pixels)
            loss = self._loss(outputs, target)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
            right += int((outputs.argmax(1) == target).sum())
        every = self.recipe.log_every
        return Epoch(
            sum(losses) / len(losses),
            right / len(images),
            *self.tested(),
            tuple(losses[::every]) if every else (),
        )

    @torch.no_grad()
    def tested(self) -> tuple[float, float]:
        """Return loss and accuracy on the test digits."""
        self.net.train(self.recipe.dropout_in_tests)
        images, labels = self.test
        loss, right = 0.0, 0
        for rows in torch.arange(len(images)).split(1000):
            outputs, target = self.net(self._pixels(images[rows])), labels[rows].to(self.device)
            loss += self._loss(outputs, target).item() * len(rows)
            right += int((outputs.argmax(1) == target).sum())
        return loss / len(images), right / len(images)

    def _loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(outputs.softmax(1) if self.recipe.softmax_twice else outputs, target)

    def _pixels(self, images: Tensor) -> Tensor:
        pixels = (images.to(self.device).float() / 255 - self.recipe.mean) / self.recipe.std
        return pixels.contiguous(memory_format=torch.channels_last)


def test(recipe: Recipe, net: nn.Module, protocol: Protocol) -> tuple[float, float]:
    """Return loss and accuracy of a trained network on the test digits, measured as a recipe says."""
    if protocol.name == "smoke":
        recipe = dataclasses.replace(recipe, digits=SMOKE_DIGITS)
    return _Loop(recipe, net, _optimizer(recipe, net), protocol.device).tested()


def classifier(trained: Trained) -> itn.Classifier:
    """Return a trained network as a frozen classifier of images in [0, 1]."""
    recipe = trained.recipe
    return itn.Classifier(trained.net, (recipe.mean,), (recipe.std,), name=recipe.network)


def kept(part: Path, asked_for: Record, make: Callable[[], Record]) -> Record:
    """Return the record of a finished part; it is made and written if there is none yet.

    Args:
        part: Its file.
        asked_for: All that it depends on: the first entries of the record.
        make: Returns the other entries.

    Raises:
        ValueError: If the file was made from other settings.
    """
    asked_for = json.loads(json.dumps(asked_for))
    if not part.exists():
        text = json.dumps(asked_for | make(), indent=1, allow_nan=False) + "\n"
        write_whole(part, lambda path: path.write_text(text))
    record: Record = json.loads(part.read_text())
    if any(record.get(key) != value for key, value in asked_for.items()):
        raise ValueError(f"{part} was learned otherwise: remove it, or name another --out")
    return record


def track(items: Sequence[Any], phase: str, unit: str) -> Iterator[Any]:
    """Yield items while a bar on stderr counts them."""
    with progress_bar(phase, len(items), unit) as bar:
        for item in items:
            yield item
            bar.advance()


def accuracy(classifier: itn.Classifier, images: Tensor, labels: Tensor) -> float:
    """Return the accuracy of a classifier on images."""
    return (itn.predict(classifier, images).cpu() == labels).double().mean().item()


class Split(NamedTuple):
    """Where the images of a certified run of ``itn.learn`` are, as indices."""

    training: Tensor
    held_out: Tensor


def split(labels: Tensor, config: itn.LearnConfig) -> Split:
    """Return how ``itn.learn`` splits images with these labels."""
    return Split(*training_split(labels, config.train_fraction, config.seed))


def untrained(network: str, seed: int) -> nn.Module:
    """Return a network of the package with the initial weights of a seed; seeds the generator of torch."""
    net = copy.deepcopy(itn.load_classifier(network).net).to(memory_format=torch.contiguous_format)
    torch.manual_seed(seed)
    for layer in net.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.reset_parameters()
    return net.requires_grad_(True).train()


def example(name: str) -> ModuleType:
    """Return a script of examples/ as a module."""
    spec = importlib.util.spec_from_file_location(name, HERE.parent / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def earlier(records: Mapping[str, Record]) -> str:
    """Return what to know of families that were learned and certified before there was a criterion."""
    if all("schema_version" in record for record in records.values()):
        return ""
    return (
        "\n*The learned families are of an earlier version and have not been learned again: their criterion "
        "was broken (right unchanged, wrong transformed); half of the images that were not learned from "
        "chose the scale, the other half was held out. Today's default is accuracy.*\n"
    )


def names() -> list[str]:
    """Return the names of all studies."""
    return sorted(path.parent.name for path in HERE.glob("*/run.py"))


def run(script: ModuleType) -> None:
    """Be the command line of a study: measure, write result.json, draw the figures, print the table."""
    batching.keep_memory()
    name = script.__name__.partition(".")[0]
    parser = argparse.ArgumentParser(
        description=script.__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    protocols = parser.add_mutually_exclusive_group()
    protocols.add_argument("--full", action="store_true", help="the full protocol, three seeds")
    protocols.add_argument("--smoke", action="store_true", help="only check that the code runs, in seconds")
    protocols.add_argument(
        "--draw", type=Path, metavar="JSON", help="redraw the figures of a result.json, measure nothing"
    )
    parser.add_argument("--seeds", type=int, nargs="+", help="default: 0; with --full 0 1 2")
    parser.add_argument("--out", type=Path, default=Path("runs") / name, help="default: %(default)s")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    if hasattr(script, "add_arguments"):
        script.add_arguments(parser)
    args = parser.parse_args()
    if args.draw:
        record = json.loads(args.draw.read_text())
    else:
        gpu = args.device == "cuda" or (args.device == "auto" and torch.cuda.is_available())
        protocol = Protocol(
            "full" if args.full else "smoke" if args.smoke else "short",
            tuple(args.seeds or (range(3) if args.full else (0,))),
            args.out,
            torch.device("cuda" if gpu else "cpu"),
            vars(args),
        )
        record = {
            "study": name,
            "protocol": protocol.name,
            "schema_version": SCHEMA_VERSION,
            **script.measure(protocol),
        }
        text = json.dumps(record, indent=1, allow_nan=False) + "\n"
        write_whole(args.out / "result.json", lambda path: path.write_text(text))
    with matplotlib.rc_context(plotting.STYLE):
        figures = script.figures(record)
    for figure_name, figure in figures.items():
        write_whole(args.out / f"{figure_name}.png", partial(_save, figure))
    print(f"{script.table(record)}\n\nprotocol: {record['protocol']}; numbers and figures: {args.out}")


def _save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG; a large one, of photographs, with a palette of 256 colors."""
    plotting.save(figure, path)
    if path.stat().st_size > MOST_BYTES:
        with Image.open(path) as image:
            small = image.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT)
            dpi = image.info["dpi"]
        small.save(path, optimize=True, dpi=dpi)


def spread(values: Sequence[float], form: str = ".2f") -> str:
    """Return "mean (smallest to largest)", or the value if there is one."""
    form = form.replace(".", "z.")  # no negative zero
    mean = format(sum(values) / len(values), form)
    return mean if len(values) == 1 else f"{mean} ({min(values):{form}} to {max(values):{form}})"


def middle(values: Sequence[float], form: str) -> str:
    """Return "median (smallest to largest)", or the value if there is one."""
    text = f"{median(values):{form}}"
    return text if len(values) == 1 else f"{text} ({min(values):{form}} to {max(values):{form}})"


def extent(values: Sequence[float], form: str) -> str:
    """Return "smallest to largest"."""
    return f"{min(values):{form}} to {max(values):{form}}"


def range_of(sides: Mapping[str, Record], sweep: Record) -> str:
    """Return between which magnitudes thresholds lie, with their intervals, as JSON holds them."""
    thresholds = {side: itn.Threshold(**threshold) for side, threshold in sides.items()}
    return range_text(thresholds, sweep["magnitudes"], sweep["identity"])


def kept_of(kept: Sequence[bool], shares: Sequence[float], what: str, sweep: Record) -> str:
    """Return at which magnitudes of a discrete transformation something is kept, as JSON holds it."""
    return kept_text(kept, shares, what, sweep["magnitudes"], sweep["identity"])


def markdown(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ("---",) * len(header), *rows))


def _optimizer(recipe: Recipe, net: nn.Module) -> torch.optim.Optimizer:
    if recipe.optimizer == "adam":
        # Keras's epsilon, where its initial weights are asked for
        epsilon = 1e-7 if recipe.initial == "keras" else 1e-8
        return torch.optim.Adam(net.parameters(), recipe.rate, eps=epsilon, fused=True)
    return torch.optim.SGD(net.parameters(), recipe.rate, recipe.momentum)


def _as_keras_does(layer: nn.Module) -> None:
    if isinstance(layer, nn.Linear | nn.Conv2d):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)


def _shifted(pixels: Tensor, fraction: float) -> Tensor:
    shifts = 2 * fraction * (2 * torch.rand(len(pixels), 2) - 1)  # the frame is 2 wide
    shifted = itn.warp(
        pixels, itn.functional.family_matrix("translation", shifts).to(pixels.device), "border"
    )
    return shifted.contiguous(memory_format=torch.channels_last)


def _read(path: Path, recipe: Recipe, seed: int) -> Record | None:
    """Return the state of an unfinished or finished training with the same recipe, but for its epochs."""
    if not path.exists():
        return None
    state = torch.load(path, weights_only=True)
    asked = dataclasses.asdict(recipe) | {"epochs": state["recipe"]["epochs"]}
    if (state["recipe"], state["seed"]) != (asked, seed) or len(state["history"]) > recipe.epochs:
        raise ValueError(f"{path} was trained otherwise: remove it, or name another --out")
    return state
