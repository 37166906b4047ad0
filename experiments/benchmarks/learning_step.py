"""What a step of learning costs over its floor: the bare classifier on the same batch.

Command:   python experiments/benchmarks/learning_step.py
Machine:   any; 2 CPU cores, about 1 minute
Writes:    experiments/results/learning_step.json
Published: none

The floor of a step that asks for displacement is one forward pass of the bare classifier; where the
switch asks for cross-entropy, one forward pass and the backward pass to the images. Steps and floors
alternate in one process, on batches drawn in the same way; ratios are of medians. The share of
cross-entropy steps weighs the two into one figure for a whole run.
"""

import argparse
import dataclasses
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F

import itn
from itn.color import unit_float
from itn.folder import provenance
from itn.learning import make_net
from itn.switched import SwitchedLearner

RESULTS = Path(__file__).parent.parent / "results" / "learning_step.json"
SHARE = 0.75  # of cross-entropy steps; what runs of the main job show


def learner(classifier: itn.Classifier, data: itn.CheckedImages, asks: str, batch: int) -> SwitchedLearner:
    """Return a learner whose switch always asks for the same loss, on clearly displaced images."""
    # No batch is worse than an accuracy of 0; with wrong labels, none reaches 1.
    accuracy = 0.0
    if asks == "cross-entropy":
        accuracy, data = 1.0, dataclasses.replace(data, labels=(data.labels + 1) % 10)
    config = itn.LearnConfig(objective="switched", acc_orig=accuracy, batch_size=batch, learning_rate=1e-30)
    net = make_net(classifier, config, data.images.shape)
    with torch.no_grad():
        for transformer in (net.color, net.space):
            transformer.head.output.weight.mul_(300)
    return SwitchedLearner(net, data, config)


def seconds(work: Callable[[], object]) -> float:
    """Return how long a call takes, including what it leaves to a GPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(model: str, batch: int, repeats: int, device: torch.device) -> dict[str, object]:
    """Time steps and floors in turn."""
    classifier = itn.load_classifier(model).to(device)
    data = itn.preflight(classifier, *itn.load_images("mnist"))
    learners = {asks: learner(classifier, data, asks, batch) for asks in ("displacement", "cross-entropy")}
    images, labels = unit_float(data.images[:batch]).to(device), data.labels[:batch].to(device)

    @torch.inference_mode()
    def forward() -> None:
        classifier.logits(images)

    def step(asks: str) -> None:
        asked = learners[asks].step(0).asked_cross_entropy
        assert asked == (asks == "cross-entropy"), "the switch took the other branch"

    def forward_backward() -> None:
        F.cross_entropy(classifier.logits(images.detach().requires_grad_()), labels).backward()

    work = {
        "forward": forward,
        "forward and backward": forward_backward,
        **{f"step asking for {asks}": partial(step, asks) for asks in learners},
    }
    times: dict[str, list[float]] = {name: [] for name in work}
    for repeat in range(repeats + 3):
        for name, call in work.items():
            elapsed = seconds(call)
            if repeat >= 3:
                times[name].append(elapsed)
    median = {name: statistics.median(values) for name, values in times.items()}
    step = [median["step asking for displacement"], median["step asking for cross-entropy"]]
    floor = [median["forward"], median["forward and backward"]]
    return {
        "model": model,
        "batch": batch,
        "repeats": repeats,
        "median_ms": {name: 1000 * value for name, value in median.items()},
        "ratio_displacement": step[0] / floor[0],
        "ratio_cross_entropy": step[1] / floor[1],
        "cross_entropy_share": SHARE,
        "ratio_run": _weigh(step) / _weigh(floor),
        "provenance": provenance(device),
    }


def _weigh(pair: list[float]) -> float:
    return (1 - SHARE) * pair[0] + SHARE * pair[1]


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["jennings-cnn", "lenet5"])
    parser.add_argument("--batch", type=int, default=itn.LearnConfig.batch_size)
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    results = [measure(model, args.batch, args.repeats, torch.device(args.device)) for model in args.models]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(results, indent=1) + "\n")
    for r in results:
        print(
            f"{r['model']}, batch {r['batch']}, {args.threads} threads: a step costs "
            f"{r['ratio_displacement']:.2f} of its floor when it asks for displacement, "
            f"{r['ratio_cross_entropy']:.2f} for cross-entropy, {r['ratio_run']:.2f} over a run"
        )


if __name__ == "__main__":
    main()
