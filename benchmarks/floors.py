"""What screening and learning cost over their floor: the bare classifier on the same batches.

Command:   python benchmarks/floors.py
           python benchmarks/floors.py --device cuda
Machine:   any; 2 CPU cores, about 20 minutes; with CUDA, 5 minutes
Writes:    benchmarks/results/floors.json (floors-cuda.json)
Published: none

screening: full sweeps of rotate, zoom, blur and noise, 21 magnitudes each (without controls and searches,
           which are such passes too), over the bare forward pass of as many batches.
learning:  a step of the constrained objective over the bare forward pass and the backward pass to the images;
           a step of the switched objective over the same where it asks for cross-entropy, over a forward pass
           alone where it asks for displacement. A constrained run prunes its restarts twice, and ranks them
           on up to a thousand images: "run" spreads these passes over all steps.
compiled:  the bare classifier by torch.compile: the seconds until its first answer, with a gradient and
           without, and how many times as fast it is afterwards.

Floors and what is measured alternate in one process; a ratio is the median of those of all repetitions.
Digits are classified by shipped networks, random pixels of 224 x 224 by large ones with random weights:
resnet18 on a CPU, resnet50, alexnet and vit_b_16 in bfloat16 with CUDA. The profile names the operations that
take the most time of their own.
"""

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from clock import alternate, ratio, seconds, spread
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

import itn
from itn.certification.baselines import EstimatedBaseline
from itn.certification.family_baselines import FamilyBaselines
from itn.certification.parametric import EvaluationSet
from itn.functional import unit_float
from itn.learning.constrained.learner import ConstrainedLearner
from itn.learning.constrained.restarts import standings
from itn.learning.constrained.settings import ConstrainedSettings
from itn.learning.load import make_net
from itn.learning.objective import LearnProblem, Steps
from itn.nn import SingleTransformation
from itn.runtime import batching
from itn.runtime.provenance import provenance
from itn.screening.passes import Screener
from itn.transforms import TRANSFORMS, steps

RESULTS = Path(__file__).parent / "results"
FLOOR_EVERY = 4  # passes of a sweep
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CPU, GPU = ("lenet5", "jennings-cnn", "resnet18"), ("resnet50", "alexnet", "vit_b_16")
TRIAL = itn.Constrained(settings=ConstrainedSettings(restarts=4, ranking_images=32))
Record = dict[str, Any]


def sweeps(blur: float) -> dict[str, tuple[float, ...]]:
    """Return 21 magnitudes for each of four transformations."""
    return {
        "rotate": steps(-90, 90, 9),
        "zoom": tuple(2 ** (n / 10) for n in range(-10, 11)),
        "blur": steps(0, blur, blur / 20),
        "noise": steps(0, 1, 0.05),
    }


class Floor:
    """A bare classifier and one batch.

    Args:
        classifier: As it runs.
        images: uint8, on its device.
    """

    def __init__(self, classifier: itn.Classifier, images: Tensor) -> None:
        self.classifier, self.images = classifier, unit_float(images)
        self.labels = classifier.logits(self.images).argmax(1)

    @torch.inference_mode()
    def forward(self) -> None:
        """Classify the batch."""
        self.classifier.logits(self.images)

    def backward(self) -> None:
        """Classify the batch, and compute the gradient to the images."""
        logits = self.classifier.logits(self.images.detach().requires_grad_())
        F.cross_entropy(logits, self.labels).backward()


