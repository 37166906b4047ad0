"""The Invariant Transformer Net: color and spatial transformer in front of the frozen classifier."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from itn.functional import apply_color, unit_float, warp
from itn.nn.control_head import check_controls
from itn.nn.transformers import ColorTransformer, SpatialTransformer


class InvariantTransformerNet(nn.Module):
    """Learnable transformations F(k1, k2) in front of a classifier that never changes.

    k1 drives color and k2 drives geometry, as in figure 1 and the loss of Bunne et al. (the text of
    their section IV.B has it the other way round).

    Args:
        classifier: Takes images in [0, 1] and returns logits; an ``itn.Classifier`` or any module of
            that kind. It is frozen in place: eval mode, no gradients for its parameters.
        color: The color transformer, or None to leave colors unchanged.
        spatial: The spatial transformer, or None to leave geometry unchanged.

    Example:
        >>> net = InvariantTransformerNet(itn.load_classifier("lenet5"), None, SpatialTransformer())
        >>> net(torch.rand(8, 1, 28, 28), torch.zeros(2), torch.rand(8, 2)).shape
        torch.Size([8, 10])
    """

    def __init__(
        self,
        classifier: nn.Module,
        color: ColorTransformer | None = None,
        spatial: SpatialTransformer | None = None,
    ) -> None:
        super().__init__()
        if color is None and spatial is None:
            raise ValueError("nothing to learn: give a color transformer, a spatial one, or both")
        self.classifier = classifier.eval().requires_grad_(False)
        self.color = color
        self.spatial = spatial

    def train(self, mode: bool = True) -> "InvariantTransformerNet":
        """Set the transformers' mode; the classifier stays in eval mode."""
        super().train(mode)
        self.classifier.eval()
        return self

    def forward(self, images: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
        """Return the classifier's logits, B x K, of the transformed images."""
        return self.classifier(self.transform(images, k1, k2))

    def transform(self, images: Tensor, k1: Tensor, k2: Tensor) -> Tensor:
        """Return F(k1, k2) of the images: float in [0, 1], same shape.

        Args:
            images: B x C x H x W, uint8 or float in [0, 1].
            k1: Controls of the color transformer, (2,), (1, 2) or (B, 2), in [0, 1].
            k2: Controls of the spatial transformer, likewise. F(0, 0) returns the images bit for bit.

        Raises:
            ValueError: If images, k1 or k2 are invalid.
        """
        images = unit_float(images)
        for k in (k1, k2):  # also of a part that the net does not have
            check_controls(torch.as_tensor(k))
        if self.color is not None:
            images = self.color(images, k1)
        if self.spatial is not None:
            images = self.spatial(images, k2)
        return images

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that this net transforms: "color", "spatial", or both, in this order."""
        return tuple(name for name in ("color", "spatial") if getattr(self, name) is not None)

    def single(self, part: str) -> bool:
        """Return whether a part has a single parameter, so that its family is a range."""
        return bool(getattr(self, part).head.output.out_features == 1)

    @property
    def padding(self) -> str:
        """What lies outside the frame; "zeros" without a spatial transformer, which never looks there."""
        return "zeros" if self.spatial is None else self.spatial.padding

    def controls(self, part: str, k: Tensor) -> tuple[Tensor, Tensor]:
        """Return k1 and k2 that drive one part by k and leave the other unchanged."""
        return (k, 0 * k) if part == "color" else (0 * k, k)

    def matrices(self, k1: Tensor, k2: Tensor) -> dict[str, Tensor]:
        """Return the matrices of each part, in this order, for valid controls B x 2, unchecked."""
        controls = {"color": k1, "spatial": k2}
        return {part: getattr(self, part).generate(controls[part]) for part in self.parts}

    def render(self, images: Tensor, matrices: Mapping[str, Tensor]) -> Tensor:
        """Return valid float images transformed by matrices, unchecked: ``transform`` for inner loops."""
        return apply_matrices(images, matrices, self.padding)

    def transformer_state(self) -> dict[str, Tensor]:
        """Return the weights of the transformers only: everything that learning changes."""
        state: dict[str, Tensor] = self.state_dict()
        return {name: value for name, value in state.items() if not name.startswith("classifier.")}

    def load_transformer_state(self, state: Mapping[str, Tensor]) -> None:
        """Load exactly what ``transformer_state`` returned.

        Raises:
            ValueError: If names or shapes are not those of this net.
        """
        current = self.transformer_state()
        expected, shapes = ({name: value.shape for name, value in s.items()} for s in (current, state))
        if shapes != expected:
            raise ValueError(f"weights are those of another net: {shapes}, expected {expected}")
        with torch.no_grad():
            for name, value in current.items():
                value.copy_(state[name])


def apply_matrices(images: Tensor, matrices: Mapping[str, Tensor], padding: str = "zeros") -> Tensor:
    """Apply the color matrices, then the spatial ones, to float images, unchecked; each may be missing.

    Values may leave [0, 1] by rounding, since interpolation weights sum to 1 only up to that.
    """
    if "color" in matrices:
        images = apply_color(images, matrices["color"])
    return warp(images, matrices["spatial"], padding) if "spatial" in matrices else images
