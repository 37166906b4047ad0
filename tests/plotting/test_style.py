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
    good, bad = plotting.UNCHANGED, plotting.BROKEN
    colors = [[good, bad, good], [bad, bad, good]]
    axes = plotting.image_rows(images, titles, colors).axes
    assert [ax.get_title() for ax in axes] == ["a", "b", "c", "d", "e\nf", "g"]
    assert [ax.title.get_color() for ax in axes] == [good, bad, good, bad, bad, good]
    frames = [ax.spines["left"].get_edgecolor() for ax in axes]
    assert frames == [to_rgba(ax.title.get_color()) for ax in axes]
    shown = [ax.images[0].get_array()[4, 3] for ax in axes]
    np.testing.assert_allclose(shown, images[:, :, 0, 0, 0].flatten())
    from_bytes = plotting.image_rows((255 * images).byte(), titles).axes
    np.testing.assert_allclose(from_bytes[5].images[0].get_array(), 1)
    assert {ax.title.get_color() for ax in from_bytes} == {"black"}


@pytest.mark.parametrize("name", ["titles", "colors"])
def test_image_rows_refuse_titles_or_colors_of_another_number(name):
    tables = {"titles": [["a"] * 3] * 2, "colors": [["red"] * 3] * 2} | {name: [["a"] * 3, ["a"] * 2]}
    with pytest.raises(ValueError, match=rf"{name} must be 2 rows of 3.*got rows of \[3, 2\]"):
        plotting.image_rows(torch.rand(2, 3, 1, 4, 4), **tables)
    with pytest.raises(ValueError, match=r"R x T x C x H x W.*\(3, 1, 4, 4\)"):
        plotting.image_rows(torch.rand(3, 1, 4, 4), [["a"] * 3])


class Trembling(ConstrainedLayoutEngine):
    """A solver whose rounding differs each time."""

    def execute(self, figure):
        super().execute(figure)
        for ax in figure.axes:
            jitter = 1e-12 * np.random.default_rng(id(self)).standard_normal(4)
            ax._set_position(ax.get_position(original=True).bounds + jitter, which="original")


def test_equal_figures_make_equal_files_whatever_the_rounding_of_the_layout(tmp_path):
    files = set()
    for number in range(3):
        figure = Figure(figsize=(4, 3), layout=Trembling())
        for block in figure.subfigures(1, 2):
            block.suptitle("title")
            block.subplots().set(xlabel="x", ylabel="y")
        plotting.save(figure, tmp_path / f"{number}.png")
        assert all(np.array_equal(np.round(at, 6), at) for at in map(position, figure.axes))
        files.add((tmp_path / f"{number}.png").read_bytes())
    assert len(files) == 1


def position(ax):
    return ax.get_position(original=True).bounds
