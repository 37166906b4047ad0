"""The constrained objective: as far as the tolerance allows."""
