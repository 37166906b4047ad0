"""From the names that a trainer gave to tensors to those of a network, and into it."""

import dataclasses
from collections import OrderedDict
from collections.abc import Iterable
from itertools import takewhile
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from itn.models.checkpoints import Checkpoint, read_checkpoint, renamed, shown
from itn.runtime.errors import first_line

CURE = (
    "give the network that they are of, such as FILE.py:factory, or with weights_key=KEY those under a prefix"
)
"""What to do with weights that do not fit."""
WRAPPERS = ("module", "_orig_mod", "model", "net", "network")
"""Under which trainers keep a whole network, perhaps beside its loss and its metrics."""
_INNER = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""What torch puts in front of a part of a network that is compiled, sharded or recomputed."""


def load_weights(net: nn.Module, path: str | Path, key: str | None, name: str) -> dict[str, Any]:
    """Load a file into a network; return what a result says of it.

    Raises:
        ValueError: If the file cannot be read, or does not fit.
    """
    checkpoint = matched(read_checkpoint(path, key), net.state_dict())
    fit(net, checkpoint.state, f"{path} for {name}")
    return checkpoint.record()


def matched(checkpoint: Checkpoint, names: Iterable[str]) -> Checkpoint:
    """Return a checkpoint with the names of a network, as far as a prefix makes the difference.

    Args:
        checkpoint: What was read.
        names: Those of the network's state dict.

    Raises:
        ValueError: If the network is there under several prefixes.
    """
    names = set(names)
    state = renamed(checkpoint.state, "")
    for name in checkpoint.state:
        if name.rpartition(".")[2] == "n_averaged" and name not in names:
            del state[name]  # the counter of torch.optim.swa_utils.AveragedModel
    own = _common_prefix(names)
    bare = {name.removeprefix(own) for name in names if not name.endswith("num_batches_tracked")}
    anchor = max(bare, key=len, default="")
    before = [name.removesuffix(anchor) for name in state if name.endswith(anchor)]
    prefixes = [p for p in before if p[-1:] in ("", ".") and all(p + name in state for name in bare)]
    if not bare or own in prefixes:
        return dataclasses.replace(checkpoint, state=state)
    if not prefixes and (bared := _unwrapped(checkpoint, names)):
        return matched(bared, names)
    if len(prefixes) > 1:
        raise ValueError(
            f"{checkpoint.path} has weights under {shown(prefixes)}: choose with weights_key=KEY"
        )
    # Without one the names are those of another version, or wrong: libraries, or an error, see them
    prefix = prefixes[0] if prefixes else "" if own else _common_prefix(state, (*WRAPPERS, "backbone"))
    added = own if prefixes and not prefix.endswith(own) else ""
    prefix = prefix.removesuffix(own)
    notes = checkpoint.notes
    kept = renamed(state, prefix, added)
    if others := {name: value for name, value in state.items() if not name.startswith(prefix)}:
        if _common_prefix([prefix], WRAPPERS) == prefix:
            notes += (f"left out, as they are not under {prefix}: {shown(others)}",)
        else:
            kept.update(others)
    return dataclasses.replace(checkpoint, state=kept, prefix=checkpoint.prefix + prefix, notes=notes)


def fit(net: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Load a state dict into a network.

    Args:
        net: The network.
        state: Its new weights.
        source: Where they come from, for the error.

    Raises:
        ValueError: If a name, a shape or a kind of numbers differs.
    """
    expected = net.state_dict()
    for key in expected:
        if key.endswith("num_batches_tracked"):  # a counter that old files lack; predictions do not use it
            state.setdefault(key, expected[key])
    differing = {key: _difference(state[key], expected[key]) for key in expected if key in state}
    kinds = (
        [f"{key} is missing" for key in expected if key not in state],
        [f"{shown([key])} is unknown" for key in state if key not in expected],
        [f"{key} is {difference}" for key, difference in differing.items() if difference],
    )
    if any(kinds):
        # Some of each kind: that a name is missing and another one unknown says what a prefix hides
        most = max(2, 4 - sum(map(bool, kinds)))
        faults = [fault for kind in kinds for fault in kind[:most]]
        more = sum(map(len, kinds)) - len(faults)
        raise ValueError(
            f"weights do not fit ({source}): {'; '.join(faults)}{f' and {more} more' if more else ''}: {CURE}"
        )
    try:
        net.load_state_dict(state)
    except Exception as error:  # tensors without numbers, or with such versions of modules
        raise ValueError(f"weights do not fit ({source}): {first_line(error)}") from None


def head_classes(state: dict[str, Tensor], heads: Iterable[str]) -> int | None:
    """Return the number of classes of weights, None if it is unknown.

    Args:
        state: The weights.
        heads: Names of tensors of the last layer, whose first dimension are the classes. If none is there,
            since the names are of another version, the last matrix in the file is taken.
    """
    sizes = {state[name].shape[0] for name in heads if name in state and state[name].ndim}
    if not sizes:
        matrices = [value for value in state.values() if isinstance(value, Tensor) and value.ndim > 1]
        sizes = {value.shape[0] for value in matrices[-1:]}
    return sizes.pop() if len(sizes) == 1 else None


def _unwrapped(checkpoint: Checkpoint, names: set[str]) -> Checkpoint | None:
    """Return a checkpoint without what torch puts into names; None if the network has it, or none does.

    What is in front of all names stays: it is a prefix.
    """
    changed = {}
    for name in checkpoint.state:
        first, *parts = name.split(".")
        bare = ".".join([first, *(part for part in parts if part not in _INNER)])
        if bare != name and name not in names and bare not in checkpoint.state:
            changed[name] = bare
    if not changed:
        return None
    state = OrderedDict((changed.get(name, name), value) for name, value in dict.items(checkpoint.state))
    if versions := getattr(checkpoint.state, "_metadata", None):
        state.__dict__["_metadata"] = versions
    found = [part for part in _INNER if any(f".{part}." in name for name in changed)]
    notes = (*checkpoint.notes, f"left out of names: {shown(found)}")
    return dataclasses.replace(checkpoint, state=state, notes=notes)


def _common_prefix(names: Iterable[str], parts: tuple[str, ...] | None = None) -> str:
    """Return the parts that all names begin with, each with its dot; up to the first that is not allowed."""
    levels = zip(*(name.split(".")[:-1] for name in names), strict=False)
    shared = takewhile(lambda level: len({*level}) == 1 and (parts is None or level[0] in parts), levels)
    return "".join(f"{level[0]}." for level in shared)


def _difference(value: Any, expected: Any) -> str | None:
    """Return how a tensor differs from the expected one, None if it fits."""
    if not isinstance(value, Tensor) or not isinstance(expected, Tensor):
        return None  # the state of a module that keeps its own
    if value.is_meta and not expected.is_meta:
        return "without numbers, on the device meta"
    if value.shape != expected.shape:
        return f"{tuple(value.shape)}, expected {tuple(expected.shape)}"
    if expected.is_floating_point() and not value.is_floating_point():  # quantized, without its scale
        return f"{value.dtype}, expected {expected.dtype}"
    return None
