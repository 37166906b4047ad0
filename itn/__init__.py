"""To which transformations is a trained image classifier invariant, and how far?"""

from itn.classifiers import CheckedImages, Classifier, load_classifier, model_cards, predict, preflight
from itn.color import apply_color, decompose_color
from itn.data import load_images
from itn.folder import Interrupted, RunError
from itn.learning import LearnResult, learn, load_net
from itn.losses import displacement, sampled_displacement, unit_vectors
from itn.net import InvariantTransformerNet
from itn.results import LearnRecord, LearnStep, read_history
from itn.settings import LearnConfig
from itn.spatial import FAMILIES, decompose_spatial, family_matrix, rms_displacement, warp
from itn.transformers import ColorTransformer, SpatialTransformer

__all__ = [
    "FAMILIES",
    "CheckedImages",
    "Classifier",
    "ColorTransformer",
    "Interrupted",
    "InvariantTransformerNet",
    "LearnConfig",
    "LearnRecord",
    "LearnResult",
    "LearnStep",
    "RunError",
    "SpatialTransformer",
    "apply_color",
    "decompose_color",
    "decompose_spatial",
    "displacement",
    "family_matrix",
    "learn",
    "load_classifier",
    "load_images",
    "load_net",
    "model_cards",
    "predict",
    "preflight",
    "read_history",
    "rms_displacement",
    "sampled_displacement",
    "unit_vectors",
    "warp",
]
