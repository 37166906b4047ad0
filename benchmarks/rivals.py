"""What users would pick instead: how long it takes, and whether the answers agree.

Command:   python benchmarks/rivals.py  (pip install "itn[benchmark]" for what is compared)
Machine:   any; 2 idle CPU cores, about 40 minutes (estimated)
Writes:    benchmarks/results/rivals.json
Published: none

Ratios are the rival's seconds over those of itn, in one process, in turns: median, least and most of the
repetitions' ratios.

captum:      per-image rotation thresholds on lenet5, every 5 degrees to 180, against MinParamPerturbation in
             linear mode at its fastest perturbations_per_eval, with the same images and rotation; and how
             many images pass through the classifier for them.
foolbox:     each digit at its worst of 31 rotations times 5 x 5 shifts (those of Engstrom et al. 2017, and
             half of them), against SpatialAttack in the fastest batches tried. Here ten
             lines with ``itn.warp`` and ``itn.predict`` leave out digits that are broken already. Told to
             shift by s of W pixels foolbox shifts by s (W - 1) / W: itn is asked for both.
torchvision: predictions at every magnitude that ``itn screen`` takes by default, against a loop over
             torchvision's functions as one writes it by hand: each sweep, and a whole screen with its curves
             and thresholds.
imagecorruptions: at severity 3, one image after the other as it takes them, against the nearest
             transformation, on a batch and one after the other; and what fails with what is installed.
augerino:    the spatial family of a learner in the manner of Augerino (augerino.py) against that of
             ``itn learn``, by displacement at full strength, certified.
"""

import argparse
import importlib
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from types import ModuleType
from typing import Any

import augerino
import torch
import torch.nn.functional as F
import torchvision
from clock import alternate, ratio
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as by_hand

import itn
from itn.runtime.errors import first_line
from itn.runtime.provenance import package_version, provenance
from itn.screening.passes import Screener
from itn.transforms import TRANSFORMS, steps

RESULTS = Path(__file__).parent / "results" / "rivals.json"
ANGLES = steps(5, 180, 5)
CORRUPTIONS = {  # of severity 3, and what is nearest
    "gaussian_noise": ("noise", 0.18),
    "gaussian_blur": ("blur", 3.0),
    "brightness": ("brightness", 0.3),
    "contrast": ("contrast", 0.2),
}
Record = dict[str, Any]


def captum(args: argparse.Namespace) -> Record:
    """Find per-image rotation thresholds on lenet5 with Captum and with itn."""
    from captum.robust import MinParamPerturbation  # noqa: PLC0415  # an extra

    classifier = itn.load_classifier("lenet5")
    images = itn.load_images("mnist", limit=args.images).images
    floats, clean = images / 255, itn.predict(classifier, images).tolist()
    answers: dict[str, Tensor] = {}

    def rotated(image: Tensor, angle: float) -> Tensor:
        return TRANSFORMS["rotate"].apply(image, torch.tensor([float(angle)]))

    def same(logits: Tensor, target: int) -> bool:
        return int(logits.argmax(1)) == target

    @torch.inference_mode()
    def search(at_once: int) -> None:
        search = MinParamPerturbation(
            classifier.logits,
            attack=rotated,
            arg_name="angle",
            arg_min=5.0,
            arg_max=180.0 + 1e-6,
            arg_step=5.0,
            mode="linear",
            apply_before_preproc=True,
            correct_fn=same,
        )
        angles = []
        for image, target in zip(floats, clean, strict=True):
            options = {"correct_fn_kwargs": {"target": target}, "perturbations_per_eval": at_once}
            angle = search.evaluate(image.unsqueeze(0), **options)[1]
            angles.append(torch.inf if angle is None else float(angle))
        answers[f"captum, {at_once} at once"] = torch.tensor(angles)

    def ours(bisections: int) -> itn.screening.flips.Flips:
        return itn.flip_magnitudes(classifier, images, "rotate", ANGLES, bisections=bisections)["above"]

    rivals = {f"captum, {n} at once": partial(search, n) for n in (1, 8, len(ANGLES))}
    work = {**rivals, "itn": partial(ours, 0), "itn, refined": partial(ours, 6)}
    times = alternate(work, args.repeats)
    fastest = min(rivals, key=lambda name: statistics.median(times[name]))
    changes = ours(0)
    flips = torch.where(changes.flipped, changes.magnitude, torch.inf)
    return {
        "images": len(images),
        "ms_per_image": _milliseconds(times, len(images)),
        "captum_over_itn": ratio(times[fastest], times["itn"]),
        "different_answers": {name: int((angles != flips).sum()) for name, angles in answers.items()},
        "forward_passes": _passes(classifier, images, ours, flips),
    }


