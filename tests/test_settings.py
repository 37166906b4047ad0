import pytest

from itn import LearnConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"parts": ()}, "parts must be color, space, or both, got none"),
        ({"parts": ("space", "space")}, "got space,space"),
        ({"parts": ("colour",)}, "got colour"),
        ({"objective": "best"}, "objective must be switched"),
        ({"family": "afine"}, "family must be one of affine, rotation"),
        ({"padding": "wrap"}, "padding must be one of zeros"),
        ({"acc_orig": "mean"}, "paired, measured or a number"),
        ({"acc_orig": 98.0}, "paired, measured or a number"),
        ({"tolerance": 1.0}, r"tolerance must lie in \[0, 1\)"),
        ({"tolerance": -0.1}, "tolerance must lie"),
        ({"learn_fraction": 1.0}, r"learn-fraction must lie in \(0, 1\)"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"batch_size": 0}, "batch-size must be at least 1"),
        ({"c_theta": float("nan")}, "c-theta must be positive"),
        ({"learning_rate": float("inf")}, "learning-rate must be positive"),
        ({"color_bound": 0.0}, "color-bound must be positive"),
        ({"spatial_bound": -1.0}, "spatial-bound must be positive"),
        ({"vectors": -1}, "vectors must be 0"),
        ({"seed": -1}, "seed must be in"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LearnConfig(**settings)