def screening(classifier: itn.Classifier, images: Tensor, repeats: int, **settings: Any) -> Record:
    """Time full sweeps over one batch, and bare forward passes of the same batch in between."""
    labels = torch.arange(len(images)) % 10
    config = itn.ScreenConfig(batch_size=len(images), **settings)
    screener = Screener(classifier, itn.CheckedImages(images, labels, labels), config)
    floor = Floor(screener.classifier, screener.images)
    for _ in range(3):
        floor.forward()
        screener.class_statistics(screener.at(TRANSFORMS["rotate"], 10.0))
    ratios: list[float] = []
    floors: list[float] = []
    by_name: dict[str, list[float]] = {}
    for _ in range(repeats):
        passes: dict[str, list[float]] = {}
        bare = []
        for name, magnitudes in sweeps(blur=images.shape[-1] / 56 + 1.5).items():
            for number, v in enumerate(magnitudes):
                change = screener.at(TRANSFORMS[name], v)
                passes.setdefault(name, []).append(seconds(partial(screener.class_statistics, change)))
                if number % FLOOR_EVERY == 0:
                    bare.append(seconds(floor.forward))
        floors.append(statistics.fmean(bare))
        ratios.append(statistics.fmean(t for times in passes.values() for t in times) / floors[-1])
        for name, times in passes.items():
            by_name.setdefault(name, []).append(statistics.fmean(times) / floors[-1])
    at_ten = screener.at(TRANSFORMS["rotate"], 10.0)
    return {
        "forward_ms": round(1000 * statistics.median(floors), 3),
        "images_per_second": round(len(images) / statistics.median(floors) / statistics.median(ratios), 1),
        "ratio": spread(ratios),
        "ratio_by_transformation": {
            name: round(statistics.median(ratios), 3) for name, ratios in by_name.items()
        },
        **_memory(lambda: screener.class_statistics(at_ten), classifier.device),
        "profile": _profile(lambda: screener.class_statistics(at_ten), classifier.device),
    }


def learning(
    classifier: itn.Classifier,
    images: Tensor,
    repeats: int,
    batch: int,
    constrained: itn.Constrained,
    **settings: Any,
) -> Record:
    """Time steps of both objectives, and of the bare classifier forward and backward."""
    classifier = classifier.with_backend(settings["precision"], settings["channels_last"])
    floor = Floor(classifier, images[:batch].to(classifier.device))
    predictions = itn.predict(classifier, images, batch).cpu()
    data = itn.CheckedImages(images, predictions, predictions)
    learners = dict(_learners(classifier, data, batch, constrained))
    numbers = dict.fromkeys(learners, 0)

    def step(name: str) -> None:
        taken = learners[name].step(numbers[name])
        numbers[name] += 1
        assert taken.values.get("asked_cross_entropy") in (None, name == "cross-entropy"), (
            "the switch took the other branch"
        )

    work: dict[str, Callable[[], object]] = {"forward": floor.forward, "backward": floor.backward}
    work |= {name: partial(step, name) for name in learners}
    times = alternate(work, repeats, warmup=min(3, repeats))
    floors = dict.fromkeys(learners, "backward") | {"displacement": "forward"}
    ratios = {name: ratio(times[name], times[floors[name]]) for name in learners}
    median = {name: statistics.median(taken) for name, taken in times.items()}
    steps = itn.LearnConfig().goal.steps
    learner = learners["constrained"]
    assert isinstance(learner, ConstrainedLearner)
    _rank_restarts(learner)
    judged = min(learner.settings.ranking_images, 4 * batch)  # of as many images as a run may have
    choices = seconds(partial(_rank_restarts, learner)) * judged / min(judged, len(data))
    return {
        "median_ms": {name: round(1000 * taken, 3) for name, taken in median.items()},
        "images_per_second": round(batch / median["constrained"], 1),
        "ratio": ratios,
        "ratio_run": round((steps * median["constrained"] + choices) / (steps * median["backward"]), 3),
        **_memory(partial(step, "constrained"), classifier.device),
        "profile": _profile(partial(step, "constrained"), classifier.device),
    }


def compiled(classifier: itn.Classifier, images: Tensor, repeats: int, **settings: Any) -> Record:
    """Time the bare classifier as it is, and by torch.compile."""
    floors = {"plain": Floor(classifier.with_backend(**settings), images)}

    def first() -> None:
        floors["compiled"] = Floor(classifier.with_backend(**settings, compile=True), images)
        floors["compiled"].forward()
        floors["compiled"].backward()

    torch._inductor.config.force_disable_caches = True
    before = seconds(first)
    work = {
        f"{name} {what}": getattr(floor, what)
        for name, floor in floors.items()
        for what in ("forward", "backward")
    }
    times = alternate(work, repeats, warmup=3)
    return {
        "seconds_before": round(before, 1),
        **{
            what: ratio(times[f"plain {what}"], times[f"compiled {what}"]) for what in ("forward", "backward")
        },
    }


