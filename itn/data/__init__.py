"""Labeled images: the digits of the package, and folders of photographs."""
