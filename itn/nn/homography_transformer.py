"""The homography transformer: the image as a picture that is seen from elsewhere."""

import math
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from itn.functional import (
    Surround,
    decompose_spatial,
    map_points,
    pixel_centers,
    tilt_homography,
    unit_vectors,
    warp,
    warp_canvas,
)
from itn.nn.frame import Frame
from itn.nn.single_transformation import MagnitudeOffset, SingleTransformation
from itn.nn.spatial_transformer import SpatialTransformer, in_words
from itn.nn.transformer import Transformer
from itn.runtime.validation import check_choice, require
from itn.transforms import TRANSFORMS

HOMOGRAPHIES = {
    "homography": (*SpatialTransformer("affine").names, "depth_x", "depth_y"),
    "tilts": ("horizontal tilt", "vertical tilt"),
}
"""Families, with what their parameters mean."""
MOST_DEPTH = 0.45
"""Bound on how much the depth changes from the center to a side, as a share of it: nowhere in the frame does
it fall below a tenth, so that the horizon, where it is 0, stays outside."""
MOST_TILT, LARGEST_TILT = math.radians(40), math.radians(42)  # beyond, two tilts bring in the horizon
_BEYOND = math.radians(60)
_GRID = 32  # points along a side over which shifts are averaged, at most


