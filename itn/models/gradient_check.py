"""A check that gradients of the logits reach the images, and are those of the logits."""

from typing import NamedTuple

import torch
from torch import Tensor

from itn.models.checked_images import CheckedImages
from itn.models.checks import Findings
from itn.models.classifier import Classifier
from itn.models.outputs import unmasked
from itn.runtime.batching import map_in_memory
from itn.runtime.errors import RunError, first_line
from itn.runtime.wording import counted

SAMPLE = 8  # images
STEP = 0.01  # of finite differences, as a share of the way to another image
_WRONG, _CERTAIN = 0.3, 3  # an error as a share of the slope, and in multiples of what steps leave open


class _Probed(NamedTuple):
    """Of B images."""

    logits: Tensor
    """B x K."""
    gradient: Tensor
    """Whether there is one, B."""
    wrong: Tensor
    """Whether it is not the slope of the logits, B."""


def check_gradient(
    classifier: Classifier, data: CheckedImages, batch_size: int = 256, findings: Findings | None = None
) -> None:
    """Check gradients of the logits in the images; learning follows them, screening does not.

    Raises:
        ValueError: If gradients are switched off, do not reach the images or are wrong, or if the network
            cannot be differentiated.
        RunError: If a single image does not fit into memory.
    """
    findings = findings or Findings()
    if not torch.is_grad_enabled() or torch.is_inference_mode_enabled():
        raise ValueError(
            "gradients are switched off where learning starts: call it outside torch.no_grad() and "
            "torch.inference_mode(), and after torch.set_grad_enabled(True)"
        )
    # Compiling takes up to a minute, and changes nothing here
    plain = classifier.with_backend(classifier.precision, classifier.channels_last)
    sample = data.spread(SAMPLE).pixels(slice(None), classifier.device)
    # Where images are classified with certainty the gradient may vanish; between two of them it does not.
    # The limits of the range are left out, since a network may clamp there
    probes = 0.1 + 0.8 * torch.cat([sample, (sample + sample.roll(1, 0)) / 2])
    ways = probes.roll(1, 0) - probes
    try:
        parts, _ = map_in_memory(
            len(probes), batch_size, lambda rows: _probe(plain, probes[rows], ways[rows])
        )
    except RunError:
        raise
    except Exception as error:  # whatever a user's network raises
        raise ValueError(
            f"{classifier.name} cannot be differentiated, which learning needs ({first_line(error)}): "
            "its forward must consist of operations of torch that have a gradient"
        ) from None
    logits, gradient, wrong = (torch.cat(each) for each in zip(*parts, strict=True))
    harm = "learning follows it, and would report too small a family"
    cure = (
        "such as torch.no_grad(), torch.inference_mode(), .detach(), .data, .numpy(), rounding or a "
        "conversion to integers; itn screen needs no gradient"
    )
    # Constant logits have no gradient rightly
    if not gradient.any() and not torch.equal(logits, logits[:1].expand_as(logits)):
        findings.report(
            "gradient",
            f"{classifier.name} passes no gradient to the images: {harm}; leave out what stops it in its "
            f"forward, {cure}",
        )
    elif 2 * wrong.sum() > len(wrong):
        findings.report(
            "gradient",
            f"{classifier.name} passes a gradient to the images that is not the slope of its logits, at "
            f"{int(wrong.sum())} of {counted(len(wrong), 'image')}: {harm}; leave out what stops a "
            f"part of it in its forward, {cure}",
        )


def _probe(classifier: Classifier, images: Tensor, ways: Tensor) -> _Probed:
    """Compare the gradient of the gap between the two largest logits with finite differences.

    Not of the sum of the logits, which may be constant.
    """
    images = images.clone().requires_grad_()
    with torch.enable_grad():
        logits = classifier.logits(images).float()
        first, second = logits.topk(2).indices.unbind(1)
        gap = _gap(logits, first, second)
        gradient = None
        if gap.requires_grad:
            (gradient,) = torch.autograd.grad(gap.sum(), images, allow_unused=True)
    if gradient is None:
        gradient = torch.zeros_like(images)
    with torch.no_grad():
        slope, twice = (
            _gap(classifier.logits(images + step * ways).float(), first, second)
            - _gap(classifier.logits(images - step * ways).float(), first, second)
            for step in (STEP, 2 * STEP)
        )
        slope, twice = slope / (2 * STEP), twice / (4 * STEP)
        expected = (gradient * ways).flatten(1).sum(1)
        error, doubt = (expected - slope).abs(), (twice - slope).abs()
        rounded = 1e-5 * logits[unmasked(logits)].abs().max() / STEP
        wrong = (error > _CERTAIN * doubt + rounded) & (
            error > _WRONG * torch.maximum(slope.abs(), expected.abs())
        )
    return _Probed(logits.detach(), gradient.flatten(1).any(1), wrong)


def _gap(logits: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return the logits of some classes minus those of others, one of each for each image."""
    return (logits.gather(1, first[:, None]) - logits.gather(1, second[:, None]))[:, 0]
