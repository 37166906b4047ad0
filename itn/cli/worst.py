"""``itn worst``."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from itn.boxes.run import worst_case
from itn.cli.options import INPUT_DEFAULTS, WORST_DEFAULTS, InputOptions, WorstOptions, is_file, say
from itn.runtime.validation import user_path


def worst_command(
    *,
    model: str = "lenet5",
    data: str = "mnist",
    out: Path = Path("runs/worst"),
    limit: int = 2000,
    box: Annotated[tuple[str, ...], Parameter(show_default=False)] = (),
    inputs: Annotated[InputOptions, Parameter(name="*")] = INPUT_DEFAULTS,
    config: Annotated[WorstOptions, Parameter(name="*")] = WORST_DEFAULTS,
) -> None:
    """Find how many images survive all transformations together, each at its worst point of a box.

    Args:
        model: A shipped classifier (see itn models), torchvision:NAME, timm:NAME, hf:NAME, a program of
            TorchScript or torch.export (FILE.pt, FILE.pt2), or FILE.py:factory, a function without arguments
            that returns a torch module taking images in [0, 1] and returning logits. Transformations that
            such a file registers can be part of the box by name.
        data: Labeled images: mnist (the test set), mnist:train, mnist:heldout (the last 10,000 training
            digits and the test set), or a folder of class folders; with --labels, or with --criterion
            agreement, a folder of images will do.
        out: Folder for results and figures: new, empty, or that of a run with the same settings, which is
            continued, or shown again if it has finished.
        limit: Take a random subset of this many images, the same share of each class; 0 for all.
        box: NAME=LOW:HIGH,NAME=LOW:HIGH,...: the range of each transformation, in its unit, with its identity
            inside. What moves no pixels is applied first, then all that is spatial as a single warp, each in
            this order. Default: rotate=-20:20,translate_x=-0.1:0.1,translate_y=-0.1:0.1,zoom=0.9:1.1.
        inputs: Where models and images come from, where to compute.
        config: Settings of the run.
    """
    if not is_file(model):
        config.settings(box)  # a name that is wrong is refused before a model is downloaded
    out = user_path(out)
    classifier = inputs.load_model(model, data, out)
    settings = config.settings(box)
    images = inputs.load_data(data, classifier, limit, config.seed, config.surround)
    result = worst_case(
        classifier,
        images,
        None,
        settings,
        out,
        source=data,
        names=images.paths or [str(number) for number in images.index.tolist()],
        overwrite=inputs.overwrite,
        figure_format=inputs.figure_format,
    )
    say(f"What survives all transformations together, by {classifier.name} on {data}\n\n{result}")
    figures = [str(out / "figures" / f"{name}.{inputs.figure_format}") for name in ("worst", "growth")]
    say(f"\nfigures to start with: {', '.join(figures)}")
    say(f"numbers: {out / 'result.json'}, worst.csv; report: {out / 'report.html'}")
