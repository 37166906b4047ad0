"""What a GPU has to show: agreement with the CPU, costs over their floors, precisions, resumption.

Command:   python benchmarks/device.py OUT.json [--minutes 8] [--quick] [--only SECTION ...]
Machine:   with one GPU or several; at most 8 minutes. --quick is a rehearsal on the CPU with tiny work
Writes:    OUT.json, whole after every section, so that a kill costs no more than the section that runs
Published: none

agreement:  answers of the GPU and of the CPU on the same digits: logits with and without TF32, passes of
            screening (but that of noise, of which each device draws its own), flips, margins of a net, and
            what baselines break.
floors:     a rotate pass of screening over the bare forward pass, and a step of either objective over forward
            and backward pass (of the switched one for displacement: forward), with peaks of memory.
precision:  the same passes in float32, bfloat16 and float16, channels last or not, and how far their answers
            are from float32.
resume:     `itn learn`, interrupted and resumed, against two undisturbed runs, file by file.
processes:  a screen on as many processes as there are GPUs against one process: same files, and speed-up.
tests:      the tests of the suite that need a GPU, and those of devices.

A section that fails is recorded with its error, and one for which too little time is left is left out; then
the next one follows. The exit status is 1 if any has failed.
"""

import argparse
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from clock import alternate, ratio
from floors import IMAGENET, TRIAL, Floor, learning
from torch import Tensor

import itn
from itn.certification.parametric import EvaluationSet, ParametricTransform
from itn.learning.load import make_net
from itn.models.forward import suitable_batch
from itn.runtime.provenance import provenance
from itn.runtime.run_dir import content_of, write_whole
from itn.screening.passes import Screener

ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")
DIGITS, PHOTOGRAPHS = ("lenet5", "jennings-cnn"), "resnet18"
PRECISIONS = ("float32", "bfloat16", "float16")
RESERVE = 5.0  # seconds that a section leaves for the end of the script
Record = dict[str, Any]
# Checkpoints come every tenth of a second, so that a short run has some; SIGINT works in the background too
COMMAND_LINE = """
import signal, sys, itn.cli.main, itn.learning.trainer
signal.signal(signal.SIGINT, signal.default_int_handler)
itn.learning.trainer.CHECKPOINT_SECONDS = 0.1
sys.exit(itn.cli.main.main(sys.argv[1:]))
"""


@dataclasses.dataclass(frozen=True)
class Machine:
    """Where to measure, and how much."""

    device: torch.device
    quick: bool
    end: float
    """When to be done, by the monotonic clock."""

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.end - time.monotonic() - RESERVE

    def few(self, many: int, few: int) -> int:
        """Return how much to do of something, which is less in a rehearsal."""
        return few if self.quick else many

    def run(self, *command: str | Path, threads: int = 0) -> subprocess.CompletedProcess[str]:
        """Run Python with arguments until the time is up; raise with what it has said if it fails."""
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {}),
            capture_output=True,
            text=True,
            timeout=max(1.0, self.left),
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"exit status {done.returncode}: {(done.stdout + done.stderr)[-2000:]}")
        return done


def describe(machine: Machine) -> Record:
    """Say what the machine is."""
    found: Record = {"cpus": os.cpu_count(), "torch_cuda": torch.version.cuda}
    if machine.device.type == "cuda":
        properties = torch.cuda.get_device_properties(machine.device)
        free, total = torch.cuda.mem_get_info(machine.device)
        found |= {
            "gpus": [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())],
            "multiprocessors": properties.multi_processor_count,
            "memory_gib": round(total / 2**30, 1),
            "free_gib": round(free / 2**30, 1),
            "cudnn": torch.backends.cudnn.version(),
            "tf32": [torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32],
        }
    return found


def agreement(machine: Machine) -> Record:
    """Compare answers of the device and of the CPU on the same digits."""
    images, labels = itn.load_images("mnist:heldout", limit=machine.few(500, 100))
    found: Record = {"images": len(labels)}
    for model in DIGITS[: machine.few(2, 1)]:
        here, there = (itn.load_classifier(model).to(device) for device in (CPU, machine.device))
        expected = here(images)
        logits = {}
        for tf32 in (False, True):
            before = torch.backends.cudnn.allow_tf32
            torch.backends.cudnn.allow_tf32 = tf32
            try:
                logits[f"tf32 {tf32}"] = _difference(there(images.to(machine.device)).cpu(), expected)
            finally:
                torch.backends.cudnn.allow_tf32 = before
        data = itn.preflight(here, images, labels)
        found[model] = {
            "logits": logits,
            "preflight_predictions_that_differ": int(
                (itn.preflight(there, images, labels).predictions != data.predictions).sum()
            ),
            "passes": _passes(machine, data, here, there),
            "margins": _margins(machine, data, here, there),
        }
    return found


