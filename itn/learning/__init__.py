"""Learning the family of transformations that a classifier is invariant to."""
