"""To which transformations is a trained image classifier invariant, and how far?"""

import importlib
import os
import sys
from typing import TYPE_CHECKING

if "torch" not in sys.modules:
    from itn.runtime.startup import end_on_interrupt

    end_on_interrupt()
    # torch's threads (OpenMP) wait for each other by spinning. On a core that another process wants they spin
    # while the thread that they wait for is not running, which makes small networks several times slower, see
    # benchmarks/threads.py. OpenMP reads this once, when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from itn.boxes.config import WorstConfig
from itn.boxes.records import WorstRecord
from itn.boxes.result import WorstResult, load_worst
from itn.boxes.run import worst_case
from itn.certification.criteria import Criterion
from itn.data.loading import ImageSet, load_images
from itn.explorer.serve import explore
from itn.functional.displacements import displacement
from itn.functional.spatial import warp
from itn.learning.config import LearnConfig
from itn.learning.constrained.objective import Constrained
from itn.learning.family import learn
from itn.learning.load import load_augmentation, load_net
from itn.learning.objective import Learner, Objective
from itn.learning.per_class import learn_per_class
from itn.learning.records import LearnRecord, LearnStep, PerClassRecord, read_history
from itn.learning.results import LearnResult, PerClassResult, load_run
from itn.learning.switched import Switched
from itn.models.checked_images import CheckedImages
from itn.models.classifier import Classifier, predict
from itn.models.preflight import preflight
from itn.models.preprocessing import Preprocessing
from itn.models.sources import load_classifier, model_cards
from itn.nn.augmentation import LearnedAugmentation
from itn.nn.color_transformer import ColorTransformer
from itn.nn.elastic_transformer import ElasticTransformer
from itn.nn.filter_transformer import FilterTransformer
from itn.nn.function_transformer import transformer_from
from itn.nn.homography_transformer import HomographyTransformer
from itn.nn.net import InvariantTransformerNet
from itn.nn.spatial_transformer import SpatialTransformer
from itn.nn.tone_transformer import ToneTransformer
from itn.nn.transformer import Transformer
from itn.reports.animations import animate
from itn.reports.kinds import ReportWarning, report
from itn.runtime.distributed import join_processes
from itn.runtime.errors import Interrupted, RunError
from itn.runtime.provenance import package_version
from itn.runtime.requirements import Requirements
from itn.screening.comparison.records import ComparisonRecord
from itn.screening.comparison.result import ComparisonResult, load_comparison
from itn.screening.comparison.run import compare
from itn.screening.config import ScreenConfig
from itn.screening.flip_magnitudes import flip_magnitudes
from itn.screening.records import ScreenRecord
from itn.screening.result import ScreenResult, load_screen
from itn.screening.run import screen
from itn.screening.thresholds import Threshold
from itn.transforms.registry import TRANSFORMS, register, unregister
from itn.transforms.transform import Transform

__version__ = package_version("itn") or "unknown"

__all__ = [
    "TRANSFORMS",
    "CheckedImages",
    "Classifier",
    "ColorTransformer",
    "ComparisonRecord",
    "ComparisonResult",
    "Constrained",
    "Criterion",
    "ElasticTransformer",
    "FilterTransformer",
    "HomographyTransformer",
    "ImageSet",
    "Interrupted",
    "InvariantTransformerNet",
    "LearnConfig",
    "LearnRecord",
    "LearnResult",
    "LearnStep",
    "LearnedAugmentation",
    "Learner",
    "Objective",
    "PerClassRecord",
    "PerClassResult",
    "Preprocessing",
    "ReportWarning",
    "Requirements",
    "RunError",
    "ScreenConfig",
    "ScreenRecord",
    "ScreenResult",
    "SpatialTransformer",
    "Switched",
    "Threshold",
    "ToneTransformer",
    "Transform",
    "Transformer",
    "WorstConfig",
    "WorstRecord",
    "WorstResult",
    "animate",
    "compare",
    "displacement",
    "explore",
    "flip_magnitudes",
    "join_processes",
    "learn",
    "learn_per_class",
    "load_augmentation",
    "load_classifier",
    "load_comparison",
    "load_images",
    "load_net",
    "load_run",
    "load_screen",
    "load_worst",
    "model_cards",
    "predict",
    "preflight",
    "read_history",
    "register",
    "report",
    "screen",
    "transformer_from",
    "unregister",
    "warp",
    "worst_case",
]


if TYPE_CHECKING:
    from itn import plotting as plotting
else:

    def __getattr__(name):
        """Import ``itn.plotting``, and with it matplotlib, when it is first used."""
        if name == "plotting":
            return importlib.import_module("itn.plotting")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
