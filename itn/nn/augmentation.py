"""A learned family as a random transform for training, and for averaging predictions at test time."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from itn.functional import Surround, check_images, unit_float
from itn.models.classifier import Classifier
from itn.models.preprocessing import height_width
from itn.nn.color_transformer import ColorTransformer
from itn.nn.composition import Composition, Controlled
from itn.nn.control_head import CONTROLS
from itn.nn.spatial_transformer import SpatialTransformer


class LearnedAugmentation(Composition):
    """Transforms every image by a random member of a learned family: F(k1, k2) with k1 and k2 uniform.

    It draws from torch's global generator, as torchvision's transforms do, so that ``torch.manual_seed`` and
    the seeds of a data loader's workers determine the draws.

    Args:
        color: The color transformer, or None; or a mapping from names to transformers. They are frozen in
            place.
        spatial: The spatial transformer, or None.
        scale: Factor on k. 1 is the family as learned or certified; 1.5 goes beyond it.
        crop: Height and width of what is returned, if images are larger: the central crop of each, into which
            geometry brings what lies around it; one number means a square. None: images of the same size.

    Raises:
        ValueError: If there is no transformer, or a number is out of its range.

    Example:
        >>> augment = itn.load_augmentation("runs/learn", scale=1.5)
        >>> pipeline = torchvision.transforms.v2.Compose([ToImage(), augment, Normalize(mean, std)])
    """

    def __init__(
        self,
        color: ColorTransformer | Controlled | None = None,
        spatial: SpatialTransformer | None = None,
        scale: float = 1.0,
        crop: tuple[int, int] | int | None = None,
    ) -> None:
        super().__init__(color, spatial)
        if not 0 <= scale < float("inf"):
            raise ValueError(f"scale must be at least 0, got {scale}")
        self.requires_grad_(False)
        if isinstance(crop, int):
            crop = crop, crop
        self.scale, self.crop = scale, None if crop is None else height_width("crop", crop)

    def forward(self, *inputs: Any) -> Any:
        """Return transformed images, float in [0, 1], with a separate draw for each image.

        They have the shape of the images, or height and width of the crop.

        Args:
            inputs: Images, C x H x W or B x C x H x W, uint8 or float in [0, 1]; or samples that hold them,
                such as an image and its label. Of a sample only the image is changed: its
                ``tv_tensors.Image`` if there is one, else its first tensor. What is given as such an image
                comes back as one.

        Raises:
            ValueError: If there is no image, if it is invalid or smaller than the crop, or if the sample
                holds boxes, masks or key points, which would not follow the image.
        """
        leaves, structure = tree_flatten(inputs if len(inputs) != 1 else inputs[0])
        kinds = [_kind(leaf) for leaf in leaves]
        for kind in kinds:
            if kind not in ("", "Tensor", "Image"):
                raise ValueError(f"a learned family transforms images alone, got {kind} beside them")
        if "Image" not in kinds and "Tensor" not in kinds:
            raise ValueError(
                f"images must be a tensor, got {type(inputs[0]).__name__ if inputs else 'nothing'}: "
                "convert it first"
            )
        place = kinds.index("Image" if "Image" in kinds else "Tensor")
        leaves[place] = self._transformed(leaves[place])
        return tree_unflatten(leaves, structure)

    def _transformed(self, images: Tensor) -> Tensor:
        plain = images.as_subclass(Tensor)
        batch = plain if plain.ndim == 4 else plain[None]
        check_images(batch)
        surround = None
        if self.crop is not None:
            surround = Surround.central((plain.shape[-2], plain.shape[-1]), self.crop, len(batch))
            surround = surround.to(batch.device)
        for part in self.members:
            part.check_frame(batch.shape if self.crop is None else (*batch.shape[:2], *self.crop))
        draws = self.scale * torch.rand(len(self.controls), len(batch), CONTROLS, device=batch.device)
        ks = [
            k.to(part.head.output.weight)
            for part, k in zip(self.members, self.of_parts(draws.unbind()), strict=True)
        ]
        transformed = self.render(unit_float(batch), self.generate(*ks), surround).clamp(0, 1)
        transformed = transformed.view(*plain.shape[:-2], *transformed.shape[-2:])
        return type(images)(transformed) if _kind(images) == "Image" else transformed

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


def _kind(leaf: Any) -> str:
    """Return "Tensor", or which of torchvision's tensors this is; empty for anything else."""
    if not isinstance(leaf, Tensor):
        return ""
    # By name, since torchvision is slow to import
    return type(leaf).__name__ if type(leaf).__module__.startswith("torchvision.tv_tensors") else "Tensor"
