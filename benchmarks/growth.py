"""How the cost of screening and learning grows with the work: time, with slopes, and memory.

Command:   python benchmarks/growth.py
           --photos DIR adds the memory of 500 photographs, from a folder of class folders
Machine:   Linux; 2 CPU cores, about 10 minutes
Writes:    benchmarks/results/growth.json
Published: none

time:   whole screens and whole runs of learning, each at several sizes of one kind of work, the others fixed;
        the slope is that of the logarithms: 1 is proportional, below 1 a part that does not grow.
memory: peak resident memory of whole screens, each in a process of its own, with few and many magnitudes.

How it grows with processes is measured by processes.py.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from clock import alternate
from rich.console import Console
from rich.progress import track

import itn
from itn.runtime import batching
from itn.runtime.provenance import provenance
from itn.transforms import steps

RESULTS = Path(__file__).parent / "results" / "growth.json"


def screen_digits(images: int = 1000, magnitudes: int = 12) -> None:
    """Screen lenet5 with one transformation."""
    sweep = steps(90 / magnitudes, 90, 90 / magnitudes)
    config = itn.ScreenConfig(("rotate",), magnitudes={"rotate": sweep}, round_trip=False, bisections=0)
    classifier = itn.load_classifier("lenet5")
    itn.screen(classifier, *itn.load_images("mnist", limit=images), config, progress=False)


def screen_photographs(pixels: int) -> None:
    """Screen resnet18 with random weights on eight random images of so many pixels a side."""
    torch.manual_seed(0)
    classifier = itn.Classifier(torchvision.models.resnet18(weights=None), name="resnet18")
    images = torch.randint(0, 256, (8, 3, pixels, pixels), dtype=torch.uint8)
    labels = itn.predict(classifier, images)
    sweep = {"rotate": (-20.0, -10.0, 10.0, 20.0)}
    config = itn.ScreenConfig(("rotate",), magnitudes=sweep, round_trip=False, bisections=0)
    itn.screen(classifier, images, labels, config, progress=False)


def learn_digits(images: int = 2000, steps: int = 25) -> None:
    """Learn a family that lenet5 is invariant to, calibrate and certify it."""
    config = itn.LearnConfig(parts=("spatial",), steps=steps, tolerance=0.05)
    classifier = itn.load_classifier("lenet5")
    itn.learn(classifier, *itn.load_images("mnist:heldout", limit=images), config, progress=False)


WORK: dict[str, tuple[Callable[[int], None], Sequence[int]]] = {
    "screen: images": (lambda n: screen_digits(images=n), (500, 1000, 2000, 4000)),
    "screen: magnitudes": (lambda n: screen_digits(magnitudes=n), (6, 12, 24, 48)),
    "screen: pixels of an image": (lambda n: screen_photographs(round(n**0.5)), (64**2, 128**2, 256**2)),
    "learn: steps": (lambda n: learn_digits(steps=n), (25, 50, 100)),
    "learn: images": (lambda n: learn_digits(images=n), (2000, 4000, 8000)),
}


def growth(kinds: Sequence[str], repeats: int, most: int | None = None) -> dict[str, Any]:
    """Time kinds of work at their sizes, or the least of them, in turns."""
    by_name = {}
    for name in track(kinds, "kinds of work", console=Console(stderr=True)):
        work, sizes = WORK[name]
        times = alternate({str(n): partial(work, n) for n in sizes[:most]}, repeats)
        median = {n: statistics.median(seconds) for n, seconds in times.items()}
        slope = np.polyfit(np.log([int(n) for n in median]), np.log(list(median.values())), 1)[0]
        by_name[name] = {
            "seconds": {n: round(seconds, 3) for n, seconds in median.items()},
            "slope": round(float(slope), 3),
        }
    return by_name


def memory(data: str, model: str, limit: int, magnitudes: int) -> dict[str, Any]:
    """Screen in a process of its own and return its peak memory."""
    code = f"""
import torch, itn
from itn.runtime import batching
batching.keep_memory()
def peak():  # not getrusage, which starts from the peak of the process that started this one
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
torch.set_num_threads({torch.get_num_threads()})
classifier = itn.load_classifier({model!r})
images, labels = itn.load_images({data!r}, classifier, limit={limit}, progress=False)
loaded = peak()
sweep = tuple(90 * (n + 1) / {magnitudes} for n in range({magnitudes}))
config = itn.ScreenConfig(("rotate",), magnitudes={{"rotate": sweep}}, round_trip=False, bisections=0)
itn.screen(classifier, images, labels, config, progress=False)
print(len(images), images.nbytes, loaded, peak())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    n, size, loaded, peak = map(int, done.stdout.split())
    return {
        "model": model,
        "images": n,
        "magnitudes": magnitudes,
        "images_mib": round(size / 2**20, 1),
        "after_loading_mib": round(loaded / 2**10, 1),
        "peak_mib": round(peak / 2**10, 1),
    }


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--photos", help="a folder of class folders of ImageNet photographs")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--smoke", action="store_true", help="only run the code, at the smallest sizes")
    parser.add_argument("--out", type=Path, default=RESULTS, help="default: benchmarks/results/growth.json")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    batching.keep_memory()  # as the command line does
    smoke = ["screen: pixels of an image"]
    grown = growth(smoke, 1, most=2) if args.smoke else growth(list(WORK), args.repeats)
    runs = [memory("mnist", "lenet5", 200 if args.smoke else 10_000, m) for m in (3, 30)]
    if args.photos:
        runs += [memory(args.photos, "efficientnet-lite0", 500, m) for m in (2, 6)]
    record = {
        "threads": args.threads,
        "time": grown,
        "memory": runs,
        "provenance": provenance(torch.device("cpu")),
    }
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(record, indent=1) + "\n")
    for name, cost in grown.items():
        print(f"{name}: {cost['seconds']} s, slope {cost['slope']:.2f}")
    for run in runs:
        print(f"{run['images']:,} images, {run['magnitudes']} magnitudes: {run['peak_mib']:,.0f} MiB")


if __name__ == "__main__":
    main()
