"""Common style of figures, and figures of networks and their training."""

from itn.plotting.channels import feature_map_layers, feature_maps, kernels
from itn.plotting.layers import LayerRow, ModelSummary, layer_outputs, model_summary
from itn.plotting.names import literal
from itn.plotting.style import BROKEN, COLUMN, STYLE, UNCHANGED, WIDTH, image_rows, picture, save, titled
from itn.plotting.training import training_curves

__all__ = [
    "BROKEN",
    "COLUMN",
    "STYLE",
    "UNCHANGED",
    "WIDTH",
    "LayerRow",
    "ModelSummary",
    "feature_map_layers",
    "feature_maps",
    "image_rows",
    "kernels",
    "layer_outputs",
    "literal",
    "model_summary",
    "picture",
    "save",
    "titled",
    "training_curves",
]
