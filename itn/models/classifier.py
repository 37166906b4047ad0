"""A frozen image classifier that owns its normalisation: wrapping it, and checks before work."""

import copy
import dataclasses
import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from itn.functional.color import check_images, unit_float
from itn.models.preprocessing import Preprocessing
from itn.runtime import distributed
from itn.stats.sampling import binomial_tail

SAMPLE = 32  # images that a network is tried with


class Classifier(nn.Module):
    """A trained network, frozen for good, that takes images in [0, 1] and returns logits.

    The network is put into eval mode and its parameters stop requiring gradients, in place;
    ``train()`` on this module or on one that holds it changes neither. Gradients still flow to the
    images.

    Args:
        net: Any module that takes normalised float images B x C x H x W and returns logits B x K.
        mean: What to subtract from each channel of an image in [0, 1]; its length is the number of
            channels insisted on. None: the network takes images in [0, 1], of any channel count.
        std: What to divide by afterwards; given if and only if ``mean`` is.
        name: What to call it in results.
        class_names: One name for each logit; default "0", "1", ...
        class_ids: A second name for each logit by which folders of images may be called, such as WordNet ids.
        preprocessing: How photographs of any size become its input; None takes images as they are.

    Example:
        >>> clf = Classifier(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), mean=(0.13,), std=(0.31,))
        >>> clf(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    mean: Tensor
    std: Tensor
    precision = "float32"
    channels_last = False
    compiled: Callable[[Tensor], Tensor] | None = None

    def __init__(
        self,
        net: nn.Module,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        *,
        name: str = "classifier",
        class_names: Sequence[str] | None = None,
        class_ids: Sequence[str] | None = None,
        preprocessing: Preprocessing | None = None,
    ) -> None:
        super().__init__()
        if (mean is None) != (std is None) or len(mean or ()) != len(std or ()):
            raise ValueError(f"mean and std come together, one number per channel each, got {mean} and {std}")
        if std is not None and min(std) <= 0:
            raise ValueError(f"std must be positive, got {tuple(std)}")
        self.training = False
        self.net = net.eval().requires_grad_(False)
        self.channels = None if mean is None else len(mean)
        self.name = name
        self.class_names = None if class_names is None else tuple(class_names)
        self.class_ids = None if class_ids is None else tuple(class_ids)
        self.preprocessing = preprocessing
        like = next(net.parameters(), torch.zeros(()))
        for key, values in (("mean", mean or (0.0,)), ("std", std or (1.0,))):
            self.register_buffer(key, like.new_tensor(values).view(-1, 1, 1))

    def train(self, mode: bool = True) -> "Classifier":
        """Leave the network in eval mode, whatever ``mode`` says."""
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, B x K, of images B x C x H x W, uint8 or float in [0, 1].

        Raises:
            ValueError: If shape, dtype, range or channel count of the images is not that.
        """
        if not torch.compiler.is_compiling():
            check_images(images, self.channels)
        return self.logits(images)

    def logits(self, images: Tensor) -> Tensor:
        """``forward`` without its checks, for loops that have checked their images once."""
        images = unit_float(images, self.mean.dtype).to(self.mean.dtype)
        normalised = images if self.channels is None else (images - self.mean) / self.std
        if self.channels_last:
            normalised = normalised.contiguous(memory_format=torch.channels_last)
        net = self.net if self.compiled is None else self.compiled
        if self.precision == "float32":
            return net(normalised)
        with torch.autocast(self.device.type, getattr(torch, self.precision)):
            return net(normalised).float()

    def running(self, precision: str, channels_last: bool = False, compile: bool = False) -> "Classifier":
        """Return a classifier with the same network, which runs it otherwise.

        Args:
            precision: float32, or that of autocast: bfloat16 or float16. Logits are float32 in any case.
            channels_last: Hand images to the network in that memory format.
            compile: Run it by ``torch.compile``, which compiles it when it first sees images.
        """
        other = copy.copy(self)
        other.precision, other.channels_last = precision, channels_last
        # Not as a submodule: names of weights, and so their hash, stay what they are
        object.__setattr__(other, "compiled", torch.compile(self.net) if compile else None)
        return other

    @property
    def device(self) -> torch.device:
        """The device that the classifier lies on."""
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