def _learners(
    classifier: itn.Classifier, data: itn.CheckedImages, batch: int, constrained: itn.Constrained
) -> Iterator[tuple[str, Steps]]:
    """Return the constrained learner, and switched ones that always take the same branch."""
    config = itn.LearnConfig(objective=constrained, batch_size=batch)
    yield "constrained", constrained_learner(classifier, data, config)
    # No batch is worse than an accuracy of 0; with wrong labels, none reaches 1
    wrong = itn.CheckedImages(data.images, (data.labels + 1) % 10, data.predictions)
    for asks, accuracy, images in (("displacement", 0.0, data), ("cross-entropy", 1.0, wrong)):
        switched = itn.Switched(acc_orig=accuracy, learning_rate=1e-30)
        yield asks, _learner(classifier, images, itn.LearnConfig(objective=switched, batch_size=batch))


def constrained_learner(
    classifier: itn.Classifier, data: itn.CheckedImages, config: itn.LearnConfig
) -> Steps:
    """Return a learner that knows of baselines only a displacement of 0.1: its restarts begin at random."""
    known = SingleTransformation(
        *("", "+", 0.0, 1.0, ""), lambda scale: scale, lambda images, scale: images, lambda scale: 0.1 * scale
    )
    none = {part: [EstimatedBaseline(known, 1.0)] for part in config.parts}
    test = config.terms.test(len(data), config.asks)
    return _learner(classifier, data, config, FamilyBaselines(none, test))


def _learner(
    classifier: itn.Classifier,
    data: itn.CheckedImages,
    config: itn.LearnConfig,
    baselines: FamilyBaselines | None = None,
) -> Steps:
    """Return what learns a family of all parts; without baselines, one that is far from the identity."""
    net = make_net(classifier, config, data.images.shape)
    if baselines is None:
        with torch.no_grad():
            for transformer in net.members:
                transformer.head.output.weight.mul_(300)
    images = EvaluationSet(classifier, data, config.batch_size)
    return config.goal.learner([LearnProblem(net, images, baselines)], config)


def _rank_restarts(learner: ConstrainedLearner) -> None:
    """Rank the restarts, as a run does whenever it prunes them."""
    families, settings = learner.families, learner.settings
    before = families.remaining
    for pruned in range(len(settings.prune_at)):
        families.remaining = before[: settings.restarts // settings.keep_one_in**pruned]
        standings(
            families,
            learner.sampler,
            learner.soft_changes,
            learner.worst[families.remaining],
            learner.config.batch_size,
            settings,
        )
    families.remaining = before


def _memory(work: Callable[[], object], device: torch.device) -> Record:
    """Return the peak of a GPU's memory during a call, in MiB, with all that is there."""
    if device.type != "cuda":
        return {}
    torch.cuda.reset_peak_memory_stats()
    work()
    return {"peak_mib": round(torch.cuda.max_memory_allocated() / 2**20)}


def _profile(work: Callable[[], object], device: torch.device) -> Record:
    """Return which share of its time a call spends in each operation itself, the longest first."""
    cuda = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]) as profiled:
        work()
    times = {
        operation.key: operation.self_device_time_total if cuda else operation.self_cpu_time_total
        for operation in profiled.key_averages()
        if operation.device_type == DeviceType.CPU  # a kernel's time counts as its operation's
    }
    longest = sorted(times.items(), key=lambda item: -item[1])[:8]
    return {name: round(taken / sum(times.values()), 3) for name, taken in longest}