def _passes(
    classifier: itn.Classifier,
    images: Tensor,
    ours: Callable[[int], itn.screening.flips.Flips],
    flips: Tensor,
) -> dict[str, int]:
    """Count the images that go through the classifier."""
    passed = 0

    def count(_: object, inputs: tuple[Tensor]) -> None:
        nonlocal passed
        passed += len(inputs[0])

    counted = {
        "full grid": len(images) * (len(ANGLES) + 1),
        "plain dropping": len(images) + sum(int((flips >= v).sum()) for v in ANGLES),
    }
    hook = classifier.net.register_forward_pre_hook(count)
    for name, bisections in (("itn", 0), ("itn, refined to 0.08 degrees", 6)):
        passed = 0
        ours(bisections)
        counted[name] = passed
    hook.remove()
    counted["flipped images"] = int(flips.isfinite().sum())
    return counted


def foolbox(args: argparse.Namespace) -> Record:
    """Find out which digits lenet5 recognizes at their worst of a grid of rotations and shifts."""
    classifier = itn.load_classifier("lenet5")
    images, labels = itn.load_images("mnist", limit=args.images)
    clean = (itn.predict(classifier, images) == labels).float().mean().item()
    n = len(images)
    whole = _worst(classifier, images, labels, (30, 3, *args.grid), (1, 10, n), args.repeats)
    # Half as far some digits are still recognized, so that answers can differ
    half = _worst(classifier, images, labels, (15, 1.5, *args.grid), (10, n), args.repeats)
    return {"images": n, "clean_accuracy": clean, "engstrom": whole, "half": half}


def _worst(
    classifier: itn.Classifier,
    images: Tensor,
    labels: Tensor,
    grid: tuple[float, float, int, int],
    sizes: Sequence[int],
    repeats: int,
) -> Record:
    """Compare times and answers over one grid: degrees and pixels, both ways, and in how many steps."""
    import eagerpy  # noqa: PLC0415  # as foolbox, an extra
    import foolbox as fb  # noqa: PLC0415
    from foolbox.attacks.spatial_attack_transformations import rotate_and_shift  # noqa: PLC0415

    degrees, pixels, turns, shifts = grid
    floats, sample, width = images / 255, eagerpy.astensor(images[:10] / 255), images.shape[-1]
    model = fb.PyTorchModel(classifier, bounds=(0, 1), device="cpu")
    attack = fb.attacks.SpatialAttack(pixels, degrees, shifts, turns, grid_search=True)
    line = torch.linspace(-pixels, pixels, shifts)
    points = torch.cartesian_prod(torch.linspace(-degrees, degrees, turns), line, line)
    right: dict[str, Tensor] = {}

    def theirs(size: int) -> None:
        batches = zip(floats.split(size), labels.split(size), strict=True)
        right["foolbox"] = ~torch.cat([attack(model, *batch)[2] for batch in batches])

    def matrices(frame: float) -> Tensor:
        """Return the grid of a frame so many pixels wide; foolbox's rotations are counter-clockwise."""
        angle, x, y = -points[:, 0].deg2rad(), *(2 / frame * points[:, 1:]).unbind(1)
        return itn.functional.family_matrix(
            "similarity", torch.stack([angle.cos() - 1, angle.sin(), x, y], -1)
        )

    def ours(name: str, frame: float) -> None:
        remaining = itn.predict(classifier, images) == labels
        for matrix in matrices(frame):
            index = remaining.nonzero()[:, 0]
            if not len(index):
                break
            warped = itn.warp(floats[index], matrix).clamp(0, 1)
            remaining[index] = itn.predict(classifier, warped) == labels[index]
        right[name] = remaining

    def unlike(frame: float) -> float:
        """Return the largest difference of a pixel between foolbox's images and ours."""
        pairs = zip(points.tolist(), matrices(frame), strict=True)
        return max(
            float((rotate_and_shift(sample, (x, y), angle).raw - itn.warp(sample.raw, matrix)).abs().max())
            for (angle, x, y), matrix in pairs
        )

    frames = {"itn": width, "itn, as foolbox shifts": width**2 / (width - 1)}
    rivals = {f"foolbox, batches of {size}": partial(theirs, size) for size in sizes}
    times = alternate({**rivals, "itn": lambda: ours("itn", width)}, repeats, warmup=0)
    ours("itn, as foolbox shifts", frames["itn, as foolbox shifts"])
    fastest = min(rivals, key=lambda name: statistics.median(times[name]))
    return {
        **dict(zip(("degrees", "pixels", "turns", "shifts"), grid, strict=True)),
        "ms_per_image": _milliseconds(times, len(images)),
        "foolbox_over_itn": ratio(times[fastest], times["itn"]),
        "accuracy_at_worst": {name: still.float().mean().item() for name, still in right.items()},
        "different_answers": {name: int((right[name] != right["foolbox"]).sum()) for name in frames},
        "different_pixels_at_most": {name: unlike(frame) for name, frame in frames.items()},
    }


