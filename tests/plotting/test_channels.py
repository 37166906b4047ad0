import numpy as np
import pytest
import torch

from itn import plotting


def mosaics(figure):
    return [ax for ax in figure.axes if ax.images]


def labels_of(axis, pixels):
    """The labels of an axis, by the number of the tile whose middle they are at."""
    labels = {}
    for tick, text in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True):
        tile = (tick - (pixels - 1) / 2) / pixels
        assert tile == pytest.approx(round(tile))
        labels[round(tile)] = text.get_text()
    return labels


@pytest.mark.parametrize("shape", [(120, 16, 5, 5), (16, 6, 5, 3), (2, 9, 1, 1), (31, 3, 2, 7)])
def test_kernels_are_where_the_labels_say(shape):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    height, width = shape[2:]
    positions = []
    for ax in mosaics(plotting.kernels(weight)):
        assert ax.get_xlabel() == "input channel"
        rows, columns = labels_of(ax.yaxis, height), labels_of(ax.xaxis, width)
        (first,) = {int(text) - row for row, text in rows.items()}
        assert all(int(text) == column for column, text in columns.items())
        canvas = ax.images[0].get_array()
        for row, column in np.ndindex(canvas.shape[0] // height, canvas.shape[1] // width):
            tile = canvas[row * height : (row + 1) * height, column * width : (column + 1) * width]
            np.testing.assert_array_equal(tile, weight[first + row, column].detach())
            positions.append((first + row, column))
    assert positions == list(np.ndindex(shape[:2]))


@pytest.mark.parametrize("count", [1, 6, 7, 20, 120])
def test_tiles_of_a_grid_are_where_the_labels_say(count):
    maps = torch.randn(count, 4, 3, generator=torch.Generator().manual_seed(0))
    for figure in (plotting.feature_maps(maps), plotting.kernels(maps.unsqueeze(1))):
        (ax,) = mosaics(figure)
        canvas = ax.images[0].get_array().filled(np.nan)
        positions = []
        for row, text in labels_of(ax.yaxis, 4).items():
            first, last = int(text.split("-")[0]), int(text.split("-")[-1])
            for column, number in enumerate(range(first, last + 1)):
                tile = canvas[4 * row : 4 * row + 4, 3 * column : 3 * column + 3]
                np.testing.assert_array_equal(tile, maps[number])
                positions.append(number)
        assert positions == list(range(count))
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


def test_the_title_counts_kernels_that_are_left_out(texts):
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


def test_each_layer_of_an_image_has_its_scale_and_its_count():
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


def test_invalid_tensors_are_refused():
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
