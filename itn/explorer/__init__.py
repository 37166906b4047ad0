"""One image under all transformations at once, live: ``itn explore``."""