def torchvision_loop(args: argparse.Namespace) -> Record:
    """Sweep digits with lenet5, and random photographs with an untrained resnet18."""
    digits = itn.load_images("mnist", limit=args.batch).images
    photos = torch.randint(0, 256, args.photos, dtype=torch.uint8)
    net = torchvision.models.resnet18(weights=None)
    resnet = itn.Classifier(net, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), name="resnet18")
    pairs = ((itn.load_classifier("lenet5"), digits), (resnet, photos))
    return {classifier.name: _swept(classifier, images, args) for classifier, images in pairs}


def _by_hand(name: str, images: Tensor, v: float) -> Tensor:
    """Return what torchvision makes of images where itn has a transformation of that name."""
    bilinear = InterpolationMode.BILINEAR
    match name:
        case "rotate":
            return by_hand.rotate(images, -v, bilinear)
        case "translate_x":
            return by_hand.affine(images, 0, [v * images.shape[-1], 0], 1, [0, 0], bilinear)
        case "zoom":
            return by_hand.affine(images, 0, [0, 0], 1 / v, [0, 0], bilinear)
        case "blur":
            return by_hand.gaussian_blur(images, 2 * int(4 * v + 0.5) + 1, v) if v else images
        case "contrast":
            return by_hand.adjust_brightness(images, v)
        case "noise":
            return by_hand.gaussian_noise(images, 0.0, v)
    raise ValueError(name)


def _swept(classifier: itn.Classifier, images: Tensor, args: argparse.Namespace) -> Record:
    """Sweep one batch over the magnitudes that itn screen has by default, by hand and with itn."""
    names = args.transforms
    labels = itn.predict(classifier, images, len(images))
    config = itn.ScreenConfig(
        names, bisections=0, accuracy_bisections=0, round_trip=False, batch_size=len(images)
    )
    screener = Screener(classifier, itn.CheckedImages(images, labels, labels), config)
    predictions: dict[tuple[str, str], Tensor] = {}

    @torch.inference_mode()
    def loop(name: str) -> None:
        floats = images / 255
        classes = [
            classifier.logits(_by_hand(name, floats, v)).argmax(1) for v in TRANSFORMS[name].magnitudes
        ]
        predictions["torchvision", name] = torch.stack(classes)

    def passes(name: str) -> None:
        known = TRANSFORMS[name]
        classes = [screener.predictions(screener.at(known, v)) for v in known.magnitudes]
        predictions["itn", name] = torch.stack(classes)

    work: dict[str, Callable[[], object]] = {
        f"{who}: {name}": partial(sweep, name)
        for name in names
        for who, sweep in (("torchvision", loop), ("itn", passes))
    }
    work["itn.screen"] = partial(itn.screen, classifier, images, labels, config, progress=False)
    times = alternate(work, args.repeats)
    whole = [sum(taken) for taken in zip(*(times[f"torchvision: {name}"] for name in names), strict=True)]
    alike = [name for name in names if name != "noise"]
    return {
        "batch": list(images.shape),
        "ms_per_image": _milliseconds(times, len(images)),
        "torchvision_over_itn_screen": ratio(whole, times["itn.screen"]),
        "torchvision_over_itn": {
            name: ratio(times[f"torchvision: {name}"], times[f"itn: {name}"]) for name in names
        },
        "classes_predicted": len(torch.cat([classes.flatten() for classes in predictions.values()]).unique()),
        "equal_predictions": {
            name: (predictions["torchvision", name] == predictions["itn", name]).float().mean().item()
            for name in alike
        },
        "different_pixels_at_most": _unlike(images[:10] / 255, alike),
    }


def _unlike(images: Tensor, names: Sequence[str]) -> dict[str, float]:
    """Return the largest difference of a pixel between the two, by transformation."""
    margin = min(20, min(images.shape[-2:]) - 1)  # of the widest blur

    def reflected(images: Tensor, v: float) -> Tensor:
        """Blur images that are reflected at the border, as torchvision does."""
        wide = TRANSFORMS["blur"](F.pad(images, 4 * [margin], "reflect"), v)
        return wide[..., margin:-margin, margin:-margin]

    def largest(name: str, ours: Callable[[Tensor, float], Tensor]) -> float:
        pairs = (
            (_by_hand(name, images, v).clamp(0, 1), ours(images, v)) for v in TRANSFORMS[name].magnitudes
        )
        return max(float((theirs - itn_s).abs().max()) for theirs, itn_s in pairs)

    return {name: largest(name, TRANSFORMS[name]) for name in names} | {
        "blur, reflected": largest("blur", reflected)
    }


