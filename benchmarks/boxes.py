"""What a search for the worst case in a box costs over its own forward passes.

Command:   python benchmarks/boxes.py
Machine:   any; 1 CPU core, about 5 minutes
Writes:    benchmarks/results/boxes.json
Published: none

search: the search as ``itn worst`` does it, with its defaults, box and all; over the bare forward pass of as
        many images, in batches of the same sizes.
passes: the time within it that goes to transforming and classifying images, over the same; what is left of
        the search is the choice of points.

Processor seconds of one process, so that other work on the machine counts little. Digits are classified by
shipped networks, random pixels of 224 x 224 by resnet18 with random weights.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
import torchvision
from clock import spread
from torch import Tensor

import itn
from itn.boxes.passes import BoxPasses
from itn.boxes.search import BlockSearch, Budget
from itn.functional import unit_float
from itn.runtime import batching
from itn.runtime.provenance import provenance

RESULTS = Path(__file__).parent / "results"
MODELS = ("lenet5", "jennings-cnn", "resnet18")
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
Record = dict[str, Any]


def measure(classifier: itn.Classifier, images: Tensor, passes: int, repeats: int) -> Record:
    """Time a whole search, the passes in it, and bare passes of batches of the same sizes."""
    config = itn.WorstConfig(passes=passes, criterion="agreement")
    predictions = itn.predict(classifier, images)
    box_passes = BoxPasses(classifier, itn.CheckedImages(images, predictions, predictions), config)
    floats = unit_float(images)
    spent: list[float] = []
    sizes: list[int] = []

    def ask(index: Tensor, ways: Tensor) -> Tensor:
        clock = time.process_time()
        answers = box_passes.answers(index, ways)
        spent.append(time.process_time() - clock)
        sizes.extend(map(len, index.split(box_passes.batch_size)))
        return answers

    ratios: dict[str, list[float]] = {"search": [], "passes": []}
    budget = Budget(config.passes, config.single_steps, config.growth_passes)
    for repeat in range(repeats + 1):
        spent.clear()
        sizes.clear()
        clock = time.process_time()
        BlockSearch(torch.arange(len(images)), config.resolved, ask, budget, 0).run()
        whole = time.process_time() - clock
        bare = _bare(classifier, floats, sizes)
        if repeat:  # the first one warms up
            ratios["search"].append(whole / bare)
            ratios["passes"].append(sum(spent) / bare)
    return {
        "model": classifier.name,
        "images": len(images),
        "pixels": list(images.shape[1:]),
        "forward_passes": sum(sizes),
        "batches": len(sizes),
        "forward_ms": round(1000 * bare / sum(sizes), 4),
        "ratio": {name: spread(values) for name, values in ratios.items()},
        "provenance": provenance(classifier.device),
    }


@torch.inference_mode()
def _bare(classifier: itn.Classifier, images: Tensor, sizes: list[int]) -> float:
    """Return the seconds of bare passes of batches of these sizes."""
    repeated = images.repeat(-(-max(sizes) // len(images)), 1, 1, 1)
    clock = time.process_time()
    for size in sizes:
        classifier.logits(repeated[:size])
    return time.process_time() - clock


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--images", type=int, default=500, help="digits; default: %(default)s")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS, help="default: all")
    parser.add_argument("--threads", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--smoke", action="store_true", help="only check that the code runs, on few images")
    parser.add_argument("--out", type=Path, default=RESULTS / "boxes.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    batching.keep_memory()  # as the command line does
    found: Record = json.loads(args.out.read_text()) if args.out.exists() else {}
    for model in args.models[:1] if args.smoke else args.models:
        if model == "resnet18":
            torch.manual_seed(0)
            net = torchvision.models.resnet18()
            classifier = itn.Classifier(net, *IMAGENET, name=model)
            images, passes = torch.randint(256, (4, 3, 224, 224), dtype=torch.uint8), 40
        else:
            classifier = itn.load_classifier(model)
            images, passes = itn.load_images("mnist", limit=8 if args.smoke else args.images).images, 300
        found[model] = measure(classifier, images, 10 if args.smoke else passes, args.repeats)
        args.out.write_text(json.dumps(found, indent=1) + "\n")
        ratio = found[model]["ratio"]
        print(f"{model}: a search costs {ratio['search']['median']:.2f} of its forward passes")


if __name__ == "__main__":
    main()
