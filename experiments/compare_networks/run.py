"""Do the invariances of two networks go together? Images that change early in one, and early in another.

Command:   python experiments compare_networks                    (lenet5 and jennings-cnn, 2,000 digits)
           python experiments compare_networks --models efficientnet-lite0 efficientnet-lite1
               efficientnet-lite2 --data DIR --limit 60          (photographs, a folder for each class)
Machine:   1 CPU core, about 3 minutes; three networks on 60 photographs about 12
Writes:    runs/compare_networks/: result.json, correlations.png, and the comparison with its figures
Published: "the learned invariances of ResNet correlate to the invariance learned by AlexNet" (Bunne et al.,
           section V), from looking at curves; no number

Every network is screened on the same images. The magnitude at which the prediction of an image changes is its
decision change; where it never does it is censored. The rank correlation of two networks is Kendall's tau-b
for censored values (Brown, Hollander and Korwar 1974), with a percentile bootstrap over images. An
interrupted screen goes on when the same command is given again.
"""

import argparse
from pathlib import Path
from statistics import median

import study
from matplotlib.figure import Figure
from study import Protocol, Record

import itn
from itn import plotting

DIGITS = ("lenet5", "jennings-cnn")
PHOTOGRAPHS = {
    "rotate": (-40.0, -20.0, 0.0, 20.0, 40.0),
    "zoom": (0.5, 0.71, 1.0, 1.41, 2.0),
    "blur": (0.0, 2.0, 4.0),
}
"""Fewer magnitudes than a screen takes by default, since a photograph takes a tenth of a second."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is studied."""
    parser.add_argument("--models", nargs="+", default=DIGITS, help="as itn screen takes them")
    parser.add_argument(
        "--data", default="mnist:heldout", help="as itn screen takes it; default: %(default)s"
    )
    parser.add_argument("--limit", type=int, default=2000, help="images; default: %(default)s")


def measure(protocol: Protocol) -> Record:
    """Screen every network, and compare every two."""
    asked, seed = protocol.options, protocol.seeds[0]
    digits = asked["data"].startswith("mnist")
    if digits:
        config = itn.ScreenConfig(round_trip=False, seed=seed)
    else:
        config = itn.ScreenConfig(
            tuple(PHOTOGRAPHS),
            magnitudes=PHOTOGRAPHS,
            round_trip=False,
            bisections=2,
            accuracy_bisections=0,
            seed=seed,
        )
    if protocol.name == "smoke":
        quick = {"rotate": (-60.0, 0.0, 60.0), "zoom": (0.5, 2.0)}
        config = itn.ScreenConfig(tuple(quick), magnitudes=quick, bisections=1, accuracy_bisections=0)
    limit = protocol.pick(asked["limit"], asked["limit"], study.SMOKE_DIGITS)
    folders = []
    for model in asked["models"]:
        classifier = itn.load_classifier(model).to(protocol.device)
        images = itn.load_images(asked["data"], classifier, limit=limit, seed=seed)
        folders.append(protocol.out / "screens" / f"{protocol.name}-{model.replace(':', '-')}")
        names = images.paths or [str(number) for number in images.index.tolist()]
        itn.screen(classifier, images, None, config, folders[-1], source=asked["data"], names=names)
    found = itn.compare(folders, protocol.out / "comparison", overwrite=True).record
    return {
        "data": Path(asked["data"]).name,
        "images": found.n,
        "networks": [{"model": each.model, "clean_accuracy": each.clean_accuracy} for each in found.screens],
        "confidence": found.confidence,
        "rows": rows_of(found),
        "provenance": study.provenance(protocol.device),
    }


def rows_of(record: itn.ComparisonRecord) -> list[Record]:
    """Return what is found of every two networks on each side of each transformation."""
    rows = []
    of_pairs = [(pair, *item) for pair in record.pairs for item in pair.transforms.items()]
    for pair, name, compared in of_pairs:
        for side, found in compared.correlation.items():
            of_classes = [sides[side].value for sides in compared.correlation_by_class.values()]
            breaks, threshold = compared.breaks[side], compared.thresholds["accuracy"][side]
            rows.append(
                {
                    "first": pair.first,
                    "second": pair.second,
                    "transform": name,
                    "side": side,
                    "tau": found.value,
                    "ci_low": found.ci_low,
                    "ci_high": found.ci_high,
                    "of_classes": [value for value in of_classes if value is not None],
                    "breaks": {
                        "n": breaks.n,
                        "first_only": breaks.first_only,
                        "second_only": breaks.second_only,
                        "both": breaks.both,
                    },
                    "unit": "times" if compared.logarithmic else compared.unit,
                    "threshold": {
                        "first": threshold.first,
                        "second": threshold.second,
                        "beyond": [threshold.first_beyond, threshold.second_beyond],
                        "value": threshold.value,
                        "ci_low": threshold.ci_low,
                        "ci_high": threshold.ci_high,
                    },
                }
            )
    return rows