def imagecorruptions(args: argparse.Namespace) -> Record:
    """Corrupt photographs of 224 pixels."""
    module, refusal = _imagecorruptions()
    photos = torch.randint(0, 256, args.photos, dtype=torch.uint8)
    n = len(photos)
    arrays = list(photos.permute(0, 2, 3, 1).numpy())
    fails = {}
    for name in module.get_corruption_names("all"):
        try:
            module.corrupt(arrays[0], 3, name)
        except Exception as error:  # whatever today's scikit-image and numpy make of it
            fails[name] = f"{type(error).__name__}: {first_line(error)}"
    pairs = {name: nearest for name, nearest in CORRUPTIONS.items() if name not in fails}

    def theirs(name: str) -> None:
        for array in arrays:
            module.corrupt(array, 3, name)

    def ours(transform: str, v: float, at_once: int) -> None:
        for batch in photos.split(at_once):
            TRANSFORMS[transform](batch, v)

    work: dict[str, Callable[[], object]] = {}
    for name, nearest in pairs.items():
        work[f"imagecorruptions: {name}"] = partial(theirs, name)
        work[f"itn: {name}"] = partial(ours, *nearest, n)
        work[f"itn, one at a time: {name}"] = partial(ours, *nearest, 1)
    times = alternate(work, args.repeats)
    return {
        "images": list(photos.shape),
        "as_installed": refusal,
        "fail": fails,
        "ms_per_image": _milliseconds(times, n),
        **{
            f"imagecorruptions_over_{who.replace(', ', '_').replace(' ', '_')}": {
                name: ratio(times[f"imagecorruptions: {name}"], times[f"{who}: {name}"]) for name in pairs
            }
            for who in ("itn", "itn, one at a time")
        },
    }


def _imagecorruptions() -> tuple[ModuleType, str | None]:
    """Return the package, and what it says when setuptools has no pkg_resources, of which it takes a path."""
    try:
        return importlib.import_module("imagecorruptions"), None
    except ModuleNotFoundError as error:
        if error.name != "pkg_resources":
            raise
        stand_in = ModuleType("pkg_resources")
        stand_in.resource_filename = lambda package, path: str(files(package.partition(".")[0]) / path)
        sys.modules["pkg_resources"] = stand_in
        return importlib.import_module("imagecorruptions"), f"{type(error).__name__}: {first_line(error)}"


def families(args: argparse.Namespace) -> Record:
    """Learn spatial families with itn and in the manner of Augerino."""
    return augerino.compare(args.models, args.seeds, args.smoke)


def _milliseconds(times: dict[str, list[float]], images: int) -> dict[str, float]:
    return {name: round(1000 * statistics.median(taken) / images, 4) for name, taken in times.items()}


PARTS: dict[str, Callable[[argparse.Namespace], Record]] = {
    "captum": captum,
    "foolbox": foolbox,
    "torchvision": torchvision_loop,
    "imagecorruptions": imagecorruptions,
    "augerino": families,
}


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--repeats", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--images", type=int, default=200, help="for captum and foolbox: %(default)s")
    parser.add_argument("--batch", type=int, default=500, help="digits for torchvision: %(default)s")
    parser.add_argument("--models", nargs="+", default=["jennings-cnn", "lenet5"], help="for augerino")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0], help="for augerino")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--smoke", action="store_true", help="only run the code")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    args.grid, args.photos = (31, 5), (8, 3, 224, 224)
    args.transforms = ("rotate", "translate_x", "zoom", "blur", "contrast", "noise")
    if args.smoke:
        if args.out == RESULTS:
            parser.error("--smoke measures nothing: name another --out")
        args.repeats, args.images, args.batch, args.models = 1, 4, 10, ["lenet5"]
        args.grid, args.photos, args.transforms = (3, 3), (2, 3, 32, 32), ("contrast", "blur")
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    results: Record = json.loads(args.out.read_text()) if args.out.exists() else {}
    for part in args.parts:
        versions = {part: package_version(part)} if part != "augerino" else {}
        origin = provenance(torch.device("cpu")) | versions
        results[part] = PARTS[part](args) | {"repeats": args.repeats, "provenance": origin}
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(results, indent=1) + "\n")
        print(part)
        for line in _lines(results[part]):
            print(f"  {line}")


def _lines(record: Record, name: str = "") -> list[str]:
    """Return the ratios and the answers of a record, one a line."""
    lines = []
    for key, value in record.items():
        label = f"{name} {key}".strip()
        if isinstance(value, dict) and "median" in value:
            lines.append(f"{label}: {value['median']:.2f} ({value['least']:.2f} to {value['most']:.2f})")
        elif isinstance(value, dict) and key not in ("provenance", "ms_per_image"):
            lines += _lines(value, label)
        elif isinstance(value, int | float | str) and key != "repeats":
            lines.append(f"{label}: {value:.4g}" if isinstance(value, float) else f"{label}: {value}")
    return lines


if __name__ == "__main__":
    main()
