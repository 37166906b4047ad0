"""Calibrate a family's scale, certify its accuracy, compare it with single-transformation baselines."""
