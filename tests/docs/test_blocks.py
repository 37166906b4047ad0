"""What the documents show runs: every block of Python and every command, in its order, on tiny inputs.

A block that needs a network, a GPU, several processes or hours has a comment in front of it, such as
``<!-- not run: needs a GPU -->``; it is only checked for its syntax. Blocks of a page share a folder and
names, as a reader who follows the page would have them. Runs are cut short, and figures are not drawn.
"""

import dataclasses
import re
import shlex
import shutil
from pathlib import Path

import matplotlib.layout_engine
import pytest
import torch
import torchvision
from matplotlib.figure import Figure
from PIL import Image

import itn
from itn.cli.main import main
from itn.learning import class_records
from itn.learning.constrained.settings import DEFAULT_SETTINGS

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(
    r"(?P<marks>(?:^<!-- .*? -->\n)*)^```(?P<language>python|bash)\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
NOT_RUN = re.compile(r"<!-- not run: needs (?:a network|a GPU|torchrun|hours) -->")
PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "examples" / "README.md")
    if page.parent.name != "templates" and BLOCK.search(page.read_text())
]
DIGITS, PHOTOGRAPHS = 100, 16
QUICK = {  # options of commands, in place of what a document has
    "screen": {"--limit": "20", "--bisections": "0", "--accuracy-bisections": "0"},
    "learn": {"--limit": "60", "--steps": "2", "--batch-size": "32", "--tolerance": "0.5"},
    "worst": {"--limit": "10", "--passes": "20", "--single-steps": "1", "--growth-passes": "2"},
    "compare": {"--resamples": "100"},
}


def blocks(page):
    """Return the blocks of a page: language, code, and whether it is run."""
    for found in BLOCK.finditer(page.read_text()):
        yield found["language"], found["code"], "not run" not in found["marks"]


class Light(torch.nn.Module):
    """Stands for a ResNet: two logits from how bright a photograph is."""

    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(3, 2)
        torch.nn.init.constant_(self.fc.weight, 1.0)
        self.fc.weight.data[0] *= -1
        self.fc.bias.data.zero_()

    def forward(self, images):
        return self.fc(images.mean((2, 3)))


def photographs(folder, classes):
    """Write dark and bright photographs."""
    generator = torch.Generator().manual_seed(0)
    for number in range(PHOTOGRAPHS):
        label = number % 2
        place = folder / classes[label] if classes else folder
        place.mkdir(parents=True, exist_ok=True)
        pixels = 60 + 120 * label + torch.randint(0, 40, (60, 80, 3), generator=generator)
        Image.fromarray(pixels.byte().numpy()).save(place / f"{number}.png")


def short(config, kind, **settings):
    """Return settings with others in place of some, where they are given at all."""
    return dataclasses.replace(kind() if config is None else config, **settings)


