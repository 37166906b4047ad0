"""Transformers applied to images one after another, with what lies around these.

Where a surround is known, images are *canvases* until the last transformer that looks around the crop: it
returns crops, and those after it act on crops. Those before it act on whole canvases, so that what it brings
in from outside the crop has been changed as the crop has. Except for those that move pixels and do not look
around: on canvases they would move them farther than on crops, so they are given crops, and nothing is known
around these from there on, unless they say what they do to canvases (``apply_to_canvases``).
"""

from collections.abc import Sequence

from torch import Tensor

from itn.functional import Surround, crops_of, warp_canvas
from itn.nn.frame import Frame
from itn.nn.matrix_transformer import MatrixTransformer
from itn.nn.transformer import Transformer


def render(
    members: Sequence[Transformer],
    images: Tensor,
    parameters: Sequence[Tensor],
    surround: Surround | None = None,
) -> Tensor:
    """Return float images transformed by parameters of each transformer, unchecked.

    Neighbors that have a matrix of the same kind are applied as one. Values may leave [0, 1] by rounding,
    since interpolation weights sum to 1 only up to that.

    Args:
        members: The transformers.
        images: B x C x H x W, float; with a surround canvases.
        parameters: Of each transformer, B x P.
        surround: Where the crops lie in the canvases; None: nothing is known around the images.
    """
    last = max((number for number, part in enumerate(members) if part.takes_surround), default=-1)
    if last < 0:
        images, surround = crops_of(images, surround), None
    pending: tuple[MatrixTransformer, Tensor] | None = None
    for number, (part, p) in enumerate(zip(members, parameters, strict=True)):
        if pending is not None and not pending[0].fuses_with(part):
            images, surround = _apply_matrix(*pending, images, surround, number > last)
            pending = None
        if surround is not None and number < last and _needs_crops(part, p, images, surround):
            images, surround = crops_of(images, surround), None
        if not isinstance(part, MatrixTransformer) or not part.is_plain:
            images, surround = _apply(part, p, images, surround, number == last)
            continue
        matrix = part.matrix_from(p, _frame(part, images, surround))
        pending = part, matrix if pending is None else part.compose(pending[1], matrix)
    return images if pending is None else _apply_matrix(*pending, images, surround, True)[0]


def _needs_crops(part: Transformer, p: Tensor, images: Tensor, surround: Surround) -> bool:
    """Return whether a transformer moves pixels, without looking around, and cannot do so on canvases."""
    if part.takes_surround or type(part).apply_to_canvases is not Transformer.apply_to_canvases:
        return False
    return part.rms_shift(p[:1], _frame(part, images, surround)) is not None


def _frame(part: Transformer, images: Tensor, surround: Surround | None) -> Frame:
    """Return the frame of crops that a transformer meets."""
    if surround is None:
        return part.frame(images.shape)
    return part.frame((images.shape[-3], *surround.size))._replace(surround=surround)


def _apply_matrix(
    part: MatrixTransformer, matrix: Tensor, images: Tensor, surround: Surround | None, is_last: bool
) -> tuple[Tensor, Surround | None]:
    """Apply a matrix to crops or canvases; the last one that looks around crops returns these."""
    if surround is None or not part.takes_surround:
        return part.apply_matrix(images, matrix, part.frame(images.shape)), surround
    if is_last:
        return part.apply_matrix(images, matrix, _frame(part, images, surround)), None
    warped = warp_canvas(images, matrix, part.padding, surround, part.interpolation)
    return warped.clamp(0, 1), surround.filling(images)


def _apply(
    part: Transformer, p: Tensor, images: Tensor, surround: Surround | None, is_last: bool
) -> tuple[Tensor, Surround | None]:
    """Apply a transformer that has no matrix; the last one that looks around crops returns these."""
    if surround is None:
        return part.apply_parameters(images, p, part.frame(images.shape)).clamp(0, 1), None
    if is_last:
        return part.apply_parameters(images, p, _frame(part, images, surround)).clamp(0, 1), None
    canvases, surround = part.apply_to_canvases(images, p, _frame(part, images, surround))
    return canvases.clamp(0, 1), surround
