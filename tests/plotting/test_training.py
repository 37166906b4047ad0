import numpy as np
import pytest

from itn import plotting


def history(*accuracies):
    """Epochs whose values all follow from the test accuracy."""
    return [
        {"train_loss": 2 - a, "train_accuracy": a - 0.01, "test_loss": 3 - a, "test_accuracy": a, "more": []}
        for a in accuracies
    ]


def test_training_curves_draw_mean_and_range_of_the_runs(texts):
    histories = {
        "wide": [history(0.5, 0.8, 0.9), history(0.3, 0.85, 0.96), history(0.4, 0.9, 0.9)],
        "deep": [history(0.2, 0.7)],
    }
    figure = plotting.training_curves(histories, lines={"floor": 1.25, "chance": 2.3})
    left, right = figure.axes
    curves = {line.get_label(): line for line in right.lines}
    np.testing.assert_allclose(curves["wide, test"].get_ydata(), [40, 85, 92])
    np.testing.assert_allclose(curves["wide, train"].get_ydata(), [39, 84, 91])
    np.testing.assert_allclose(curves["deep, test"].get_ydata(), [20, 70])
    np.testing.assert_array_equal(curves["wide, test"].get_xdata(), [1, 2, 3])
    losses = {line.get_label(): line for line in left.lines}
    np.testing.assert_allclose(losses["wide, train"].get_ydata(), [1.6, 1.15, 1.08])
    np.testing.assert_allclose(losses["wide, test"].get_ydata(), [2.6, 2.15, 2.08])
    assert set(losses["floor"].get_ydata()) == {1.25}
    assert set(losses["chance"].get_ydata()) == {2.3}
    assert losses["floor"].get_linestyle() != losses["chance"].get_linestyle()
    for lines in (curves, losses):
        for name in histories:
            assert lines[f"{name}, train"].get_linestyle() == "--"
            assert lines[f"{name}, test"].get_linestyle() == "-"
            assert lines[f"{name}, train"].get_color() == lines[f"{name}, test"].get_color()
    assert curves["wide, test"].get_color() != curves["deep, test"].get_color()
    training, test = right.collections  # one run has no band
    for band, least, most in ((training, [29, 79, 89], [49, 89, 95]), (test, [30, 80, 90], [50, 90, 96])):
        vertices = band.get_paths()[0].vertices
        for epoch, low, high in zip((1, 2, 3), least, most, strict=True):
            heights = vertices[vertices[:, 0] == epoch][:, 1]
            np.testing.assert_allclose((heights.min(), heights.max()), (low, high))
    written = texts(figure)
    assert {"wide", "deep", "training", "test", "floor", "chance"} <= set(written)
    assert "epoch (mean and range of 1 or 3 runs)" in written


def test_the_axis_of_accuracy_starts_at_the_lowest_value_after_the_first_epoch():
    _, right = plotting.training_curves({"a": [history(0.1, 0.91, 0.95)]}).axes
    low, high = right.get_ylim()
    assert 89 < low < 90  # training accuracy of the second epoch is 90
    assert 95 < high < 96
    _, right = plotting.training_curves({"a": [history(0.6)]}).axes
    low, high = right.get_ylim()
    assert 55 < low < 59
    assert 60 < high < 65


def test_training_curves_refuse_runs_of_different_lengths():
    with pytest.raises(ValueError, match=r"runs of 'a' must have equally many epochs.*\[2, 1\]"):
        plotting.training_curves({"a": [history(0.1, 0.2), history(0.1)]})
    with pytest.raises(ValueError, match=r"runs of 'b'.*got \[\]"):
        plotting.training_curves({"b": []})
    with pytest.raises(ValueError, match="at least one variant"):
        plotting.training_curves({})
