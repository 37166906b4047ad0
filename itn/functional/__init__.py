"""Pure functions on tensors: colors, tone, filters, geometry, how far a matrix is from the identity."""

from itn.functional.color import (
    apply_color,
    check_images,
    color_identity,
    decompose_color,
    fade_to_gray,
    unit_float,
)
from itn.functional.displacements import displacement, sampled_displacement, unit_vectors
from itn.functional.elastic import shift_pixels, sine_field, steepness
from itn.functional.families import (
    COLOR_FAMILIES,
    FAMILIES,
    Family,
    color_family_matrix,
    family_matrix,
    register_family,
)
from itn.functional.filters import (
    cosine_basis,
    disk_kernels,
    filter_channels,
    filter_images,
    filter_matrix,
    gaussian_weights,
    motion_weights,
)
from itn.functional.homography import (
    FIELD_OF_VIEW,
    as_homography,
    compose_maps,
    inverse_map,
    map_points,
    tilt_homography,
)
from itn.functional.matrices import square_matrix
from itn.functional.pictures import standard_picture
from itn.functional.sampling import INTERPOLATIONS, PADDINGS
from itn.functional.spatial import (
    SpatialParts,
    decompose_spatial,
    pixel_centers,
    rms_displacement,
    spatial_identity,
    warp,
    warp_and_back,
    warp_canvas,
)
from itn.functional.surround import Surround, change_crops, crops_of, fill_outside
from itn.functional.tone import gamma_curve, tone_curve

__all__ = [
    "COLOR_FAMILIES",
    "FAMILIES",
    "FIELD_OF_VIEW",
    "INTERPOLATIONS",
    "PADDINGS",
    "Family",
    "SpatialParts",
    "Surround",
    "apply_color",
    "as_homography",
    "change_crops",
    "check_images",
    "color_family_matrix",
    "color_identity",
    "compose_maps",
    "cosine_basis",
    "crops_of",
    "decompose_color",
    "decompose_spatial",
    "disk_kernels",
    "displacement",
    "fade_to_gray",
    "family_matrix",
    "fill_outside",
    "filter_channels",
    "filter_images",
    "filter_matrix",
    "gamma_curve",
    "gaussian_weights",
    "inverse_map",
    "map_points",
    "motion_weights",
    "pixel_centers",
    "register_family",
    "rms_displacement",
    "sampled_displacement",
    "shift_pixels",
    "sine_field",
    "spatial_identity",
    "square_matrix",
    "standard_picture",
    "steepness",
    "tilt_homography",
    "tone_curve",
    "unit_float",
    "unit_vectors",
    "warp",
    "warp_and_back",
    "warp_canvas",
]
