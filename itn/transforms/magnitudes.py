"""Sequences of magnitudes."""

import math


def steps(start: float, stop: float, step: float) -> tuple[float, ...]:
    """Return start, start + step, ..., including stop if a step reaches it, without accumulated rounding.

    Raises:
        ValueError: If there is no such sequence.
    """
    if not (math.isfinite(start) and math.isfinite(stop) and math.isfinite(step)) or step == 0:
        raise ValueError(
            f"START:STOP:STEP must be finite, with a step other than 0, got {start}:{stop}:{step}"
        )
    count = math.floor((stop - start) / step + 1e-9) + 1
    if count < 1:
        raise ValueError(f"a step of {step:g} does not lead from {start:g} to {stop:g}: change its sign")
    return tuple(round(start + number * step, 10) + 0.0 for number in range(count))  # no -0.0


def octaves(low: int, high: int, per_octave: int) -> tuple[float, ...]:
    """Return factors from 2^low to 2^high with ``per_octave`` steps an octave, to four digits."""
    exponents = range(low * per_octave, high * per_octave + 1)
    return tuple(float(f"{2 ** (n / per_octave):.4g}") for n in exponents)
