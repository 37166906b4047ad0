"""Learnable modules: control heads, transformers, and the net that puts them in front of a classifier."""

from itn.functional.families import register_family
from itn.nn.augmentation import LearnedAugmentation
from itn.nn.color_transformer import ColorTransformer
from itn.nn.composition import Composition, Controlled, Parts
from itn.nn.control_head import CONTROLS, ControlHead, check_controls
from itn.nn.elastic_transformer import ElasticTransformer
from itn.nn.filter_transformer import FilterTransformer
from itn.nn.frame import Frame
from itn.nn.function_transformer import transformer_from
from itn.nn.homography_transformer import HomographyTransformer
from itn.nn.matrix_transformer import MatrixTransformer
from itn.nn.named_parts import NAMED_CLASSES, NAMED_PARTS, PAPER_PARTS, controls_of_parts, make_parts
from itn.nn.net import InvariantTransformerNet
from itn.nn.part_settings import PartSettings
from itn.nn.single_transformation import MagnitudeOffset, SingleTransformation
from itn.nn.spatial_transformer import SpatialTransformer
from itn.nn.tone_transformer import ToneTransformer
from itn.nn.transformer import Transformer

__all__ = [
    "CONTROLS",
    "NAMED_CLASSES",
    "NAMED_PARTS",
    "PAPER_PARTS",
    "ColorTransformer",
    "Composition",
    "ControlHead",
    "Controlled",
    "ElasticTransformer",
    "FilterTransformer",
    "Frame",
    "HomographyTransformer",
    "InvariantTransformerNet",
    "LearnedAugmentation",
    "MagnitudeOffset",
    "MatrixTransformer",
    "PartSettings",
    "Parts",
    "SingleTransformation",
    "SpatialTransformer",
    "ToneTransformer",
    "Transformer",
    "check_controls",
    "controls_of_parts",
    "make_parts",
    "register_family",
    "transformer_from",
]
