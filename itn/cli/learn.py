"""``itn learn``."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from itn.cli.options import INPUT_DEFAULTS, LEARN_DEFAULTS, InputOptions, LearnOptions, say, say_report
from itn.learning.family import learn
from itn.learning.per_class import learn_per_class
from itn.models.sources import model_cards
from itn.runtime.validation import user_path


def learn_command(
    *,
    model: str = "jennings-cnn",
    data: str | None = None,
    out: Path = Path("runs/learn"),
    limit: int = 0,
    per_class: Annotated[bool, Parameter(negative="")] = False,
    inputs: Annotated[InputOptions, Parameter(name="*")] = INPUT_DEFAULTS,
    config: Annotated[LearnOptions, Parameter(name="*")] = LEARN_DEFAULTS,
) -> None:
    """Learn the family of transformations F(k1, k2) that a classifier is invariant to.

    Args:
        model: A shipped classifier (see itn models), torchvision:NAME, timm:NAME, hf:NAME, a program of
            TorchScript or torch.export (FILE.pt, FILE.pt2), or FILE.py:factory, a function without arguments
            that returns a torch module taking images in [0, 1] and returning logits.
        data: Labeled images: mnist (the test set), mnist:train, mnist:heldout (the last 10,000 training
            digits and the test set), or a folder of class folders; with --labels, or with --criterion
            agreement, a folder of images will do. Default: mnist:heldout, or mnist if the model was trained
            on some of those digits.
        out: Folder for results and figures: new, empty, or that of a run with the same settings, which is
            continued, or shown again if it has finished.
        limit: Take a random subset of this many images, the same share of each class; 0 for all.
        per_class: Learn one family for each class, side by side; with the constrained objective.
        inputs: Where models and images come from, where to compute.
        config: Settings of the run.
    """
    settings = config.config  # what is wrong in it is refused before a model is downloaded
    data = data or model_cards().get(model, {}).get("heldout", "mnist:heldout")
    out = user_path(out)
    classifier, images = inputs.load(model, data, out, limit, config.seed, config.surround)
    result = (learn_per_class if per_class else learn)(
        classifier,
        images,
        None,
        settings,
        out,
        source=data,
        overwrite=inputs.overwrite,
        figure_format=inputs.figure_format,
    )
    say(f"The transformations {classifier.name} is invariant to, on {data}\n\n{result}")
    say(f"\nfigures: {out / 'figures'}; numbers: {out / 'result.json'}")
    say_report(out)
