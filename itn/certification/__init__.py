"""How far a family may go with which certainty, beside single transformations."""
