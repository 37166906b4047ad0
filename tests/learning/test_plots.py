import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba

import itn
from itn import plotting
from itn.learning import direction_plots, plots, step_plots
from itn.learning.records import ClassPart

STRIPS = {"color": "color: k1 = (t, 0)", "spatial": "spatial: k2 = (t, 0)"}


@pytest.fixture
def result(blobs, side):
    return itn.learn(side, *blobs, itn.LearnConfig(objective="switched", steps=60, batch_size=32))


def test_curves_draw_the_record(result, texts):
    figure = plots.accuracy_and_displacement(result.record, result.net.controls)
    top = figure.axes[3]  # of each part displacement, then accuracy
    assert top.get_title().startswith("spatial")
    points = [p for p in result.record.curves if p.part == "spatial" and p.ray == (0.0, 1.0)]
    np.testing.assert_allclose(top.lines[1].get_ydata(), [100 * p.accuracy for p in points])
    told = " ".join(texts(figure))
    assert "120 held-out images" in told
    assert "k2 = (t, t)" in told


def test_strips_mark_right_and_wrong(texts):
    pictures = {"color": torch.rand(2, 3, 1, 5, 5), "spatial": torch.rand(2, 3, 1, 5, 5)}
    predictions = {
        "color": torch.tensor([[0, 0, 1], [1, 1, 1]]),
        "spatial": torch.tensor([[0, 2, 2], [1, 1, 1]]),
    }
    figure = plots.class_strips(
        pictures, predictions, torch.tensor([0, 1]), "abc".__getitem__, (0.0, 0.5, 1.0), STRIPS
    )
    titles = [(text.get_text(), text.get_color()) for ax in figure.axes for text in ax.texts]
    frames = [frame.get_edgecolor() for ax in figure.axes for frame in ax.patches]
    assert frames == [to_rgba(color) for _, color in titles]
    for ax, part in zip(figure.axes, pictures.values(), strict=True):
        for image, (row, column) in zip(ax.images, np.ndindex(2, 3), strict=True):
            np.testing.assert_allclose(image.get_array(), part[row, column, 0])
            left, right, bottom, top = image.get_extent()
            title = ax.texts[3 * row + column]
            assert title.xy == ((left + right) / 2, top)
            assert (left + right, bottom > top) == (2 * column, True)
        assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "0.5", "1"]
    good, bad = plotting.UNCHANGED, plotting.BROKEN
    assert titles[:6] == [("a", good), ("a", good), ("b", bad), ("b", good), ("b", good), ("b", good)]
    assert titles[6:9] == [("a", good), ("c", bad), ("c", bad)]
    assert set(STRIPS.values()) <= set(texts(figure))


def test_grid_shows_each_cell_where_it_belongs():
    images = torch.linspace(0.1, 0.9, 6).view(2, 3, 1, 1, 1, 1).expand(2, 3, 4, 3, 4, 5)
    original = torch.zeros(4, 3, 4, 5)
    figure = plots.control_grid(original, images, (0.0, 1.0), (0.0, 0.5, 1.0), ("k1 (color)", "k2 (spatial)"))
    shown = [ax.images[0].get_array()[0, 0, 0] for ax in figure.axes if ax.images]
    np.testing.assert_allclose(sorted(shown), [0, 0.1, 0.26, 0.42, 0.58, 0.74, 0.9], atol=1e-6)
    cells = [ax for ax in figure.axes if ax.images][1:]
    np.testing.assert_allclose(
        [ax.images[0].get_array()[0, 0, 0] for ax in cells], images[:, :, 0, 0, 0, 0].flatten()
    )
    assert cells[0].get_ylabel() == "(0, 0)"
    assert cells[-1].get_xlabel() == "(1, 1)"
    right = figure.subfigs[1]
    assert (right.get_supxlabel(), right.get_supylabel()) == ("k2 (spatial)", "k1 (color)")
    alone = plots.control_grid(original, images, (0.0, 1.0), (0.0, 0.5, 1.0), ("k1 (turn)",)).subfigs[1]
    assert (alone.get_supxlabel(), alone.get_supylabel()) == ("k1 (turn)", "")
    assert figure.get_suptitle() == "the same images while k1 (color) and k2 (spatial) vary"


def test_equal_figures_make_equal_files(result, tmp_path):
    for name in ("a.png", "b.png"):
        plotting.save(plots.accuracy_and_displacement(result.record, result.net.controls), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("part", ["color", "spatial"])
def test_figures_of_one_part_alone(part, blobs, side):
    result = itn.learn(
        side, *blobs, itn.LearnConfig(objective="switched", parts=(part,), steps=3, batch_size=32)
    )
    assert len(plots.accuracy_and_displacement(result.record, result.net.controls).axes) == 2
    assert len(step_plots.loss_curves(result.history).axes) == 2


def test_the_family_is_drawn_beside_its_rivals(blobs, side):
    config = itn.LearnConfig(parts=("spatial",), tolerance=0.06, steps=20, batch_size=64)
    record = itn.learn(side, *blobs, config).record
    (ax,) = plots.baselines(record).axes
    learned = next(line for line in ax.lines if line.get_label() == "learned")
    family, *rivals = record.drop_curves
    np.testing.assert_allclose(learned.get_ydata(), [0, *family.displacements])
    # What is lost first counts, also where it comes back
    np.testing.assert_allclose(
        learned.get_xdata(), 100 * np.maximum.accumulate(np.maximum([0, *family.drops], 0))
    )
    named = {line.get_label() for line in ax.lines if not line.get_label().startswith("_")}
    assert named == {"learned", *(rival.name for rival in rivals)}
    assert ax.get_xlim() == (0, pytest.approx(12))  # twice the tolerance


def test_directions_are_drawn_in_the_plane_of_full_strength(texts):
    """k[0] moves along the first entry of the matrix, k[1] along the second, twice as far."""
    line = torch.linspace(0, 1, 5)
    first, second = torch.meshgrid(line, line, indexing="ij")
    grid = torch.stack([first, 2 * second, 0 * first], -1)
    pictures = torch.linspace(0, 1, 4).view(4, 1, 1, 1).expand(4, 1, 3, 3)
    shown = {"spatial": grid}, {"spatial": pictures}
    figure = direction_plots.control_directions(*shown, ("color", "spatial"))
    plane, *cells = figure.axes
    drawn = [line.get_xydata() for line in plane.lines[:10]]
    ends = np.array([drawn[4][-1], drawn[4][0], drawn[0][-1]])  # (1, 1), (1, 0), (0, 1)
    np.testing.assert_allclose(np.linalg.norm(ends, axis=1), [5**0.5, 1, 2], atol=1e-6)
    np.testing.assert_allclose(ends[1] @ ends[2], 0, atol=1e-6)
    np.testing.assert_allclose(ends[0], [5**0.5, 0], atol=1e-6)
    assert "k2 = (1, 1)" in texts(figure)
    assert [cell.get_title() for cell in cells] == [
        *("unchanged", "k2 = (1, 0)", "k2 = (0, 1)", "k2 = (1, 1)"),
    ]
    assert [cell.images[0].get_array()[0, 0] for cell in cells] == pytest.approx([0, 1 / 3, 2 / 3, 1])


def test_only_displacements_of_matrices_have_their_formula():
    matrix, other = ClassPart(0.1, [[1.0, 0.0, 0.1], [0.0, 1.0, 0.0]]), ClassPart(0.1, None)
    assert r"\|\hat A - I\|" in plots.displacement_label([matrix, matrix])
    assert plots.displacement_label([matrix, other]) == "displacement"
