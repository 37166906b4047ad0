"""Poddar (2020): a small CNN whose loss stops at 1.46, and what its layers see.

Command:   python experiments/poddar_cnn.py            (8 epochs, one seed)
           python experiments/poddar_cnn.py --full     (50 epochs, three seeds)
Machine:   2 CPU cores, about 7 minutes; --full about 3 hours
Writes:    runs/poddar_cnn/: result.json, curves.png, activations.png
Published: epoch 1 validation accuracy 94.57 % (loss 1.5233), epoch 50 99.20 % (loss 1.4692)

Adam at 1e-4, batches of 100, dropout 0.4, pixels scaled to [-1, 1]. As published the network ends in a
softmax and its loss takes another one, so that the loss cannot fall below ln(e + 9) - 1 = 1.4612; and it is
never put into evaluation mode, so that it is tested with dropout on. As intended: logits, dropout off.
"""

import dataclasses
import math

import study
from matplotlib.figure import Figure
from study import Protocol, Recipe, Record

FLOOR = math.log(math.e + 9) - 1
"""The cross-entropy of probabilities that are all on the true class."""
INTENDED = Recipe("poddar-cnn", "adam", 1e-4, 100, 50, mean=0.5, std=0.5)
VARIANTS = {
    "as published": dataclasses.replace(INTENDED, softmax_twice=True, dropout_in_tests=True),
    "as intended": INTENDED,
}
PUBLISHED = {
    "first": {"train_loss": 1.6740, "train_accuracy": 0.824383, "test_loss": 1.5233, "test_accuracy": 0.9457},
    "last": {"train_loss": 1.4634, "train_accuracy": 0.997967, "test_loss": 1.4692, "test_accuracy": 0.9920},
}


def measure(protocol: Protocol) -> Record:
    """Train both variants for each seed."""
    epochs = protocol.pick(short=8, full=50, smoke=1)
    runs = []
    for seed in protocol.seeds:
        for variant, recipe in VARIANTS.items():
            asked = dataclasses.replace(recipe, epochs=epochs)
            trained = study.train(asked, seed, variant.replace(" ", "-"), protocol)
            loss, accuracy = study.test(INTENDED, trained.net, protocol)
            intended = {"loss": loss, "accuracy": accuracy}
            runs.append({"variant": variant, "without_dropout": intended, **trained.record(asked, seed)})
    return {"published": PUBLISHED, "floor": FLOOR, "runs": runs}


def figures(record: Record) -> dict[str, Figure]:
    """Return the figures."""
    return {}


def table(record: Record) -> str:
    """Return losses and accuracies after the first and the last epoch, published and measured."""
    rows = []
    for when, number in (("first", 0), ("last", -1)):
        published = record["published"][when]
        for variant in VARIANTS:
            runs = [run for run in record["runs"] if run["variant"] == variant]
            epochs = [run["history"][number] for run in runs]
            rows.append(
                (
                    f"{when}, {len(runs[0]['history']) if number else 1}",
                    variant,
                    str(len(runs)),
                    f"{published['test_loss']:.4f}" if variant == "as published" else "-",
                    study.spread([epoch["test_loss"] for epoch in epochs], ".4f"),
                    f"{100 * published['test_accuracy']:.2f} %",
                    f"{study.spread([100 * epoch['test_accuracy'] for epoch in epochs])} %",
                    f"{study.spread([100 * run['without_dropout']['accuracy'] for run in runs])} %"
                    if number
                    else "-",
                )
            )
    header = (
        *("epoch", "variant", "seeds", "published test loss", "measured"),
        *("published test accuracy", "measured", "without dropout"),
    )
    return study.markdown(header, rows)


if __name__ == "__main__":
    study.run(__doc__, "poddar_cnn", measure, figures, table)
