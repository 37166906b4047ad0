"""A small MLP that turns a control input k into bounded parameters."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

CONTROLS = 2  # k has two entries, as in the paper

SATURATION = 3.0
"""Largest raw parameter that learning takes, as a multiple of its bound: tanh 3 is 0.995."""


class ControlHead(nn.Module):
    """Two fully connected layers from k in [0, 1]^2 to bounded parameters that are zero at k = 0.

    The layers have no biases. A ReLU network without biases is positively homogeneous, so along
    every ray ``t * k`` each parameter is a monotone function of t that starts at exactly 0: k = 0 is
    the identity and displacement grows with k *by construction*, not by training. The direction of
    the parameters remains an arbitrary (piecewise linear) function of k. (At exactly k = 0 the ReLUs have
    no slope: to optimize k itself, start next to 0.)

    Args:
        outputs: Number P of parameters.
        hidden: Width of the hidden layer.
        bound: Every parameter stays within [-bound, bound], by a tanh of slope 1 at zero; one number for all,
            or one for each.
        generator: Randomness of the initial weights; None is torch's global generator.
        nonnegative: Apply a ReLU to the last layer too, so that parameters are never negative; the text of
            Bunne et al. can be read this way. The initial weights are then made positive: with random
            signs, half of the parameters would start at zero for all k, without a gradient.
    """

    bound: Tensor

    def __init__(
        self,
        outputs: int,
        hidden: int = 32,
        bound: float | Sequence[float] = 1.0,
        generator: torch.Generator | None = None,
        nonnegative: bool = False,
    ) -> None:
        super().__init__()
        bounds = torch.as_tensor(bound, dtype=torch.float64)
        # In single precision: 0 or infinity would make the identity a matrix of nan
        single = torch.finfo(torch.float32)
        if not ((bounds >= single.tiny) & (bounds <= single.max)).all():
            raise ValueError(f"bound must be positive and finite in single precision, got {bound}")
        if bounds.shape not in ((), (outputs,)):
            raise ValueError(f"bound must be one number, or {outputs}, one for each parameter, got {bound}")
        self.hidden = nn.Linear(CONTROLS, hidden, bias=False)
        self.output = nn.Linear(hidden, outputs, bias=False)
        self.nonnegative = nonnegative
        self.register_buffer("bound", bounds.float())
        self.reset(generator)

    @torch.no_grad()
    def reset(self, generator: torch.Generator | None = None) -> None:
        """Draw new initial weights."""
        width = self.hidden.out_features
        # Small, so that an untrained net is certainly within 1e-2 of the identity; not zero, since
        # displacement has no gradient at the identity.
        for layer, largest in ((self.hidden, 0.7), (self.output, 2e-3 / width)):
            # On the CPU, so that a seed gives the same weights on every device
            weight = torch.empty(layer.weight.shape, dtype=layer.weight.dtype)
            layer.weight.copy_(weight.uniform_(-largest, largest, generator=generator))
        if self.nonnegative:
            self.output.weight.abs_()

    def forward(self, k: Tensor) -> Tensor:
        """Return parameters, B x P, of controls B x 2, in full precision also under autocast."""
        with torch.autocast(k.device.type, enabled=False):
            raw = self.output(self.hidden(k).relu())
            if self.nonnegative:
                raw = raw.relu()
            return self.bound * torch.tanh(raw / self.bound)


def check_controls(k: Tensor) -> Tensor:
    """Return k as B x 2, or raise ValueError unless it is (2,) or (B, 2) with values in [0, 1]."""
    if k.ndim not in (1, 2) or k.shape[-1] != CONTROLS:
        raise ValueError(f"k must have shape (2,), (1, 2) or (B, 2), got {tuple(k.shape)}")
    if not torch.compiler.is_compiling() and not ((k >= 0) & (k <= 1)).all():
        raise ValueError(f"k must lie in [0, 1], got values from {k.min():.4g} to {k.max():.4g}")
    return k.reshape(-1, CONTROLS)
