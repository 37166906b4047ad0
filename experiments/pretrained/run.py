"""Train the shipped MNIST classifiers on the first 50,000 training digits.

Command:   python experiments/train_classifiers.py
Machine:   2 CPU cores, about 4 minutes for both
Writes:    pretrained/NAME.safetensors and pretrained/cards.json
Published: none; these are the classifiers that the other experiments study. The studies' own
           protocols (fewer epochs, plain SGD) belong to their own scripts.

The last 10,000 training digits and the 10,000 test digits (``mnist:heldout``) are never trained on
and no choice was made on them, so that what is learned about a classifier is measured on unseen digits.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from cards import PRETRAINED, ship
from tqdm import trange

import itn
from itn.data.mnist import HELDOUT
from itn.models.zoo import NETWORKS

MEAN, STD = (0.1307,), (0.3081,)  # of the training digits, as everybody has it
EPOCHS, BATCH, RATE = 8, 128, 1e-3


def train(name: str, seed: int) -> itn.Classifier:
    """Train one network with Adam and a one-cycle learning rate; return it frozen."""
    torch.manual_seed(seed)
    images, labels = itn.load_images("mnist:train")
    images, labels = images[:-HELDOUT], labels[:-HELDOUT]
    net = NETWORKS[name]().train()
    pixels = (images.float() / 255 - MEAN[0]) / STD[0]
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    steps = EPOCHS * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2 * RATE, total_steps=steps)
    for _ in trange(EPOCHS, desc=name, unit="epoch"):
        for batch in torch.randperm(len(images)).split(BATCH)[: len(images) // BATCH]:
            optimizer.zero_grad()
            F.cross_entropy(net(pixels[batch]), labels[batch]).backward()
            optimizer.step()
            schedule.step()
    return itn.Classifier(net, MEAN, STD, name=name)


def main() -> None:
    """Train, test, and write weights and cards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", default=["jennings-cnn", "lenet5"], help="which networks")
    parser.add_argument("--out", type=Path, default=PRETRAINED)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for name in args.names:
        ship(
            name,
            train(name, args.seed),
            args.out,
            architecture=name,
            data="MNIST, the first 50,000 training digits",
            unseen="mnist:heldout",
            command=f"python experiments/train_classifiers.py {name} --seed {args.seed}",
            protocol=f"Adam, one-cycle rate up to {2 * RATE:g}, batch {BATCH}, {EPOCHS} epochs",
            mean=MEAN,
            std=STD,
        )


if __name__ == "__main__":
    main()
