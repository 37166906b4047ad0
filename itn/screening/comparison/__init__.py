"""Two or more screens of the same images, side by side."""
