"""All transformations together: which images survive everywhere in a box of magnitudes."""