def short_screen(config):
    """Return settings of a screen with at most three magnitudes of each transformation."""
    config = short(config, itn.ScreenConfig, bisections=0, accuracy_bisections=0)
    few = {name: config.sweep(name)[:: max(1, len(config.sweep(name)) // 2)] for name in config.resolved}
    return dataclasses.replace(config, magnitudes=few)


def cut_short(monkeypatch):
    """Make the functions that documents call take few images and few steps, and draw nothing."""

    def replace(name, change):
        original = getattr(itn, name)
        monkeypatch.setattr(itn, name, lambda *args, **kwargs: change(original, *args, **kwargs))

    def load_images(original, *args, **kwargs):
        return original(*args, **kwargs | {"limit": min(kwargs.get("limit") or DIGITS, DIGITS)})

    def learn(original, classifier, images, labels=None, config=None, out=None):
        config = short(config, itn.LearnConfig, steps=2, batch_size=32, tolerance=0.5)
        return original(classifier, images, labels, config, out, overwrite=out is not None)

    def learn_per_class(original, classifier, images, labels, config=None, out=None):
        two = (labels == 2) | (labels == 3)
        return learn(original, classifier, images[two], labels[two], config, out)

    def screen(original, classifier, images, labels=None, config=None, out=None):
        config = short_screen(config)
        return original(classifier, images, labels, config, out, overwrite=out is not None)

    def worst_case(original, classifier, images, labels=None, config=None, out=None, *, box=None):
        config = short(config, itn.WorstConfig, passes=20, single_steps=1, growth_passes=2)
        config = config if box is None else dataclasses.replace(config, box=box)
        return original(classifier, images[:10], labels[:10], config, out, overwrite=out is not None)

    for name, change in (
        ("load_images", load_images),
        ("learn", learn),
        ("learn_per_class", learn_per_class),
        ("screen", screen),
        ("worst_case", worst_case),
        ("compare", lambda original, *args, **kwargs: original(*args, **kwargs, resamples=100)),
    ):
        replace(name, change)

    def savefig(self, target, *, format="png", **_):
        text = '<svg viewBox="0 0 1 1"></svg>'
        if isinstance(target, str | Path):
            Path(target).write_text(text)
        else:
            target.write(text if format == "svg" else text.encode())

    monkeypatch.setattr(Figure, "savefig", savefig)
    monkeypatch.setattr(
        matplotlib.layout_engine.ConstrainedLayoutEngine, "execute", lambda self, figure: None
    )
    monkeypatch.setattr(class_records, "FEWEST", 1)
    for name in ("restarts", "restarts_of_class"):
        monkeypatch.setitem(vars(DEFAULT_SETTINGS), name, 2)  # frozen for everyone else
    monkeypatch.setattr(torchvision.models, "resnet18", lambda num_classes: Light())


def command(line):
    """Run a command of the package as it is shown, on few images."""
    program, *arguments = shlex.split(line, comments=True)
    assert program == "itn", (
        f"{line}: not a command of itn; say why it is not run in a comment before the block"
    )
    quick = dict(QUICK.get(arguments[0], {}))
    if arguments[0] == "screen" and not {"--transforms", "--pair"} & set(arguments):
        quick["--transforms"] = "rotate"
    if "--per-class" in arguments:  # two classes instead of ten
        quick |= {"--model": "net.py:make", "--weights": "net.pt", "--data": "photos/"}
    for option, value in quick.items():
        if option in arguments:
            place = arguments.index(option)
            del arguments[place : place + 2]
        arguments += [option, value]
    if arguments[0] in QUICK:
        arguments.append("--overwrite")
    assert main(arguments) in ((0, 3) if "--require" in arguments else (0,)), line


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A folder with all that documents take for granted: net.py, weights, photographs, runs."""
    folder = tmp_path_factory.mktemp("start")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        cut_short(patch)
        readme = (ROOT / "README.md").read_text()
        code = next(found["code"] for found in BLOCK.finditer(readme) if "def make" in found["code"])
        Path("net.py").write_text(code.replace("256", "28").replace("224", "24"))
        torch.save(Light().state_dict(), "net.pt")
        photographs(Path("photos"), ("cat", "dog"))
        photographs(Path("unsorted"), None)
        command("itn learn")
        for name, model in (("lenet5", "lenet5"), ("jennings", "jennings-cnn")):
            command(
                f"itn screen --model {model} --data mnist:heldout --transforms rotate,zoom --out runs/{name}"
            )
        for name in ("screen", "before", "after"):
            shutil.copytree("runs/lenet5", f"runs/{name}")
    return folder


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_shows_runs(page, start, tmp_path, monkeypatch):
    shutil.copytree(start, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    cut_short(monkeypatch)
    registered, names = set(itn.TRANSFORMS), {"__name__": "page"}
    try:
        for language, code, is_run in blocks(page):
            if not is_run:
                continue
            if language == "python":
                exec(compile(code, str(page), "exec"), names)
            else:
                for line in code.splitlines():
                    command(line)
    finally:
        for name in set(itn.TRANSFORMS) - registered:
            itn.unregister(name)


def test_a_block_that_is_not_run_says_why():
    for page in PAGES:
        for found in BLOCK.finditer(page.read_text()):
            assert "not run" not in found["marks"] or NOT_RUN.search(found["marks"]), found["marks"]
