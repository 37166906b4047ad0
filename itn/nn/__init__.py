"""Learnable modules: control heads, transformers, and the net that puts them in front of a classifier."""

from itn.functional.families import register_family
from itn.nn.augmentation import LearnedAugmentation
from itn.nn.color_transformer import ColorTransformer
from itn.nn.composition import Composition, Parts
from itn.nn.control_head import CONTROLS, ControlHead, check_controls
from itn.nn.frame import Frame
from itn.nn.net import InvariantTransformerNet
from itn.nn.single_transformation import SingleTransformation
from itn.nn.spatial_transformer import SpatialTransformer
from itn.nn.transformer import MatrixTransformer, Transformer

__all__ = [
    "CONTROLS",
    "ColorTransformer",
    "Composition",
    "ControlHead",
    "Frame",
    "InvariantTransformerNet",
    "LearnedAugmentation",
    "MatrixTransformer",
    "Parts",
    "SingleTransformation",
    "SpatialTransformer",
    "Transformer",
    "check_controls",
    "register_family",
]
