"""Files of weights as trainers write them: reading them without running code, and finding the state dict."""

import contextlib
import dataclasses
import pickle
import pickletools
import re
import sys
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from itn.models.programs import program_kind
from itn.runtime import distributed
from itn.runtime.errors import first_line
from itn.runtime.validation import user_path

CONTAINERS = (
    # Moving averages first, as the loaders of timm, YOLOv5 and DiT take them
    *("state_dict_ema", "model_ema", "ema", "params_ema"),
    *("state_dict", "model", "model_state_dict", "net", "params"),
)
"""Keys of state dicts in checkpoints; of several, the first one is taken."""
_PICKLE = b"\x80"  # the first byte of a pickle of any protocol since 2
_DEPTH = 2  # keys from a checkpoint to a state dict; below that are those of optimizers
_GIVE = "give a .safetensors file or one that torch.save wrote"
# What trainers keep beside weights. No such type is imported: an _Ignored stands for what is pickled as one
_IGNORED = (
    *("argparse.Namespace", "datetime.", "numpy.", "omegaconf.", "pathlib.", "types.SimpleNamespace"),
    *("torch.torch_version.TorchVersion", "typing.Any"),
    *(f"builtins.{name}" for name in ("bool", "dict", "float", "int", "list", "str", "tuple")),
)
# The same with entries, which torch's unpickler puts only into dictionaries
_IGNORED_DICTS = (
    *("addict.addict.Dict", "collections.defaultdict", "easydict.EasyDict", "yacs.config.CfgNode"),
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A state dict, and where in which file it was."""

    path: Path
    state: dict[str, Tensor]
    """Not a copy of what was read: its attributes hold the versions of torch's modules."""
    key: str | None = None
    """The keys that led to it, joined by ``/``."""
    prefix: str = ""
    """What was removed from its names."""
    notes: tuple[str, ...] = ()
    """What a user should know of it."""

    def record(self, **more: Any) -> dict[str, Any]:
        """Return what a result says of it, and say on stderr what a user should know."""
        for note in self.notes if distributed.rank() == 0 else ():
            print(f"{self.path}: {note}", file=sys.stderr)
        key, prefix = shown([self.key or ""]), shown([self.prefix])
        described = {"key": key, "prefix": prefix, "notes": list(self.notes), **more}
        return {"file": self.path.name} | {name: value for name, value in described.items() if value}


def read_checkpoint(path: str | Path, key: str | None = None) -> Checkpoint:
    """Read weights from safetensors or torch.save's format, whatever the file is called, and run no code.

    Args:
        path: The file.
        key: Which of its state dicts to take: its key, or keys joined by ``/``; or the first part of the
            names of the tensors to take. None takes the first one of ``CONTAINERS``, or the only one.

    Raises:
        ValueError: If the file is missing, damaged or a program, contains what could run code, or holds no
            state dict, or several between which only the user can choose.
    """
    path = user_path(path)
    if not path.is_file():
        raise ValueError(f"no weights at {path}: {_GIVE}")
    if kind := program_kind(path):
        raise ValueError(f"{path} is a program of {kind}, not weights: give it as the model")
    if not path.stat().st_size:
        raise ValueError(f"{path} is empty: {_GIVE}")
    content = _content(path)
    found = dict(_state_dicts(content))
    if not found:
        keys = f"its keys are {shown(map(str, content))}; " if isinstance(content, dict) and content else ""
        raise ValueError(
            f"{path} holds no state dict (a mapping from names to tensors): {keys}save net.state_dict() with "
            "torch.save"
        )
    if key is not None and key in found:
        return Checkpoint(path, found[key], key)
    ranks = {at: [_rank(part) for part in at.split("/")] for at in found}
    best = [at for at in found if ranks[at] == min(ranks.values())]
    if len(best) > 1:
        raise ValueError(f"{path} holds several state dicts, {shown(found)}: choose with weights_key=KEY")
    at, state = best[0] or None, found[best[0]]
    if key is not None:
        prefix = f"{key.removesuffix('.')}."
        part = renamed(state, prefix)
        if not part:
            there = dict.fromkeys([*filter(None, found), *(name.partition(".")[0] for name in state)])
            raise ValueError(f"{path} has no weights under {key}, only under {shown(there)}")
        return Checkpoint(path, part, at, prefix)
    known = [other for other in found if min(ranks[other]) < len(CONTAINERS)]
    note = f"the weights under {shown([at or ''])} are taken, of {shown(known)}; weights_key=KEY takes others"
    return Checkpoint(path, state, at, notes=(note,) if len(known) > 1 else ())


def renamed(state: dict[str, Tensor], prefix: str, own: str = "") -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, with another one in its place."""
    # Not state.items(), which a file may have overridden
    kept = ((name, value) for name, value in dict.items(state) if name.startswith(prefix))
    result = OrderedDict((own + name.removeprefix(prefix), value) for name, value in kept)
    versions = getattr(state, "_metadata", None)  # of torch's modules, by their names without a final dot
    if isinstance(versions, dict):
        dotted = {f"{name}." if name else "": version for name, version in versions.items()}
        result.__dict__["_metadata"] = {
            (own + name.removeprefix(prefix)).removesuffix("."): version
            for name, version in dotted.items()
            if name.startswith(prefix)
        }
    return result


def shown(names: Iterable[str], most: int = 8) -> str:
    """Return names that a file holds, as one line of an error; they may be long, and many."""
    texts = [name if name.isprintable() else ascii(name) for name in names]
    cut = [text if len(text) <= 80 else f"{text[:80]}..." for text in texts[:most]]
    return ", ".join(cut) + (f" and {len(texts) - most} more" if len(texts) > most else "")


class _Ignored:
    """What a trainer keeps beside weights; it does nothing, whatever it is made of."""

    def __init__(self, *arguments: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


class _IgnoredDict:
    """The same with entries."""

    def __new__(cls, *arguments: object) -> Any:
        return OrderedDict()


def _content(path: Path) -> Any:
    """Return what a file holds, without running code in it."""
    types: list[str] = []
    try:
        if _is_safetensors(path):
            return load_file(path)
        types = _types(path)
        inert: list[Any] = [(_Ignored, name) for name in types if name.startswith(_IGNORED)]
        inert += [(_IgnoredDict, name) for name in types if name in _IGNORED_DICTS]
        with torch.serialization.safe_globals(inert), path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols, which we say as errors
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch, safetensors, pickle and zip have many kinds without a common base
        met = re.findall(r"GLOBAL (\S+)", str(error))
        harmless = (*_IGNORED, *_IGNORED_DICTS, "torch.", "collections.OrderedDict")
        met += [name for name in types if not name.startswith(harmless)]
        if met:
            culprit = shown([name for name in met if "_reconstructor" not in name][:1] or met[:1])
            # torch's own message recommends weights_only=False, which runs that code
            raise ValueError(
                f"{path} is refused, since loading it could run code (it holds {culprit}, more than "
                "tensors): save only the state dict, with torch.save(net.state_dict(), ...)"
            ) from None
        pickled = isinstance(error, pickle.UnpicklingError)
        if pickled and not zipfile.is_zipfile(path) and not path.read_bytes().startswith(_PICKLE):
            raise ValueError(f"{path} is not a file of weights: {_GIVE}") from None
        reason = "damaged, or not pickled by torch.save" if pickled else shown([first_line(error)])
        raise ValueError(f"{path} holds no readable weights ({reason}): {_GIVE}") from None


def _is_safetensors(path: Path) -> bool:
    """Return whether a file begins as safetensors do: with the length of a JSON object, and that."""
    with path.open("rb") as file:
        head = file.read(9)
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") < 1e8  # the most that safetensors reads


def _types(path: Path) -> list[str]:
    """Return the names of types and functions in a pickle, in their order; none of them is imported."""
    names: list[str] = []
    strings = ["", ""]
    # What is damaged is for torch to say
    with contextlib.suppress(Exception), contextlib.ExitStack() as stack:
        if zipfile.is_zipfile(path):
            archive = stack.enter_context(zipfile.ZipFile(path))
            entry = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            file = stack.enter_context(archive.open(entry))
        else:
            file = stack.enter_context(path.open("rb"))
        for _ in range(5):  # torch's old format has that many pickles; then come numbers
            kept: dict[Any, str] = {}  # strings that the pickle refers to again
            fresh = False  # whether the last operation gave a string
            for operation, given, _ in pickletools.genops(file):
                argument = kept.get(given) if "GET" in operation.name else given
                if operation.name in ("GLOBAL", "INST"):
                    names.append(str(argument).replace(" ", ".", 1).replace("__builtin__", "builtins"))
                elif operation.name == "STACK_GLOBAL":
                    names.append(".".join(strings[-2:]))
                elif operation.name == "MEMOIZE":
                    kept[len(kept)] = strings[-1] if fresh else ""
                elif "PUT" in operation.name:
                    kept[argument] = strings[-1] if fresh else ""
                elif isinstance(argument, str):
                    strings.append(argument)
                fresh = isinstance(argument, str) and operation.name not in ("GLOBAL", "INST")
    return names


def _state_dicts(content: Any, at: str = "") -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Yield the state dicts in a checkpoint, as copies, by the keys that lead to them."""
    if not isinstance(content, dict) or not content:
        return
    entries = [(name, value) for name, value in dict.items(content) if isinstance(name, str)]
    if len(entries) == len(content) and all(
        isinstance(value, Tensor) or name.endswith("_extra_state") for name, value in entries
    ):
        yield at, renamed(content, "")
    elif at.count("/") + bool(at) < _DEPTH:
        for name, value in entries:
            yield from _state_dicts(value, f"{at}/{name}" if at else name)


def _rank(key: str) -> int:
    return CONTAINERS.index(key) if key in CONTAINERS else len(CONTAINERS)
