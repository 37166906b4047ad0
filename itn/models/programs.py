"""Networks that are programs: files of TorchScript and torch.export, which hold code beside weights."""

import logging
import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor, nn

from itn.runtime.errors import first_line

SUFFIXES = (".pt", ".pt2", ".pth", ".ts")


def program_kind(path: Path) -> str | None:
    """Return "TorchScript" or "torch.export" if a file is such a program, None for any other file."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # damaged archives have many kinds of errors
        return None
    inner = {name.partition("/")[2] for name in names}
    if "constants.pkl" in inner:
        return "TorchScript"
    exported = {"serialized_exported_program.json", "archive_format"}  # of torch.export before 2.7, and since
    return "torch.export" if exported & (inner | set(names)) else None


def load_program(path: Path) -> nn.Module:
    """Load a program as a module, on the CPU; as with every program, this may run its code.

    Raises:
        ValueError: If the file is missing, is no program, or is damaged.
    """
    path = path.expanduser()
    if not path.is_file():
        raise ValueError(f"no file {path}: give a program of TorchScript or torch.export")
    kind = program_kind(path)
    if kind is None:
        raise ValueError(
            f"{path} is no program of TorchScript or torch.export: if it holds weights, name the network "
            "that they belong to, and give them as its weights"
        )
    disabled = logging.root.manager.disable
    logging.disable()  # tracebacks of what is then raised
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # TorchScript is deprecated
            if kind == "TorchScript":
                return torch.jit.load(path, map_location="cpu")
            with path.open("rb") as file:  # a path must end with .pt2
                return torch.export.load(file).module()
    except Exception as error:  # of C++, JSON, pickle and zip, without a common base
        raise ValueError(
            f"{path} is a damaged program of {kind}, or one of another version of torch "
            f"({first_line(error)}): save it again"
        ) from None
    finally:
        logging.disable(disabled)


def frozen(net: nn.Module) -> nn.Module:
    """Put a network into eval mode, stop its parameters from requiring gradients, in place, and return it.

    A program of torch.export stays in the mode that it was exported in; one that takes batches of one size
    alone is returned as a module that takes any.
    """
    for parameter in net.parameters():  # not requires_grad_ of the module, which TorchScript refuses
        parameter.requires_grad_(False)
    try:
        return net.eval()
    except NotImplementedError:
        return _any_batch(net)


class FixedBatch(nn.Module):
    """Calls a network that takes batches of one size alone; the last batch is filled up with zeros."""

    def __init__(self, net: nn.Module, size: int) -> None:
        super().__init__()
        self.net, self.size = net, size

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs for any number of images."""
        missing = -len(images) % self.size
        filled = torch.cat([images, images.new_zeros(missing, *images.shape[1:])])
        return torch.cat([self.net(batch) for batch in filled.split(self.size)])[: len(images)]


def _any_batch(net: nn.Module) -> nn.Module:
    graph = getattr(net, "graph", None)
    inputs = [node for node in getattr(graph, "nodes", ()) if node.op == "placeholder"]
    shape = getattr(inputs[0].meta.get("val"), "shape", ()) if len(inputs) == 1 else ()
    return FixedBatch(net, shape[0]) if shape and isinstance(shape[0], int) else net
