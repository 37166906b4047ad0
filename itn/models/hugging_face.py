"""Image classifiers of Hugging Face's transformers, with what their image processors do to photographs."""

import dataclasses
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor, nn

from itn.models.checkpoints import Checkpoint, read_checkpoint, shown
from itn.models.classifier import Classifier
from itn.models.downloads import hugging_face_file
from itn.models.preprocessing import Preprocessing
from itn.models.state_dicts import matched
from itn.runtime.errors import first_line
from itn.runtime.validation import user_path

_TOLERANCE = 0.02  # mean difference in [0, 1]: libraries round differently, and crop half a pixel beside


def hugging_face_classifier(
    name: str, weights: str | Path | None = None, weights_key: str | None = None
) -> Classifier:
    """Load an image classifier of transformers with its size, mean, std and class names.

    Args:
        name: A folder that ``save_pretrained`` wrote, with its image processor; or OWNER/NAME on the hub.
        weights: A file of weights instead of its own.
        weights_key: Which state dict in the file.

    Raises:
        ValueError: If transformers is not installed or cannot load it, some weights are missing, or images
            are prepared in ways that ``Preprocessing`` does not know.
    """
    full = f"hf:{name}"
    if find_spec("transformers") is None:
        raise ValueError(f'{full} needs transformers: pip install "itn[huggingface]"')
    name = str(user_path(name)) if name.startswith("~") else name
    if not Path(name).is_dir() and name.startswith(("/", ".", "\\")):
        raise ValueError(f"there is no folder {name}: give one that save_pretrained wrote, or hf:OWNER/NAME")
    if not Path(name).is_dir():
        hugging_face_file(name, "config.json", full, "--local-dir FOLDER, and give hf:FOLDER")
    elif weights is None and not any(Path(name).glob("*.safetensors")):
        for path in Path(name).glob("pytorch_model*.bin"):
            read_checkpoint(path)  # refuses what could run code
    checkpoint = Checkpoint(Path(name), {}) if weights is None else read_checkpoint(weights, weights_key)
    with _quiet() as transformers:
        try:
            config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
            processor = transformers.AutoImageProcessor.from_pretrained(name, trust_remote_code=False)
            auto = transformers.AutoModelForImageClassification
            options: dict[str, Any] = {"output_loading_info": True, "trust_remote_code": False}
            if weights is None:
                net, loaded = auto.from_pretrained(name, **options)
            else:
                net = auto.from_config(config)
                checkpoint = matched(checkpoint, net.state_dict())
                # transformers renames tensors, as its files have older names than its networks
                options |= {"config": config, "state_dict": dict(checkpoint.state)}
                net, loaded = type(net).from_pretrained(None, **options)
            names = [str(config.id2label[index]) for index in range(config.num_labels)]
            mean, std = processor.image_mean, processor.image_std
            if not processor.do_normalize:
                mean, std = (0.0,) * 3, (1.0,) * 3
        except Exception as error:  # of many libraries, without a common base
            reason = shown([first_line(error)])
            cure = "give a folder that save_pretrained of both wrote, or wrap it in FILE.py:factory"
            if weights is not None:
                cure = f"if {weights} has other classes, give the folder of the network that it is from"
            raise ValueError(
                f"transformers cannot load {full} as an image classifier and its processor ({reason}): {cure}"
            ) from None
    if missing := sorted(loaded["missing_keys"]):
        raise ValueError(
            f"{full} has no weights for {shown(missing)}: give a network that was trained as a classifier"
        )
    if others := sorted(loaded["unexpected_keys"]):
        notes = (*checkpoint.notes, f"left out: {shown(others)}")
        checkpoint = dataclasses.replace(checkpoint, notes=notes)
    named = names[:1] != ["LABEL_0"]  # what transformers calls them without names
    classifier = Classifier(_Logits(net), mean, std, name=full, class_names=names if named else None)
    classifier.preprocessing = _preprocessing(processor, classifier, full)
    classifier.weights = checkpoint.record()
    return classifier


class _Logits(nn.Module):
    """Calls an image classifier of transformers."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """Return its logits."""
        return self.net(pixel_values=images).logits


def _preprocessing(processor: Any, classifier: Classifier, full: str) -> Preprocessing:
    """Return what an image processor does before normalization, checked against it on a picture.

    Raises:
        ValueError: If that is more than resizing and cropping the center.
    """
    y, x = np.mgrid[0:1:300j, 0:1:380j]
    waves = [np.sin(2 * np.pi * (2 * x + y + 0.1)), np.cos(9 * x * y), np.sin(11 * y - 3 * x)]
    picture = Image.fromarray((127.5 + 100 * np.stack(waves, 2)).astype(np.uint8))
    try:
        expected = processor(images=picture, return_tensors="pt")["pixel_values"]
        crop = (int(expected.shape[2]), int(expected.shape[3]))
        interpolation: Any = Image.Resampling(processor.resample).name.lower()
        for resize in _resizes(processor, crop):
            preprocessing = Preprocessing(resize, crop, interpolation)
            pixels = np.asarray(preprocessing(picture)) / 255
            seen = expected[0] * classifier.std + classifier.mean
            if np.abs(seen.permute(1, 2, 0).numpy() - pixels).mean() < _TOLERANCE:
                return preprocessing
    except Exception:  # whatever a processor lacks that resizes and crops
        pass
    raise ValueError(
        f"the image processor of {full} does more than resize, crop the center and normalize, which itn does "
        "not support: prepare its images yourself, and wrap it in FILE.py:factory"
    )


def _resizes(processor: Any, crop: tuple[int, int]) -> Iterator[int | tuple[int, int]]:
    """Yield what a processor may resize to, as processors differ in what their settings mean."""
    size = dict(processor.size)
    if side := size.get("shortest_edge"):
        yield side
        yield int(side / (getattr(processor, "crop_pct", None) or 1))
        yield int(side * 256 / 224)  # LeViT
    if size.get("height"):
        yield size["height"], size["width"]
    yield crop


@contextmanager
def _quiet() -> Iterator[Any]:
    """Import transformers, without its progress bars and warnings inside the block."""
    transformers = importlib.import_module("transformers")
    logging = transformers.utils.logging
    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield transformers
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
