"""Figures show the numbers of the records, and say what they are."""

import dataclasses

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.text import Text

import itn
from itn.plotting.style import BROKEN, UNCHANGED, save
from itn.screening import plot_overview, plot_sweep
from itn.screening.plot_points import curve_points, level_of_all


@pytest.fixture(scope="module")
def result():
    images, labels = itn.load_images("mnist", limit=120)
    config = itn.ScreenConfig(
        ("rotate", "zoom", "noise"),
        (("translate_x", "zoom"),),
        {
            "rotate": (-120.0, -60.0, 0.0, 60.0, 120.0),
            "zoom": (0.5, 1.0, 2.0),
            "noise": (0.0, 0.5),
            "translate_x": (-0.2, 0.0, 0.2),
        },
        bisections=2,
    )
    return itn.screen(itn.load_classifier("lenet5"), images, labels, config)


def texts(figure):
    return " ".join(text.get_text() for text in figure.findobj(Text))


def test_accuracy_curve_draws_the_record_above_its_images(result):
    sweep = result.record.transforms["rotate"]
    images, unchanged = torch.rand(2, 3, 1, 8, 8), torch.tensor([[True, False, True], [False, True, True]])
    magnitudes = (-120.0, 0.0, 120.0)
    figure = plot_sweep.accuracy_curve(
        itn.TRANSFORMS["rotate"], sweep, images, unchanged, magnitudes, 0.9, 0.95
    )
    ax, strip = figure.axes
    lines = {line.get_label(): line for line in ax.lines}
    for label, curve in (
        ("accuracy", sweep.accuracy),
        ("predictions unchanged", sweep.agreement),
        ("accuracy after a round trip", sweep.control_accuracy),
    ):
        drawn = dict(zip(lines[label].get_xdata(), lines[label].get_ydata(), strict=True))
        np.testing.assert_allclose([drawn[v] for v in sweep.magnitudes], 100 * np.array(curve))
    assert len(strip.images) == 6
    frames = [patch.get_edgecolor()[:3] for patch in strip.patches]
    assert frames == [to_rgb(UNCHANGED if ok else BROKEN) for ok in unchanged.flatten()]
    # Each image stands under its magnitude
    for image, v in zip(strip.images[:3], magnitudes, strict=True):
        left, right, *_ = image.get_extent()
        on_axis = ax.transAxes.inverted().transform(ax.transData.transform((v, 0)))[0]
        assert (left + right) / 2 == pytest.approx(on_axis, abs=0.01)
    for words in (
        "rotate (degrees)",
        "95 % intervals",
        "% of 120 images",
        "accuracy falls below 90 % of clean",
    ):
        assert words in texts(figure)


def test_class_softmax_has_a_panel_for_each_class(result):
    rows = [row for row in result.softmax if row.transform == "zoom"]
    figure = plot_sweep.class_softmax(itn.TRANSFORMS["zoom"], rows)
    panels = [ax for ax in figure.axes if ax.lines]
    assert [ax.get_title(loc="left") for ax in panels] == [str(k) for k in range(10)]
    true = [row.softmax for row in rows if row.class_ == row.output == "3"]
    np.testing.assert_allclose(panels[3].lines[0].get_ydata(), true)
    assert all(ax.get_xscale() == "log" for ax in panels)
    assert "zoom (factor, above 1 shrinks content)" in texts(figure)


def test_survival_ends_where_the_images_end(result):
    rows = [row for row in result.flips if row.transform == "rotate"]
    figure = plot_sweep.survival(itn.TRANSFORMS["rotate"], rows, (-120.0, 120.0), 0.95)
    ax = figure.axes[0]
    lines = [line for line in ax.lines if line.get_label() == "all images"]
    for line, side in zip(lines, ("below", "above"), strict=True):
        of_side = [row for row in rows if row.side == side]
        kept = sum(not row.flipped for row in of_side) / len(of_side)
        assert line.get_ydata()[0] == 100
        assert line.get_ydata()[-1] == pytest.approx(100 * kept)
        assert line.get_xdata()[-1] == (-120 if side == "below" else 120)
    labels = [line.get_label() for line in ax.lines]
    assert [label for label in labels[1:11]] == [str(k) for k in range(10)]  # noqa: C416


def test_pair_map_shows_the_table(result):
    pair = result.record.pairs["translate_x,zoom"]
    figure = plot_overview.pair_map(pair, itn.TRANSFORMS["translate_x"], itn.TRANSFORMS["zoom"], 0.95)
    mesh = figure.axes[0].collections[0]
    np.testing.assert_allclose(np.ravel(mesh.get_array()), 100 * np.ravel(pair.accuracy))
    assert "translate_x (fraction of the width)" in texts(figure)
    assert "red line: accuracy 85.5 %, 90 % of clean" in " ".join(texts(figure).split())


def test_thresholds_are_drawn_where_they_are(result):
    record = result.record
    figure = plot_overview.thresholds(record, dict(itn.TRANSFORMS))
    assert len(figure.axes) == 3
    for ax, (name, _) in zip(figure.axes, itn.screening.summary.breaking_order(record), strict=True):
        drawn = {
            round(float(x), 6)
            for line in ax.lines
            if line.get_marker() == "o" and len(line.get_xdata()) == 1
            for x in line.get_xdata()
        }
        values = [t.value for t in record.transforms[name].thresholds.accuracy.values()]
        assert drawn == {round(v, 6) for v in values if v is not None}
    assert (
        texts(figure).replace("\n", " ").count("lenet5: how far each transformation may go, 120 images") == 1
    )


