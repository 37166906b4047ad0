"""To which transformations is a trained image classifier invariant, and how far?"""

from itn.augmentation import LearnedAugmentation
from itn.building import load_augmentation, load_net
from itn.class_results import ClassFamily, PerClassRecord
from itn.classifiers import CheckedImages, Classifier, predict, preflight
from itn.color import apply_color, decompose_color
from itn.data import ImageSet, load_images, read_images
from itn.errors import Interrupted, RunError
from itn.layers import LayerRow, ModelSummary, layer_outputs, model_summary
from itn.learning import LearnResult, learn
from itn.loading import load_classifier, model_cards
from itn.losses import displacement, sampled_displacement, unit_vectors
from itn.net import InvariantTransformerNet
from itn.per_class import PerClassResult, learn_per_class
from itn.preprocessing import Preprocessing
from itn.processes import join as join_processes
from itn.results import LearnRecord, LearnStep, read_history
from itn.screen_results import ScreenRecord, ScreenResult
from itn.screener import flip_magnitudes
from itn.screening import screen
from itn.settings import LearnConfig, ScreenConfig
from itn.spatial import FAMILIES, decompose_spatial, family_matrix, rms_displacement, warp
from itn.thresholds import Flips, Threshold
from itn.transformers import ColorTransformer, SpatialTransformer
from itn.transforms import TRANSFORMS, Transform, register

__all__ = [
    "FAMILIES",
    "TRANSFORMS",
    "CheckedImages",
    "ClassFamily",
    "Classifier",
    "ColorTransformer",
    "Flips",
    "ImageSet",
    "Interrupted",
    "InvariantTransformerNet",
    "LayerRow",
    "LearnConfig",
    "LearnRecord",
    "LearnResult",
    "LearnStep",
    "LearnedAugmentation",
    "ModelSummary",
    "PerClassRecord",
    "PerClassResult",
    "Preprocessing",
    "RunError",
    "ScreenConfig",
    "ScreenRecord",
    "ScreenResult",
    "SpatialTransformer",
    "Threshold",
    "Transform",
    "apply_color",
    "decompose_color",
    "decompose_spatial",
    "displacement",
    "family_matrix",
    "flip_magnitudes",
    "join_processes",
    "layer_outputs",
    "learn",
    "learn_per_class",
    "load_augmentation",
    "load_classifier",
    "load_images",
    "load_net",
    "model_cards",
    "model_summary",
    "predict",
    "preflight",
    "read_history",
    "read_images",
    "register",
    "rms_displacement",
    "sampled_displacement",
    "screen",
    "unit_vectors",
    "warp",
]
