"""Where the controls of a family lead, as a Figure."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from itn.learning.plots import control_of
from itn.plotting.style import BLUE, INK, RED, WIDTH, headed, heading_height, styled, titled


@styled
def control_directions(
    grids: Mapping[str, Tensor],
    pictures: Mapping[str, Tensor],
    controls: Sequence[str],
    model: str = "",
    note: str = "",
) -> Figure:
    """Draw where a square grid of k leads, and an image at the vertices of the square.

    The plane is spanned by what k = (1, 1) does and by the difference between k = (1, 0) and k = (0, 1), made
    orthogonal to it. A family with one parameter is a line.

    Args:
        grids: For each part, deviations of the matrix from the identity, n x n x entries; the first index
            goes with k[0].
        pictures: For each part, an image at k = (0, 0), (1, 0), (0, 1), (1, 1), 4 x C x H x W in [0, 1].
        controls: What each k drives.
        model: Name of the classifier.
        note: What else is to be known of the images.
    """
    what = (
        "where a grid over both entries of k leads; solid blue lines: the first entry stays, the second goes "
        f"from 0 to 1; dashed red: the other way round{note}"
    )
    height = 2.4 * len(grids) + heading_height(WIDTH, model, what)
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    blocks = figure.subfigures(len(grids), 1, squeeze=False)[:, 0]
    for block, (part, grid) in zip(blocks, grids.items(), strict=True):
        control = control_of(part, controls)
        left, right = block.subfigures(1, 2, width_ratios=(1.7, 1))
        ax = left.subplots()
        flat = _in_plane(grid)
        for lines, color, dashes in ((flat, BLUE, "-"), (flat.transpose(0, 1), RED, "--")):
            for line in lines:
                ax.plot(line[:, 0], line[:, 1], dashes, color=color, linewidth=0.8)
        vertices: dict[tuple[float, float], list[str]] = {}  # of one parameter two of them coincide
        places = (((0, 0), "unchanged"), ((-1, 0), "(1, 0)"), ((0, -1), "(0, 1)"), ((-1, -1), "(1, 1)"))
        for index, name in places:
            x, y = (round(value, 3) for value in flat[index].tolist())
            vertices.setdefault((x, y), []).append(name if name == "unchanged" else f"{control} = {name}")
        for place, texts in vertices.items():
            ax.plot(*place, "o", color=INK, markersize=3)
            if "unchanged" in texts:
                ax.annotate(
                    "\n".join(texts), place, (-4, 0), textcoords="offset points", ha="right", va="center"
                )
            else:
                ax.annotate("\n".join(texts), place, (4, 3), textcoords="offset points")
        ax.set_title(f"{part} part, driven by {control}")
        ax.set_xlabel(f"deviation from the identity in the direction of {control} = (1, 1)")
        ax.set_ylabel("deviation at a right\nangle to that")
        ax.set_aspect("equal", adjustable="datalim")
        ax.margins(0.3, 0.15)
        titles = [["unchanged", f"{control} = (1, 0)"], [f"{control} = (0, 1)", f"{control} = (1, 1)"]]
        titled(right, pictures[part].unflatten(0, (2, 2)), titles, [["black"] * 2] * 2)
    return headed(figure, model, what)


def _in_plane(grid: Tensor) -> Tensor:
    """Return deviations, n x n x entries, in the plane of k = (1, 1) and its entries' difference."""
    full, difference = grid[-1, -1], grid[-1, 0] - grid[0, -1]
    first = full / full.norm().clamp_min(1e-12)
    second = difference - (difference @ first) * first
    second = second / second.norm().clamp_min(1e-12)
    return torch.stack([grid @ first, grid @ second], -1)
