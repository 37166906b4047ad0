"""A learned family as a random transform for training, and for averaging predictions at test time."""

import torch
from torch import Tensor, nn

from itn.functional import apply_color, check_images, unit_float, warp
from itn.models.classifier import Classifier
from itn.nn.control_head import CONTROLS
from itn.nn.transformers import ColorTransformer, SpatialTransformer


class LearnedAugmentation(nn.Module):
    """Transforms every image by a random member of a learned family: F(k1, k2) with k1 and k2 uniform.

    It draws from torch's global generator, as torchvision's transforms do, so that ``torch.manual_seed`` and
    the seeds of a data loader's workers determine the draws.

    Args:
        color: The color transformer, or None. Both transformers are frozen in place.
        spatial: The spatial transformer, or None.
        scale: Factor on k. 1 is the family as learned or certified; 1.5 goes beyond it.

    Example:
        >>> augment = itn.load_augmentation("runs/learn", scale=1.5)
        >>> pipeline = torchvision.transforms.v2.Compose([ToImage(), augment, Normalize(mean, std)])
    """

    def __init__(
        self,
        color: ColorTransformer | None = None,
        spatial: SpatialTransformer | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        if color is None and spatial is None:
            raise ValueError("nothing to draw from: give a color transformer, a spatial one, or both")
        if not 0 <= scale < float("inf"):
            raise ValueError(f"scale must be at least 0, got {scale}")
        self.color = color if color is None else color.requires_grad_(False)
        self.spatial = spatial if spatial is None else spatial.requires_grad_(False)
        self.scale = scale

    def forward(self, images: Tensor) -> Tensor:
        """Return transformed images, float in [0, 1], of the same shape, with a separate draw for each image.

        Args:
            images: C x H x W or B x C x H x W, uint8 or float in [0, 1].

        Raises:
            ValueError: If the images are invalid.
        """
        if not isinstance(images, Tensor):
            raise ValueError(f"images must be a tensor, got {type(images).__name__}: convert it first")
        batch = images if images.ndim == 4 else images[None]
        check_images(batch)
        if self.color is not None and batch.shape[1] != self.color.channels:
            raise ValueError(f"images have {batch.shape[1]} channels, the family takes {self.color.channels}")
        k1, k2 = self.scale * torch.rand(2, len(batch), CONTROLS, device=batch.device)
        transformed = unit_float(batch)
        if self.color is not None:
            transformed = apply_color(transformed, self.color.generate(k1))
        if self.spatial is not None:
            transformed = warp(transformed, self.spatial.generate(k2), self.spatial.padding)
        return transformed.clamp(0, 1).view(images.shape)

    @torch.inference_mode()
    def probabilities(self, classifier: Classifier, images: Tensor, draws: int = 8) -> Tensor:
        """Return the mean softmax over draws of the family, B x K: test-time augmentation.

        Args:
            classifier: The classifier under study.
            images: B x C x H x W, uint8 or float in [0, 1].
            draws: Number of transformed copies of each image.

        Raises:
            ValueError: If there is no draw, or the images are invalid.
        """
        if draws < 1:
            raise ValueError(f"draws must be at least 1, got {draws}")
        return torch.stack([classifier(self(images)).softmax(1) for _ in range(draws)]).mean(0)
