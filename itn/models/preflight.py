"""Checks that a classifier and labeled images belong together, before time is spent on them."""

import torch
from torch import Tensor, nn

from itn.functional import check_images, unit_float
from itn.models.checked_images import CheckedImages
from itn.models.classifier import Classifier, as_classifier, predict
from itn.runtime.batching import map_in_memory
from itn.runtime.errors import RunError, first_line
from itn.runtime.wording import counted
from itn.stats import binomial_tail

SAMPLE = 32  # images on which the network is checked first
GRADIENT_SAMPLE = 8  # images on which gradients are looked for


@torch.no_grad()
def preflight(
    classifier: nn.Module, images: Tensor, labels: Tensor | None, batch_size: int = 256
) -> CheckedImages:
    """Check that a classifier and labeled images belong together, before time is spent on them.

    Args:
        classifier: The classifier under study.
        images: N x C x H x W, uint8 or float in [0, 1].
        labels: N, integers in [0, K); None: there are none, and the predictions stand in for them.
        batch_size: Images in one forward pass.

    Returns:
        The same images and labels with the predictions, on the CPU.

    Raises:
        ValueError: If images or labels are invalid, or if the network rejects them, writes into them, does
            not return repeatable finite logits, or is not better than chance.
    """
    classifier = as_classifier(classifier)
    check_images(images, classifier.channels)
    given = labels is not None
    labels = torch.as_tensor(labels).cpu() if given else torch.zeros(len(images), dtype=torch.int64)
    if labels.shape != images.shape[:1] or labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(
            f"labels must be {counted(len(images), 'integer')}, one per image, "
            f"got {labels.dtype} of shape {tuple(labels.shape)}"
        )
    sample = images[: min(batch_size, SAMPLE)].to(classifier.device)
    check_in_place(classifier, sample)
    logits = classifier.logits(sample)
    if not isinstance(logits, Tensor):
        raise ValueError(f"{classifier.name} returns a {type(logits).__name__}, expected a tensor of logits")
    _check_logits(classifier, logits, classifier.logits(sample))
    classes = logits.shape[1]
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"labels run from {labels.min()} to {labels.max()}, but {classifier.name} has {classes} classes, "
            f"0 to {classes - 1}"
        )
    predictions = predict(classifier, images, batch_size).cpu().clone()
    if not given:
        return CheckedImages(images.cpu(), predictions, predictions)
    checked = CheckedImages(images.cpu(), labels.long(), predictions)
    correct = int(checked.clean.sum())
    counts = labels.bincount()
    # Several classes reveal a constant prediction; a single one does not
    chance = float(counts.max() / counts.sum()) if (counts > 0).sum() > 1 else 1 / classes
    # With few images, halfway to perfect is enough
    doubtful = correct / len(labels) < (1 + chance) / 2
    if doubtful and binomial_tail(correct, len(labels), chance) > 1e-3:
        raise ValueError(
            f"{classifier.name} is at chance level on these images: {correct} of {len(labels)} right "
            f"({100 * correct / len(labels):.1f} %, a constant answer has {100 * chance:.1f} %); "
            "check the weights, the order of the labels and the normalization"
        )
    return checked


@torch.no_grad()
def check_in_place(classifier: Classifier, images: Tensor) -> None:
    """Check that a network takes images of this size, and leaves them as they are.

    Args:
        classifier: The classifier under study.
        images: B x C x H x W, uint8 or float in [0, 1]; the network is given a copy of them.

    Raises:
        ValueError: If it rejects them or writes into them.
    """
    before = unit_float(images)
    given = before.clone()
    try:
        classifier.logits(given)
    except Exception as error:  # whatever a user's network raises
        size = "x".join(map(str, images.shape[1:]))
        raise ValueError(f"{classifier.name} cannot take images of {size}: {first_line(error)}") from None
    if not torch.equal(given, before):
        raise ValueError(
            f"{classifier.name} writes into the images that it is given ({_written(before, given)}): this "
            "would overwrite your images and falsify whatever is measured on them afterwards; write "
            "x = (x - mean) / std in its forward, not x.sub_(mean).div_(std), or begin it with x = x.clone()"
        )


def check_gradient(classifier: Classifier, data: CheckedImages, batch_size: int = 256) -> None:
    """Check that gradients of the logits reach the images; learning needs them, screening does not.

    Raises:
        ValueError: If they do not, or if the network cannot be differentiated.
        RunError: If a single image does not fit into memory.
    """
    # Compiling takes up to a minute, and changes nothing here
    plain = classifier.with_backend(classifier.precision, classifier.channels_last)
    sample = data.spread(GRADIENT_SAMPLE).pixels(slice(None), classifier.device)
    # Where images are classified with certainty the gradient may vanish; between two of them it does not
    probes = torch.cat([sample, (sample + sample.roll(1, 0)) / 2])
    try:
        found, _ = map_in_memory(len(probes), batch_size, lambda rows: _has_gradient(plain, probes[rows]))
    except RunError:
        raise
    except Exception as error:  # whatever a user's network raises
        raise ValueError(
            f"{classifier.name} cannot be differentiated, which learning needs ({first_line(error)}): "
            "its forward must consist of operations of torch that have a gradient"
        ) from None
    if not any(found):
        raise ValueError(
            f"{classifier.name} passes no gradient to the images: learning follows it, and would report too "
            "small a family; leave out what stops it in its forward, such as torch.no_grad(), .detach(), "
            ".data, .numpy(), rounding or a conversion to integers; itn screen needs no gradient"
        )


def _has_gradient(classifier: Classifier, images: Tensor) -> bool:
    """Return whether the gap between the two largest logits has a gradient anywhere in the images."""
    images = images.clone().requires_grad_()
    with torch.enable_grad():
        largest = classifier.logits(images).float().topk(2).values
        if not largest.requires_grad:
            return False
        # Not the sum of the logits, which may be constant
        gap = largest[:, 0] - largest[:, 1]
        (gradient,) = torch.autograd.grad(gap.sum(), images, allow_unused=True)
    return gradient is not None and bool(gradient.count_nonzero())


def _written(before: Tensor, after: Tensor) -> str:
    """Return in words how images have changed."""
    if after.shape != before.shape:
        return f"their shape {tuple(before.shape)} became {tuple(after.shape)}"
    spans = [f"{float(images.min()):.3g} to {float(images.max()):.3g}" for images in (before, after)]
    return f"pixels from {spans[0]} became {spans[1]}"


def _check_logits(classifier: Classifier, logits: Tensor, repeated: Tensor) -> None:
    if logits.ndim != 2 or logits.shape[1] < 2:
        raise ValueError(
            f"{classifier.name} returns shape {tuple(logits.shape)}, expected logits B x classes"
        )
    if not logits.isfinite().all():
        raise ValueError(f"{classifier.name} returns non-finite logits on these images: check its weights")
    if not torch.allclose(logits, repeated, rtol=1e-3, atol=1e-4):
        raise ValueError(f"{classifier.name} answers differently the second time: is its dropout on?")
    if logits.min() >= 0 and torch.allclose(logits.sum(1), torch.ones_like(logits[:, 0]), atol=1e-3):
        raise ValueError(f"{classifier.name} returns probabilities, expected logits: drop its last softmax")


def suitable_batch(images: Tensor, device: torch.device) -> int:
    """Return how many images to pass at once; larger batches of photographs only cost memory and time."""
    values = 2**22 if device.type == "cpu" else 2**25
    return max(1, min(250, values // images[0].numel()))
