"""What the checks of the preflight find in networks that are in order, and what they cost.

Command:   python benchmarks/architectures.py --photos FOLDER --cifar FOLDER --weights FILE
           python benchmarks/architectures.py --only trained ...    (the other half of the record stays)
Machine:   any; one CPU core, about 10 minutes
Writes:    benchmarks/results/architectures.json
Published: none

untrained: networks of torchvision, timm and this package with random weights, random images and
           random labels. Only chance, labels and range, which look at accuracy, may find something.
trained:   the shipped classifiers on digits, and photographs where their weights are given; nothing may be
           found. The preflight is counted, and once timed, beside a default screen of as many images;
           "passes" are forward passes of an image, without those of the screen that refine thresholds.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import timm
import torch
import torchvision
from torch import Tensor, nn

import itn
from itn.models.checks import CheckName, Findings
from itn.models.gradient_check import check_gradient
from itn.models.libraries import LITE
from itn.models.preflight import check_all
from itn.models.zoo import NETWORKS
from itn.runtime.provenance import provenance
from itn.screening.stored_passes import count_passes

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
OF_ACCURACY = ("chance", "labels", "range")
IMAGES, BATCH = 32, 16  # of untrained networks
PHOTO = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
TORCHVISION = {  # pixels of an image
    **{"alexnet": 224, "squeezenet1_1": 224, "shufflenet_v2_x0_5": 224, "mnasnet0_5": 224, "resnet18": 32},
    **{"googlenet": 224, "densenet121": 64, "inception_v3": 299, "mobilenet_v2": 96, "swin_t": 224},
}
TIMM = {
    **{"resnetv2_50": 64, "mobilenetv3_small_100": 224, "efficientnet_b0": 224, "convnext_atto": 288},
    **{"regnetx_002": 224, "vit_tiny_patch16_384": 384, "deit_tiny_patch16_224": 224, "resmlp_12_224": 224},
    **{"mixer_s32_224": 224, "gmixer_12_224": 224, "gmlp_ti16_224": 224, "poolformer_s12": 224},
    **{"mobilevit_xxs": 256, "xcit_nano_12_p16_224": 224, "levit_128s": 224, "ghostnet_100": 224},
    **{"nf_regnet_b0": 192, "visformer_tiny": 224},
}
Record = dict[str, Any]


class Counted(nn.Module):
    """Counts the images that another network is given."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net, self.images = net, 0

    def forward(self, images: Tensor) -> Any:
        """Return what the network returns."""
        self.images += len(images)
        return self.net(images)


def untrained(smoke: bool) -> Record:
    """Return what the checks find in networks with random weights, by name."""
    makers = {f"torchvision:{name}": (size, 3) for name, size in TORCHVISION.items()}
    makers |= {f"timm:{name}": (size, 3) for name, size in TIMM.items()}
    makers |= dict.fromkeys(NETWORKS, (28, 1))
    found = {}
    for name, (size, channels) in list(makers.items())[:: 12 if smoke else 1]:
        torch.manual_seed(0)
        library, _, model = name.rpartition(":")
        if library == "torchvision":
            # Those with a second output in training do not initialize themselves in newer versions
            options = {"init_weights": True} if model in ("googlenet", "inception_v3") else {}
            net = torchvision.models.get_model(model, weights=None, **options)
        else:
            net = timm.create_model(model) if library == "timm" else NETWORKS[model]()
        mean, std = PHOTO if channels == 3 else ((0.1307,), (0.3081,))
        classifier = itn.Classifier(net, mean, std, name=name)
        coarse = torch.rand(IMAGES, channels, 7, 7)
        images = nn.functional.interpolate(coarse, (size, size), mode="bicubic").clamp(0, 1)
        findings = Findings(get_args(CheckName))
        labels = torch.randint(10, (IMAGES,))
        start = time.perf_counter()
        data = check_all(classifier, images, labels, BATCH, findings)
        check_gradient(classifier, data, BATCH, findings)
        found[name] = {"pixels": size, "seconds": time.perf_counter() - start, "found": findings.accepted}
        print(name, findings.accepted or "nothing", flush=True)
    return found


def preflight_cost(classifier: itn.Classifier, images: Tensor, labels: Tensor) -> Record:
    """Return what a preflight finds and costs, beside a default screen of the same images."""
    counted = Counted(classifier.net)
    classifier.net = counted
    findings, config = Findings(get_args(CheckName)), itn.ScreenConfig()
    start = time.perf_counter()
    data = check_all(classifier, images, labels, 250 if images.shape[-1] < 64 else 27, findings)
    seconds, passes = time.perf_counter() - start, counted.images
    check_gradient(classifier, data, 27, findings)
    swept = [name for name in config.names if images.shape[1] > 1 or name != "grayscale"]
    screened = count_passes(config, swept) * len(images)
    found = {"images": len(images), "accuracy": float(data.clean.float().mean()), "found": findings.accepted}
    found |= {"passes": passes, "passes_screen": screened, "share": passes / screened, "seconds": seconds}
    print(classifier.name, findings.accepted or "nothing", f"{100 * passes / screened:.2f} %", flush=True)
    return found


def trained(smoke: bool, photos: Path | None, cifar: Path | None, weights: Path | None) -> Record:
    """Return what a preflight finds in trained networks, by name and number of images, and what it costs."""
    found = {}
    digits = list(itn.model_cards())
    for name in digits[:1] if smoke else digits:
        for n in (100,) if smoke else (100, 2000):
            images, labels = itn.load_images("mnist", limit=n)
            found[f"{name}, {n}"] = preflight_cost(itn.load_classifier(name), images, labels)
            if name == digits[0]:
                start = time.perf_counter()
                itn.screen(itn.load_classifier(name), images, labels)
                found[f"{name}, {n}"]["seconds_screen"] = time.perf_counter() - start
    given: dict[str, tuple[Path, Path | None]] = dict.fromkeys(LITE, (photos, None)) if photos else {}
    if cifar and weights:
        given[f"{ROOT}/experiments/bunne_screening/resnet20_cifar.py:make"] = cifar, weights
    for name, (folder, file) in given.items():
        classifier = itn.load_classifier(name, file)
        images, labels = itn.load_images(folder, classifier, limit=1000 if file else 500, surround="none")
        found[f"{classifier.name}, {len(images)}"] = preflight_cost(classifier, images, labels)
    return found


def main() -> None:
    """Be the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS / "architectures.json")
    parser.add_argument("--smoke", action="store_true", help="a few networks, to see that it runs")
    parser.add_argument("--only", choices=("trained", "untrained"), help="one half of the record")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--photos", type=Path, help="class folders of ImageNet photographs")
    parser.add_argument("--cifar", type=Path, help="class folders of CIFAR-10")
    parser.add_argument("--weights", type=Path, help="of the ResNet-20 for CIFAR-10")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    halves: dict[str, Callable[[], Record]] = {
        "trained": lambda: trained(options.smoke, options.photos, options.cifar, options.weights),
        "untrained": lambda: untrained(options.smoke),
    }
    record: Record = json.loads(options.out.read_text()) if options.only else {"provenance": {}}
    for kind in [options.only] if options.only else halves:
        record[kind] = halves[kind]()
        record["provenance"][kind] = provenance(torch.device("cpu"))
    options.out.write_text(json.dumps(record, indent=1) + "\n")
    false = [
        f"{name}: {check}"
        for kind, allowed in (("trained", ()), ("untrained", OF_ACCURACY))
        for name, each in record[kind].items()
        for check in each["found"]
        if check not in allowed
    ]
    print(f"false alarms: {', '.join(false) or 'none'}")


if __name__ == "__main__":
    main()
