import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from itn import plotting


def test_image_rows_show_each_image_under_its_title():
    images = torch.linspace(0, 1, 6).view(2, 3, 1, 1, 1).expand(2, 3, 1, 5, 4)
    titles = [["a", "b", "c"], ["d", "e\nf", "g"]]
    good, bad = plotting.HOLDS, plotting.BROKEN
    colors = [[good, bad, good], [bad, bad, good]]
    axes = plotting.image_rows(images, titles, colors).axes
    assert [ax.get_title() for ax in axes] == ["a", "b", "c", "d", "e\nf", "g"]
    assert [ax.title.get_color() for ax in axes] == [good, bad, good, bad, bad, good]
    frames = [ax.spines["left"].get_edgecolor() for ax in axes]
    assert frames == [to_rgba(ax.title.get_color()) for ax in axes]
    shown = [ax.images[0].get_array()[4, 3] for ax in axes]
    np.testing.assert_allclose(shown, images[:, :, 0, 0, 0].flatten())
    as_bytes = plotting.image_rows((255 * images).byte(), titles).axes
    np.testing.assert_allclose(as_bytes[5].images[0].get_array(), 1)
    assert {ax.title.get_color() for ax in as_bytes} == {"black"}


@pytest.mark.parametrize("name", ["titles", "colors"])
def test_image_rows_refuse_what_is_not_one_for_each_image(name):
    tables = {"titles": [["a"] * 3] * 2, "colors": [["red"] * 3] * 2} | {name: [["a"] * 3, ["a"] * 2]}
    with pytest.raises(ValueError, match=rf"{name} must be 2 rows of 3.*got rows of \[3, 2\]"):
        plotting.image_rows(torch.rand(2, 3, 1, 4, 4), **tables)
    with pytest.raises(ValueError, match=r"R x T x C x H x W.*\(3, 1, 4, 4\)"):
        plotting.image_rows(torch.rand(3, 1, 4, 4), [["a"] * 3])


def history(*accuracies):
    """Return epochs in which everything follows from the test accuracy."""
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
        corners = band.get_paths()[0].vertices
        for epoch, low, high in zip((1, 2, 3), least, most, strict=True):
            heights = corners[corners[:, 0] == epoch][:, 1]
            np.testing.assert_allclose((heights.min(), heights.max()), (low, high))
    told = texts(figure)
    assert {"wide", "deep", "training", "test", "floor", "chance"} <= set(told)
    assert "epoch (mean and range of 1 or 3 runs)" in told


def test_the_axis_of_accuracy_begins_after_the_first_epoch():
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


def mosaics(figure):
    return [ax for ax in figure.axes if ax.images]


def written(axis, pixels):
    """Return what is written at an axis, by the number of the tile that it stands at the middle of."""
    labels = {}
    for tick, text in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True):
        tile = (tick - (pixels - 1) / 2) / pixels
        assert tile == pytest.approx(round(tile))
        labels[round(tile)] = text.get_text()
    return labels