class HomographyTransformer(Transformer):
    """A projective map of the image plane, driven by k.

    It is [[A, t], [g, 1]], output to input, in the normalized coordinates of ``itn.functional.homography``.
    The depth at a point x is 1 + g x; the bound on g keeps the horizon, where it is 0, out of the frame.

    Args:
        family: ``"homography"``, with eight parameters: those of an affine map, which are members, and g; or
            ``"tilts"``, the picture on a board that turns before a camera, with two angles in radians.
        hidden: Width of the hidden layer.
        bound: Bound on the affine parameters (default 1; g is bounded by 0.45 at most), or on the tilts
            (default 40 degrees, at most 42).
        padding: What lies outside the frame: zeros, border or reflection.
        generator: Randomness of the initial weights; None is torch's global generator.
        nonnegative: No parameter falls below 0, see ``ControlHead``.
        interpolation: How values between pixels are made: bilinear or bicubic, see ``itn.warp``.

    Raises:
        ValueError: If there is no such family, or a bound would bring the horizon into the frame.

    Example:
        >>> tilted = HomographyTransformer("tilts")(torch.rand(2, 3, 16, 16), torch.ones(2))
    """

    part = "homography"
    """Its name in a run that names its parts."""
    samples = True

    def __init__(
        self,
        family: str = "homography",
        hidden: int = 32,
        bound: float | None = None,
        padding: str = "zeros",
        generator: torch.Generator | None = None,
        nonnegative: bool = False,
        interpolation: str = "bilinear",
    ) -> None:
        check_choice("family", family, HOMOGRAPHIES)
        if family == "tilts":
            bounds: float | list[float] = MOST_TILT if bound is None else bound
            require(
                bound is None or bound <= LARGEST_TILT,
                f"tilts are bounded by at most {LARGEST_TILT:.3f} (42 degrees), got {bound}: the horizon "
                "would enter the frame",
            )
        else:
            affine = 1.0 if bound is None else bound
            bounds = [affine] * 6 + [min(affine, MOST_DEPTH)] * 2
        names = HOMOGRAPHIES[family]
        super().__init__(names, bounds, hidden, padding, generator, nonnegative, interpolation)
        self.family = family

    @property
    @override
    def takes_surround(self) -> bool:
        return True

    def homography(self, p: Tensor, frame: Frame) -> Tensor:
        """Return the homographies, B x 3 x 3, of parameters, B x P; at 0 exactly the identity."""
        if self.family == "tilts":
            return _tilted(p, frame)
        identity = torch.eye(3, dtype=p.dtype, device=p.device)
        return identity + torch.cat([p, torch.zeros_like(p[:, :1])], 1).unflatten(1, (3, 3))

    @override
    def apply_parameters(self, images: Tensor, p: Tensor, frame: Frame) -> Tensor:
        matrix = self.homography(p, frame)
        return warp(images, matrix, frame.padding, frame.surround, frame.interpolation)

    @override
    def apply_to_canvases(self, canvases: Tensor, p: Tensor, frame: Frame) -> tuple[Tensor, Surround]:
        assert frame.surround is not None
        matrix = self.homography(p, frame)
        moved = warp_canvas(canvases, matrix, frame.padding, frame.surround, frame.interpolation)
        return moved, frame.surround.filling(canvases)

    @override
    def displacement(self, p: Tensor, frame: Frame) -> Tensor:
        """Return ``||H - I||_F^2 / 3``, where the last entry of H is 1; of affine maps it is theirs."""
        return self.deviation(p, frame).square().sum(1) / 3

    @override
    def sampled_displacement(
        self, p: Tensor, samples: int, generator: torch.Generator, frame: Frame
    ) -> Tensor:
        rows = self.deviation(p, frame).unflatten(1, (3, 3))
        return (rows @ unit_vectors(samples, 3, generator).to(rows).T).square().sum(1).mean(1)

    @override
    def deviation(self, p: Tensor, frame: Frame) -> Tensor:
        return (self.homography(p, frame) - self.homography(0 * p[:1], frame)).flatten(1)

    @override
    def rms_shift(self, p: Tensor, frame: Frame) -> Tensor:
        """Return by how much pixels move, averaged over a grid of at most 32 x 32 points of the frame."""
        y, x = (pixel_centers(min(n, _GRID), p) for n in frame.size)
        points = torch.stack([x.expand(len(y), -1).flatten(), y[:, None].expand(-1, len(x)).flatten()])
        shift = map_points(self.homography(p, frame), points) - points
        aspect = shift.new_tensor([1.0, 1 / frame.aspect])
        return 0.5 * (shift * aspect[:, None]).square().sum(1).mean(1).sqrt()

    @override
    def describe(self, p: Tensor, frame: Frame) -> str:
        if self.family == "tilts":
            across, down = (math.degrees(tilt) for tilt in p[0].tolist())
            return (
                f"the picture is tilted by {abs(across):.1f} degrees, so that its "
                f"{'left' if across < 0 else 'right'} side recedes, and by {abs(down):.1f}, so that its "
                f"{'upper' if down < 0 else 'lower'} side does"
            )
        matrix = self.homography(p, frame)
        depth = matrix[:, 2:, :2]
        # The affine map that it is at the center, where the depth is 1
        center = torch.cat([matrix[:, :2, :2] - matrix[:, :2, 2:] * depth, matrix[:, :2, 2:]], 2)
        parts = decompose_spatial(center, frame.aspect)
        at_center = f"at the center {in_words(parts)}; " if torch.stack(parts).isfinite().all() else ""
        across, down = depth[0, 0].tolist()
        return (
            f"{at_center}the {'right' if across < 0 else 'left'} side is {1 / (1 - abs(across)):.2f} times "
            "as far away as the center, the "
            f"{'lower' if down < 0 else 'upper'} side {1 / (1 - abs(down)):.2f} times"
        )

    @override
    def details(self, p: Tensor, frame: Frame) -> dict[str, Any]:
        return {"matrix_full": self.homography(p, frame)[0].tolist()}

    @override
    def baselines(self, frame: Frame) -> list[SingleTransformation]:
        """Return the tilts and what an affine map is compared with, each with both signs."""
        general = self.family == "homography"
        affine = SpatialTransformer("affine", 1, self.head.bound[0].item() if general else None)
        singles = affine.baselines(frame)
        for number, single in enumerate(singles):
            six = single.parameters
            assert six is not None
            padded = (lambda scale, six=six: torch.cat([six(scale), torch.zeros(2)])) if general else None
            singles[number] = single._replace(parameters=padded)
        return [*(self._tilt(axis, sign, frame) for axis in (0, 1) for sign in (1, -1)), *singles]

    def _tilt(self, axis: int, sign: int, frame: Frame) -> SingleTransformation:
        """Return the tilt about the vertical line (axis 0) or the horizontal one, as far as the bound."""
        name = ("perspective_x", "perspective_y")[axis]
        # A general one goes on until the bound on its depth ends it
        most = sign * (self.head.bound.item() if self.family == "tilts" else _BEYOND)
        direction = torch.eye(2, dtype=torch.float64)[axis]

        def parameters(scale: Tensor) -> Tensor:
            tilts = most * scale[:, None] * direction
            if self.family == "tilts":
                return tilts
            return (_tilted(tilts, frame) - torch.eye(3)).flatten(1)[:, :8]

        offset = MagnitudeOffset(math.degrees(most), unit=TRANSFORMS[name].unit)
        return self.path(name, parameters, offset, frame)


def _tilted(tilts: Tensor, frame: Frame) -> Tensor:
    """Return the homographies of tilts, B x 3 x 3, whose last entry is 1."""
    matrix = tilt_homography(tilts, frame.aspect)
    return matrix / matrix[:, 2:, 2:]
