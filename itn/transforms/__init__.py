"""Transformations F(I, v) of images by a magnitude v.

``TRANSFORMS`` maps names to transformations; ``register`` adds one of your own.
"""

from itn.transforms.builtin import PAPER
from itn.transforms.magnitudes import octaves, steps
from itn.transforms.registry import TRANSFORMS, Transform, register, standard_noise

__all__ = ["PAPER", "TRANSFORMS", "Transform", "octaves", "register", "standard_noise", "steps"]