@pytest.mark.parametrize("shape", [(120, 16, 5, 5), (16, 6, 5, 3), (2, 9, 1, 1), (31, 3, 2, 7)])
def test_a_kernel_lies_where_the_labels_say(shape):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    height, width = shape[2:]
    seen = []
    for ax in mosaics(plotting.kernels(weight)):
        assert ax.get_xlabel() == "input channel"
        rows, columns = written(ax.yaxis, height), written(ax.xaxis, width)
        (first,) = {int(text) - row for row, text in rows.items()}
        assert all(int(text) == column for column, text in columns.items())
        canvas = ax.images[0].get_array()
        for row, column in np.ndindex(canvas.shape[0] // height, canvas.shape[1] // width):
            tile = canvas[row * height : (row + 1) * height, column * width : (column + 1) * width]
            np.testing.assert_array_equal(tile, weight[first + row, column].detach())
            seen.append((first + row, column))
    assert seen == list(np.ndindex(shape[:2]))


@pytest.mark.parametrize("count", [1, 6, 7, 20, 120])
def test_tiles_of_a_grid_lie_where_the_labels_say(count):
    maps = torch.randn(count, 4, 3, generator=torch.Generator().manual_seed(0))
    for figure in (plotting.feature_maps(maps), plotting.kernels(maps.unsqueeze(1))):
        (ax,) = mosaics(figure)
        canvas = ax.images[0].get_array().filled(np.nan)
        seen = []
        for row, text in written(ax.yaxis, 4).items():
            first, last = int(text.split("-")[0]), int(text.split("-")[-1])
            for column, number in enumerate(range(first, last + 1)):
                tile = canvas[4 * row : 4 * row + 4, 3 * column : 3 * column + 3]
                np.testing.assert_array_equal(tile, maps[number])
                seen.append(number)
        assert seen == list(range(count))
        assert np.isnan(canvas).sum() == canvas.size - maps.numel()
        assert canvas.shape[1] / 3 < 2 * np.ceil(np.sqrt(count))


def test_lines_run_between_tiles():
    (ax,) = mosaics(plotting.kernels(torch.randn(3, 8, 5, 2)))
    np.testing.assert_array_equal(ax.get_xticks(minor=True), np.arange(1.5, 14, 2))
    np.testing.assert_array_equal(ax.get_yticks(minor=True), [4.5, 9.5])
    for axis in (ax.xaxis, ax.yaxis):
        assert all(tick.gridline.get_visible() for tick in axis.get_minor_ticks())


@pytest.mark.parametrize("inputs", [1, 3])
def test_kernels_share_one_scale_that_is_symmetric_about_zero(inputs):
    weight = torch.rand(90, inputs, 3, 3)
    weight[80, 0, 1, 1] = -7
    figure = plotting.kernels(weight)
    assert {ax.images[0].get_clim() for ax in mosaics(figure)} == {(-7, 7)}
    assert figure.axes[-1].get_ylabel() == "weight"
    for ax in mosaics(plotting.kernels(torch.zeros(2, inputs, 3, 3))):
        low, high = ax.images[0].get_clim()
        assert -low == high > 0


def test_kernels_that_are_left_out_are_counted(texts):
    weight = torch.rand(9, 7, 3, 3)
    figure = plotting.kernels(weight, most=4, title="conv")
    assert "conv (4 of 9 output channels, 4 of 7 input channels)" in texts(figure)
    np.testing.assert_array_equal(mosaics(figure)[-1].images[0].get_array()[-3:, -3:], weight[3, 3])
    assert "conv" in texts(plotting.kernels(weight, title="conv"))


def test_feature_maps_share_one_scale(texts):
    maps = torch.rand(6, 5, 5)
    maps[4, 2, 2], maps[1, 0, 0] = 9, -2
    figure = plotting.feature_maps(maps, "conv1")
    (ax,) = mosaics(figure)
    assert ax.images[0].get_clim() == (-2, 9)
    assert figure.axes[-1].get_ylabel() == "activation"
    assert "conv1" in texts(figure)


def test_layers_of_an_image_have_each_a_scale_and_a_count():
    image = torch.randint(0, 256, (1, 6, 6), dtype=torch.uint8)
    layers = {"conv1": torch.rand(64, 5, 4), "pool1": 50 * torch.rand(6, 2, 2)}
    figure = plotting.feature_map_layers(image, layers, most=20)
    shown, conv1, pool1 = mosaics(figure)
    np.testing.assert_allclose(shown.images[0].get_array(), image[0] / 255)
    assert conv1.get_title(loc="left") == "conv1: 20 of 64 maps, 5 x 4"
    assert pool1.get_title(loc="left") == "pool1: 6 of 6 maps, 2 x 2"
    drawn = conv1.images[0].get_array()
    assert drawn.shape == (10, 40)
    np.testing.assert_array_equal(drawn[5:, 36:], layers["conv1"][19])
    np.testing.assert_array_equal(drawn[:5, 4:8], layers["conv1"][1])
    np.testing.assert_array_equal(pool1.images[0].get_array()[:, 10:], layers["pool1"][5])
    for ax, maps in ((conv1, layers["conv1"][:20]), (pool1, layers["pool1"])):
        np.testing.assert_allclose(ax.images[0].get_clim(), (maps.min(), maps.max()))


def test_layer_plots_name_what_they_cannot_draw():
    with pytest.raises(ValueError, match=r"weight must be O x I x h x w.*\(10, 84\)"):
        plotting.kernels(torch.rand(10, 84))
    with pytest.raises(ValueError, match="most must be at least 1, got 0"):
        plotting.kernels(torch.rand(1, 1, 3, 3), most=0)
    with pytest.raises(ValueError, match=r"maps must be C x H x W.*\(1, 6, 5, 5\).*maps\[0\]"):
        plotting.feature_maps(torch.rand(1, 6, 5, 5))
    with pytest.raises(ValueError, match=r"fc1 must be C x H x W.*\(120,\)"):
        plotting.feature_map_layers(torch.rand(1, 5, 5), {"fc1": torch.rand(120)})
    with pytest.raises(ValueError, match="at least one layer"):
        plotting.feature_map_layers(torch.rand(1, 5, 5), {})


@pytest.mark.parametrize(
    "shape", [(6, 1, 5, 5), (120, 16, 5, 5), (20, 3, 7, 7), (128, 2, 3, 3), (8, 128, 1, 1)]
)
def test_nothing_is_drawn_outside_a_page(shape):
    maps = torch.randn(shape[0], *shape[2:])
    figures = (
        plotting.kernels(torch.randn(shape), title="features.0.conv.weight"),
        plotting.feature_maps(maps),
        plotting.feature_map_layers(torch.rand(3, 9, 7), {"a": maps}),
    )
    for figure in figures:
        width, height = figure.get_size_inches()
        assert width < plotting.WIDTH + 1e-6
        assert height < 9
        box = figure.get_tightbbox()
        assert min(box.x0, box.y0) >= 0
        assert box.x1 <= width
        assert box.y1 <= height


class Trembling(ConstrainedLayoutEngine):
    """A solver that rounds otherwise each time."""

    def execute(self, figure):
        super().execute(figure)
        for ax in figure.axes:
            jitter = 1e-12 * np.random.default_rng(id(self)).standard_normal(4)
            ax._set_position(ax.get_position(original=True).bounds + jitter, which="original")


def test_equal_figures_make_equal_files_however_the_layout_was_rounded(tmp_path):
    found = set()
    for number in range(3):
        figure = Figure(figsize=(4, 3), layout=Trembling())
        for block in figure.subfigures(1, 2):
            block.suptitle("title")
            block.subplots().set(xlabel="x", ylabel="y")
        plotting.save(figure, tmp_path / f"{number}.png")
        assert all(np.array_equal(np.round(at, 6), at) for at in map(placed, figure.axes))
        found.add((tmp_path / f"{number}.png").read_bytes())
    assert len(found) == 1


def placed(ax):
    return ax.get_position(original=True).bounds
