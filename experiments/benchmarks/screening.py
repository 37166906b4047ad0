"""What screening costs over its floor, against Captum, and in memory.

Command:   python experiments/benchmarks/screening.py  (pip install "itn[benchmark]" for Captum)
           python experiments/benchmarks/screening.py --device cuda --parts overhead
           --photos DIR adds the memory of 500 photographs, from a folder of class folders
Machine:   any; 2 CPU cores, about 12 minutes; with CUDA, 2 minutes
Writes:    experiments/results/screening.json (screening-cuda.json)
Published: none

overhead:   full sweeps of rotate, zoom, blur and noise, 21 magnitudes each (controls and searches left aside,
            which are such passes too), over the bare forward pass of the same number of batches. Within each
            repetition passes and floors alternate; the figure is the median of the repetitions' ratios.
thresholds: per-image rotation thresholds, every 5 degrees to 180, against Captum's MinParamPerturbation in
            linear mode at its fastest perturbations_per_eval, with the same images, the same rotation and
            the same answers; and the images that pass through the classifier for them.
memory:     peak resident memory of whole screens, each in a process of its own, with few and many magnitudes.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchvision

import itn
from itn.folder import provenance
from itn.screener import Screener
from itn.transforms import TRANSFORMS, steps

RESULTS = Path(__file__).parent.parent / "results"
FLOOR_EVERY = 4  # passes
ANGLES = steps(5, 180, 5)


def seconds(work: Callable[[], object]) -> float:
    """Return how long a call takes, including what it leaves to a GPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def sweeps(blur: float) -> dict[str, tuple[float, ...]]:
    """Return 21 magnitudes for each of four transformations."""
    return {
        "rotate": steps(-90, 90, 9),
        "zoom": tuple(2 ** (n / 10) for n in range(-10, 11)),
        "blur": steps(0, blur, blur / 20),
        "noise": steps(0, 1, 0.05),
    }


def overhead(
    classifier: itn.Classifier, images: torch.Tensor, blur: float, repeats: int, **settings: Any
) -> dict[str, Any]:
    """Time full sweeps over one batch, and bare forward passes of the same batch in between."""
    labels = torch.arange(len(images)) % 10
    data = itn.CheckedImages(images, labels, labels)
    screener = Screener(classifier, data, itn.ScreenConfig(batch_size=len(images), **settings))
    floats = images.to(classifier.device) / 255
    if settings.get("channels_last"):
        floats = floats.contiguous(memory_format=torch.channels_last)
    half = settings.get("precision") == "bfloat16"

    @torch.inference_mode()
    def forward() -> None:
        with torch.autocast(classifier.device.type, torch.bfloat16, enabled=half):
            classifier.logits(floats)

    for _ in range(3):
        forward()
        screener.observe(screener.at(TRANSFORMS["rotate"], 10.0))
    ratios, floors = [], []
    by_name: dict[str, list[float]] = {}
    for _ in range(repeats):
        passes: dict[str, list[float]] = {}
        bare = []
        for name, magnitudes in sweeps(blur).items():
            for number, v in enumerate(magnitudes):
                change = screener.at(TRANSFORMS[name], v)
                passes.setdefault(name, []).append(seconds(lambda change=change: screener.observe(change)))
                if number % FLOOR_EVERY == 0:
                    bare.append(seconds(forward))
        floor = statistics.fmean(bare)
        floors.append(floor)
        ratios.append(statistics.fmean(t for times in passes.values() for t in times) / floor)
        for name, times in passes.items():
            by_name.setdefault(name, []).append(statistics.fmean(times) / floor)
    return {
        "model": classifier.name,
        "batch": list(images.shape),
        "settings": settings,
        "repeats": repeats,
        "forward_ms": 1000 * statistics.median(floors),
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "ratio_by_transformation": {name: statistics.median(values) for name, values in by_name.items()},
    }


def thresholds(count: int, repeats: int) -> dict[str, Any]:
    """Find per-image rotation thresholds on lenet5 with Captum and with itn."""
    from captum.robust import MinParamPerturbation  # noqa: PLC0415  # an extra

    classifier = itn.load_classifier("lenet5")
    images = itn.load_images("mnist", limit=count)[0]
    floats = images / 255
    clean = itn.predict(classifier, images)
    rotate = TRANSFORMS["rotate"]

    def turn(image: torch.Tensor, angle: float) -> torch.Tensor:
        return rotate.apply(image, torch.tensor([float(angle)]))

    def same(logits: torch.Tensor, target: int) -> bool:
        return int(logits.argmax(1)) == target

    @torch.inference_mode()
    def captum(at_once: int) -> list[float]:
        search = MinParamPerturbation(
            classifier.logits,
            attack=turn,
            arg_name="angle",
            arg_min=5.0,
            arg_max=180.0 + 1e-6,
            arg_step=5.0,
            mode="linear",
            apply_before_preproc=True,
            correct_fn=same,
        )
        found = []
        for image, target in zip(floats, clean.tolist(), strict=True):
            options = {"correct_fn_kwargs": {"target": target}, "perturbations_per_eval": at_once}
            angle = search.evaluate(image.unsqueeze(0), **options)[1]
            found.append(float("inf") if angle is None else float(angle))
        return found

    def ours(bisections: int) -> itn.Flips:
        return itn.flip_magnitudes(classifier, images, "rotate", ANGLES, bisections=bisections)["above"]

    found = ours(0)
    mine = torch.where(found.flipped, found.magnitude, torch.inf)
    times: dict[str, list[float]] = {}
    answers = {}
    for _ in range(repeats):
        for at_once in (1, 8, len(ANGLES)):
            name = f"captum, {at_once} at once"
            times.setdefault(name, []).append(
                seconds(lambda n=at_once, key=name: answers.update({key: captum(n)}))
            )
        times.setdefault("itn", []).append(seconds(lambda: ours(0)))
        times.setdefault("itn, refined", []).append(seconds(lambda: ours(6)))
    median = {name: 1000 * statistics.median(values) / count for name, values in times.items()}
    fastest = min(value for name, value in median.items() if name.startswith("captum"))
    return {
        "images": count,
        "repeats": repeats,
        "ms_per_image": median,
        "captum_over_itn": fastest / median["itn"],
        "different_answers": {
            name: int((torch.tensor(angles) != mine).sum()) for name, angles in answers.items()
        },
        "forward_passes": passes(classifier, images, ours, mine),
    }


