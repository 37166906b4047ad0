"""Checks that a classifier and labeled images belong together, before time is spent on them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from itn.functional import check_images, unit_float
from itn.models.behavior_checks import check_batch, check_repeat, first_logits
from itn.models.checked_images import CheckedImages
from itn.models.checks import Findings, check_accept
from itn.models.classifier import Classifier, as_classifier, predict
from itn.models.input_range import check_normalization, check_pixels
from itn.models.label_order import better_order
from itn.models.outputs import check_background, check_finite, check_kind, check_shape
from itn.runtime.errors import first_line
from itn.runtime.validation import require
from itn.runtime.wording import counted
from itn.stats import binomial_tail

SAMPLE = 32  # images on which the network is checked first
_CERTAIN = 3.1  # standard deviations above chance, which one in a thousand reaches by chance


def preflight(
    classifier: nn.Module,
    images: Tensor,
    labels: Tensor | None,
    batch_size: int = 256,
    accept: Sequence[str] = (),
) -> CheckedImages:
    """Check that a classifier and labeled images belong together, before time is spent on them.

    Args:
        classifier: The classifier under study.
        images: N x C x H x W, uint8 or float in [0, 1].
        labels: N, integers in [0, K); None: there are none, and the predictions stand in for them.
        batch_size: Images in one forward pass.
        accept: Checks that do not raise: in-place, batch, repeat, logits, labels, chance, range.

    Returns:
        The same images and labels with the predictions, on the CPU.

    Raises:
        ValueError: If images or labels are invalid, or if the network rejects them or does not return finite
            logits, or if a check finds something.
    """
    findings = Findings(check_accept(accept))
    return check_all(as_classifier(classifier), images, labels, batch_size, findings)


@torch.no_grad()
def check_all(
    classifier: Classifier, images: Tensor, labels: Tensor | None, batch_size: int, findings: Findings
) -> CheckedImages:
    """Do what ``preflight`` does; add to the findings what is accepted."""
    check_images(images, classifier.channels)
    require(batch_size >= 1, f"batch_size must be at least 1, got {batch_size}")
    require(
        classifier.device.type != "meta",
        f"{classifier.name} has no weights, as its tensors are on the device meta: load them first",
    )
    given = labels is not None
    labels = _as_tensor(labels) if given else torch.zeros(len(images), dtype=torch.int64)
    if labels.shape != images.shape[:1] or labels.is_floating_point() or labels.dtype == torch.bool:
        raise ValueError(
            f"labels must be {counted(len(images), 'integer')}, one per image, "
            f"got {labels.dtype} of shape {tuple(labels.shape)}"
            + (": take labels.argmax(1)" if labels.shape[:-1] == images.shape[:1] else "")
        )
    check_pixels(images, findings)
    classifier, classes = _check_network(classifier, images, batch_size, findings)
    if labels.min() < 0 or labels.max() >= classes:
        from_one = labels.min() == 1 and labels.max() == classes
        raise ValueError(
            f"labels run from {labels.min()} to {labels.max()}, but {classifier.name} has {classes} classes, "
            f"0 to {classes - 1}: "
            + ("subtract 1" if from_one else "give the number of its output for each image, or leave it out")
        )
    if (names := len(classifier.class_names or ())) > classes:
        raise ValueError(
            f"{classifier.name} has {counted(names, 'name')} for {counted(classes, 'output')}: give one for "
            "each in class_names, or none"
        )
    predictions = predict(classifier, images, batch_size).cpu().clone()
    if not given:
        return CheckedImages(images.cpu(), predictions, predictions)
    labels = labels.long()
    # What these find explains a low accuracy, so that chance would only repeat it
    if not (
        check_background(labels, predictions, classes, classifier.name, findings)
        or _check_order(classifier, labels, predictions, classes, findings)
        or check_normalization(classifier, images, labels, predictions, batch_size, findings)
    ):
        _check_chance(classifier, labels, predictions, classes, findings)
    return CheckedImages(images.cpu(), labels, predictions)


def _as_tensor(labels: object) -> Tensor:
    """Return what a user gives as labels."""
    try:
        return torch.as_tensor(labels).cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"labels must be integers, one per image ({first_line(error)}): give the numbers of the outputs "
            "of the classifier"
        ) from None


def spared(classifier: Classifier, findings: Findings) -> Classifier:
    """Return the classifier; if it is accepted that it writes into its images, one that is given copies."""
    return classifier.with_copies() if "in-place" in findings.accepted else classifier


def _check_network(
    classifier: Classifier, images: Tensor, batch_size: int, findings: Findings
) -> tuple[Classifier, int]:
    """Check how the network answers to some of the images; return it as it is to be used, and its classes."""
    # Evenly spaced, so that sorted images keep all classes
    rows = torch.linspace(0, len(images) - 1, min(batch_size, SAMPLE, len(images))).long()
    sample = unit_float(images[rows.to(images.device)].to(classifier.device))
    logits = first_logits(classifier, sample, findings)
    classifier = spared(classifier, findings)
    check_shape(logits, len(sample), classifier.name)
    check_finite(logits, classifier.name)
    # Answers of a network that is random say nothing on what else they depend
    if not check_repeat(classifier, sample, logits, findings):
        # Compiling for another number of images takes up to a minute, and changes nothing here
        check_batch(classifier.with_backend(classifier.precision, classifier.channels_last), sample, findings)
    check_kind(classifier.logits, sample, logits, classifier.name, findings)
    return classifier, logits.shape[1]


def _check_order(
    classifier: Classifier, labels: Tensor, predictions: Tensor, classes: int, findings: Findings
) -> bool:
    """Report labels in another order than the outputs; return whether they are."""
    better = better_order(labels, predictions, classes, classifier.class_names)
    if better is None:
        return False
    accuracy = float((labels == predictions).float().mean())
    findings.report(
        "labels",
        f"the labels are in another order than the outputs of {classifier.name}: {100 * accuracy:.1f} % of "
        f"the images are right as labeled, and {100 * better[1]:.1f} % if {better[0].text}; give as "
        "labels the numbers of its outputs, labels = order[labels], or for folders a class map",
    )
    return True


def _check_chance(
    classifier: Classifier, labels: Tensor, predictions: Tensor, classes: int, findings: Findings
) -> None:
    """Report predictions that know nothing of the labels."""
    accuracy, chance, deviations = balanced_accuracy(labels, predictions, classes)
    # With few images, halfway to perfect is enough
    if deviations > _CERTAIN or accuracy >= (1 + chance) / 2:
        return
    right = int((predictions == labels).sum())
    findings.report(
        "chance",
        f"{classifier.name} is at chance level on these images: {right} of {len(labels)} right, "
        f"which is {100 * accuracy:.1f} % in the mean over the classes that are present, where the "
        f"same answers in random order have {100 * chance:.1f} %; check the weights, the order of the labels "
        "and the normalization",
    )


def balanced_accuracy(labels: Tensor, predictions: Tensor, classes: int) -> tuple[float, float, float]:
    """Return the mean accuracy of the classes that are present, its chance level, and how far it is above.

    At chance level the same predictions are in random order, so that a constant answer is at chance level,
    and one among a thousand classes that is mostly right on two is not. How far above is in standard
    deviations of that order. Of a single class, whose labels have no order, chance is one of all classes.
    """
    n, counts = len(labels), labels.bincount(minlength=classes).double()
    present = counts > 0
    right = labels[labels == predictions].bincount(minlength=classes).double()
    accuracy, classes_present = float((right / counts)[present].mean()), int(present.sum())
    if classes_present == 1:
        certain = binomial_tail(int(right.sum()), n, 1 / classes) < 1e-3
        return accuracy, 1 / classes, torch.inf if certain else 0.0
    counts, answers = counts[present], predictions.bincount(minlength=classes).double()[present]
    # How many images of a class are right is hypergeometric; the classes share the answers
    variance = (
        (answers * (n - counts) * (n - answers) / counts).sum() + answers.sum() ** 2 - answers.square().sum()
    ) / (n**2 * (n - 1))
    chance, spread = float(answers.sum()) / n / classes_present, float(variance.sqrt()) / classes_present
    return accuracy, chance, (accuracy - chance) / spread if spread else 0.0
