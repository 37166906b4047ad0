"""``itn explore``."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from itn.cli.options import Surrounding, chosen_device, in_options, split_at_commas
from itn.explorer.serve import HOST, explore, require_gradio
from itn.models.checks import CheckName
from itn.models.sources import load_classifier, model_cards
from itn.models.zoo import SIZE
from itn.runtime.validation import user_path


def explore_command(
    *,
    model: str = "lenet5",
    weights: Path | None = None,
    weights_key: str | None = None,
    run: Path | None = None,
    label: int | None = None,
    transforms: Annotated[tuple[str, ...] | None, Parameter(converter=split_at_commas, n_tokens=1)] = None,
    size: int | None = None,
    padding: Literal["zeros", "border", "reflection"] | None = None,
    surround: Surrounding = "auto",
    background: str | None = None,
    seed: int = 0,
    accept: tuple[CheckName, ...] = (),
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
    host: str = HOST,
    port: int | None = None,
    browser: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Open a page: drop a photograph on it, move sliders, and see what a classifier answers.

    The photograph stays in the memory of this machine. Ctrl-C ends the page.

    Args:
        model: A shipped classifier (see itn models), torchvision:NAME, timm:NAME, hf:NAME, a program of
            TorchScript or torch.export (FILE.pt, FILE.pt2), or FILE.py:factory, a function without arguments
            that returns a torch module taking images in [0, 1] and returning logits. Transformations that
            such a file registers have sliders too.
        weights: A local file of weights (safetensors, or what torch.save wrote) to load into the model.
        weights_key: Which state dict in the file of weights; default: moving averages first, as timm does.
        run: Folder of a run of itn learn for this model: adds sliders for k1 and k2 of its family.
        label: Whose family, if the run has learned one for each class.
        transforms: Transformations with a slider, separated by commas; default: all of itn transforms.
        size: For a model that does not say how photographs are prepared: pixels to resize the shorter side
            to, and to crop. Default: that of the shipped digits, otherwise images are taken as they are.
        padding: What lies outside the frame, or the photograph; default: what the family was learned with,
            otherwise zeros.
        surround: What geometry brings in from around the crop of photographs: auto (canvases 1.5 times the
            crop), none (padding), or a number, canvas over crop.
        background: Color that is seen through transparent pixels, such as white or #808080; default: the
            color that they have themselves, as in torchvision and timm.
        seed: Seed of the noise.
        accept: Checks of the preflight that do not refuse a photograph.
        device: Where to compute; auto takes a GPU of CUDA if there is one; mps, the GPU of a Mac, is
            untested.
        host: Address to listen at. Any but the default lets others use the page.
        port: Its port, 0 for any free one; default: the first free one from 7860 on.
        browser: Open the page in a browser.
    """
    require_gradio()  # before a model is downloaded
    classifier = load_classifier(model, weights, weights_key).to(chosen_device(device))
    if size is None and model in model_cards():
        size = SIZE
    explore(
        classifier,
        None if run is None else user_path(run),
        transforms,
        padding=padding,
        surround=surround,
        background=background,
        size=size,
        seed=seed,
        accept=accept,
        label=label,
        host=host,
        port=port,
        browser=browser,
        wording=lambda message: in_options(message).replace("size=N", "--size N"),
    )