def _passes(machine: Machine, data: itn.CheckedImages, *classifiers: itn.Classifier) -> Record:
    """Compare passes of screening, and flips, by transformation."""
    here, there = (Screener(classifier, data, itn.ScreenConfig(bisections=3)) for classifier in classifiers)
    found = {}
    for name, transform in itn.TRANSFORMS.items():
        if transform.random or transform.color_only:
            continue
        path = transform.magnitudes[-2:]
        if path[-2] <= transform.identity:  # only below, or a single one
            path = transform.magnitudes[:1] if path[-1] == transform.identity else path[-1:]
        statistics = [each.class_statistics(each.at(transform, path[0])) for each in (here, there)]
        flips = [each.flips(transform, path, data.predictions) for each in (here, there)]
        found[name] = {
            "predictions_that_differ": int(np.not_equal(*(each["predictions"] for each in statistics)).sum()),
            "softmax": float(np.abs(np.subtract(*(each["softmax_true"] for each in statistics))).max()),
            "margin": float(np.abs(np.subtract(*(each["margin"] for each in statistics))).max()),
            "flips_that_differ": int((flips[0].magnitude != flips[1].magnitude).sum()),
        }
    return found


def _margins(machine: Machine, data: itn.CheckedImages, *classifiers: itn.Classifier) -> Record:
    """Compare margins under a net, and which images the baselines change."""
    sets = [EvaluationSet(classifier, data) for classifier in classifiers]
    nets = [make_net(classifier, itn.LearnConfig(), data.images.shape) for classifier in classifiers]
    with torch.no_grad():
        for net in nets:
            for part in net.members:
                part.head.output.weight.mul_(100)
    k = torch.rand(len(data), 4, generator=torch.Generator().manual_seed(0))
    margins = [
        images.outcomes(ParametricTransform.of_net(net), k).margins
        for images, net in zip(sets, nets, strict=True)
    ]
    found: Record = {"net": _difference(margins[1], margins[0]), "changes_that_differ": {}}
    for part in nets[0].members:
        for single in part.baselines(part.frame(data.images.shape)):
            transform = ParametricTransform.of_single(single)
            here, there = (images.changes(transform, torch.full((1, 1), 0.5)) for images in sets)
            found["changes_that_differ"][f"{single.name} {single.sign}"] = int((here != there).sum())
    return found


def _difference(values: Tensor, expected: Tensor) -> Record:
    largest = (values - expected).abs().max().item()
    signs = values.argmax(1) != expected.argmax(1) if values.ndim > 1 else (values > 0) != (expected > 0)
    return {"largest": largest, "of": expected.abs().max().item(), "decisions": int(signs.sum())}


def network(machine: Machine, model: str) -> tuple[itn.Classifier, Tensor, int]:
    """Return a network on the device, images on the CPU, and how many of them a batch has."""
    if model in DIGITS:
        images = itn.load_images("mnist", limit=machine.few(4000, 64)).images
        return itn.load_classifier(model).to(machine.device), images, machine.few(2000, 32)
    torch.manual_seed(0)
    classifier = itn.Classifier(torchvision.models.get_model(model, weights=None), *IMAGENET, name=model)
    batch, pixels = machine.few(256, 4), machine.few(224, 32)
    images = torch.randint(0, 256, (2 * batch, 3, pixels, pixels), dtype=torch.uint8)
    return classifier.to(machine.device), images, batch


def floors_of(model: str, machine: Machine) -> Record:
    """Time passes and steps of one network in float32, over the bare classifier on the same batches."""
    classifier, images, batch = network(machine, model)
    work = rotate_pass(classifier, images[:batch])
    times = alternate(work, machine.few(9, 2), warmup=machine.few(3, 1))
    return {
        "batch": batch,
        "suitable_batch": suitable_batch(images, machine.device),
        "forward_ms": _median_ms(times["forward"]),
        "pass_over_forward": ratio(times["pass"], times["forward"]),
        "peak_mib": {name: peak(machine, call) for name, call in work.items()},
        "learning": learning(
            classifier,
            images,
            machine.few(9, 1),
            min(batch, 256),
            TRIAL if machine.quick else itn.Constrained(),
            precision="float32",
            channels_last=False,
        ),
    }


def rotate_pass(
    classifier: itn.Classifier, images: Tensor, **settings: Any
) -> dict[str, Callable[[], object]]:
    """Return a rotate pass of screening over one batch, and the passes that are its floor."""
    labels = torch.arange(len(images)) % 10
    config = itn.ScreenConfig(batch_size=len(images), **settings)
    screener = Screener(classifier, itn.CheckedImages(images, labels, labels), config)
    floor = Floor(screener.classifier, screener.images)
    change = screener.at(itn.TRANSFORMS["rotate"], 10.0)
    return {
        "forward": floor.forward,
        "backward": floor.backward,
        "pass": partial(screener.class_statistics, change),
    }