def photographs(model: str, device: torch.device, number: int, pixels: int) -> tuple[itn.Classifier, Tensor]:
    """Return a large network with random weights, and random pixels."""
    torch.manual_seed(0)
    net = torchvision.models.get_model(model, weights=None)
    if not model.startswith("vit"):
        net.to(memory_format=torch.channels_last)
    classifier = itn.Classifier(net, *IMAGENET, name=model).to(device)
    return classifier, torch.randint(0, 256, (number, 3, pixels, pixels), dtype=torch.uint8)


def measure(
    classifier: itn.Classifier,
    images: Tensor,
    settings: Record,
    repeats: int,
    batches: tuple[int, int],
    steps: int,
) -> Record:
    """Measure one network.

    Args:
        classifier: On its device.
        images: uint8, on the CPU.
        settings: How the network runs.
        repeats: Of sweeps; one is a trial that compiles nothing.
        batches: Images in a batch of screening, and of learning.
        steps: Of learning.
    """
    screened, learned = batches
    batch = images[:learned].to(classifier.device)
    return {
        "model": classifier.name,
        "pixels": list(images.shape[1:]),
        "screening_batch": screened,
        "learning_batch": learned,
        "settings": settings,
        "threads": torch.get_num_threads(),
        "provenance": provenance(classifier.device),
        "screening": screening(classifier, images[:screened], repeats, **settings),
        "learning": learning(
            classifier, images, steps, learned, itn.Constrained() if repeats > 1 else TRIAL, **settings
        ),
        "compiled": compiled(classifier, batch, steps, **settings) if repeats > 1 else None,
    }


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--models", nargs="+", choices=(*CPU, *GPU), help="default: all of the device")
    parser.add_argument("--batch", type=int, help="photographs in one; default: 32 on a CPU, 256 with CUDA")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--device", default="cpu", help="default: %(default)s")
    parser.add_argument(
        "--smoke", action="store_true", help="only check that the code runs, on few and small images"
    )
    parser.add_argument(
        "--out", type=Path, help="default: benchmarks/results/floors.json or floors-cuda.json"
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    batching.keep_memory()  # as the command line does
    device = torch.device(args.device)
    cuda = device.type == "cuda"
    repeats = 1 if args.smoke else args.repeats
    out = args.out or RESULTS / f"floors{'-cuda' if cuda else ''}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    networks: Record = json.loads(out.read_text()) if out.exists() else {}

    def add(network: Record) -> None:
        networks[network["model"]] = network
        out.write_text(json.dumps(networks, indent=1) + "\n")
        _say(network)

    small, large = ((), GPU) if cuda else (("lenet5",), CPU[-1:]) if args.smoke else (CPU[:-1], CPU[-1:])
    asked = args.models or (*small, *large)
    for model in [model for model in small if model in asked]:
        images = itn.load_images("mnist", limit=64 if args.smoke else 2000).images
        settings = {"precision": "float32", "channels_last": False}
        batches = (32, 32) if args.smoke else (500, 256)
        classifier = itn.load_classifier(model).to(device)
        add(measure(classifier, images, settings, repeats, batches, 6 * repeats))
    batch = args.batch or (256 if cuda else 8 if args.smoke else 32)
    for model in [model for model in large if model in asked]:
        made = photographs(model, device, 2 * batch, 32 if args.smoke else 224)
        settings = {
            "precision": "bfloat16" if cuda else "float32",
            "channels_last": not model.startswith("vit"),
        }
        add(measure(*made, settings, repeats, (batch, batch), repeats))


def _say(network: Record) -> None:
    steps = ", ".join(f"{name} {ratio['median']:.2f}" for name, ratio in network["learning"]["ratio"].items())
    print(
        f"{network['model']}: a pass of screening costs {network['screening']['ratio']['median']:.2f} of its "
        f"floor; a step of learning: {steps}; a constrained run {network['learning']['ratio_run']:.2f}"
    )
    if network["compiled"]:
        print(f"{network['model']}, compiled: {network['compiled']}")


if __name__ == "__main__":
    main()
