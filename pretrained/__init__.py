"""Weights of the shipped classifiers (safetensors) and their cards (cards.json)."""
