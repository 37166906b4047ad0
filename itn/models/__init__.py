"""Frozen classifiers: wrapping, checking and loading them."""
