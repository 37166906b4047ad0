"""An elastic warp as a transformer: ``python examples/elastic.py`` asks lenet5 how far it may go."""

import torch
import torch.nn.functional as F
from torch import Tensor

import itn
from itn.nn import Frame

POINTS = 3  # control points along each side


class Elastic(itn.Transformer):
    """Moves a grid of control points, and all pixels between them smoothly.

    Parameters are the shifts of the points along x, then along y, in normalized coordinates: 2 is the frame.
    """

    names = tuple(f"d{axis} {point}" for axis in "xy" for point in range(POINTS**2))
    bound = 0.5

    def apply_parameters(self, images: Tensor, p: Tensor, frame: Frame) -> Tensor:
        """Return warped images; at 0 the images themselves, with the gradient of the warp."""
        identity = torch.eye(2, 3, dtype=p.dtype, device=p.device).expand(len(p), 2, 3)
        grid = F.affine_grid(identity, list(images.shape), align_corners=False)
        grid = grid + self.field(p, frame).movedim(1, -1)
        warped = F.grid_sample(images, grid.to(images), "bilinear", frame.padding, align_corners=False)
        exact = images.detach() + (warped - warped.detach())
        return torch.where((p == 0).all(1).view(-1, 1, 1, 1), exact, warped)

    def displacement(self, p: Tensor, frame: Frame) -> Tensor:
        """Return the mean square shift of pixels, in fractions of width and height."""
        return (self.field(p, frame) / 2).square().sum(1).mean((1, 2))

    def rms_shift(self, p: Tensor, frame: Frame) -> Tensor:
        """Return the root mean square shift of pixels."""
        return self.displacement(p, frame).sqrt()

    def describe(self, p: Tensor, frame: Frame) -> str:
        """Return the largest shift in words."""
        return f"pixels move by up to {50 * self.field(p, frame).abs().max().item():.1f} % of the frame"

    def field(self, p: Tensor, frame: Frame) -> Tensor:
        """Return the shift of every pixel, B x 2 x H x W."""
        points = p.unflatten(1, (2, POINTS, POINTS))
        return F.interpolate(points, frame.size, mode="bicubic", align_corners=True)


if __name__ == "__main__":
    images, labels = itn.load_images("mnist:heldout", limit=4000)
    config = itn.LearnConfig(parts={"elastic": Elastic()}, steps=100)
    print(itn.learn(itn.load_classifier("lenet5"), images, labels, config))
