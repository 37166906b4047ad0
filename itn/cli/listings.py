"""``itn models`` and ``itn transforms``: what there is to choose from."""

import importlib.util

from itn.models.libraries import LITE
from itn.models.sources import model_cards
from itn.runtime.tables import text_table
from itn.transforms import TRANSFORMS, groups

_PARAMETERS = {
    "efficientnet-lite0": "4,652,008",
    "efficientnet-lite1": "5,416,680",
    "efficientnet-lite2": "6,092,072",
}


def models_command() -> None:
    """List the classifiers that can be named."""
    header, *rows = model_table()
    print(text_table(rows, header))


def transforms_command() -> None:
    """List the transformations by group, with their units, identities and default magnitudes."""
    order = list(groups())
    rows = []
    for name, transform in sorted(TRANSFORMS.items(), key=lambda item: order.index(item[1].group or "all")):
        magnitudes = transform.magnitudes
        swept = f"{magnitudes[0]:g} to {magnitudes[-1]:g}, {len(magnitudes)} values"
        if transform.discrete:
            swept = ", ".join(f"{v:g}" for v in magnitudes)
        meaning = (transform.__doc__ or "").partition("\n")[0]
        rows.append((name, transform.group, transform.unit, f"{transform.identity:g}", swept, meaning))
    print(text_table(rows, ("transformation", "group", "unit", "identity", "magnitudes", "what it does")))
    print("(v: the magnitude; I: the image, in [0, 1]; I(x, y): its value at a place; W, H: width, height)")
    print("\nseveral at once, with --transforms, such as --transforms paper,gamma:")
    for group, names in groups().items():
        print(f"  {group}: {', '.join(names) if len(names) < len(TRANSFORMS) else 'all of them'}")
    print("\nmagnitudes of the severities of ImageNet-C, from 1 on, where it has the same operation:")
    for name, transform in TRANSFORMS.items():
        if transform.severities:
            print(f"  {name}: {', '.join(f'{v:.3g}' for v in transform.severities)}")


def model_table() -> list[tuple[str, str, str, str]]:
    """Return the names that ``load_classifier`` takes, as rows of text; the first row is a header."""
    return [
        ("model", "parameters", "test accuracy", "trained on"),
        *(
            (name, f"{card['parameters']:,}", f"{100 * card['test_accuracy']:.2f} %", card["data"])
            for name, card in model_cards().items()
        ),
        *((name, _PARAMETERS[name], "", f"ImageNet; {_state(package)}") for name, package in LITE.items()),
        ("torchvision:NAME", "", "", "ImageNet; e.g. torchvision:resnet18, downloaded or --weights FILE"),
        ("timm:NAME", "", "", "ImageNet and others; e.g. timm:resnet50, downloaded or --weights FILE"),
        ("hf:NAME", "", "", "image classifiers of transformers, by name on the hub or by folder"),
        ("FILE.pt, FILE.pt2", "", "", "your own: a program of TorchScript or torch.export"),
        ("FILE.py:factory", "", "", "your own: a function that returns a torch module"),
    ]


def _state(package: str) -> str:
    return "installed" if importlib.util.find_spec(package) else 'pip install "itn[imagenet]"'
