"""Damage the files that the commands read, in a thousand ways, and check how the commands end.

Command:   python benchmarks/damage.py
Machine:   any; 2 CPU cores, about 15 minutes
Writes:    benchmarks/results/damage.json
Published: none

Files are truncated, emptied, overwritten in a block or flipped in one bit: photographs (PNG, JPEG), digits
(gzip), weights (safetensors, torch), class maps (JSON, CSV), and what an unfinished run has left (settings,
history, checkpoints, points, figures). A command may then succeed, or end with status 2 or 1 and one line
with the cause. It must not raise, must not leave a file that cannot be read, and must not begin a run with
input that it refuses. A run that is continued must end with the files of an undisturbed run.
"""

import argparse
import contextlib
import io
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from kills import broken, options_of, report
from PIL import Image
from rich.console import Console
from rich.progress import track
from safetensors.torch import save_file
from torch import nn

import itn.cli.main
import itn.data.digits
from itn.runtime.run_dir import content_of

RESULTS = Path(__file__).parent / "results" / "damage.json"
NETWORK = """
from torch import nn


def make():
    return nn.Sequential(nn.AvgPool2d(12), nn.Flatten(), nn.Linear(3, 2))
"""
SCREEN = ("screen", "--transforms", "brightness", "--magnitudes", "brightness=-0.1,0.1", "--bisections", "0")
LEARN = ("learn", "--objective", "switched", "--steps", "20", "--batch-size", "16")
Damage = Callable[[bytes, random.Random], bytes]


def truncate(content: bytes, draw: random.Random) -> bytes:
    """Keep the beginning."""
    return content[: draw.randrange(len(content))]


def empty(content: bytes, draw: random.Random) -> bytes:
    """Keep nothing."""
    return b""


def flip(content: bytes, draw: random.Random) -> bytes:
    """Flip one bit."""
    at = draw.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :]


def overwrite(content: bytes, draw: random.Random) -> bytes:
    """Overwrite up to 64 bytes at random."""
    at = draw.randrange(len(content))
    return content[:at] + draw.randbytes(min(64, len(content) - at)) + content[at + 64 :]


DAMAGES: tuple[Damage, ...] = (truncate, empty, flip, flip, overwrite)


def prepare(folder: Path, runs: bool = True) -> None:
    """Make photographs of two brightnesses, a network that tells them apart, and unfinished runs."""
    randomness = torch.Generator().manual_seed(0)
    for label, level in (("0", 60), ("1", 190)):
        (folder / "photos" / label).mkdir(parents=True)
        for number in range(12):
            pixels = level + 60 * (torch.rand(12, 12, 3, generator=randomness) - 0.5)
            image = Image.fromarray(pixels.byte().numpy())
            image.save(folder / "photos" / label / f"{number}.{('png', 'jpg')[number % 2]}", quality=95)
    (folder / "net.py").write_text(NETWORK)
    net = nn.Sequential(nn.AvgPool2d(12), nn.Flatten(), nn.Linear(3, 2))
    with torch.no_grad():
        net[2].weight.copy_(torch.tensor([[-7.0] * 3, [7.0] * 3]))
        net[2].bias.copy_(torch.tensor([10.0, -10.0]))
    save_file(net.state_dict(), folder / "weights.safetensors")
    torch.save(net.state_dict(), folder / "weights.pt")
    (folder / "map.json").write_text('{"0": 0, "1": 1}\n')
    (folder / "map.csv").write_text("0,0\n1,1\n")
    for name, command in (("learn", LEARN), ("screen", SCREEN)) if runs else ():
        whole, left = folder / f"{name}-whole", folder / f"{name}-left"
        assert call(folder, command, whole)[0] == 0
        stopped = "itn.learning.family.evaluate" if name == "learn" else "itn.screening.figures.draw_overview"
        with mock.patch(stopped, side_effect=KeyboardInterrupt):
            assert call(folder, command, left)[0] == itn.cli.main.INTERRUPTED


def call(
    folder: Path, command: tuple[str, ...], out: Path, weights: str = "weights.safetensors", *more: str
) -> tuple[int, str]:
    """Run a command; return its status and its stderr."""
    arguments = [*command, "--model", f"{folder}/net.py:make", "--weights", str(folder / weights)]
    return say([*arguments, "--data", str(folder / "photos"), "--out", str(out), *more])


def say(arguments: list[str]) -> tuple[int, str]:
    """Run a command with all its arguments; return its status and its stderr."""
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        status = itn.cli.main.main([*arguments, "--device", "cpu"])
    return status, said.getvalue().strip()


def spoil(path: Path, draw: random.Random) -> str:
    """Damage a file; return how."""
    damage = draw.choice(DAMAGES)
    content = path.read_bytes()
    path.write_bytes(damage(content, draw) if content else b"\0")
    return damage.__name__


