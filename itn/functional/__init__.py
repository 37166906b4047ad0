"""Pure functions on tensors: colors, geometry, how far a matrix moves."""
