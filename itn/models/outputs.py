"""The logits in what a network returns."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from itn.models.checks import Findings, named
from itn.runtime.errors import first_line
from itn.runtime.wording import counted

OutputSetting = str | Callable[[Any], Tensor] | None
"""Which part of what a network returns are the logits: the name of a member or key, or a function; None: all
of it if it is a tensor, otherwise what is called logits."""

BACKGROUND = 1001  # outputs of ImageNet networks whose first class is the background
_SUM = 1e-2  # how far sums of probabilities may be from their mean
_NEAR_0 = 0.1
_MANY = 10  # classes, of which logits are all positive by chance once in a thousand times
_MASKED = 1e4  # below the largest logit of an image: such classes are masked, by -1e9 or the like


def find_logits(returned: Any, output: OutputSetting) -> Tensor:
    """Return the logits in what a network returns.

    Raises:
        ValueError: If there is no such tensor; the message says what there is and what to write.
    """
    if output is None and isinstance(returned, Tensor):
        return returned
    found = _applied(output, returned) if callable(output) else _member(returned, output or "logits")
    if isinstance(found, Tensor):
        return found
    if callable(output):
        raise ValueError(f"output must return a tensor of logits, got a {type(found).__name__}")
    raise ValueError(
        f"the network returns {_described(returned)}, in which the logits are not guessed: "
        + _cure(returned, output)
    )


def unmasked(logits: Tensor) -> Tensor:
    """Return which logits, B x K, are not of classes that a network masks by numbers such as -1e9."""
    return logits >= logits.amax(1, keepdim=True) - _MASKED


def check_finite(logits: Tensor, name: str) -> None:
    """Raise ValueError, with what to write, unless all logits are finite."""
    if logits.isfinite().all():
        return
    cure = "check its weights"
    if bool((logits.isfinite() | logits.isneginf()).all()):
        cure = (
            "of classes that it masks by -inf write itn.Classifier(net, output=lambda z: z.clamp_min(-1e9))"
        )
    raise ValueError(f"{name} returns non-finite logits on these images: {cure}")


def check_shape(logits: Tensor, images: int, name: str) -> None:
    """Raise ValueError, with what to write, unless a network returns one row of logits for each image."""
    shape = "x".join(map(str, logits.shape)) or "a single number"
    match tuple(logits.shape):
        case _ if not logits.is_floating_point():
            cure = "these look like numbers of classes: return the logits whose argmax they are"
        case (rows, *_) if rows != images:
            cure = "return one row for each image; of several views of an image, their mean"
        case (_,) | (_, 1) | (_, 1, 1, 1):
            one = "z" if logits.ndim == 2 else "z.view(-1, 1)"
            both = f"[1 - {one}, {one}], 1).log()" if _in_unit(logits) else f"[0 * {one}, {one}], 1)"
            cure = (
                "one number for two classes is no logit of each: with class 0 for low and 1 for high numbers "
                f"write itn.Classifier(net, output=lambda z: torch.cat({both})"
            )
        case (_, _, 1, 1):
            cure = "write itn.Classifier(net, output=lambda z: z.flatten(1))"
        case (_, _, _, _):
            cure = (
                "a map of logits has none of the whole image; to average them, write "
                "itn.Classifier(net, output=lambda z: z.mean((2, 3)))"
            )
        case (_, _):
            return
        case _:
            cure = "choose a part of it with itn.Classifier(net, output=lambda z: ...)"
    raise ValueError(
        f"{name} returns {shape} of {logits.dtype} for {counted(images, 'image')}, expected logits "
        f"B x classes: {cure}"
    )


def check_kind(
    classify: Callable[[Tensor], Tensor], images: Tensor, logits: Tensor, name: str, findings: Findings
) -> None:
    """Report outputs that are not logits but what a softmax or sigmoid makes of them.

    Args:
        classify: From images to outputs.
        images: B x C x H x W, in [0, 1].
        logits: The outputs for them, B x K.
        name: The network's, in errors.
        findings: What the preflight has found.
    """
    sums = logits.float().sum(1)
    total = 100 if sums[0] > 50 else 1  # percent
    harm = "softmax, margins and gradients would be those of the wrong function"
    if logits.min() >= 0 and bool(((sums - total).abs() <= _SUM * total).all()):
        findings.report(
            "logits",
            f"{name} returns probabilities: no output is negative, and those of an image sum to {total}; "
            f"{harm}: drop its last softmax (or sigmoid), or write itn.Classifier(net, output=lambda p: "
            "p.clamp_min(1e-30).log())",
        )
    elif _in_unit(logits) and _hardly_logits(logits) and _stays_in_unit(classify, images):
        findings.report(
            "logits",
            f"{name} returns sigmoids: all outputs lie between 0 and 1 ({float(logits.min()):.3g} to "
            f"{float(logits.max()):.3g}), whatever the image; {harm}: drop its last sigmoid, or write "
            "itn.Classifier(net, output=lambda p: p.logit(1e-6))",
        )
    elif logits.max() <= 0 and bool((logits.float().logsumexp(1).abs() <= _SUM).all()):
        findings.outputs = "log-probabilities, which serve as logits: both have the same softmax"


def check_background(
    labels: Tensor, predictions: Tensor, classes: int, name: str, findings: Findings
) -> bool:
    """Report labels that do not count the background, for outputs that do; return whether they do."""
    if classes != BACKGROUND or labels.max() >= classes - 1:
        return False
    own, shifted = (int((predictions == labels + offset).sum()) for offset in (0, 1))
    if not (shifted >= 3 and shifted > 4 * own and shifted > len(labels) / 20):
        return False
    findings.report(
        "logits",
        f"{name} has 1001 outputs, of which the first seems to stand for the background: {own} of "
        f"{counted(len(labels), 'image')} are right as labeled, {shifted} with labels one higher; write "
        "itn.Classifier(net, output=lambda z: z[:, 1:])",
    )
    return True


def _hardly_logits(outputs: Tensor) -> bool:
    """Return whether outputs in [0, 1] are hardly logits: of these, some of many classes are negative."""
    if outputs.max() > 0.5:
        return True
    # A last layer that begins at zero makes them all equal; cosines with texts are far from 0
    return bool(outputs.shape[1] >= _MANY and outputs.min() < _NEAR_0 and outputs.max() > outputs.min())


def _in_unit(outputs: Tensor) -> bool:
    return bool(outputs.min() >= 0 and outputs.max() <= 1)


def _stays_in_unit(classify: Callable[[Tensor], Tensor], images: Tensor) -> bool:
    """Return whether outputs lie in [0, 1] for far brighter and darker pixels too: small logits do not."""
    try:
        return _in_unit(torch.cat([classify(32 * images - 16), classify(16 - 32 * images)]))
    except Exception:  # a network may refuse such images
        return True


def _applied(output: Callable[[Any], Any], returned: Any) -> Any:
    """Return what a user's function makes of what a network returns."""
    try:
        return output(returned)
    except Exception as error:  # whatever it raises
        raise ValueError(
            f"output fails on what the network returns, {_described(returned)} "
            f"({type(error).__name__}: {first_line(error)}): write another function"
        ) from None


