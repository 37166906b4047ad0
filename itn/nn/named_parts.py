"""Transformers that a run may name instead of being given them as objects.

A new one is a class with a name, ``part``, in a file of its own, and a line here. It overrides
``of_settings`` where it takes other settings than most.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType

from itn.nn.color_transformer import ColorTransformer
from itn.nn.elastic_transformer import ElasticTransformer
from itn.nn.filter_transformer import FilterTransformer
from itn.nn.homography_transformer import HomographyTransformer
from itn.nn.part_settings import PartSettings
from itn.nn.spatial_transformer import SpatialTransformer
from itn.nn.tone_transformer import ToneTransformer
from itn.nn.transformer import Transformer

PAPER_PARTS = (ColorTransformer.part, SpatialTransformer.part)
"""Those of Bunne et al., in their order: k1 drives the first and k2 the second, also where one is missing."""
NAMED_CLASSES = (
    *(ColorTransformer, SpatialTransformer, FilterTransformer, HomographyTransformer),
    *(ElasticTransformer, ToneTransformer),
)
NAMED_PARTS: Mapping[str, Callable[[PartSettings], Transformer]] = MappingProxyType(
    {part.part: part.of_settings for part in NAMED_CLASSES}
)
"""By name, from the settings of a run to the transformer."""


def controls_of_parts(parts: Collection[str]) -> tuple[str, ...]:
    """Return what k1, k2, ... drive: the parts in their order; color and spatial if none are others."""
    return PAPER_PARTS if set(parts) <= set(PAPER_PARTS) else tuple(parts)


def make_parts(names: Sequence[str], settings: PartSettings) -> dict[str, Transformer | None]:
    """Return the transformers of all controls, in the order in which they act; None: it is missing."""
    return {name: NAMED_PARTS[name](settings) if name in names else None for name in controls_of_parts(names)}
