"""Pure functions on tensors: colors, geometry, how far a matrix is from the identity."""

from itn.functional.color import (
    apply_color,
    check_images,
    color_identity,
    decompose_color,
    unit_float,
)
from itn.functional.displacements import displacement, sampled_displacement, unit_vectors
from itn.functional.families import (
    COLOR_FAMILIES,
    FAMILIES,
    Family,
    color_family_matrix,
    family_matrix,
    register_family,
)
from itn.functional.matrices import square_matrix
from itn.functional.spatial import (
    INTERPOLATIONS,
    PADDINGS,
    SpatialParts,
    decompose_spatial,
    pixel_centers,
    rms_displacement,
    spatial_identity,
    warp,
    warp_canvas,
)
from itn.functional.surround import Surround, crops_of, fill_outside

__all__ = [
    "COLOR_FAMILIES",
    "FAMILIES",
    "INTERPOLATIONS",
    "PADDINGS",
    "Family",
    "SpatialParts",
    "Surround",
    "apply_color",
    "check_images",
    "color_family_matrix",
    "color_identity",
    "crops_of",
    "decompose_color",
    "decompose_spatial",
    "displacement",
    "family_matrix",
    "fill_outside",
    "pixel_centers",
    "register_family",
    "rms_displacement",
    "sampled_displacement",
    "spatial_identity",
    "square_matrix",
    "unit_float",
    "unit_vectors",
    "warp",
    "warp_canvas",
]
