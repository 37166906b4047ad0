"""Intervals, exact tests, survival curves and reproducible draws; no images and no networks."""
