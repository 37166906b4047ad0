"""Figures of the steps of a run."""

import numpy as np
import pytest

import itn
from itn.learning import step_plots
from itn.learning.records import LearnStep


@pytest.fixture
def result(blobs, side):
    return itn.learn(side, *blobs, itn.LearnConfig(objective="switched", steps=60, batch_size=32))


def test_loss_curves_draw_both_losses_of_every_step(result):
    left, right = step_plots.loss_curves(result.history).axes
    np.testing.assert_array_equal(
        left.lines[0].get_ydata(), [step.values["cross_entropy"] for step in result.history]
    )
    np.testing.assert_array_equal(
        right.lines[0].get_ydata(), [step.values["transformer_loss"] for step in result.history]
    )
    expected = np.mean([step.values["cross_entropy"] for step in result.history[:15]])
    assert left.lines[1].get_ydata()[0] == pytest.approx(expected)
    assert left.lines[1].get_xdata()[0] == 14  # of so few steps the mean is over a quarter
    assert all(ax.get_xlabel() == "step" and ax.get_ylabel() for ax in (left, right))


def constrained_steps(count, pruned_after):
    return [
        LearnStep(
            number,
            {"color": 0.1 + number, "spatial": 0.2 + number},
            {"drop": 0.01 * number, "multiplier": 1.0, "restarts": 16 if number < pruned_after else 4},
        )
        for number in range(count)
    ]


def test_constrained_curves_draw_every_part_and_the_tolerance():
    history = constrained_steps(8, pruned_after=5)
    *of_parts, drop = step_plots.constrained_curves(history, 0.03).axes
    for ax, part in zip(of_parts, ("color", "spatial"), strict=True):
        assert ax.get_title().startswith(part)
        drawn = ax.lines[0].get_ydata()
        np.testing.assert_array_equal(drawn, [step.displacement[part] for step in history])
    rates, tolerance = drop.lines[:2]
    np.testing.assert_allclose(rates.get_ydata(), [0, 1, 2, 3, 4, 5, 6, 7])
    assert set(tolerance.get_ydata()) == {3.0}
    # Pruned once, between the steps 4 and 5
    assert [line.get_xdata()[0] for line in (of_parts[0].lines[1], drop.lines[2])] == [5, 5]


@pytest.mark.parametrize("columns", [(), ("drop",), ("drop", "restarts")])
def test_step_curves_have_a_panel_for_each_column(columns):
    history = constrained_steps(4, pruned_after=2)
    displacement, *others = step_plots.step_curves(history, columns).axes
    assert [line.get_label() for line in displacement.lines] == ["color", "spatial"]
    for ax, name in zip(others, columns, strict=False):
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), [step.values[name] for step in history])
        assert ax.get_ylabel() == name.replace("_", " ")
    assert [ax.axison for ax in others] == [True] * len(columns) + [False] * ((len(columns) + 1) % 2)


def test_a_step_without_a_value_leaves_a_gap():
    history = [LearnStep(0, {"color": 0.1}, {"gain": 0.5}), LearnStep(1, {"color": 0.2}, {})]
    drawn = step_plots.step_curves(history, ("gain",)).axes[1].lines[0].get_ydata()
    assert drawn[0] == 0.5
    assert np.isnan(drawn[1])
