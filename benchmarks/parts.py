"""What a learning step costs with each part that a run can name, over a pass of the bare classifier.

Command:   python benchmarks/parts.py
Machine:   any; 1 CPU core, about 10 minutes
Writes:    benchmarks/results/parts.json
Published: none

A step of the constrained objective, with each part alone and with several, over the bare forward pass and the
backward pass to the images. Random pixels of 224 x 224, 32 at a time, and resnet18 with random weights.
Processor seconds of one process and one thread, so that other work on the machine counts little; all take
turns, and a ratio is the median of those of all repetitions.
"""

import argparse
import itertools
import json
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from clock import alternate, processor_seconds, ratio
from floors import Floor, Record, constrained_learner, photographs

import itn
from itn.learning.objective import Steps
from itn.nn import NAMED_PARTS
from itn.runtime import batching
from itn.runtime.provenance import provenance

RESULTS = Path(__file__).parent / "results"
TOGETHER = ("color,spatial", "color,filter,homography")


def measure(classifier: itn.Classifier, images: torch.Tensor, batch: int, repeats: int) -> Record:
    """Time steps with each part, by turns with the bare classifier."""
    predictions = itn.predict(classifier, images, batch).cpu()
    data = itn.CheckedImages(images, predictions, predictions)
    work: dict[str, Callable[[], object]] = {"backward": Floor(classifier, images[:batch]).backward}
    for names in (*NAMED_PARTS, *TOGETHER):
        config = itn.LearnConfig(parts=tuple(names.split(",")), batch_size=batch)
        learner, numbers = constrained_learner(classifier, data, config), itertools.count()
        work[names] = partial(_next_step, learner, numbers)
    times = alternate(work, repeats, warmup=2, clock=processor_seconds)
    floor = times.pop("backward")
    return {
        "model": classifier.name,
        "pixels": list(images.shape[1:]),
        "batch": batch,
        "backward_ms": round(1000 * statistics.median(floor), 1),
        "over_backward": {names: ratio(of, floor) for names, of in times.items()},
        "provenance": provenance(classifier.device),
    }


def _next_step(learner: Steps, numbers: Iterator[int]) -> None:
    learner.step(next(numbers))


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=32, help="default: %(default)s")
    parser.add_argument("--pixels", type=int, default=224, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=RESULTS / "parts.json", help="default: %(default)s")
    args = parser.parse_args()
    torch.set_num_threads(1)
    batching.keep_memory()  # as the command line does
    classifier, images = photographs("resnet18", torch.device("cpu"), 4 * args.batch, args.pixels)
    record = measure(classifier, images, args.batch, args.repeats)
    args.out.write_text(json.dumps(record, indent=1) + "\n")
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
