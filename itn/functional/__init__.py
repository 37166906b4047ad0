"""Pure functions on tensors: colors, geometry, displacement."""
