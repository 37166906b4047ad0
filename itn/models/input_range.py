"""Whether images or their normalization look applied twice, or not at all."""

from collections.abc import Iterator

import torch
from torch import Tensor

from itn.functional import unit_float
from itn.models.checks import Findings
from itn.models.classifier import Classifier, predict
from itn.stats import binomial_tail

SAMPLE = 256  # images
GAIN = 0.1  # of the images, that must be right in addition
ALIKE = 0.02  # of the images, by which one normalization must be better to be named before another
_NORMALIZATIONS = {  # by the number of channels
    1: (((0.5,), (0.5,)), ((0.1307,), (0.3081,))),
    3: (((0.5,) * 3, (0.5,) * 3), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))),
}


def check_pixels(images: Tensor, findings: Findings) -> None:
    """Report images, uint8 or float in [0, 1], that are all but black."""
    largest = float(unit_float(images.amax().view(1, 1, 1, 1)))
    if largest <= 1.01 / 255:
        findings.report(
            "range",
            f"the images are all but black, the largest value is {largest:.3g} of 1: they look divided by "
            "255 twice, or as if values in [0, 1] had become integers; give uint8 in 0 to 255 or float in "
            "[0, 1]",
        )


def check_normalization(
    classifier: Classifier,
    images: Tensor,
    labels: Tensor,
    predictions: Tensor,
    batch_size: int,
    findings: Findings,
) -> bool:
    """Report a classifier that is far better with another normalization; return whether it is.

    Args:
        classifier: The classifier under study.
        images: N x C x H x W, uint8 or float in [0, 1].
        labels: N.
        predictions: N, as they are.
        batch_size: Images in one forward pass.
        findings: What the preflight has found.
    """
    rows = torch.linspace(0, len(images) - 1, min(SAMPLE, len(images))).long()
    right = predictions[rows] == labels[rows]
    if right.float().mean() >= 1 - GAIN:
        return False
    pixels = unit_float(images[rows.to(images.device)].to(classifier.device))
    gains = []
    for given, text in _normalizations(classifier, pixels):
        try:
            other = predict(classifier, given, batch_size).cpu() == labels[rows]
        except Exception:  # a network may refuse images that are not in its range
            continue
        better, worse = int((other & ~right).sum()), int((right & ~other).sum())
        if better - worse > GAIN * len(rows) and binomial_tail(better, better + worse, 0.5) < 1e-4:
            gains.append((int(other.sum()), text))
    if not gains:
        return False
    most, _ = max(gains)
    # Of those that do as well the first, the most usual one: networks without biases take any scale
    most, text = next(gain for gain in gains if gain[0] >= most - ALIKE * len(rows))
    findings.report(
        "range",
        f"{classifier.name} looks as if its images were normalized twice or not at all: "
        f"{int(right.sum())} of {len(rows)} are right, and {most} if {text}",
    )
    return True


def _normalizations(classifier: Classifier, pixels: Tensor) -> Iterator[tuple[Tensor, str]]:
    """Yield images that reach the network in another normalization, and what to write for it."""
    mean, std = classifier.mean, classifier.std
    channels = pixels.shape[1]
    own = classifier.channels is not None
    if own:
        yield pixels * std + mean, "it gets them in [0, 1]: leave out mean and std, itn.Classifier(net)"
    for means, stds in _NORMALIZATIONS.get(channels, ()):
        m, s = (pixels.new_tensor(values).view(-1, 1, 1) for values in (means, stds))
        if not (own and torch.allclose(mean, m, atol=0.05) and torch.allclose(std, s, atol=0.05)):
            text = f"normalized: itn.Classifier(net, mean={means}, std={stds})"
            yield (pixels - m) / s * std + mean, text
    zeros, scale = (0,) * channels, f"({'1 / 255, ' * channels}".rstrip() + ")"
    yield (
        255 * pixels * std + mean,
        f"they range from 0 to 255: itn.Classifier(net, mean={zeros}, std={scale})",
    )