@dataclasses.dataclass(frozen=True)
class CheckedImages:
    """Labelled images that passed ``preflight``, with what the classifier says of them unchanged."""

    images: Tensor
    """N x C x H x W, uint8 or float in [0, 1]."""
    labels: Tensor
    """N, int64."""
    predictions: Tensor
    """Clean predictions, N, int64."""

    @property
    def clean(self) -> Tensor:
        """Whether the clean prediction is right, bool, N."""
        return self.predictions == self.labels

    @classmethod
    def joined(cls, sets: "Sequence[CheckedImages]") -> "CheckedImages":
        """Return the images of several sets, one after the other."""
        return cls(*(torch.cat([getattr(each, name) for each in sets]) for name in cls.__annotations__))

    def part(self, index: Tensor) -> "CheckedImages":
        """Return the images at an index tensor."""
        return CheckedImages(self.images[index], self.labels[index], self.predictions[index])

    def spread(self, most: int) -> "CheckedImages":
        """Return at most so many images, evenly spaced, so that images sorted by class keep all classes."""
        return self.part(torch.linspace(0, len(self) - 1, min(most, len(self))).long())

    def to(self, device: torch.device) -> "CheckedImages":
        """Return the same on another device, but for images that would take a quarter of what is free."""
        fits = device.type != "cuda" or 4 * self.images.nbytes <= torch.cuda.mem_get_info(device)[0]
        images = self.images.to(device) if fits else self.images
        return CheckedImages(images, self.labels.to(device), self.predictions.to(device))

    def pixels(self, index: Tensor | slice, device: torch.device) -> Tensor:
        """Return some images as floats in [0, 1] on a device, wherever the set lies."""
        chosen = self.images[index if isinstance(index, slice) else index.to(self.images.device)]
        if device.type == "cuda" and chosen.device.type == "cpu":
            chosen = chosen.pin_memory()  # is copied while the GPU works
        return unit_float(chosen.to(device, non_blocking=True))

    def __len__(self) -> int:
        return len(self.labels)


@torch.no_grad()
def preflight(classifier: Classifier, images: Tensor, labels: Tensor, batch_size: int = 256) -> CheckedImages:
    """Check that a classifier and labelled images belong together, before time is spent on them.

    Args:
        classifier: What is to be studied.
        images: N x C x H x W, uint8 or float in [0, 1].
        labels: N, integers in [0, K).
        batch_size: Images in one forward pass.

    Returns:
        The same images and labels with their clean predictions, on the CPU.

    Raises:
        ValueError: If images or labels are invalid, if the network rejects them, returns something
            else than repeatable finite logits, or is not better than chance.
    """
    check_images(images, classifier.channels)
    labels = torch.as_tensor(labels).cpu()
    if labels.shape != images.shape[:1] or labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(
            f"labels must be {len(images)} integers, one per image, "
            f"got {labels.dtype} of shape {tuple(labels.shape)}"
        )
    sample = images[: min(batch_size, SAMPLE)].to(classifier.device)
    try:
        logits = classifier.logits(sample)
    except Exception as error:  # whatever a user's network raises
        size = "x".join(map(str, images.shape[1:]))
        raise ValueError(f"{classifier.name} cannot take images of {size}: {first_line(error)}") from None
    if not isinstance(logits, Tensor):
        raise ValueError(f"{classifier.name} returns a {type(logits).__name__}, expected a tensor of logits")
    _check_logits(classifier, logits, classifier.logits(sample))
    classes = logits.shape[1]
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"labels run from {labels.min()} to {labels.max()}, but {classifier.name} has {classes} classes, "
            f"0 to {classes - 1}"
        )
    predictions = predict(classifier, images, batch_size)
    checked = CheckedImages(images.cpu(), labels.long(), predictions.cpu())
    correct = int(checked.clean.sum())
    counts = labels.bincount()
    # One class alone says nothing about a constant answer; several do.
    chance = float(counts.max() / counts.sum()) if (counts > 0).sum() > 1 else 1 / classes
    # A few images cannot prove much; halfway to perfect will do for them
    doubtful = correct / len(labels) < (1 + chance) / 2
    if doubtful and binomial_tail(correct, len(labels), chance) > 1e-3:
        raise ValueError(
            f"{classifier.name} is at chance level on these images: {correct} of {len(labels)} right "
            f"({100 * correct / len(labels):.1f} %, a constant answer has {100 * chance:.1f} %); "
            "check the weights, the order of the labels and the normalisation"
        )
    return checked


@torch.inference_mode()
def predict(classifier: Classifier, images: Tensor, batch_size: int = 256) -> Tensor:
    """Return the predicted classes, int64, N, of valid images N x C x H x W."""

    def look(rows: slice) -> Tensor:
        return classifier.logits(images[rows].to(classifier.device)).argmax(1)

    return torch.cat(distributed.in_batches(len(images), batch_size, look)[0])


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """Return by how much the label's logit exceeds all others, B: above 0 the image is recognised.

    Args:
        logits: B x K.
        labels: B, on the same device.
    """
    logits, label = logits.float(), labels[:, None]
    return logits.gather(1, label)[:, 0] - logits.scatter(1, label, -torch.inf).amax(1)


def first_line(error: BaseException) -> str:
    """Return what an error says, or its type, on one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _check_logits(classifier: Classifier, logits: Tensor, again: Tensor) -> None:
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(
            f"{classifier.name} returns shape {tuple(logits.shape)}, expected logits B x classes"
        )
    if not logits.isfinite().all():
        raise ValueError(f"{classifier.name} returns non-finite logits on these images: check its weights")
    if not torch.allclose(logits, again, rtol=1e-3, atol=1e-4):
        raise ValueError(f"{classifier.name} answers differently the second time: is its dropout on?")
    if logits.min() >= 0 and torch.allclose(logits.sum(1), torch.ones_like(logits[:, 0]), atol=1e-3):
        raise ValueError(f"{classifier.name} returns probabilities, expected logits: drop its last softmax")
