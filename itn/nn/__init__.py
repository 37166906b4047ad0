"""Learnable modules: control heads, transformers, and the net that puts them in front of a classifier."""

from itn.nn.augmentation import LearnedAugmentation
from itn.nn.control_head import CONTROLS, ControlHead, check_controls
from itn.nn.net import InvariantTransformerNet, apply_matrices
from itn.nn.transformers import ColorTransformer, SpatialTransformer

__all__ = [
    "CONTROLS",
    "ColorTransformer",
    "ControlHead",
    "InvariantTransformerNet",
    "LearnedAugmentation",
    "SpatialTransformer",
    "apply_matrices",
    "check_controls",
]