def of_input(kind: str, folder: Path, draw: random.Random) -> tuple[str, int, list[str]]:
    """Damage an input and screen; return what was done, the status, and what is wrong with that."""
    more: tuple[str, ...] = ()
    weights = "weights.safetensors"
    if kind == "photograph":
        path = draw.choice(sorted((folder / "photos").rglob("*.*")))
        more = draw.choice([(), ("--skip-bad",)])
    elif kind == "weights":
        weights = draw.choice(["weights.safetensors", "weights.pt"])
        path = folder / weights
    else:
        path = folder / draw.choice(["map.json", "map.csv"])
        more = ("--class-map", str(path))
    before = path.read_bytes()
    how = f"{spoil(path, draw)} {path.name}"
    out = folder / "out"
    try:
        status, said = call(folder, SCREEN, out, weights, *more)
        wrong = complaints_of_input(status, said, out)
    finally:
        path.write_bytes(before)
        shutil.rmtree(out, ignore_errors=True)
    return how, status, wrong


def of_digits(kind: str, folder: Path, draw: random.Random) -> tuple[str, int, list[str]]:
    """Damage a copy of the digits that the package ships, and screen."""
    out, copy = folder / "out", folder / "mnist"
    shutil.copytree(itn.data.digits._MNIST, copy)
    try:
        path = draw.choice(sorted(copy.glob("t10k*")))
        how = f"{spoil(path, draw)} {path.name}"
        with mock.patch("itn.data.digits._MNIST", copy):
            status, said = say([*SCREEN, "--limit", "20", "--out", str(out)])
        wrong = complaints_of_input(status, said, out)
    finally:
        shutil.rmtree(copy)
        shutil.rmtree(out, ignore_errors=True)
    return how, status, wrong


def of_run(kind: str, folder: Path, draw: random.Random) -> tuple[str, int, list[str]]:
    """Damage the files of an unfinished run, and repeat its command."""
    name = kind.partition(" ")[2]
    out = folder / "out"
    shutil.copytree(folder / f"{name}-left", out)
    try:
        path = draw.choice([file for file in sorted(out.rglob("*")) if file.suffix and file.is_file()])
        how = f"{spoil(path, draw)} {path.name}"
        status, said = call(folder, LEARN if name == "learn" else SCREEN, out)
        wrong = complaints(status, said, out) if status == 0 else complaints(status, said)
        if status and (path.suffix in (".npz", ".png", ".csv", ".pt")):
            wrong.append("does not continue, though it could have repeated what was damaged")
        if status == 0 and content_of(out) != content_of(folder / f"{name}-whole"):
            wrong.append("ended with other files than the undisturbed run")
    finally:
        shutil.rmtree(out)
    return how, status, wrong


KINDS: dict[str, Callable[[str, Path, random.Random], tuple[str, int, list[str]]]] = {
    "photograph": of_input,
    "digits": of_digits,
    "weights": of_input,
    "class map": of_input,
    "continued learn": of_run,
    "continued screen": of_run,
}


def complaints_of_input(status: int, said: str, out: Path) -> list[str]:
    """Return what is wrong with the end of a command that has read damaged input."""
    began = status == itn.cli.main.BAD_INPUT and out.exists()
    return complaints(status, said, out) + ["began a run with input that it refuses"] * began


def complaints(status: int, said: str, out: Path | None = None) -> list[str]:
    """Return what is wrong with the end of a command."""
    wrong = [] if out is None else broken(out)
    if status not in (0, itn.cli.main.FAILED, itn.cli.main.BAD_INPUT):
        wrong.append(f"status {status}")
    errors = [line for line in said.splitlines() if line.startswith("itn")]
    if status and (len(errors) != 1 or "Traceback" in said):
        wrong.append(f"said {said!r}")
    return wrong


def asked(description: str | None, out: Path, cases: int) -> argparse.Namespace:
    """Return the options of a script that damages inputs: cases, their seed, and the file to write."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cases", type=int, default=cases, help="default: %(default)s")
    return options_of(parser, out)


def main() -> None:
    """Be the command line."""
    options = asked(__doc__, RESULTS, cases=1000)
    draw = random.Random(options.seed)
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in KINDS}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        # Drawn between cases only: during a case stderr is captured
        for number in track(range(options.cases), "cases", console=Console(stderr=True), auto_refresh=False):
            kind = list(KINDS)[number % len(KINDS)]
            try:
                how, status, complaint = KINDS[kind](kind, Path(folder), draw)
            except Exception as error:  # what no command may do
                how, status, complaint = "?", -1, [f"raised {type(error).__name__}: {error}"]
            counts[kind][f"status {status}"] += 1
            wrong += [f"case {number}, {kind}, {how}: {text}" for text in complaint]
    record: dict[str, Any] = {
        "cases": sum(statuses.total() for statuses in counts.values()),
        "wrong": wrong,
        "kinds": {kind: dict(sorted(statuses.items())) for kind, statuses in counts.items()},
    }
    report(options, record)
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
