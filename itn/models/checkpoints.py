"""Files of weights: downloading, reading without running code, and loading into a network."""

import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlparse
from urllib.request import Request, urlopen

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from itn.runtime.errors import first_line

_PICKLE = b"\x80"  # the first byte of a pickle of any protocol since 2


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict from .safetensors or torch.save's format, without running any code in it.

    Raises:
        ValueError: If the file is missing, damaged, contains more than tensors, or holds no state dict.
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
    except Exception as error:  # torch's UnpicklingError and similar ones have no common base
        if not zipfile.is_zipfile(path) and not path.read_bytes().startswith(_PICKLE):
            raise ValueError(
                f"{path} is not a file of weights: give a .safetensors file or one that torch.save wrote"
            ) from None
        # torch's own message recommends weights_only=False, which runs that code
        raise ValueError(
            f"{path} is refused, since loading it could run code (it holds more than tensors, such as a "
            "whole model): save only the state dict, with torch.save(net.state_dict(), ...)"
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        raise ValueError(f"{path} holds no state dict (a mapping from names to tensors)")
    return content  # not a copy: its attributes hold the versions of torch's modules


def fit(net: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Load a state dict into a network.

    Args:
        net: The network.
        state: Its new weights.
        source: Where they come from, for the error.

    Raises:
        ValueError: If a name or a shape differs.
    """
    expected = net.state_dict()
    if not expected.keys() & state.keys():
        unwrap(state)
    for key in expected:
        if key.endswith("num_batches_tracked"):  # a counter that old files lack; predictions do not use it
            state.setdefault(key, expected[key])
    faults = [f"{key} is missing" for key in expected if key not in state]
    faults += [f"{key} is unknown" for key in state if key not in expected]
    faults += [
        f"{key} is {tuple(state[key].shape)}, expected {tuple(expected[key].shape)}"
        for key in expected
        if key in state and state[key].shape != expected[key].shape
    ]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ValueError(f"weights do not fit ({source}): {'; '.join(faults[:3])}{more}")
    net.load_state_dict(state)


def unwrap(state: dict[str, Tensor]) -> None:
    """Remove, in place, the prefix of names that a parallel wrapper adds."""
    consume_prefix_in_state_dict_if_present(state, "module.")


def probe(url: str) -> None:
    """Raise an OSError within seconds if the server of a URL cannot be reached.

    Without this, downloads wait for minutes where packets are dropped, or try five times. Any answer will do:
    what is wrong with the file, or who may have it, is for the download to say.
    """
    # Not HEAD, which some servers refuse
    request = Request(url, headers={"User-Agent": "itn", "Range": "bytes=0-0"})
    try:
        urlopen(request, timeout=10).close()
    except HTTPError as answer:
        answer.close()


def hub_file(url: str, model: str) -> Path:
    """Return the path of a URL's file in torch's cache, downloaded if it is missing.

    Raises:
        ValueError: If it cannot be downloaded; the message has the cause, the URL and the path to put it at.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if path.is_file():
        return path
    digest = torch.hub.HASH_REGEX.search(path.name)
    try:
        probe(url)
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), digest and digest[1], sys.stderr.isatty())
    except (OSError, RuntimeError) as error:  # RuntimeError: its hash is not the one in its name
        raise ValueError(
            f"{model} needs {path.name}, whose download failed ({first_line(error)}): "
            f"put {url} at {path}, or give the file with weights=FILE"
        ) from None
    return path
