"""Checks of how a network answers: to images that stay as they are, repeatably, to each image by itself."""

import torch
from torch import Tensor, nn

from itn.functional import unit_float
from itn.models.checks import Findings, named
from itn.models.classifier import Classifier
from itn.models.fingerprint import rounding
from itn.models.outputs import find_logits, unmasked
from itn.runtime.errors import first_line

REPEATS, REPEATED = 8, 4  # passes, and images in each
ALONE, COMPANY = 2, 8  # images that are classified alone, and the batch that they are compared with
_CHANGE = 1e-3  # of outputs, as a share of the largest, from which on they are not the same


@torch.no_grad()
def first_logits(classifier: Classifier, images: Tensor, findings: Findings) -> Tensor:
    """Return what a network returns for images; check that it takes them, and leaves them as they are.

    Args:
        classifier: The classifier under study.
        images: B x C x H x W, uint8 or float in [0, 1]; the network is given a copy of them.
        findings: What the preflight has found.

    Raises:
        ValueError: If it rejects them, writes into them, or returns no logits.
    """
    before = unit_float(images)
    given = before.clone()
    try:
        returned = classifier.returned(given)
    except Exception as error:  # whatever a user's network raises
        size = "x".join(map(str, images.shape[1:]))
        flipped = images.shape[3] in (1, 3) and images.shape[1] not in (1, 3)
        cure = "; if they are B x H x W x C, give images.permute(0, 3, 1, 2)" if flipped else ""
        raise ValueError(
            f"{classifier.name} cannot take images of {size}: {first_line(error)}{cure}"
        ) from None
    if not torch.equal(given, before):
        findings.report(
            "in-place",
            f"{classifier.name} writes into the images that it is given ({_written(before, given)}): this "
            "would overwrite your images and falsify whatever is measured on them afterwards; write "
            "x = (x - mean) / std in its forward, not x.sub_(mean).div_(std), or begin it with x = x.clone()",
        )
    try:
        logits = find_logits(returned, classifier.output)
    except Exception as error:  # whatever a user's function raises
        raise ValueError(f"{classifier.name}: {first_line(error)}") from None
    if classifier.output is None and logits is not returned:
        findings.outputs = f"logits of a {type(returned).__name__}"
    return logits


def check_repeat(classifier: Classifier, images: Tensor, logits: Tensor, findings: Findings) -> bool:
    """Report a network that answers the same images differently; return whether it does.

    Args:
        classifier: The classifier under study.
        images: B x C x H x W.
        logits: Its logits for these, B x K.
        findings: What the preflight has found.
    """
    few = [classifier.logits(images[:REPEATED]) for _ in range(REPEATS)]  # a coin may be tossed for a batch
    pairs = [(logits, classifier.logits(images)), *((few[0], other) for other in few[1:])]
    if not any(_differ(first, second, _CHANGE) for first, second in pairs):
        return False
    training = [key or type(module).__name__ for key, module in _modules(classifier) if module.training]
    where = (
        f"{named(training)} stayed in training mode" if training else "F.dropout needs training=self.training"
    )
    findings.report(
        "repeat",
        f"{classifier.name} answers differently the second time: what is random in it would be "
        "measured as an effect of the transformations; switch off dropout, noise and random crops in its "
        f"forward ({where})",
    )
    return True


def check_batch(classifier: Classifier, images: Tensor, findings: Findings) -> None:
    """Report a network whose answer to an image depends on the other images of the batch.

    Args:
        classifier: The classifier under study.
        images: B x C x H x W, float in [0, 1].
        findings: What the preflight has found.
    """
    # Darker than the others, so that a division by the largest value of the batch shows
    single = min(ALONE, len(images))
    batch = torch.cat([images[:single] / 2, images[single:COMPANY]])
    try:
        together, tolerance = classifier.logits(batch), max(_CHANGE, rounding(classifier))
    except Exception as error:  # whatever a user's network raises
        raise ValueError(f"{classifier.name} fails where images become darker: {first_line(error)}") from None
    for number in range(single):
        company = together[number : number + 1]
        try:
            alone = classifier.logits(batch[number : number + 1])
        except Exception as error:  # whatever a user's network raises
            seen = f"alone it fails: {first_line(error)}"
        else:
            if alone.shape != company.shape:
                seen = f"alone its answer has shape {tuple(alone.shape)}, expected {tuple(company.shape)}"
            elif _differ(company, alone, tolerance):
                pair = ", ".join(f"{float(each):.3g}" for each in (alone.max(), company.max()))
                seen = f"alone and in a batch of {len(batch)} the largest logits of an image are {pair}"
            else:
                continue
        norms = [key for key, module in _modules(classifier) if _normalizes_batch(module)]
        where = f" ({named(norms)})" if norms else ""
        findings.report(
            "batch",
            f"{classifier.name} answers to one image otherwise than to the same image in a batch ({seen}): "
            "results would depend on the batch size and the order of the images; give batch normalization "
            f"its running statistics{where}, and take no statistics, maxima or squeeze() over the batch",
        )
        return


def _differ(logits: Tensor, others: Tensor, tolerance: float) -> bool:
    if logits.shape != others.shape:
        return True
    seen = unmasked(logits)  # beside numbers such as -1e9 all others would look the same
    return not bool((logits - others)[seen].abs().max() <= tolerance * logits[seen].abs().max())


def _modules(classifier: Classifier) -> list[tuple[str, nn.Module]]:
    return list(classifier.net.named_modules())


def _normalizes_batch(module: nn.Module) -> bool:
    norm = nn.modules.batchnorm._NormBase
    instance = nn.modules.instancenorm._InstanceNorm  # which takes statistics of each image
    return (
        isinstance(module, norm)
        and not isinstance(module, instance)
        and (module.training or module.running_mean is None)
    )


def _written(before: Tensor, after: Tensor) -> str:
    """Return in words how images have changed."""
    if after.shape != before.shape:
        return f"their shape {tuple(before.shape)} became {tuple(after.shape)}"
    spans = [f"{float(images.min()):.3g} to {float(images.max()):.3g}" for images in (before, after)]
    return f"pixels from {spans[0]} became {spans[1]}"
