"""Transformations F(I, v) of images by a magnitude v.

``TRANSFORMS`` maps names to transformations; ``register`` adds one of your own, ``unregister`` removes it;
``groups`` names several at once.
"""

from itn.transforms.builtin import PAPER
from itn.transforms.magnitudes import octaves, steps
from itn.transforms.registry import TRANSFORMS, register, unregister
from itn.transforms.table import expand, groups
from itn.transforms.transform import Transform, standard_noise

__all__ = [
    "PAPER",
    "TRANSFORMS",
    "Transform",
    "expand",
    "groups",
    "octaves",
    "register",
    "standard_noise",
    "steps",
    "unregister",
]
