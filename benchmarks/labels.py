"""Write class maps and files of labels as people do, intact and spoiled, and check what reading them does.

Command:   python benchmarks/labels.py
Machine:   any; a CPU core, about 2 minutes
Writes:    benchmarks/results/labels.json
Published: none

A case is a folder of small images, in class folders or without, and a file that says their classes: two
columns with one of four separators, one name a line, JSON from folders to classes, id2label, the class index
of Keras; in UTF-8 or UTF-16. Names have accents, separators and quotes. What is intact must give each image
the label that was written. Two in three are spoiled: lines are dropped, repeated, moved or mixed with others,
or bytes are damaged as in damage.py; these may be read, or refused in one line that names the file or the
folder. Nothing else may be raised. Every twentieth case is a whole ``itn screen``.
"""

import json
import random
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from damage import SCREEN, asked, call, complaints_of_input, prepare, spoil
from kills import report
from PIL import Image
from rich.console import Console
from rich.progress import track

import itn

RESULTS = Path(__file__).parent / "results" / "labels.json"
NAMES = (
    "cat",
    "Polar Bear",
    "crème",
    "a,b",
    "c;d",
    "it's",
    '"e"',
    "7",
    "n01440764",
    "тигр",
    "虎",
    "x.y",
    "[z]",
)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be")
JUNK = ("", "x", "x,y,z", ";;", '"', "{", "[1]", "null", "\0", "0", "-1,-1", "9" * 30, "a\tb", "#")
Labels = dict[str, int]


def table(separator: str) -> Callable[[Labels], str]:
    """Return how to write two columns."""

    def quoted(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"' if set(cell) & {separator, '"'} else cell

    return lambda labels: "".join(f"{quoted(key)}{separator}{label}\n" for key, label in labels.items())


def turned(labels: Labels) -> dict[str, str]:
    """Return the names by their logits."""
    return {str(label): name for name, label in labels.items()}


MAPS: dict[str, Callable[[Labels], str]] = {
    "comma": table(","),
    "semicolon": table(";"),
    "tab": table("\t"),
    "lines": lambda labels: "".join(f"{name}\n" for name in sorted(labels, key=labels.__getitem__)),
    "json": json.dumps,
    "array": lambda labels: json.dumps(sorted(labels, key=labels.__getitem__), ensure_ascii=False),
    "id2label": lambda labels: json.dumps({"id2label": turned(labels)}, indent=1),
    "keras": lambda labels: json.dumps({key: [f"id{key}", name] for key, name in turned(labels).items()}),
}
FILES: dict[str, Callable[[Labels], str]] = {
    "comma": table(","),
    "semicolon": lambda labels: "file;label\n" + table(";")(labels),
    "tab": table("\t"),
    "space": lambda labels: "".join(f"{path} {label}\n" for path, label in labels.items()),
}


def spoiled(text: str, draw: random.Random) -> str:
    """Drop, repeat, move or replace lines, or parts of the only line."""
    lines = (
        text.splitlines(keepends=True) if text.count("\n") > 1 else text.replace(",", ",\n").splitlines(True)
    )
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(lines) + 1)
        match draw.choice(["drop", "repeat", "swap", "junk", "join"]):
            case "drop":
                del lines[at : at + 1]
            case "repeat":
                lines[at:at] = [line.swapcase() for line in lines[:1]]
            case "swap":
                draw.shuffle(lines)
            case "junk":
                lines[at:at] = [draw.choice(JUNK) + "\n"]
            case "join":
                lines = "".join(lines).replace("\n", "", 1).splitlines(keepends=True)
    return "".join(lines)


def case(draw: random.Random, folder: Path, spoils: bool) -> tuple[str, str, list[str]]:
    """Write images and what says their classes, and load them; return form, outcome and what is wrong."""
    is_map = draw.random() < 0.5
    form = draw.choice(list(MAPS if is_map else FILES))
    names = draw.sample(NAMES, draw.randint(2, 6))
    logits = draw.sample(range(len(names)), len(names))
    paths = [f"{name}/1.png" if is_map else f"{number} {name}.png" for number, name in enumerate(names)]
    for number, path in enumerate(paths):
        (folder / "images" / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (2, 2), number).save(folder / "images" / path)
    labels = dict(zip(names if is_map else paths, logits, strict=True))
    text = (MAPS if is_map else FILES)[form](labels)
    file = folder / "file"
    damages = spoils and draw.random() < 0.5
    if spoils and not damages:
        text = spoiled(text, draw)
    file.write_bytes(text.encode(draw.choice(ENCODINGS)))
    how = f"{'class map' if is_map else 'labels'}, {form}"
    if damages:
        spoil(file, draw)
    given: dict[str, Any] = {"class_map" if is_map else "labels_file": file}
    try:
        images = itn.load_images(folder / "images", **given)
    except ValueError as error:
        said = str(error)
        wrong = [] if str(file) in said or str(folder) in said else [f"does not name the file: {said}"]
        wrong += [f"is not one line: {said!r}"] if "\n" in said else []
        return how, "refused", wrong if spoils else [*wrong, f"refused though intact: {said}"]
    got = dict(zip(images.images[:, 0, 0, 0].tolist(), images.labels.tolist(), strict=True))
    expected = dict(enumerate(logits))
    return how, "read", [] if spoils or got == expected else [f"read {got}, expected {expected}"]


def whole_screen(draw: random.Random, folder: Path) -> tuple[str, str, list[str]]:
    """Screen with a spoiled class map or file of labels."""
    labels = {
        f"{label}/{number}.{('png', 'jpg')[number % 2]}": label for label in (0, 1) for number in range(12)
    }
    option = draw.choice(["--class-map", "--labels"])
    form = draw.choice(list(MAPS if option == "--class-map" else FILES))
    text = MAPS[form]({"0": 0, "1": 1}) if option == "--class-map" else FILES[form](labels)
    file = folder / "file"
    file.write_bytes(text.encode(draw.choice(ENCODINGS)))
    spoil(file, draw)
    with tempfile.TemporaryDirectory() as out:
        where = Path(out) / "out"
        status, said = call(folder, SCREEN, where, "weights.safetensors", option, str(file))
        return f"itn screen, {option}", f"status {status}", complaints_of_input(status, said, where)


def main() -> None:
    """Be the command line."""
    options = asked(__doc__, RESULTS, cases=1000)
    draw = random.Random(options.seed)
    counts: dict[str, Counter[str]] = {}
    wrong: list[str] = []
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as shared:
        prepare(Path(shared), runs=False)
        for number in track(range(options.cases), "cases", console=Console(stderr=True), auto_refresh=False):
            with tempfile.TemporaryDirectory() as own:
                try:
                    how, outcome, complaint = (
                        whole_screen(draw, Path(shared))
                        if number % 20 == 19
                        else case(draw, Path(own), spoils=number % 3 > 0)
                    )
                except Exception as error:  # what nothing may do
                    how, outcome, complaint = "?", "raised", [f"raised {type(error).__name__}: {error}"]
            counts.setdefault(how, Counter())[outcome] += 1
            wrong += [f"case {number}, {how}: {text}" for text in complaint]
    record: dict[str, Any] = {
        "cases": sum(outcomes.total() for outcomes in counts.values()),
        "wrong": wrong,
        "kinds": {kind: dict(sorted(counts[kind].items())) for kind in sorted(counts)},
    }
    report(options, record)
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
