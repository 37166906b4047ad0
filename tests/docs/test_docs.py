"""The documents are up to date, their links lead somewhere, and what they show runs."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torchvision
from PIL import Image

from itn.cli.main import app, main

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md")),
    *sorted(path for path in DOCS.rglob("*.md") if path.parent.name != "templates"),
]


def name(path):
    """Return how tests call a document."""
    return str(path.relative_to(ROOT))


def blocks(path, language):
    """Return the code blocks of a document in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(), re.DOTALL | re.MULTILINE)


def anchors(path):
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(
        r"^#+ (.*)$", re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_documents_are_as_the_command_writes_them():
    command = [sys.executable, DOCS / "build.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_readme_is_short_and_its_picture_small():
    assert len(README.read_text().splitlines()) <= 150
    assert (DOCS / "picture.png").stat().st_size < 300_000


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_links_lead_to_a_file_and_a_heading(path):
    links = re.findall(r"\]\(([^)\s]+)\)", path.read_text())
    for link in links:
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("path", DOCUMENTS, ids=name)
def test_code_compiles_and_commands_have_the_options_that_are_shown(path):
    for block in blocks(path, "python"):
        compile(block, path, "exec")
    lines = [line for block in blocks(path, "bash") for line in block.splitlines()]
    for command in (part for line in lines for part in line.split("&&")):
        words = shlex.split(command, comments=True)
        start = next((n + 1 for n, word in enumerate(words) if word == "itn"), None)
        if start is not None and words[0] in ("itn", "torchrun"):
            app.parse_args(words[start:], exit_on_error=False, print_error=False)


def fitted_resnet(photographs, labels):
    """Return the weights of a ResNet-18 whose last layer tells two kinds of photographs apart."""
    net = torchvision.models.resnet18(num_classes=2).eval()
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    body = torch.nn.Sequential(*list(net.children())[:-1], torch.nn.Flatten())
    with torch.no_grad():
        features = body((photographs - mean) / std)
        kinds = torch.stack([features[labels == label].mean(0) for label in (0, 1)])
        net.fc.weight.copy_(kinds - kinds.mean(0))
        net.fc.bias.copy_(-(net.fc.weight @ kinds.mean(0)))
    return net.state_dict()


def test_the_classifier_of_the_readme_is_screened_as_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(next(block for block in blocks(README, "python") if "def make" in block))
    torch.manual_seed(0)
    labels = torch.arange(12) % 2
    photographs = (0.2 * torch.rand(12, 3, 224, 224) + 0.6 * labels.view(-1, 1, 1, 1)).clamp(0, 1)
    for number, (photograph, label) in enumerate(zip(photographs, labels, strict=True)):
        folder = Path("photos", ("cat", "dog")[label])
        folder.mkdir(parents=True, exist_ok=True)
        pixels = photograph.mul(255).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).resize((256, 256), Image.Resampling.NEAREST).save(folder / f"{number}.png")
    torch.save(fitted_resnet(photographs, labels), "net.pt")
    shown = next(
        line for block in blocks(README, "bash") for line in block.splitlines() if "net.py:make" in line
    )
    command, *arguments = shlex.split(shown)
    assert command == "itn"
    quick = (
        "--transforms brightness --magnitudes brightness=-0.5,0,0.5 --bisections 0 --accuracy-bisections 0"
    )
    assert main([*arguments, *quick.split()]) == 0
    assert "brightness" in capsys.readouterr().out
    files = {path.name for path in Path("runs/net-screen").iterdir()}
    assert {"result.json", "curves.csv", "flips.csv"} <= files
