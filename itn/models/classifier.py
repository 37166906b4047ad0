"""A frozen image classifier with its normalization, and its predictions."""

import copy
import hashlib
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from itn.functional import check_images, unit_float
from itn.models.outputs import OutputSetting, find_logits
from itn.models.preprocessing import Preprocessing
from itn.models.programs import frozen
from itn.runtime.batching import map_in_memory

LARGEST_STD = 2.0  # of pixels in [0, 1] it is at most 0.5; larger ones are of pixels from 0 to 255


class Classifier(nn.Module):
    """A trained, permanently frozen network that takes images in [0, 1] and returns logits.

    The network is put into eval mode and its parameters stop requiring gradients, in place;
    ``train()`` on this module or on one that holds it changes neither. Gradients still flow to the
    images.

    Args:
        net: Any module that takes normalized float images B x C x H x W and returns logits B x K.
        mean: Subtracted from each channel of an image in [0, 1], itself in [0, 1]; its length is the required
            number of channels. None: the network takes images in [0, 1] with any number of channels.
        std: Divisor after subtraction, in (0, 2]; required if and only if ``mean`` is given.
        name: Its name in results; None: the class of the network, or, in a user's file, what --model says.
        class_names: One name for each logit; default "0", "1", ...
        class_ids: A second name for each logit that class folders may have, such as WordNet ids.
        preprocessing: Turns photographs of any size into its input; None takes images unchanged.
        output: Where the logits are in what the network returns: the name of a member or key of it, or a
            function from it to them. None: it is a tensor of logits, or has one that is called logits.

    Example:
        >>> clf = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), mean=(0.13,), std=(0.31,))
        >>> clf(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    mean: Tensor
    std: Tensor
    precision = "float32"
    channels_last = False
    gives_copies = False
    compiled: Callable[[Tensor], Tensor] | None = None
    weights: Mapping[str, Any] | None = None
    """What a result says of the file that its weights were read from."""

    def __init__(
        self,
        net: nn.Module,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        *,
        name: str | None = None,
        class_names: Sequence[str] | None = None,
        class_ids: Sequence[str] | None = None,
        preprocessing: Preprocessing | None = None,
        output: OutputSetting = None,
    ) -> None:
        super().__init__()
        if not isinstance(net, nn.Module):
            raise ValueError(
                f"net must be a torch.nn.Module, got {str(net)[:80]!r}: a classifier is made from a name "
                "by itn.load_classifier, and a module from a function by making it its forward"
            )
        means, stds = _numbers("mean", mean), _numbers("std", std)
        if (mean is None) != (std is None) or len(means) != len(stds):
            raise ValueError(f"mean and std must both have one number per channel, got {mean} and {std}")
        valid = all(0 <= mean <= 1 for mean in means) and all(0 < std <= LARGEST_STD for std in stds)
        if not valid or (mean is not None and not means):
            raise ValueError(_out_of_range(means, stds))
        if not (output is None or isinstance(output, str) or callable(output)):
            raise ValueError(
                f"output must be a name or a function, such as lambda out: out[0], got {output!r}"
            )
        self.training = False
        self.output = output
        self.net = frozen(net)
        self.channels = None if mean is None else len(means)
        self.has_name = name is not None
        inner = str(getattr(net, "name", "")) if isinstance(net, Classifier) else type(net).__name__
        self.name = inner if name is None else name
        self.class_names = _names("class_names", class_names)
        self.class_ids = _names("class_ids", class_ids)
        self.preprocessing = preprocessing
        like = next(net.parameters(), torch.zeros(()))
        for key, values in (("mean", means or (0.0,)), ("std", stds or (1.0,))):
            self.register_buffer(key, like.new_tensor(values).view(-1, 1, 1))

    def train(self, mode: bool = True) -> "Classifier":
        """Ignore ``mode``: the network stays in eval mode."""
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, B x K, of images B x C x H x W, uint8 or float in [0, 1].

        Raises:
            ValueError: If shape, dtype, range or number of channels of the images is invalid.
        """
        if not torch.compiler.is_compiling():
            check_images(images, self.channels)
        return self.logits(images)

    def logits(self, images: Tensor) -> Tensor:
        """``forward`` without its checks, for inner loops over images that have been checked."""
        logits = find_logits(self.returned(images), self.output)
        return logits if self.precision == "float32" else logits.float()

    def returned(self, images: Tensor) -> Any:
        """Return all that the network returns for images that have been checked, as it is."""
        images = unit_float(images, self.mean.dtype).to(self.mean.dtype)
        normalized = images if self.channels is None else (images - self.mean) / self.std
        if self.gives_copies:
            normalized = normalized.clone()
        if self.channels_last:
            normalized = normalized.contiguous(memory_format=torch.channels_last)
        net = self.net if self.compiled is None else self.compiled
        if self.precision == "float32":
            return net(normalized)
        with torch.autocast(self.device.type, getattr(torch, self.precision)):
            return net(normalized)

    def with_backend(
        self, precision: str, channels_last: bool = False, compile: bool = False
    ) -> "Classifier":
        """Return a classifier that runs the same network with other settings.

        Args:
            precision: float32, or bfloat16 or float16 by autocast. Logits are always float32.
            channels_last: Pass images in the channels-last memory format.
            compile: Run it by ``torch.compile``, which compiles at the first call.
        """
        other = copy.copy(self)
        other.precision, other.channels_last = precision, channels_last
        # Not as a submodule, which would change the names of weights and so their hash
        object.__setattr__(other, "compiled", torch.compile(self.net) if compile else None)
        return other

    def with_copies(self) -> "Classifier":
        """Return a classifier whose network, which may write into its images, is given copies of them."""
        other = copy.copy(self)
        other.gives_copies = True
        return other

    @property
    def device(self) -> torch.device:
        """The device that the classifier is on."""
        return self.mean.device

    def class_name(self, index: int) -> str:
        """Return the name of one logit."""
        names = self.class_names or ()
        return names[index] if index < len(names) else str(index)

    def sha256(self) -> str:
        """Return a hash of all weights and buffers, to tell one trained network from another."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


def as_classifier(given: nn.Module) -> Classifier:
    """Return a classifier; another module is wrapped as one that takes images in [0, 1], with a warning.

    Raises:
        ValueError: If it is no module.
    """
    if isinstance(given, Classifier):
        return given
    if not isinstance(given, nn.Module):
        raise ValueError(
            f"a classifier must be an itn.Classifier or a torch.nn.Module, got {str(given)[:80]!r}: "
            "itn.load_classifier makes one from a name, itn.Classifier(net, mean=..., std=...) from a module"
        )
    warnings.warn(
        f"{type(given).__name__} is taken to expect images in [0, 1]: if it expects normalized ones, give "
        "itn.Classifier(net, mean=..., std=...), otherwise itn.Classifier(net)",
        stacklevel=3,
    )
    return Classifier(given)


def _out_of_range(means: tuple[float, ...], stds: tuple[float, ...]) -> str:
    """Return in words what is wrong with the numbers of a normalization, and the likely cause."""
    cause = "std is what is divided by"
    if max(map(abs, means + stds), default=0) > LARGEST_STD:
        cause = "images are in [0, 1] here; if these are for pixels from 0 to 255, divide both by 255"
    elif min(means, default=0) < 0:
        cause = "mean is what is subtracted"
    return f"mean must lie in [0, 1] and std in (0, {LARGEST_STD:g}], got {means} and {stds}: {cause}"


def _numbers(name: str, values: Iterable[float] | None) -> tuple[float, ...]:
    """Return a sequence of numbers, such as an array or a tensor, as a tuple; None as an empty one."""
    try:
        return () if values is None else tuple(float(value) for value in values)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(
            f"{name} must have one number per channel, got {values!r}: write (0.5,) for gray images, "
            "(0.5, 0.5, 0.5) for RGB"
        ) from None


def _names(name: str, values: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return a sequence of names, such as an array, as a tuple of plain strings."""
    if values is None:
        return None
    names = tuple(values)
    if isinstance(values, str) or not all(isinstance(each, str) for each in names):
        raise ValueError(f"{name} must be a sequence of names, one for each logit, got {values!r}")
    return tuple(map(str, names))


