"""Labelled images: digits inside the package, folders of photographs."""
