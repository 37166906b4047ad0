"""``itn doctor``: what a question about an installation asks first."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import torch
from huggingface_hub.constants import HF_HUB_CACHE

from itn.models.libraries import LITE
from itn.models.sources import pretrained_folder
from itn.runtime.provenance import provenance
from itn.runtime.tables import text_table

EXTRAS = {
    "imagenet": [*LITE.values()],
    "heic": ["pillow_heif"],
    "huggingface": ["transformers"],
    "explore": ["gradio"],
    "pandas": ["pandas"],
}
GIB = 2**30


def doctor_command() -> None:
    """Show versions, devices, and where weights are looked for: what to send along with a question."""
    print(text_table(list(_findings()), ("what", "here")))


def _findings() -> Iterator[tuple[str, str]]:
    known = provenance(torch.device("cpu"))
    for name in ("itn", "commit", "python", "torch", "torchvision", "timm", "kornia", "numpy", "scipy"):
        yield name, str(known[name] or "unknown")
    for extra, packages in EXTRAS.items():
        cure = f'not installed: pip install "itn[{extra}]"'
        yield f"extra {extra}", "installed" if all(map(importlib.util.find_spec, packages)) else cure
    yield "cpu", f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads"
    yield "cuda", ", ".join(map(_cuda_device, range(torch.cuda.device_count()))) or "none"
    yield "mps", "available, untested" if torch.backends.mps.is_available() else "none"
    yield "--device auto", "cuda" if torch.cuda.is_available() else "cpu"
    yield "shipped weights", _folder(pretrained_folder())
    yield "torchvision weights", _folder(Path(torch.hub.get_dir()) / "checkpoints")
    yield "timm, Hugging Face", _folder(Path(HF_HUB_CACHE))


def _cuda_device(number: int) -> str:
    device = torch.cuda.get_device_properties(number)
    return f"{device.name}, {device.total_memory / GIB:.0f} GiB"


def _folder(path: Path) -> str:
    return str(path) if path.is_dir() else f"{path} (not there yet)"