@pytest.fixture(scope="module")
def flipped():
    images, labels = itn.load_images("mnist", limit=120)
    config = itn.ScreenConfig(
        ("horizontal_flip", "rotate"),
        (("horizontal_flip", "rotate"),),
        {"rotate": (-60.0, 0.0, 60.0)},
        accuracy_bisections=0,
    )
    return itn.screen(itn.load_classifier("lenet5"), images, labels, config)


FLIP = itn.TRANSFORMS["horizontal_flip"]


def unconnected(ax):
    """Whether no line of an axes leads from one magnitude to another."""
    return all(
        line.get_linestyle() == "None" or len(set(line.get_xdata())) == 1
        for line in ax.lines
        if line.get_marker() != "None"
    )


def test_nothing_is_drawn_between_discrete_magnitudes(flipped):
    sweep = flipped.record.transforms["horizontal_flip"]
    strips = torch.rand(2, 2, 1, 8, 8), torch.tensor([[True, False], [True, True]])
    figure = plot_sweep.accuracy_curve(FLIP, sweep, *strips, (0.0, 1.0), 0.9, 0.95)
    ax = figure.axes[0]
    lines = {line.get_label(): line for line in ax.lines}
    np.testing.assert_allclose(lines["accuracy"].get_ydata(), 100 * np.array(sweep.accuracy))
    assert list(ax.get_xticks()) == [0, 1]
    assert unconnected(ax)
    assert "accuracy is below 90 % of clean" in texts(figure)
    assert [1, 1] in [list(line.get_xdata()) for line in ax.lines]
    flips = [row for row in flipped.flips if row.transform == "horizontal_flip"]
    figure = plot_sweep.survival(FLIP, flips, (0.0, 1.0), 0.95)
    assert unconnected(figure.axes[0])
    whole = figure.axes[0].lines[0]
    assert list(whole.get_xdata()) == [0, 1]
    np.testing.assert_allclose(whole.get_ydata(), 100 * np.array(sweep.agreement))
    rows = [row for row in flipped.softmax if row.transform == "horizontal_flip"]
    figure = plot_sweep.class_softmax(FLIP, rows)
    assert all(unconnected(ax) for ax in figure.axes)
    assert "crosses: largest of the rest" in " ".join(texts(figure).split())


def test_thresholds_show_whether_a_discrete_transformation_is_kept(flipped):
    record = flipped.record
    figure = plot_overview.thresholds(record, itn.TRANSFORMS)
    names = [name for name, _ in itn.screening.summary.breaking_order(record)]
    ax = figure.axes[names.index("horizontal_flip")]
    share = record.transforms["horizontal_flip"].accuracy[1]
    assert f"{100 * share:.1f} %" in texts(figure)
    assert "a cross if too few" in texts(figure)
    marks = [line for line in ax.lines if len(line.get_xdata()) == 1]
    assert {(float(line.get_xdata()[0]), line.get_marker()) for line in marks} <= {(1, "x"), (1, "s")}
    assert len(marks) == 2
    assert unconnected(ax)
    only = {"rotate": record.transforms["rotate"]}
    rotated = plot_overview.thresholds(dataclasses.replace(record, transforms=only), itn.TRANSFORMS)
    assert "cross" not in texts(rotated)


def test_pair_map_of_a_discrete_transformation_has_crosses_for_contours(flipped):
    pair = flipped.record.pairs["horizontal_flip,rotate"]
    figure = plot_overview.pair_map(pair, FLIP, itn.TRANSFORMS["rotate"], 0.95)
    crosses = next(line for line in figure.axes[0].lines if line.get_marker() == "x")
    assert len(crosses.get_xdata()) == sum(a < 0.9 * 0.95 for row in pair.accuracy for a in row)
    assert list(figure.axes[0].get_xticks()) == [0, 1]
    assert "red crosses: accuracy below 85.5 %" in " ".join(texts(figure).split())


def test_equal_figures_make_equal_files(result, tmp_path):
    for name in "ab":
        save(plot_overview.thresholds(result.record, dict(itn.TRANSFORMS)), tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("name", ["rotate", "zoom"])
def test_curves_cross_their_level_where_the_thresholds_are(name, kept, result):
    """Through what bisection has measured, or, where no image was kept, through the thresholds."""
    sweep, record = result.record.transforms[name], result.record
    outcomes = result.outcomes.sweeps[name] if kept else None
    points = curve_points("accuracy", sweep, record.clean_accuracy, 0.95, outcomes)
    assert set(sweep.magnitudes) < set(points.magnitudes)
    assert list(points.magnitudes) == sorted(points.magnitudes)
    level = level_of_all(sweep, record.clean_accuracy)
    for threshold in sweep.thresholds.accuracy.values():
        x, at = np.array(points.magnitudes), threshold.value
        if name == "zoom":
            x, at = np.log(x), np.log(at)
        assert np.interp(at, x, points.share) == pytest.approx(level, abs=1e-9)
    assert all(low <= share <= high for _, share, low, high in zip(*points, strict=True))


@pytest.mark.parametrize("kind", ["pdf", "svg", "png"])
def test_figures_are_saved_by_their_ending(kind, result, tmp_path):
    for name in "ab":
        save(result.plot("rotate"), tmp_path / f"{name}.{kind}")
    content = (tmp_path / f"a.{kind}").read_bytes()
    assert content == (tmp_path / f"b.{kind}").read_bytes()
    assert {"pdf": b"%PDF", "svg": b"<svg", "png": b"PNG"}[kind] in content[:2000]
    with pytest.raises(ValueError, match=r"ends in \.png, \.pdf, \.svg, got .*a\.gif"):
        save(result.plot("rotate"), tmp_path / "a.gif")
