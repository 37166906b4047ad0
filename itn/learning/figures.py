"""From a learned net to its figures, with the images that they show."""

from collections.abc import Callable, Mapping, Sequence

import torch
from matplotlib.figure import Figure
from torch import Tensor

from itn.functional import Surround, unit_float
from itn.learning import class_plots, direction_plots, plots, ramps
from itn.learning.evaluate import control_deviations
from itn.learning.records import LearnRecord, PerClassRecord
from itn.models.checked_images import CheckedImages
from itn.nn import Composition, InvariantTransformerNet
from itn.plotting.style import Figures, named
from itn.stats import one_per_class

GRID_KS = (0.0, 0.5, 1.0)
VERTICES = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))  # of the square of a k
STRIP_ROWS = 10
STRIP_TS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@torch.inference_mode()
def strips(
    net: InvariantTransformerNet, images: Tensor, ts: Sequence[float], surround: Surround | None = None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return images under [t, 0] for the k of each part, the others at 0, and their classes.

    Args:
        net: The net.
        images: R x C x H x W, uint8 or float in [0, 1]; with a surround canvases.
        ts: T values in [0, 1].
        surround: Where the crops, which are shown, lie in the canvases.

    Returns:
        For each part that is learned, pictures R x T x C x H x W and predicted classes R x T.
    """
    pictures, predictions = {}, {}
    device, rows = next(net.parameters()).device, len(images)
    k = torch.tensor([[t, 0.0] for t in ts], device=device).repeat(rows, 1)
    repeated = unit_float(images.to(device)).repeat_interleave(len(ts), 0)
    if surround is not None:
        surround = surround._replace(boxes=surround.boxes.to(device).repeat_interleave(len(ts), 0))
    for part in net.parts:
        transformed = net.transform(repeated, *net.driving(part, k), surround=surround)
        pictures[part] = transformed.unflatten(0, (rows, len(ts))).cpu()
        predictions[part] = net.classifier(transformed).argmax(1).unflatten(0, (rows, len(ts))).cpu()
    return pictures, predictions


@torch.inference_mode()
def grid(
    net: InvariantTransformerNet,
    images: Tensor,
    k1: Sequence[float],
    k2: Sequence[float],
    surround: Surround | None = None,
) -> Tensor:
    """Return images under F((a, a), (b, b)), len(k1) x len(k2) x R x C x H x W, a in k1, b in k2.

    k1 and k2 are those of the last two parts; the ks of others are 0. With a surround, images are canvases.
    """
    device = next(net.parameters()).device
    images = unit_float(images.to(device))
    others = [torch.zeros(2)] * (len(net.controls) - 2)

    def cell(*ends: float) -> Tensor:
        ks = *others, *(torch.full((2,), end) for end in ends[-len(net.controls) :])
        return net.transform(images, *ks, surround=surround)

    cells = [[cell(a, b) for b in k2] for a in k1]
    return torch.stack([torch.stack(row) for row in cells]).cpu()


def directions(
    net: InvariantTransformerNet, image: Tensor, points: int = 11, surround: Surround | None = None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return, for each part, where a square grid of k leads, and an image at the vertices of the square.

    Args:
        net: The net.
        image: 1 x C x H x W, uint8 or float in [0, 1]; with a surround a canvas.
        points: Along each side of the grid, n.
        surround: Where the crop, which is shown, lies in the canvas.

    Returns:
        Deviations from the identity, n x n x entries, the first index for k[0]; and the image under
        k = (0, 0), (1, 0), (0, 1), (1, 1), 4 x C x H x W.
    """
    line = torch.linspace(0, 1, points)
    square = torch.cartesian_prod(line, line)
    vertices = torch.tensor(VERTICES, device=next(net.parameters()).device)
    images = unit_float(image.to(vertices.device)).expand(4, -1, -1, -1)
    shape = image.shape if surround is None else (*image.shape[:2], *surround.size)
    if surround is not None:
        surround = surround._replace(boxes=surround.boxes.expand(4, -1))
    grids, pictures = {}, {}
    for part in net.parts:
        deviations = control_deviations(net.part(part), square, shape)
        grids[part] = deviations.unflatten(0, (points, points))
        with torch.no_grad():
            pictures[part] = net.transform(images, *net.driving(part, vertices), surround=surround).cpu()
    return grids, pictures


def model_name(net: InvariantTransformerNet) -> str:
    """Return the name of the classifier behind a net."""
    return str(getattr(net.classifier, "name", type(net.classifier).__name__))


def control_names(net: Composition) -> list[str]:
    """Return each k of a net with what it drives, such as "k2 (spatial)"."""
    return [f"k{number} ({part})" for number, part in enumerate(net.controls, 1)]


def strip_titles(net: Composition) -> dict[str, str]:
    """Return the title of the strip of each part, such as "color: k1 = (t, 0), k2 = (0, 0)"."""
    titles = {}
    for part in net.parts:
        ks = enumerate(net.controls, 1)
        titles[part] = f"{part}: " + ", ".join(
            f"k{n} = ({'t' if name == part else '0'}, 0)" for n, name in ks
        )
    return titles


def draw(
    net: InvariantTransformerNet,
    held_out: CheckedImages,
    losses: Figure,
    record: LearnRecord,
    class_name: Callable[[int], str],
) -> Figures:
    """Return the figures of a run by name; the images shown are the first held-out ones of each class.

    Args:
        net: The net.
        held_out: The images.
        losses: The figure of the objective.
        record: The record of the run.
        class_name: From a class index to its name.
    """
    model = model_name(net)
    rows = held_out.part(one_per_class(held_out.labels, STRIP_ROWS))
    four = held_out.part(one_per_class(held_out.labels, 4))
    images, surround = four.stored
    first = None if surround is None else surround.part(slice(1))
    canvases, around = rows.stored
    pictures, predictions = strips(net, canvases, STRIP_TS, around)
    k1s = GRID_KS if len(net.controls) > 1 and net.controls[-2] in net.parts else GRID_KS[:1]
    cells = grid(net, images, k1s, GRID_KS, surround)
    original = unit_float(four.images)
    note = ""
    if color := ramps.color_part(net):
        note = ramps.NOTE
        pictures[color] = ramps.under(net, color, pictures[color], STRIP_TS)
        if color in net.controls[-2:]:
            original, cells = ramps.beneath_grid(net, color, original, cells, k1s, GRID_KS)
    grids, vertices = directions(net, images[:1], surround=first)
    if color:
        vertices[color] = ramps.beneath(net, color, vertices[color], VERTICES)
    figures = {
        "losses": named(losses, model),
        "classes": plots.class_strips(
            pictures, predictions, rows.labels, class_name, STRIP_TS, strip_titles(net), model, note
        ),
        "grid": plots.control_grid(original, cells, k1s, GRID_KS, control_names(net), model, note),
        "curves": plots.accuracy_and_displacement(record, net.controls, model),
        "directions": direction_plots.control_directions(grids, vertices, net.controls, model, note),
    }
    return figures | ({"baselines": plots.baselines(record, model)} if record.drop_curves else {})


def draw_classes(
    examples: Mapping[int, tuple[InvariantTransformerNet, CheckedImages]],
    losses: Figure,
    record: PerClassRecord,
    class_name: Callable[[int], str],
) -> Figures:
    """Return the figures of a run with a family for each class by name.

    Args:
        examples: By label, the net of a class and one of its images; not all are drawn.
        losses: The figure of the objective.
        record: Its record.
        class_name: From a class index to its name.
    """
    labels = list(examples)[:: -(-len(examples) // STRIP_ROWS)]
    rows = []
    note = ""
    for net, image in (examples[label] for label in labels):
        canvas, surround = image.stored
        rows.append(strips(net, canvas, STRIP_TS, surround))
        if color := ramps.color_part(net):
            note = ramps.NOTE
            rows[-1][0][color] = ramps.under(net, color, rows[-1][0][color], STRIP_TS)
    model = model_name(next(iter(examples.values()))[0])
    pictures, predictions = (
        {part: torch.cat([row[i][part] for row in rows]) for part in record.parts} for i in (0, 1)
    )
    return {
        "families": class_plots.families(record, model),
        "allowed": class_plots.allowed(record, model),
        "classes": plots.class_strips(
            pictures,
            predictions,
            torch.tensor(labels),
            class_name,
            STRIP_TS,
            strip_titles(examples[labels[0]][0]),
            model,
            note,
        ),
        "losses": named(losses, model),
    }
