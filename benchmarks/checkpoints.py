"""Write checkpoints as trainers, accidents and attackers do, and check what loading them does.

Command:   python benchmarks/checkpoints.py
Machine:   any; a CPU core, about 2 minutes
Writes:    benchmarks/results/checkpoints.json
Published: none

A case is a network's weights in a form (torch's zip and old format, a bare pickle, safetensors, a program of
TorchScript or torch.export) under any ending; in containers, with prefixes, beside what trainers keep. Two in
three are then spoiled: tensors of wrong types, states that are no state dicts, containers that hold
themselves, objects that run code when they are unpickled, or bytes damaged as in damage.py. Every eighth case
is a folder as timm or transformers (if it is installed) save networks, damaged likewise. What is intact
must be loaded as it was saved. All else may be loaded, or be refused in one line. No code may run, and
nothing else may be raised. Every tenth case is a whole ``itn screen``.
"""

import argparse
import copy
import datetime
import importlib
import io
import os
import pathlib
import pickle
import random
import shutil
import subprocess
import tempfile
import warnings
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from damage import SCREEN, asked, call, complaints_of_input, prepare, spoil
from kills import report
from rich.console import Console
from rich.progress import track
from safetensors.torch import save
from torch import nn

import itn

RESULTS = Path(__file__).parent / "results" / "checkpoints.json"
CONTAINERS = (
    *("state_dict", "model", "net", "model_state_dict", "params"),
    *("ema", "state_dict_ema", "model_ema"),
)
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "backbone.", "learner.encoder.")
FORMS = ("zip", "old", "pickle", "safetensors", "TorchScript", "torch.export")
ENDINGS = ("pt", "pth", "ckpt", "bin", "safetensors", "pth.tar", "pt2", "weights")
SPOILT = ("types", "structure", "code", "bytes")
State = dict[str, Any]


