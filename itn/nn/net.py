"""The Invariant Transformer Net: transformers in front of the frozen classifier."""

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor, nn

from itn.functional import Surround
from itn.models.classifier import Classifier
from itn.nn.color_transformer import ColorTransformer
from itn.nn.composition import Composition, Controlled
from itn.nn.spatial_transformer import SpatialTransformer


class InvariantTransformerNet(Composition):
    """Learnable transformations F(k1, k2) in front of a classifier that never changes.

    k1 drives color and k2 drives geometry, as in figure 1 and the loss of Bunne et al. (the text of
    their section IV.B has it the other way round).

    Args:
        classifier: Takes images in [0, 1] and returns logits; an ``itn.Classifier`` or any module of
            that kind. It is frozen in place: eval mode, no gradients for its parameters.
        color: The color transformer, or None to leave colors unchanged; or a mapping from names to any
            transformers. They are applied in its order, and the net is called with as many controls.
        spatial: The spatial transformer, or None to leave geometry unchanged.

    Example:
        >>> net = InvariantTransformerNet(itn.load_classifier("lenet5"), None, SpatialTransformer())
        >>> net(torch.rand(8, 1, 28, 28), torch.zeros(2), torch.rand(8, 2)).shape
        torch.Size([8, 10])
    """

    def __init__(
        self,
        classifier: nn.Module,
        color: ColorTransformer | Controlled | None = None,
        spatial: SpatialTransformer | None = None,
    ) -> None:
        super().__init__(color, spatial)
        self.classifier = classifier.eval().requires_grad_(False)

    @property
    def channels(self) -> int | None:
        """The number of channels that the classifier takes; None: any."""
        return self.classifier.channels if isinstance(self.classifier, Classifier) else None

    def train(self, mode: bool = True) -> Self:
        """Set the transformers' mode; the classifier stays in eval mode."""
        super().train(mode)
        self.classifier.eval()
        return self

    def forward(
        self, images: Tensor, *ks: Tensor, surround: Surround | None = None, **named: Tensor
    ) -> Tensor:
        """Return the classifier's logits, B x K, of the transformed images; see ``transform``."""
        transformed = self.transform(images, *ks, surround=surround, **named)
        if isinstance(self.classifier, Classifier):  # the images have been checked
            return self.classifier.logits(transformed)
        logits: Tensor = self.classifier(transformed)
        return logits

    def transformer_state(self) -> dict[str, Tensor]:
        """Return the weights of the transformers only: everything that learning changes."""
        state: dict[str, Tensor] = self.transformers.state_dict()
        return state

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
