"""``itn compare``."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from itn.cli.gate import report
from itn.cli.options import say
from itn.runtime import distributed
from itn.runtime.requirements import JudgeBy, parse_requirements
from itn.runtime.run_files import FigureFormat
from itn.runtime.validation import user_path
from itn.screening.comparison.requirements import judge_comparison
from itn.screening.comparison.run import RESAMPLES, compare
from itn.transforms import TRANSFORMS


def compare_command(
    *runs: Path,
    out: Path = Path("runs/compare"),
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    require: Annotated[str | None, Parameter(show_default=False)] = None,
    judge_by: JudgeBy = "bound",
    overwrite: bool = False,
    figure_format: Annotated[FigureFormat, Parameter(name="--format")] = "png",
) -> None:
    """Compare two or more screens, or searches in the same box, on the same images, image by image.

    Args:
        runs: Output folders of itn screen, or of itn worst. Images are matched by their paths or numbers;
            differences are those of a later run less an earlier one.
        out: Folder for results and figures: new, empty, or that of the same comparison, which is shown again.
        confidence: Confidence of each interval, pointwise.
        resamples: Resamples of the bootstrap over images.
        seed: Seed of the resamples.
        require: What every later run has to reach against the first, such as rotate>=-2,drop<=1%: it
            goes at most 2 degrees less far on both sides (of a factor, zoom>=0.95 is at least 0.95 times as
            far), and its accuracy on unchanged images is at most 1 point lower. If it is not met, the exit
            status is 3. The verdicts are in requirements.json and, in JUnit's format, in requirements.xml.
        judge_by: What has to satisfy the requirements: the less favorable end of the interval (bound), or
            the measured difference (estimate).
        overwrite: Replace an earlier comparison in the folder.
        figure_format: What figures are made as: png for the screen, pdf or svg for print.
    """
    if require is not None:
        parse_requirements(require)
    distributed.join_processes()
    out = user_path(out)
    result = compare(
        runs,
        out,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
        overwrite=overwrite,
        figure_format=figure_format,
    )
    say(str(result))
    shown = [row for row in result.images if row.transform in TRANSFORMS]
    if shown and not any((out / "figures").glob("images-*")):
        source = result.record.source or "the place that they came from"
        say(f"\nthe images are no longer in {source}: no figure shows those that break in one alone")
    say(f"\nfigures: {out / 'figures'}; numbers: {out / 'result.json'}, comparison.csv, images.csv")
    if require is not None:
        verdicts = judge_comparison(require, result.record, judge_by)
        names = " ".join(screen.name for screen in result.record.screens)
        report(verdicts, out, f"itn compare {names}")