@torch.inference_mode()
def predict(classifier: nn.Module, images: Tensor, batch_size: int = 256) -> Tensor:
    """Return the predicted classes, int64, N, of valid images, N x C x H x W."""
    classifier = as_classifier(classifier)

    def evaluate_batch(rows: slice) -> Tensor:
        return classifier.logits(images[rows].to(classifier.device)).argmax(1)

    predictions, _ = map_in_memory(len(images), batch_size, evaluate_batch)
    none = torch.empty(0, dtype=torch.int64, device=classifier.device)
    return torch.cat(predictions or [none])


def margins(logits: Tensor, labels: Tensor, topk: int = 1) -> Tensor:
    """Return how much the label's logit exceeds the k-th largest other, B; positive if it is among the first.

    Args:
        logits: B x K.
        labels: B, on the same device.
        topk: k, less than K; with 1 it is the largest of all others.
    """
    logits, label = logits.float(), labels[:, None]
    others = logits.scatter(1, label, -torch.inf)
    return logits.gather(1, label)[:, 0] - others.topk(topk, 1).values[:, -1]


def among_first(logits: Tensor, labels: Tensor, topk: int = 1) -> Tensor:
    """Return whether the label is among the ``topk`` classes with the largest logits, bool, B.

    Of equal logits the first counts as larger, as it does to argmax.

    Raises:
        ValueError: If there are no more classes than that.
    """
    if topk == 1:
        return logits.argmax(1) == labels
    check_topk(topk, logits.shape[1])
    label, number = labels[:, None], torch.arange(logits.shape[1], device=logits.device)
    own = logits.gather(1, label)
    return ((logits > own) | ((logits == own) & (number < label))).sum(1) < topk


def check_topk(topk: int, classes: int) -> None:
    """Raise ValueError unless there are more classes than count as right."""
    if topk >= classes > 1:
        raise ValueError(f"the top {topk} of {classes} classes are all of them: give a smaller topk")
