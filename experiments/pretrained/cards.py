"""Ship a trained network with the package: its weights and its card in pretrained/.

Command:   python experiments/cards.py NAME OUT/parts/FILE.pt --command "python experiments/STUDY.py --full"
Machine:   any, seconds
Writes:    pretrained/NAME.safetensors and pretrained/cards.json
Published: none

FILE.pt is what a study kept of a network that it trained.
"""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import study
import torch
from safetensors.torch import save

import itn
from itn.models.zoo import NETWORKS
from itn.runtime.run_dir import write_whole

PRETRAINED = Path(__file__).parent.parent / "pretrained"


def ship(name: str, classifier: itn.Classifier, folder: Path, **card: Any) -> None:
    """Test a classifier, write its weights, and write or replace its card.

    Args:
        name: What ``itn.load_classifier`` shall call it.
        classifier: What was trained.
        folder: Usually pretrained/.
        card: The other fields: architecture, data, unseen (a source of digits that it was not trained on),
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
        "test_accuracy": study.share_right(classifier, images, labels),
        "license": "MIT",
    }
    write_whole(folder / f"{name}.safetensors", lambda path: path.write_bytes(content))
    text = json.dumps(dict(sorted(cards.items())), indent=2) + "\n"
    write_whole(cards_file, lambda path: path.write_text(text))
    print(f"{name}: {100 * cards[name]['test_accuracy']:.2f} % of the test digits")


def main() -> None:
    """Ship one network that a study has trained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("part", type=Path)
    parser.add_argument("--command", required=True, help="what trained it")
    parser.add_argument("--out", type=Path, default=PRETRAINED)
    args = parser.parse_args()
    state = torch.load(args.part, weights_only=True, map_location="cpu")
    recipe = study.Recipe(**state["recipe"])
    net = NETWORKS[recipe.network]()
    net.load_state_dict(state["net"])
    shifts = f", shifts of up to {recipe.shift:g} of the frame" if recipe.shift else ""
    ship(
        args.name,
        itn.Classifier(net, (recipe.mean,), (recipe.std,)),
        args.out,
        architecture=recipe.network,
        data=f"MNIST, the {recipe.digits:,} training digits",
        unseen="mnist",
        command=f"{args.command} (seed {state['seed']})",
        protocol=f"{recipe.optimizer}, rate {recipe.rate:g}, batch {recipe.batch}, "
        f"{len(state['history'])} epochs{shifts}",
        mean=(recipe.mean,),
        std=(recipe.std,),
    )


if __name__ == "__main__":
    main()
