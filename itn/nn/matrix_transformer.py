"""What transformers that apply an affine matrix share."""

from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from itn.functional import displacement, sampled_displacement, unit_vectors
from itn.functional.families import Magnitude
from itn.nn.frame import Frame
from itn.nn.transformer import MagnitudeName, Transformer
from itn.transforms import TRANSFORMS


class MatrixTransformer(Transformer):
    """A transformer that applies an affine matrix; neighbors of one kind are fused into one matrix."""

    def matrix_from(self, p: Tensor, frame: Frame) -> Tensor:
        """Return the matrices, ... x (n-1) x n, of parameters, ... x P; at 0 exactly the identity."""
        raise NotImplementedError

    @staticmethod
    def apply_matrix(images: Tensor, matrix: Tensor, frame: Frame) -> Tensor:
        """Return float images transformed by matrices, B x (n-1) x n, in a frame.

        Where the frame has a surround, which it only has with ``takes_surround``, images are canvases, and
        crops are returned.
        """
        raise NotImplementedError

    @staticmethod
    def compose(first: Tensor, second: Tensor) -> Tensor:
        """Return the matrices of one transformation after another."""
        raise NotImplementedError

    @property
    def known_magnitude(self) -> Magnitude | None:
        """What a single parameter is in the screening table; None: nothing in it."""
        return None

    @override
    def magnitude(self, parameter: float) -> float:
        known = self.known_magnitude
        return parameter if known is None else known.of_parameter(parameter)

    @property
    @override
    def magnitude_name(self) -> MagnitudeName:
        if (known := self.known_magnitude) is None:
            return super().magnitude_name
        return MagnitudeName(known.transform, TRANSFORMS[known.transform].unit)

    @property
    def is_plain(self) -> bool:
        """Whether the matrix is all that is applied; a subclass may do more."""
        return type(self).apply_parameters is MatrixTransformer.apply_parameters

    def fuses_with(self, other: Transformer) -> bool:
        """Whether this transformer and the next one can be applied as one matrix."""
        return (
            isinstance(other, MatrixTransformer)
            and self.is_plain
            and other.is_plain
            and other.apply_matrix is self.apply_matrix
            and (other.padding, other.interpolation) == (self.padding, self.interpolation)
        )

    @override
    def apply_parameters(self, images: Tensor, p: Tensor, frame: Frame) -> Tensor:
        return self.apply_matrix(images, self.matrix_from(p, frame), frame)

    @override
    def displacement(self, p: Tensor, frame: Frame) -> Tensor:
        return displacement(self.matrix_from(p, frame))

    @override
    def sampled_displacement(
        self, p: Tensor, samples: int, generator: torch.Generator, frame: Frame
    ) -> Tensor:
        matrix = self.matrix_from(p, frame)
        return sampled_displacement(matrix, unit_vectors(samples, matrix.shape[-1], generator).to(matrix))

    @override
    def deviation(self, p: Tensor, frame: Frame) -> Tensor:
        return (self.matrix_from(p, frame) - self.matrix_from(0 * p[:1], frame)).flatten(1)

    @override
    def details(self, p: Tensor, frame: Frame) -> dict[str, Any]:
        return {"matrix_full": self.matrix_from(p, frame)[0].tolist()}
