"""How a classifier runs, checked before a run begins."""

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from itn.runtime.errors import first_line
from itn.runtime.validation import Precision


class BackendSettings(Protocol):
    """How a classifier runs, and how many of its outputs count as the answer."""

    @property
    def precision(self) -> Precision:
        """Precision of the classifier."""

    @property
    def channels_last(self) -> bool:
        """Whether images are in this memory format."""

    @property
    def compile(self) -> bool:
        """Whether it is compiled."""

    @property
    def topk(self) -> int:
        """How many of the largest outputs count as the answer."""


def check_settings(name: str, config: BackendSettings, classify: Callable[[], Tensor]) -> None:
    """Raise ValueError unless a network of that name runs with its settings and has more than topk outputs.

    Args:
        name: Of the classifier.
        config: The settings.
        classify: Returns the logits of a few images with these settings, B x K.
    """
    try:
        logits = classify()
    except Exception as error:  # whatever a user's network raises
        raise ValueError(
            f"{name} cannot run with channels_last={config.channels_last}, compile={config.compile} and "
            f"precision={config.precision}, but it can with the defaults: {first_line(error)}"
        ) from None
    if logits.shape[1] <= config.topk:
        raise ValueError(
            f"topk must be less than the {logits.shape[1]} outputs of {name}, got {config.topk}: with all of "
            "them every image is right"
        )
    if not logits.isfinite().all():
        raise ValueError(f"{name} overflows in {config.precision}: take float32")