class Payload:
    """Runs a function when it is unpickled without care."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.function, self.arguments


class Custom:
    """A type that only its trainer knows."""

    def __init__(self) -> None:
        self.rate = 0.1


def payload(marker: Path, draw: random.Random) -> Payload:
    """Return an object that makes a file when it is unpickled without care."""
    path = str(marker)
    return draw.choice(
        [
            Payload(open, path, "w"),
            Payload(os.system, f"touch {path}"),
            Payload(eval, f"open({path!r}, 'w')"),
            Payload(exec, f"open({path!r}, 'w')"),
            Payload(subprocess.call, ["touch", path]),
            Payload(np.savetxt, path, [0.0]),
            Payload(pathlib.Path.touch, pathlib.Path(path)),
            Payload(torch.save, 0, path),
            Payload(os.mkdir, path),
        ]
    )


def kept_beside(draw: random.Random) -> State:
    """Return what trainers keep beside weights."""
    everything: State = {
        "epoch": 3,
        "best_acc": np.float64(0.9),
        "confusion": np.eye(2),
        "args": argparse.Namespace(lr=0.1, out=pathlib.Path("runs"), classes=["a", "b"]),
        "date": datetime.datetime(2026, 1, 1),
        "history": defaultdict(list, loss=[0.5]),
        "torch": torch.__version__,
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]},
    }
    return {name: everything[name] for name in draw.sample(sorted(everything), draw.randrange(5))}


def wrong_types(state: State, draw: random.Random) -> State:
    """Replace a tensor by something that is no such tensor."""
    name = draw.choice(sorted(state))
    tensor = state[name]
    state[name] = draw.choice(
        [
            *(tensor.to(kind) for kind in (torch.int8, torch.bool, torch.complex64, torch.float16)),
            *(tensor.to_sparse(), tensor.to("meta"), tensor.numpy(), tensor.tolist(), tensor[None]),
            *(tensor.sum(), torch.empty(0), nn.Parameter(tensor, False), tensor + torch.nan),
            *(None, "weight", 3, [tensor], {}, Custom()),
            torch.quantize_per_tensor(tensor.float(), 0.1, 0, torch.qint8),
        ]
    )
    return state


def wrong_structure(state: State, draw: random.Random) -> Any:
    """Return something around, or instead of, a state dict."""
    around: State = {"model": state}
    attributes = OrderedDict(state)
    attributes.__dict__.update(
        keys=3, values=None, _metadata=draw.choice([3, {"": 3, "2": {"version": "x"}}, {1: 2}])
    )
    changes: list[Callable[[], Any]] = [
        lambda: around.update(model=around) or around,
        lambda: around.update(again=[around], state_dict=around) or around,
        lambda: attributes,
        lambda: {"model": attributes},
        lambda: {"a": state, "b": state},
        lambda: {"model": {}, "state_dict": None, "net": 3},
        lambda: {"model": {"state_dict": {"model": {"net": state}}}},
        lambda: [state],
        lambda: state | {f"more.{name}": value for name, value in state.items()},
        lambda: {f"a.{n}": v for n, v in state.items()} | {f"b.{n}": v for n, v in state.items()},
        lambda: {f"\ud800\n{name}": value for name, value in state.items()},
        lambda: {f"{'x' * 10_000}.{name}": value for name, value in state.items()},
        lambda: dict(enumerate(state.values())),
        lambda: dict(list(state.items())[1:]),
        lambda: {f"layer{number}.weight": torch.zeros(1) for number in range(3000)},
        lambda: {"model": nn.Linear(2, 2), "epoch": 3},
        lambda: next(iter(state.values())),
        lambda: {},
    ]
    return draw.choice(changes)()


def planted(content: Any, harm: Any, draw: random.Random) -> Any:
    """Return a checkpoint with an object in it that runs code."""
    if isinstance(content, dict) and draw.random() < 0.8:
        inner = [value for value in content.values() if isinstance(value, dict)]
        target = draw.choice([content, *inner])
        target[draw.choice([*target, "args"])] = harm
        return content
    return draw.choice([harm, [harm], {"model": harm}])


def written(form: str, content: Any, draw: random.Random) -> bytes:
    """Return the bytes of a checkpoint."""
    file = io.BytesIO()
    if form == "pickle":
        return pickle.dumps(content, protocol=draw.randrange(6))
    if form == "safetensors":
        return save({name: value.contiguous() for name, value in content.items()})
    torch.save(content, file, _use_new_zipfile_serialization=form == "zip")
    return file.getvalue()


def program(form: str, net: nn.Module) -> bytes:
    """Return the bytes of a program."""
    file = io.BytesIO()
    images = torch.rand(2, 3, 12, 12)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        if form == "TorchScript":
            torch.jit.save(torch.jit.trace(net, images), file)
        else:
            torch.export.save(torch.export.export(net, (images,)), file)
    return file.getvalue()


class Case:
    """One checkpoint: how it was made, and what it is to be."""

    def __init__(
        self, draw: random.Random, nets: dict[str, nn.Module], programs: dict[str, bytes], folder: Path
    ) -> None:
        self.marker = folder / "ran"
        own, tuned = nets
        self.model = draw.choice([own] * 4 + [tuned])
        self.form, self.spoilt = draw.choice(FORMS), draw.choice(SPOILT) if draw.random() < 2 / 3 else ""
        self.program = self.form in programs
        self.path = folder / f"checkpoint.{draw.choice(ENDINGS)}"
        if self.program or self.form == "safetensors":
            self.spoilt = self.spoilt and "bytes"
        if self.program:
            self.model = own
        self.net = net = nets[self.model]
        prefix = "".join(draw.choice(PREFIXES) for _ in range(draw.randrange(3)))
        state: State = {prefix + name: value.clone() for name, value in net.state_dict().items()}
        if self.form != "pickle" and draw.random() < 0.2:
            state["n_averaged"] = torch.tensor(5)
        content: Any = wrong_types(state, draw) if self.spoilt == "types" else state
        self.container = ""
        if self.form != "safetensors" and draw.random() < 0.7:
            self.container = draw.choice(CONTAINERS)
            content = {self.container: content} | kept_beside(draw)
        if self.spoilt == "structure":
            content = wrong_structure(state, draw)
        if self.spoilt == "code":
            content = planted(content, payload(self.marker, draw), draw)
        if self.program:
            self.path.write_bytes(programs[self.form])
        else:
            self.path.write_bytes(written(self.form, content, draw))
        self.how = f"{self.model} {self.form} {self.path.name} {self.container} {prefix} {self.spoilt}"
        if self.spoilt == "bytes":
            self.how += f" {spoil(self.path, draw)}"

    def load(self) -> tuple[str, list[str]]:
        """Load it; return whether it was, and what is wrong with that."""
        try:
            given = (str(self.path), None) if self.program else (self.model, self.path)
            loaded = itn.load_classifier(*given)
        except ValueError as error:
            return "refused", self.complaints_of_refusal(str(error))
        expected, found = self.net.state_dict().values(), loaded.net.state_dict().values()
        equal = all(torch.equal(*pair) for pair in zip(expected, found, strict=True))
        return "loaded", ["loaded other numbers"] * (not self.spoilt and not equal)

    def screen(self, folder: Path) -> tuple[str, list[str]]:
        """Screen the network with it; return how that ended, and what is wrong with that."""
        out = folder / "out"
        status, said = call(folder, SCREEN, out, self.path.name)
        wrong = complaints_of_input(status, said, out)
        shutil.rmtree(out, ignore_errors=True)
        return f"status {status}", wrong + self.complaints_of_refusal(said if status else "")

    def complaints_of_refusal(self, said: str) -> list[str]:
        """Return what is wrong with a refusal, of which there is none if it says nothing."""
        legitimate = not self.spoilt and self.form != "pickle"  # tensors pickled without torch.save run code
        wrong = [f"refused what is intact: {said}"] * (legitimate and bool(said))
        return wrong + [f"said {said!r}"] * ("\n" in said or len(said) > 1000)

    def clear(self) -> None:
        """Remove it."""
        self.path.unlink()


class FolderCase(Case):
    """A folder as timm or transformers save networks, with a file of it damaged, or with harmful weights."""

    def __init__(
        self, draw: random.Random, nets: dict[str, nn.Module], programs: dict[str, bytes], folder: Path
    ) -> None:
        self.marker, self.path = folder / "ran", folder / "folder"
        self.model = draw.choice(sorted(path.name for path in (folder / "folders").iterdir()))
        self.form, self.program = f"folder of {self.model}", False
        self.spoilt = draw.choice(("bytes", "code"))
        shutil.copytree(folder / "folders" / self.model, self.path)
        if self.spoilt == "code":
            (self.path / "model.safetensors").unlink()
            harm = planted({"fc.weight": torch.zeros(3, 96)}, payload(self.marker, draw), draw)
            (self.path / "pytorch_model.bin").write_bytes(written(draw.choice(FORMS[:3]), harm, draw))
            self.how = f"{self.form} with code"
        else:
            path = draw.choice(sorted(self.path.iterdir()))
            self.how = f"{self.form} {spoil(path, draw)} {path.name}"

    def load(self) -> tuple[str, list[str]]:
        """Load it; return whether it was, and what is wrong with that."""
        source = {"timm": "timm:local-dir", "transformers": "hf"}[self.model]
        try:
            itn.load_classifier(f"{source}:{self.path}")
        except ValueError as error:
            return "refused", self.complaints_of_refusal(str(error))
        return "loaded", []

    def clear(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path)


def prepare_folders(folder: Path) -> None:
    """Save a small network as timm does, and one as transformers does if it is installed."""
    net = timm.create_model("test_resnet", num_classes=3)
    timm.models.save_for_hf(net, folder / "timm", safe_serialization=True)
    if find_spec("transformers"):
        transformers = importlib.import_module("transformers")
        config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic")
        transformers.ResNetForImageClassification(config).save_pretrained(folder / "transformers")
        size = {"height": 32, "width": 32}
        transformers.ViTImageProcessor(size=size).save_pretrained(folder / "transformers")


def main() -> None:
    """Be the command line."""
    options = asked(__doc__, RESULTS, cases=600)
    draw = random.Random(options.seed)
    counts: dict[str, Counter[str]] = {}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, runs=False)
        factory = f"{folder}/net.py:make"
        net = copy.deepcopy(itn.load_classifier(factory, folder / "weights.pt").net)
        nets = {factory: net, "timm:test_resnet": timm.create_model("test_resnet", num_classes=3).eval()}
        programs = {form: program(form, net) for form in FORMS[-2:]}
        prepare_folders(folder / "folders")
        for number in track(range(options.cases), "cases", console=Console(stderr=True), auto_refresh=False):
            case = (FolderCase if number % 8 == 7 else Case)(draw, nets, programs, folder)
            try:
                screens = number % 10 == 0 and not case.program and case.model == factory
                outcome, complaint = case.screen(folder) if screens else case.load()
            except Exception as error:  # what no checkpoint may cause
                outcome, complaint = "raised", [f"raised {type(error).__name__}: {error}"]
            if case.marker.exists():
                raise SystemExit(f"case {number}, {case.how}: its code ran")
            case.clear()
            counts.setdefault(f"{case.form}, {case.spoilt or 'intact'}", Counter())[outcome] += 1
            wrong += [f"case {number}, {case.how}: {text}" for text in complaint]
    record: dict[str, Any] = {
        "cases": options.cases,
        "wrong": wrong,
        "kinds": {kind: dict(sorted(outcomes.items())) for kind, outcomes in sorted(counts.items())},
    }
    report(options, record)
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
