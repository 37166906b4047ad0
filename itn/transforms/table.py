"""Names for several transformations at once, and the whole built-in table."""

from collections.abc import Sequence

from itn.transforms import (
    blurs,
    elastic_field,
    grains,
    jpeg_coding,
    occlusion,
    perspective,
    tone,
)
from itn.transforms.builtin import PAPER
from itn.transforms.registry import TRANSFORMS, keep_registered
from itn.transforms.transform import Transform

MODULES = (tone, blurs, jpeg_coding, grains, occlusion, perspective, elastic_field)
"""Beside ``builtin``, where the transformations of the table are registered."""
keep_registered()

IMAGENET_C = (
    *("noise", "shot_noise", "salt_and_pepper", "blur", "defocus", "motion_blur"),
    *("brightness", "contrast", "saturation", "elastic", "pixelate", "jpeg"),
)
"""The counterparts of corruptions of ImageNet-C, with its extra ones; those with ``severities`` are the same
operation. Glass and zoom blur, fog, frost, snow, spatter and speckle noise have no counterpart."""


def groups() -> dict[str, tuple[str, ...]]:
    """Return the names of the members of each group: those of the table, and those of what was registered."""
    found: dict[str, tuple[str, ...]] = {"paper": PAPER}
    for name, transform in TRANSFORMS.items():
        if transform.group:
            found[transform.group] = (*found.get(transform.group, ()), name)
    return found | {"imagenet-c": IMAGENET_C, "all": tuple(TRANSFORMS)}


def expand(members: Sequence[str | Transform]) -> tuple[str | Transform, ...]:
    """Return transformations with the members of groups in place of their names.

    A name that is given beside its group, or that is in two groups, comes once.

    Args:
        members: Names of transformations or groups, and transformations. A name that is both is that of the
            transformation.

    Example:
        >>> expand(("noises", "rotate"))
        ('noise', 'shot_noise', 'salt_and_pepper', 'occlusion', 'rotate')
    """
    known = groups()
    named = {member if isinstance(member, str) else member.name for member in members}
    expanded: list[str | Transform] = []
    for member in members:
        if isinstance(member, str) and member in known and member not in TRANSFORMS:
            expanded += [name for name in known[member] if name not in named and name not in expanded]
        else:
            expanded.append(member)
    return tuple(expanded)
