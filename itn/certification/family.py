"""A net as a family that grows with a scale."""

import torch

from itn.certification.parametric import ParametricTransform
from itn.functional.displacement import displacement
from itn.models.classifier import Classifier
from itn.nn.control_head import CONTROLS
from itn.nn.net import InvariantTransformerNet


def mover(net: InvariantTransformerNet) -> ParametricTransform:
    """Return a net as something that grows with a scale: k1 first, then k2, those that it listens to."""
    padding = "zeros" if net.spatial is None else net.spatial.padding
    both = len(net.parts) == 2
    return ParametricTransform(
        CONTROLS * len(net.parts),
        lambda k: net.matrices(k[:, :CONTROLS], k[:, CONTROLS:] if both else k),
        padding,
    )


@torch.no_grad()
def rescale(net: InvariantTransformerNet, scale: float) -> None:
    """Let a family be at k what it was at k times the scale."""
    for part in net.parts:
        getattr(net, part).head.output.weight.mul_(scale)


@torch.no_grad()
def displacements_full(net: InvariantTransformerNet, scale: float = 1.0) -> dict[str, float]:
    """Return the displacement of each part of a net where all controls are 1 times the scale."""
    k = torch.full((1, CONTROLS), scale, device=classifier_of(net).device)
    pairs = zip(("color", "spatial"), net.matrices(k, k), strict=True)
    return {part: displacement(matrix).item() for part, matrix in pairs if matrix is not None}


def classifier_of(net: InvariantTransformerNet) -> Classifier:
    """Return the classifier of a net that was made for one."""
    assert isinstance(net.classifier, Classifier)
    return net.classifier