def passes(
    classifier: itn.Classifier, images: torch.Tensor, ours: Callable[[int], itn.Flips], flips: torch.Tensor
) -> dict[str, int]:
    """Count the images that go through the classifier."""
    seen = 0

    def count(_: object, inputs: tuple[torch.Tensor]) -> None:
        nonlocal seen
        seen += len(inputs[0])

    counted = {
        "full grid": len(images) * (len(ANGLES) + 1),
        "plain dropping": len(images) + sum(int((flips >= v).sum()) for v in ANGLES),
    }
    hook = classifier.net.register_forward_pre_hook(count)
    for name, bisections in (("itn", 0), ("itn, refined to 0.08 degrees", 6)):
        seen = 0
        ours(bisections)
        counted[name] = seen
    hook.remove()
    counted["flipped images"] = int(flips.isfinite().sum())
    return counted


def memory(data: str, model: str, limit: int, magnitudes: int) -> dict[str, Any]:
    """Screen in a process of its own and return its peak memory."""
    code = f"""
import resource, torch, itn
torch.set_num_threads({torch.get_num_threads()})
classifier = itn.load_classifier({model!r})
images, labels = itn.load_images({data!r}, classifier, limit={limit}, progress=False)
loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sweep = tuple(90 * (n + 1) / {magnitudes} for n in range({magnitudes}))
config = itn.ScreenConfig(("rotate",), magnitudes={{"rotate": sweep}}, control=False, bisections=0)
itn.screen(classifier, images, labels, config, progress=False)
print(len(images), images.nbytes, loaded, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    n, size, loaded, peak = map(int, done.stdout.split())
    return {
        "model": model,
        "images": n,
        "magnitudes": magnitudes,
        "images_mib": size / 2**20,
        "after_loading_mib": loaded / 2**10,
        "peak_mib": peak / 2**10,
    }


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=["overhead", "thresholds", "memory"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=200, help="for thresholds")
    parser.add_argument("--photos", help="a folder of class folders of ImageNet photographs")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    out = args.out or RESULTS / (
        "screening.json" if device.type == "cpu" else f"screening-{device.type}.json"
    )
    results: dict[str, Any] = json.loads(out.read_text()) if out.exists() else {}
    origin = provenance(device)
    generator = torch.Generator().manual_seed(0)
    if "overhead" in args.parts:
        digits = itn.load_images("mnist")[0][:500]
        lenet = itn.load_classifier("lenet5").to(device)
        large, batch, settings = "resnet18", 32, {"channels_last": True}
        if device.type != "cpu":
            large, batch, settings = "resnet50", 256, {"channels_last": True, "precision": "bfloat16"}
        net = torchvision.models.get_model(large, weights=None)
        resnet = itn.Classifier(net, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), name=large).to(device)
        photos = torch.randint(0, 256, (batch, 3, 224, 224), generator=generator).byte()
        results["overhead"] = {
            "lenet5": overhead(lenet, digits, 2, max(args.repeats, 9)),
            large: overhead(resnet, photos, 4, args.repeats, **settings),
            "provenance": origin,
        }
        for result in list(results["overhead"].values())[:2]:
            print(f"{result['model']}: a sweep costs {result['ratio']:.3f} of its forward passes")
    if "thresholds" in args.parts:
        results["thresholds"] = thresholds(args.images, args.repeats) | {"provenance": origin}
        print(f"Captum takes {results['thresholds']['captum_over_itn']:.1f} times as long")
        print(results["thresholds"]["forward_passes"])
    if "memory" in args.parts:
        runs = [memory("mnist", "lenet5", 10_000, m) for m in (3, 30)]
        if args.photos:
            runs += [memory(args.photos, "efficientnet-lite0", 500, m) for m in (2, 6)]
        results["memory"] = {"runs": runs, "provenance": origin}
        for run in runs:
            print(f"{run['images']:,} images, {run['magnitudes']} magnitudes: {run['peak_mib']:,.0f} MiB")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
