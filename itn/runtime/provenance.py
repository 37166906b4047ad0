"""What a result depends on besides its settings: versions, commit, device and data."""

import contextlib
import hashlib
import importlib.metadata
import platform
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_PLACES = ("--out", "--device", "--require", "--judge-by")
_SWITCHES = ("--overwrite", "--deterministic")
_command: ContextVar[str | None] = ContextVar("command", default=None)


@contextlib.contextmanager
def commanded(arguments: Sequence[str]) -> Iterator[None]:
    """Let the provenance of runs inside the block name the command line that has started them.

    Where its results go, what computes them and what is required of them is left out: equal runs have equal
    provenances.
    """
    kept, place = [], False
    for argument in arguments:
        if not place and argument not in (*_PLACES, *_SWITCHES) and argument.split("=")[0] not in _PLACES:
            kept.append(argument)
        place = argument in _PLACES
    token = _command.set(shlex.join(["itn", *kept]))
    try:
        yield
    finally:
        _command.reset(token)


def provenance(device: torch.device) -> dict[str, Any]:
    """Return what a result depends on besides its settings: versions, commit, device, threads.

    With the command, if it came from the command line.
    """
    packages = ("torch", "torchvision", "timm", "kornia", "numpy", "scipy")
    return {
        "itn": package_version("itn"),
        "commit": _commit(),
        "python": platform.python_version(),
        **{name: package_version(name) for name in packages},
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        **({} if _command.get() is None else {"command": _command.get()}),
    }


def data_fingerprint(images: Tensor, labels: Tensor) -> str:
    """Return a hash of images and labels, to tell one data set from another."""
    digest = hashlib.sha256(f"{images.dtype} {tuple(images.shape)}".encode())
    for tensor in (images, torch.as_tensor(labels)):
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def package_version(package: str) -> str | None:
    """Return the version of an installed package, None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Return the commit of the clone that this package runs from, None if it runs from elsewhere."""
    clone = Path(__file__).parents[2]
    if not (clone / ".git").exists():
        return None
    try:
        command = ("git", "-C", str(clone), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
