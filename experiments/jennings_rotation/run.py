"""Jennings (2019): a CNN is trained on upright digits, and again on digits turned by 90 degrees.

Command:   python experiments jennings_rotation            (one seed)
           python experiments jennings_rotation --full     (three seeds)
Machine:   2 CPU cores, about 3 minutes; --full about 8 minutes
Writes:    runs/jennings_rotation/: result.json, curves.png, digits.png
Published: upright 98 % after 3 epochs, loss 0.2639; turned 8 %, loss 2.3186, after 5 epochs in its code and
           "even with 50 epochs" in its text

SGD at 0.01, momentum 0.5, batches of 64. As published, the optimiser of the second run still holds the
weights of the first network: the second network never changes, and stays at chance. As intended, with an
optimiser of its own, turned digits are as easy as upright ones. What is hard is another thing: the network
that was trained on upright digits, tested on turned ones.
"""

import dataclasses

import numpy as np
import study
import torch
from matplotlib.figure import Figure
from study import Protocol, Recipe, Record

import itn
from itn import plotting

UPRIGHT = Recipe("jennings-cnn", "sgd", 0.01, 64, 3, mean=0.1307, std=0.3081, momentum=0.5, log_every=10)
TURNED = dataclasses.replace(UPRIGHT, epochs=5, turn=1)
PUBLISHED = {
    "upright": {"accuracy": 0.98, "loss": 0.2639},
    "turned, as published": {"accuracy": 0.08, "loss": 2.3186},
    "turned, as intended": None,
    "upright, tested on turned": None,
}


def measure(protocol: Protocol) -> Record:
    """Train the three networks for each seed."""
    runs = []
    for seed in protocol.seeds:
        upright = study.train(UPRIGHT, seed, "upright", protocol)
        slip = study.train(TURNED, seed, "turned-as-published", protocol, optimized=upright.net)
        own = study.train(TURNED, seed, "turned-as-intended", protocol)
        initial = study.untrained(TURNED.network, seed).state_dict()
        unchanged = all(torch.equal(slip.net.state_dict()[name].cpu(), initial[name]) for name in initial)
        crossed = dict(zip(("loss", "accuracy"), study.test(TURNED, upright.net, protocol), strict=True))
        runs += [
            {"run": "upright", **upright.record(), "tested_on_turned": crossed},
            {"run": "turned, as published", **slip.record(), "weights_unchanged": unchanged},
            {"run": "turned, as intended", **own.record()},
        ]
    return {"published": PUBLISHED, "runs": runs}


def figures(record: Record) -> dict[str, Figure]:
    """Return the loss curves (figures 3 and 4 of the document) and sample digits (its figure 2)."""
    return {"curves": _loss_curves(record), "digits": _digits()}


def _loss_curves(record: Record) -> Figure:
    figure = Figure(figsize=(plotting.WIDTH, 2.9), layout="constrained")
    names = ("upright", "turned, as published", "turned, as intended")
    for ax, name in zip(figure.subplots(1, 3, sharey=True), names, strict=True):
        for number, run in enumerate(run for run in record["runs"] if run["run"] == name):
            recipe, history = run["recipe"], run["history"]
            batches = [epoch["batch_losses"] for epoch in history]
            seen = [
                epoch * recipe["digits"] + recipe["log_every"] * recipe["batch"] * batch
                for epoch, losses in enumerate(batches)
                for batch in range(len(losses))
            ]
            flat = np.concatenate(batches)
            label = f"one batch of {recipe['batch']}" if number == 0 else None
            ax.plot(np.array(seen) / 1000, flat, color="#4477aa", linewidth=0.5, alpha=0.6, label=label)
            tested = [run["untrained"]["test_loss"], *(epoch["test_loss"] for epoch in history)]
            at = recipe["digits"] * np.arange(len(tested)) / 1000
            ax.plot(at, tested, "o", color="#b2182b", markersize=3.5, label=None if number else "test digits")
        ax.set_ylim(0, 2.9)
        ax.set_title(name, fontsize=10)
    figure.supxlabel("training digits seen (thousands)", fontsize=10)
    figure.axes[0].set_ylabel("loss (nats)")
    figure.axes[0].legend(fontsize=8, frameon=False)
    return figure


def _digits() -> Figure:
    images, labels = itn.load_images("mnist", limit=10)
    pictures = torch.stack([images, images.rot90(1, (2, 3))]) / 255
    titles = [[str(label) for label in labels.tolist()], [f"{label}, turned" for label in labels.tolist()]]
    return plotting.image_rows(pictures, titles)


def table(record: Record) -> str:
    """Return the model's summary, then accuracies and losses, published and measured."""
    rows = []
    for name, published in record["published"].items():
        if name == "upright, tested on turned":
            of = [run["tested_on_turned"] for run in record["runs"] if run["run"] == "upright"]
            tested = [(run["accuracy"], run["loss"]) for run in of]
        else:
            of = [run["history"][-1] for run in record["runs"] if run["run"] == name]
            tested = [(epoch["test_accuracy"], epoch["test_loss"]) for epoch in of]
        accuracies, losses = zip(*tested, strict=True)
        rows.append(
            (
                name,
                f"{100 * published['accuracy']:.0f} % / {published['loss']}" if published else "-",
                f"{study.spread([100 * a for a in accuracies])} % / {study.spread(losses, '.4f')}",
            )
        )
    held = [run["weights_unchanged"] for run in record["runs"] if "weights_unchanged" in run]
    said = f"weights unchanged by the training as published: {sum(held)} of {len(held)} runs"
    summary = itn.model_summary(study.untrained(UPRIGHT.network, 0), (1, 28, 28))
    measured = study.markdown(("network", "published accuracy / loss", "measured"), rows)
    return f"{summary}\n\n{measured}\n\n{said}"
