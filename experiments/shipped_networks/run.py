r"""Train or ship a network of the package: its weights and its card in pretrained/.

Command:   python experiments shipped_networks [NAME ...]     (default: jennings-cnn lenet5)
           python experiments shipped_networks NAME --part runs/STUDY/parts/FILE.pt \
               --command "python experiments STUDY --full"
Machine:   2 CPU cores, about 4 minutes for both; with --part seconds
Writes:    pretrained/NAME.safetensors and pretrained/cards.json
Published: nothing; jennings-cnn and lenet5 are the classifiers of the other studies

The two are trained on the first 50,000 training digits. The last 10,000 training digits and the 10,000 test
digits (``mnist:heldout``) are never trained on, and no choice was made on them, so that what is learned about
a classifier is measured on digits that are new to it. --part ships a network that a study has trained.
"""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import study
import torch
import torch.nn.functional as F
from safetensors.torch import save
from study import Record

import itn

PRETRAINED = study.HERE.parent / "pretrained"
MEAN, STD = (0.1307,), (0.3081,)  # of the training digits
EPOCHS, BATCH, RATE = 8, 128, 1e-3
HELDOUT = 10_000  # training digits that are not trained on


def train(name: str, seed: int) -> itn.Classifier:
    """Train one network with Adam and a one-cycle learning rate; return it frozen."""
    net = study.untrained(name, seed)
    images, labels = (part[:-HELDOUT] for part in itn.load_images("mnist:train"))
    pixels = (images.float() / 255 - MEAN[0]) / STD[0]
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    steps = EPOCHS * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2 * RATE, total_steps=steps)
    for _ in study.track(range(EPOCHS), name, "epochs"):
        for batch in torch.randperm(len(images)).split(BATCH)[: len(images) // BATCH]:
            optimizer.zero_grad()
            F.cross_entropy(net(pixels[batch]), labels[batch]).backward()
            optimizer.step()
            schedule.step()
    return itn.Classifier(net, MEAN, STD, name=name)


def ship(name: str, classifier: itn.Classifier, folder: Path, **card: Any) -> None:
    """Test a classifier, write its weights, and write or replace its card.

    Args:
        name: What ``itn.load_classifier`` is to call it.
        classifier: What was trained.
        folder: Usually pretrained/.
        card: The other fields: architecture, data, heldout (a source of digits that it was not trained on),
            command, protocol, mean, std.
    """
    images, labels = itn.load_images("mnist")
    content = save({key: value.contiguous() for key, value in classifier.net.state_dict().items()})
    cards_file = folder / "cards.json"
    cards = json.loads(cards_file.read_text()) if cards_file.exists() else {}
    cards[name] = {
        "file": f"{name}.safetensors",
        "sha256": hashlib.sha256(content).hexdigest(),
        "parameters": sum(p.numel() for p in classifier.net.parameters()),
        **card,
        "torch": torch.__version__,
        "class_names": [str(digit) for digit in range(10)],
        "test_accuracy": study.accuracy(classifier, images, labels),
        "license": "MIT",
    }
    study.write_whole(folder / f"{name}.safetensors", lambda path: path.write_bytes(content))
    text = json.dumps(dict(sorted(cards.items())), indent=2) + "\n"
    study.write_whole(cards_file, lambda path: path.write_text(text))
    print(f"{name}: {100 * cards[name]['test_accuracy']:.2f} % of the test digits")


def ship_part(name: str, part: Path, command: str, folder: Path) -> None:
    """Ship a network that a study has trained and kept."""
    state = torch.load(part, weights_only=True, map_location="cpu")
    recipe = study.Recipe(**state["recipe"])
    net = study.untrained(recipe.network, seed=0)
    net.load_state_dict(state["net"])
    shifts = f", shifts of up to {recipe.shift:g} of the frame" if recipe.shift else ""
    ship(
        name,
        itn.Classifier(net, (recipe.mean,), (recipe.std,)),
        folder,
        architecture=recipe.network,
        data=f"MNIST, the {recipe.digits:,} training digits",
        heldout="mnist",
        command=f"{command} (seed {state['seed']})",
        protocol=f"{recipe.optimizer}, rate {recipe.rate:g}, batch {recipe.batch}, "
        f"{len(state['history'])} epochs{shifts}",
        mean=(recipe.mean,),
        std=(recipe.std,),
    )


def main() -> None:
    """Be the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", default=["jennings-cnn", "lenet5"], help="which networks")
    parser.add_argument("--part", type=Path, help="a network that a study has trained; default: train it")
    parser.add_argument("--command", help="with --part: what trained it")
    parser.add_argument("--out", type=Path, default=PRETRAINED)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.part:
        if not args.command or len(args.names) != 1:
            parser.error("--part takes one name, and --command")
        ship_part(args.names[0], args.part, args.command, args.out)
        return
    for name in args.names:
        ship(
            name,
            train(name, args.seed),
            args.out,
            architecture=name,
            data="MNIST, the first 50,000 training digits",
            heldout="mnist:heldout",
            command=f"python experiments shipped_networks {name} --seed {args.seed}",
            protocol=f"Adam, one-cycle rate up to {2 * RATE:g}, batch {BATCH}, {EPOCHS} epochs",
            mean=MEAN,
            std=STD,
        )


def readme(_records: dict[str, Record]) -> str:
    """Return the text of README.md, from the cards in pretrained/."""
    cards = json.loads((PRETRAINED / "cards.json").read_text())
    rows = [
        (
            f"`{name}`",
            card["data"],
            card["protocol"],
            f"{card['parameters']:,}",
            f"{100 * card['test_accuracy']:.2f}",
            card["command"],
        )
        for name, card in cards.items()
    ]
    header = ("network", "trained on", "how", "parameters", "test accuracy %", "command that trained it")
    return f"""
# The networks that come with the package

Trains `jennings-cnn` and `lenet5` with Adam on the first 50,000 MNIST training digits. The other 20,000
digits, the last 10,000 training digits and the test digits, are never trained on: `mnist:heldout`.

```bash
python experiments shipped_networks --out DIR    # 4 minutes on 2 CPU cores
```

Weights and cards go to `DIR`; without `--out` they replace those in `pretrained/`. The accuracy to expect
on the 10,000 test digits is in the table. On another machine or with another version of torch the weights
may differ slightly, and their SHA-256 with them.

{study.markdown(header, rows)}

The networks of the other two commands are trained by their studies, on all 60,000 training digits. Such a
network is added to the package by its file in the study's folder:

```bash
python experiments shipped_networks poddar-cnn --out DIR --command "python experiments poddar_cnn --full" \\
    --part runs/poddar_cnn/parts/FILE.pt
```
"""