def peak(machine: Machine, work: Callable[[], object]) -> int | None:
    """Return the peak of the GPU's memory during a call, in MiB, with all that is there; None on a CPU."""
    if machine.device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats()
    work()
    torch.cuda.synchronize()
    return round(torch.cuda.max_memory_allocated() / 2**20)


def precision_of(model: str, machine: Machine) -> Record:
    """Time the passes of one network in every precision and memory format; compare with float32."""
    classifier, images, batch = network(machine, model)
    images = images[:batch]
    found: Record = {"batch": batch}
    expected: tuple[Tensor, Tensor] | None = None
    for precision in PRECISIONS:
        for channels_last in (False, True):
            name = f"{precision}{', channels last' * channels_last}"
            backend = classifier.with_backend(precision, channels_last)
            try:
                answers = _logits_and_gradient(backend, images[: machine.few(64, 4)].to(machine.device))
                expected = expected or answers
                work = rotate_pass(classifier, images, precision=precision, channels_last=channels_last)
                times = alternate(work, machine.few(5, 1), warmup=machine.few(2, 1))
            except RuntimeError as error:  # such as of a network that calls view()
                found[name] = {"error": str(error)[:300]}
                continue
            logits, gradient = answers
            found[name] = {
                **{f"{what}_ms": _median_ms(taken) for what, taken in times.items()},
                "pass_over_forward": ratio(times["pass"], times["forward"]),
                "peak_mib": {what: peak(machine, call) for what, call in work.items()},
                "logits": _difference(logits, expected[0]),
                "gradient_cosine": torch.cosine_similarity(gradient, expected[1], dim=0).item(),
                "gradient_of_zero": (gradient == 0).double().mean().item(),
            }
    return found