def _member(returned: Any, name: str) -> Any:
    """Return a part of what a network returns by its name, also of an object that computes it."""
    found = _members(returned).get(name)
    return getattr(returned, name, None) if found is None and not isinstance(returned, Tensor) else found


def _members(returned: Any) -> dict[str, Any]:
    """Return what a network returns by names; empty if it has none."""
    if isinstance(returned, Mapping):
        return {str(key): value for key, value in returned.items()}
    if dataclasses.is_dataclass(returned):
        return {member.name: getattr(returned, member.name) for member in dataclasses.fields(returned)}
    if hasattr(returned, "_asdict"):  # a named tuple
        return dict(returned._asdict())
    return {} if isinstance(returned, Tensor) else dict(getattr(returned, "__dict__", {}))


def _described(returned: Any) -> str:
    """Return the type of what a network returns, with the shapes of what is in it."""
    parts = [f"{key}: {_shape(value)}" for key, value in _members(returned).items()]
    if isinstance(returned, tuple | list) and not parts:
        parts = [_shape(value) for value in returned]
    if not parts and isinstance(returned, Tensor):
        return f"a tensor of {_shape(returned)}"
    return f"{type(returned).__name__}({named(parts)})" if parts else f"a {type(returned).__name__}"


def _shape(value: Any) -> str:
    return "x".join(map(str, value.shape)) if isinstance(value, Tensor) else type(value).__name__


def _cure(returned: Any, output: str | None) -> str:
    if isinstance(returned, Tensor):
        return f"leave out output={output!r}"
    tensors = {key: value for key, value in _members(returned).items() if isinstance(value, Tensor)}
    if names := sorted(tensors, key=lambda key: tensors[key].ndim != 2):  # B x K first
        return f'write itn.Classifier(net, output="{names[0]}"), or whichever of {named(names)} they are'
    if isinstance(returned, tuple | list):
        shapes = [tuple(part.shape) for part in returned if isinstance(part, Tensor)]
        if len(shapes) == len(returned) > 0 and all(len(shape) == 1 for shape in shapes):
            return "if each is of one image write itn.Classifier(net, output=torch.stack)"
        return "write itn.Classifier(net, output=lambda out: out[0]), or whichever they are"
    return "return a tensor of them, B x classes, or write itn.Classifier(net, output=lambda out: ...)"
