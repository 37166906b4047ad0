"""Weights in files: fetching them, reading them without running code, fitting them to a network."""

import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import Request, urlopen

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from itn.models.classifier import first_line


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict from .safetensors or from torch.save's format, without running any code in it.

    Raises:
        ValueError: If the file is missing, broken, needs more than tensors, or holds no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"no weights at {path}: give a .safetensors file or one that torch.save wrote")
    try:
        content = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (SafetensorError, OSError, EOFError, RuntimeError, KeyError, ValueError) as error:
        raise ValueError(
            f"{path} holds no readable weights ({first_line(error)}): "
            "give a .safetensors file or one that torch.save wrote"
        ) from None
    except Exception as error:  # torch's UnpicklingError and its kin have no common base
        raise ValueError(
            f"{path} is refused, since loading it could run code ({first_line(error)}): "
            "save the state dict alone, with torch.save(net.state_dict(), ...)"
        ) from None
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        raise ValueError(f"{path} holds no state dict (a mapping from names to tensors)")
    return content  # as it is: torch keeps the versions of its modules beside the names


def fit(net: nn.Module, state: dict[str, Tensor], what: str) -> None:
    """Load a state dict, or say in one line what does not fit.

    Raises:
        ValueError: If a name or a shape differs; ``what`` is named.
    """
    own = net.state_dict()
    if not own.keys() & state.keys():
        unwrap(state)
    for key in own:
        if key.endswith("num_batches_tracked"):  # a counter that old files lack and no prediction needs
            state.setdefault(key, own[key])
    faults = [f"{key} is missing" for key in own if key not in state]
    faults += [f"{key} is unknown" for key in state if key not in own]
    faults += [
        f"{key} is {tuple(state[key].shape)}, expected {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ValueError(f"weights do not fit ({what}): {'; '.join(faults[:3])}{more}")
    net.load_state_dict(state)


def unwrap(state: dict[str, Tensor]) -> None:
    """Drop, in place, the prefix that a parallel wrapper leaves in the names."""
    consume_prefix_in_state_dict_if_present(state, "module.")


def probe(url: str) -> None:
    """Raise an OSError within seconds if a URL cannot be reached.

    Those who download afterwards wait for minutes where packets vanish, or try five times.
    """
    urlopen(Request(url, method="HEAD", headers={"User-Agent": "itn"}), timeout=10).close()


def hub_file(url: str, what: str) -> Path:
    """Return where torch keeps the file of a URL, downloaded if it is not there yet.

    Raises:
        ValueError: If it cannot be had: with the cause, the URL, and the path to put it at.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if path.is_file():
        return path
    digest = torch.hub.HASH_REGEX.search(path.name)
    try:
        probe(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), digest and digest[1], sys.stderr.isatty())
    except (OSError, RuntimeError) as error:  # RuntimeError: not the file that its name promises
        raise ValueError(
            f"{what} needs {path.name}, whose download failed ({first_line(error)}): "
            f"put {url} at {path}, or give the file with --weights FILE"
        ) from None
    return path