def _logits_and_gradient(classifier: itn.Classifier, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits and the gradient of the cross-entropy to the pixels, flat, both on the CPU."""
    pixels = (images.float() / 255).requires_grad_()
    logits = classifier.logits(pixels)
    loss = torch.nn.functional.cross_entropy(logits, logits.detach().argsort(1)[:, -2])
    (gradient,) = torch.autograd.grad(loss, pixels)
    return logits.detach().cpu(), gradient.flatten().double().cpu()


def _median_ms(times: list[float]) -> float:
    return round(1000 * float(np.median(times)), 3)


def resume(objective: str, machine: Machine) -> Record:
    """Interrupt `itn learn` and resume it; compare its files with those of two undisturbed runs."""
    steps = machine.few(300, 60) if objective == "switched" else machine.few(150, 30)
    command = (
        *("learn", "--model", "lenet5", "--limit", str(machine.few(3000, 200)), "--objective", objective),
        *("--steps", str(steps), "--batch-size", str(machine.few(256, 32)), "--parts", "spatial"),
        *("--device", machine.device.type, "--deterministic"),
        *(() if objective == "switched" else ("--tolerance", "0.08", "--family", "rotation")),
    )
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: Path(folder) / name for name in ("undisturbed", "again", "resumed")}
        for name in ("undisturbed", "again"):
            machine.run("-c", COMMAND_LINE, *command, "--out", runs[name])
        taken = _interrupted(machine, command, runs["resumed"], steps // 3)
        machine.run("-c", COMMAND_LINE, *command, "--out", runs["resumed"])
        contents = {name: content_of(run) for name, run in runs.items()}
        seconds = json.loads((runs["undisturbed"] / "timing.json").read_text())["seconds"]
    return {
        "command": " ".join(("itn", *command)),
        "interrupted_after_steps": taken,
        "seconds": seconds,
        "files": len(contents["undisturbed"]),
        "again_differs": differing(contents["undisturbed"], contents["again"]),
        "resumed_differs": differing(contents["undisturbed"], contents["resumed"]),
    }


def _interrupted(machine: Machine, command: tuple[str, ...], out: Path, steps: int) -> int:
    """Start a run and interrupt it after so many steps; return how many are in its history then."""
    history = out / "history.jsonl"

    def written() -> int:
        return history.read_bytes().count(b"\n") if history.exists() else 0

    run = subprocess.Popen(
        [sys.executable, "-c", COMMAND_LINE, *command, "--out", out],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while run.poll() is None and written() < steps and machine.left > 0:
            time.sleep(0.01)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=max(1.0, machine.left))
    finally:
        run.kill()
    if run.returncode != 130:
        raise RuntimeError(f"not interrupted, exit status {run.returncode}: {said[-500:]}")
    return written()


def differing(files: Mapping[str, bytes], others: Mapping[str, bytes]) -> dict[str, list[str]]:
    """Return the files that two folders do not share, each with the first of its lines that differ."""
    found = {}
    for name in sorted(files.keys() | others.keys()):
        one, other = files.get(name), others.get(name)
        if one is None or other is None:
            found[name] = ["missing"]
        elif one != other:
            text = name.endswith((".json", ".jsonl", ".csv"))
            lines = zip(*(each.decode().splitlines() for each in (one, other)), strict=False) if text else ()
            found[name] = [f"{a.strip()}, {b.strip()}"[:200] for a, b in lines if a != b][:5]
    return found


def processes(machine: Machine) -> Record:
    """Screen on one process and on as many as there are GPUs, two in a rehearsal."""
    count = torch.cuda.device_count() if machine.device.type == "cuda" else 2
    if count < 2:
        return {"left out": "there is one GPU"}
    screen = (
        *("-m", "itn", "screen", "--model", "jennings-cnn", "--limit", str(machine.few(10000, 100))),
        *("--transforms", "rotate,zoom" if machine.quick else "rotate,zoom,blur,contrast"),
        *("--device", machine.device.type),
    )
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count))
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: Path(folder) / name for name in ("one", "several")}
        for name, run in runs.items():
            launcher = torchrun if name == "several" else ()
            machine.run(*launcher, *screen, "--out", run, threads=1)
        contents = [content_of(run) for run in runs.values()]
        timings = [json.loads((run / "timing.json").read_text())["seconds"] for run in runs.values()]
    return {
        "processes": count,
        "seconds": timings,
        "speedup": timings[0]["screening"] / timings[1]["screening"],
        "differs": differing(*contents),
    }


def tests(machine: Machine) -> Record:
    """Run the tests that need a GPU, and those of devices; return what pytest says at its end."""
    chosen = ("tests/nn",) if machine.quick else ("tests/nn", "tests/screening", "tests/test_devices.py")
    done = machine.run(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "cuda or gpu or devices", *chosen
    )
    return {"said": done.stdout.strip().splitlines()[-1:]}


SECTIONS: dict[str, tuple[Callable[[Machine], Record], float]] = {
    "machine": (describe, 1),
    "agreement": (agreement, 20),
    **{f"floors {model}": (partial(floors_of, model), 30) for model in (*DIGITS, PHOTOGRAPHS)},
    **{f"precision {model}": (partial(precision_of, model), 20) for model in (*DIGITS, PHOTOGRAPHS)},
    **{f"resume {name}": (partial(resume, name), 60) for name in ("switched", "constrained")},
    "processes": (processes, 40),
    "tests": (tests, 40),
}
"""By name, what measures it, and the seconds that it needs at least."""


def measured(machine: Machine, names: Sequence[str]) -> Iterator[tuple[str, Record]]:
    """Yield the record of every section: its result, its error, or that it was left out."""
    for name in names:
        section, needs = SECTIONS[name]
        if machine.left < needs and not machine.quick:
            yield name, {"status": "left out", "seconds_left": round(machine.left, 1)}
            continue
        start = time.monotonic()
        try:
            record: Record = {"status": "done", "result": section(machine)}
        except Exception as error:  # whatever it is, the next section may work
            record = {"status": "failed", "error": f"{type(error).__name__}: {error}"}
            record["traceback"] = traceback.format_exc().splitlines()[-12:]
        yield name, record | {"seconds": round(time.monotonic() - start, 1)}
        if machine.device.type == "cuda":
            torch.cuda.empty_cache()


def main(arguments: Sequence[str] | None = None) -> int:
    """Be the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path, help="JSON file to write")
    parser.add_argument("--minutes", type=float, default=8.0, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="a rehearsal on the CPU with tiny work")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="default: all")
    args = parser.parse_args(arguments)
    if not args.quick and not torch.cuda.is_available():
        parser.error("there is no GPU here: add --quick for a rehearsal on the CPU")
    device = CPU if args.quick else torch.device("cuda", 0)
    machine = Machine(device, args.quick, time.monotonic() + 60 * args.minutes)
    record: Record = {"quick": args.quick, "provenance": provenance(device), "sections": {}}
    for name, section in measured(machine, args.only):
        record["sections"][name] = section
        write_whole(args.out, partial(_dump, record))
        print(f"{name}: {section['status']}, {section.get('seconds', 0)} s", flush=True)
    return int(any(section["status"] == "failed" for section in record["sections"].values()))


def _dump(record: Record, path: Path) -> None:
    path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
