"""``itn screen``."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from itn.cli.gate import report
from itn.cli.options import (
    INPUT_DEFAULTS,
    SCREEN_DEFAULTS,
    InputOptions,
    ScreenOptions,
    is_file,
    say,
    say_report,
)
from itn.runtime.requirements import JudgeBy
from itn.runtime.validation import user_path
from itn.screening.requirements import check_requirements
from itn.screening.run import screen


def screen_command(
    *,
    model: str = "lenet5",
    data: str = "mnist",
    out: Path = Path("runs/screen"),
    limit: int = 2000,
    pair: Annotated[tuple[str, ...], Parameter(show_default=False)] = (),
    magnitudes: Annotated[tuple[str, ...], Parameter(show_default=False)] = (),
    require: Annotated[str | None, Parameter(show_default=False)] = None,
    judge_by: JudgeBy = "bound",
    inputs: Annotated[InputOptions, Parameter(name="*")] = INPUT_DEFAULTS,
    config: Annotated[ScreenOptions, Parameter(name="*")] = SCREEN_DEFAULTS,
) -> None:
    """Find how far each transformation goes before the predictions of a classifier break.

    Args:
        model: A shipped classifier (see itn models), torchvision:NAME, timm:NAME, hf:NAME, a program of
            TorchScript or torch.export (FILE.pt, FILE.pt2), or FILE.py:factory, a function without arguments
            that returns a torch module taking images in [0, 1] and returning logits. Transformations that
            such a file registers can be screened by name.
        data: Labeled images: mnist (the test set), mnist:train, mnist:heldout (the last 10,000 training
            digits and the test set), or a folder of class folders; with --labels, or with --criterion
            agreement, a folder of images will do.
        out: Folder for results and figures: new, empty, or that of a run with the same settings, which is
            continued, or shown again if it has finished.
        limit: Take a random subset of this many images, the same share of each class; 0 for all.
        pair: Two transformations, X,Y, to sweep together; repeat it for several pairs.
        magnitudes: NAME=START:STOP:STEP, STOP included if a step reaches it, or NAME=V,V,...; repeat it for
            several transformations. Default as itn transforms lists them; in pairs every other one.
        require: What the classifier has to reach, such as rotate>=15,drop<=1%: accuracy, or what the
            criterion asks for, kept out to 15 degrees on both sides (of a factor, zoom>=1.5 is from 1/1.5 to
            1.5), and lower by at most 1 point up to there; accuracy>=97% is of unchanged images. If it is not
            met, the exit status is 3. The verdicts are in requirements.json and, in JUnit's format, in
            requirements.xml.
        judge_by: What has to satisfy the requirements: the less favorable end of the interval (bound), or
            the measured value (estimate).
        inputs: Where models and images come from, where to compute.
        config: Settings of the run.
    """
    if not is_file(model):
        config.settings(pair, magnitudes)  # a name that is wrong is refused before a model is downloaded
    out = user_path(out)
    classifier = inputs.load_model(model, data, out)
    settings = config.settings(pair, magnitudes)
    if require is not None:
        check_requirements(require, settings, judge_by)
    images = inputs.load_data(data, classifier, limit, config.seed, config.surround)
    result = screen(
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
    say(f"How far transformations go before predictions of {classifier.name} break, on {data}\n\n{result}")
    tables = ["curves.csv", "flips.csv", "softmax.csv"] if result.record.transforms else []
    tables += ["pairs.csv"] if result.pairs else []
    if result.record.transforms:
        say(f"\nfigure to start with: {out / 'figures' / f'thresholds.{inputs.figure_format}'}")
    say(f"figures: {out / 'figures'}; numbers: {', '.join([str(out / 'result.json'), *tables])}")
    say_report(out)
    if require is not None:
        report(result.require(require, judge_by=judge_by), out, f"itn screen {classifier.name}")