def figures(record: Record) -> dict[str, Figure]:
    """Return the rank correlation of every two networks under each transformation."""
    places = list(dict.fromkeys((row["transform"], row["side"]) for row in record["rows"]))
    pairs = list(dict.fromkeys((row["first"], row["second"]) for row in record["rows"]))
    height = 0.26 * len(places) + 0.9
    figure = Figure(figsize=(plotting.WIDTH, height), layout="constrained")
    ax = figure.subplots()
    ax.axvline(0, color="0.6", linewidth=0.8)
    for number, pair in enumerate(pairs):
        for row in record["rows"]:
            if (row["first"], row["second"]) != pair or row["tau"] is None:
                continue
            y = places.index((row["transform"], row["side"])) + 0.22 * (number - (len(pairs) - 1) / 2)
            if row["ci_low"] is not None:
                ax.plot([row["ci_low"], row["ci_high"]], [y, y], color=f"C{number}", linewidth=1.5)
            ax.plot([row["tau"]], [y], "o", color=f"C{number}", markersize=4)
        ax.plot([], [], "o-", color=f"C{number}", markersize=4, label=f"{pair[0]}, {pair[1]}")
    ax.set_yticks(range(len(places)), [f"{name}, {side}" for name, side in places], fontsize=8)
    ax.set_ylim(len(places) - 0.5, -0.5)
    ax.set_xlim(min(ax.get_xlim()[0], -0.05), 1)
    ax.set_xlabel(f"Kendall's tau-b, censored, with {100 * record['confidence']:g} % intervals", fontsize=8)
    figure.legend(loc="outside upper center", ncols=min(len(pairs), 2), fontsize=7, frameon=False)
    return {"correlations": figure}


def table(record: Record) -> str:
    """Return what is found on each side of each transformation."""
    rows = []
    for row in record["rows"]:
        breaks, threshold = row["breaks"], row["threshold"]
        within = row["of_classes"]
        rows.append(
            (
                f"{row['first']}, {row['second']}",
                f"{row['transform']}, {row['side']}",
                _correlation(row),
                f"{median(within):.2f} ({min(within):.2f} to {max(within):.2f})" if within else "-",
                f"{breaks['both']} / {breaks['first_only']} / {breaks['second_only']} of {breaks['n']}",
                _difference(threshold, row["unit"]),
            )
        )
    header = (
        "networks",
        "transformation, side",
        "rank correlation",
        "within classes: median (smallest to largest)",
        "break in both / the first only / the second only",
        "accuracy threshold, second less first",
    )
    return study.markdown(header, rows)


def _correlation(row: Record) -> str:
    if row["tau"] is None:
        return "-"
    if row["ci_low"] is None:
        return f"{row['tau']:.2f}"
    return f"{row['tau']:.2f} [{row['ci_low']:.2f}, {row['ci_high']:.2f}]"


def _difference(threshold: Record, unit: str) -> str:
    first, second = threshold["beyond"]
    if first and second:
        return "both beyond"
    least = "at least " if second else "at most " if first else ""
    number = f"{threshold['value']:.3g} [{threshold['ci_low']:.3g}, {threshold['ci_high']:.3g}]"
    return f"{least}{number} {unit}"


def readme(records: dict[str, Record]) -> str:
    """Return the text of README.md."""
    sections = "\n".join(map(_section, records.items()))
    return f"""
# Do the invariances of two networks go together?

Bunne et al. close their screening with "the learned invariances of *ResNet* correlate to the invariance
learned by *AlexNet*". They saw it in curves and give no number. Here is one. For every image, the magnitude
at which its prediction changes is compared between two networks: Kendall's tau-b for censored values (Brown,
Hollander and Korwar 1974) is 1 where the images that change early in the one change early in the other, 0
where the two have nothing to do with each other. Brackets are 95 % intervals, a bootstrap over images.

```bash
python experiments compare_networks
python experiments compare_networks --models efficientnet-lite0 efficientnet-lite1 efficientnet-lite2 \\
    --data PHOTOS --limit 60
```
{sections}

What the number does not say: why. Images of a class may simply be harder than those of another, so the table
has the correlation within single classes too, where these have 20 images or more. And an image that stands
near the decision boundary of both networks changes early in both, under whatever transformation.
"""


def _lowest(record: Record) -> str:
    """Return where the correlation is lowest, and what it is within classes there."""
    row = min((row for row in record["rows"] if row["tau"] is not None), key=lambda row: row["tau"])
    if not row["of_classes"]:
        return ""
    return (
        f"It is lowest under {row['transform']} {row['side']} the identity, {row['tau']:.2f}; within classes "
        f"it is {median(row['of_classes']):.2f} there (median). "
    )


def _section(item: tuple[str, Record]) -> str:
    folder, record = item
    networks = ", ".join(
        f"{each['model']} ({100 * each['clean_accuracy']:.1f} %)" for each in record["networks"]
    )
    taus = [row["tau"] for row in record["rows"] if row["tau"] is not None]
    above = sum(row["ci_low"] is not None and row["ci_low"] > 0 for row in record["rows"])
    alone = [
        (row["breaks"]["first_only"] + row["breaks"]["second_only"]) / row["breaks"]["n"]
        for row in record["rows"]
    ]
    return f"""
## {folder.capitalize()}

{record["images"]:,} images of {record["data"]}; right unchanged: {networks}. The correlation is
{study.extent(taus, ".2f")}, median {median(taus):.2f}; {above} of {len(record["rows"])} intervals are above
0. {_lowest(record)}Of the images that both have right unchanged,
{study.extent([100 * a for a in alone], ".1f")} % break in one of the two alone.

![Correlations]({folder}/correlations.png)

{table(record)}
"""
