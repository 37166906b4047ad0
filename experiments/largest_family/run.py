r"""How far does each objective get at the same tolerance, certified on the same images?

Command:   python experiments largest_family          (three designs, one seed)
           python experiments largest_family --full --seeds 0 1 2 3 4 --designs constrained switched
           python experiments largest_family --models FILE.py:make --weights FILE --data DIR \
               --tolerance 0.02 --designs constrained    (any classifier and images)
Machine:   2 CPU cores, about 15 minutes; the second about 90 minutes
Writes:    runs/largest_family/: result.json, ratios.png
Published: nothing; Bunne et al. measure neither the largest family nor how far single transformations go

Designs, all with the same training images, the same number of images in all steps, and the same calibration
and certificate afterwards:

- constrained: the default of ``itn learn``
- dual-ascent: the same product of displacements, its multiplier by the textbook's dual ascent, from examples/
- switched: the objective of Bunne et al., with the tolerance that is then certified, c_theta as by default
- direct-search: no derivatives and ten times the images, Nelder and Mead's simplex over directions at full
  strength; only on request

The two shipped classifiers were not trained on the digits. The seed is that of split, weights and batches.
"""

import argparse
import dataclasses
import time
from functools import partial
from pathlib import Path
from statistics import geometric_mean, median
from typing import ClassVar

import numpy as np
import study
import torch
from largest_family.direct_search import DirectSearch
from matplotlib.figure import Figure
from scipy import stats
from study import Protocol, Record

import itn
from itn import plotting

MODELS = ("jennings-cnn", "lenet5")
DESIGNS = ("constrained", "dual-ascent", "switched")
SEARCH = "direct-search"
TIMES = 10  # images that direct search may use, over those of learning
EXPECTED = 1.2  # ratio to the largest baseline
dual_ascent = study.example("dual_ascent")


@dataclasses.dataclass(frozen=True)
class Certified(itn.Switched):
    """The objective of Bunne et al., with a calibration and a certificate like the others."""

    tolerance: float = 0.01

    certifies: ClassVar[bool] = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which designs, and what is studied."""
    known = (*DESIGNS, SEARCH)
    parser.add_argument(
        "--designs", nargs="+", choices=known, default=DESIGNS, help="default: the first three"
    )
    parser.add_argument("--models", nargs="+", default=MODELS, help="as itn learn takes them; default: both")
    parser.add_argument("--weights", type=Path, help="a local state dict")
    parser.add_argument("--data", default="mnist:heldout", help="as itn learn takes it; default: %(default)s")
    parser.add_argument("--class-map", type=Path, help="what the class folders mean, if not their names")
    parser.add_argument("--parts", nargs="+", choices=("color", "spatial"), help="default: both")
    for name, kind in (("--tolerance", float), ("--steps", int), ("--batch-size", int)):
        parser.add_argument(name, type=kind, help="as itn learn has it")


def measure(protocol: Protocol) -> Record:
    """Learn with each design, for each classifier and seed; finished runs are kept in OUT/parts."""
    asked, runs = protocol.options, []
    smoke = protocol.name == "smoke"
    for model in asked["models"][-1:] if smoke else asked["models"]:
        classifier = itn.load_classifier(model, asked["weights"]).to(protocol.device)
        limit = 2 * study.SMOKE_DIGITS if smoke else 0
        data = itn.load_images(asked["data"], classifier, asked["class_map"], limit=limit)
        studied = {
            "weights_sha256": classifier.sha256(),
            "images_sha256": study.data_fingerprint(data.images, data.labels),
        }
        for seed in protocol.seeds:
            for design in asked["designs"]:
                config, name = _config(design, seed, protocol), Path(classifier.name).name
                part = protocol.out / "parts" / f"{protocol.name}-{design}-{name}-seed{seed}.json"
                asked_for = {"config": config.describe(), **studied}
                runs.append(study.kept(part, asked_for, partial(_run, classifier, design, data, config)))
    return {"expected": EXPECTED, "data": Path(asked["data"]).name, "runs": runs}


def _config(design: str, seed: int, protocol: Protocol) -> itn.LearnConfig:
    """Return the settings of a design; all have the same tolerance and images."""
    names = ("tolerance", "steps", "batch_size")
    given = {name: protocol.options[name] for name in names if protocol.options[name]}
    if protocol.options["parts"]:
        given["parts"] = tuple(protocol.options["parts"])
    config = itn.LearnConfig(seed=seed, **(protocol.pick({}, {}, {"tolerance": 0.05, "steps": 5}) | given))
    tolerance, steps = config.goal.tolerance, config.goal.steps
    if design == "constrained":
        return config
    if design == SEARCH:
        # A backward pass costs about two forward passes
        search = DirectSearch(images=TIMES * 3 * steps * config.batch_size)
        return dataclasses.replace(config, objective=search, tolerance=tolerance, steps=None)
    objective = dual_ascent.DualAscent() if design == "dual-ascent" else Certified()
    return dataclasses.replace(config, objective=objective, tolerance=tolerance, steps=steps)


def _run(classifier: itn.Classifier, design: str, data: itn.ImageSet, config: itn.LearnConfig) -> Record:
    clock = time.perf_counter()
    record = itn.learn(classifier, data.images, data.labels, config).record
    content = {key: value for key, value in record.to_json().items() if key != "curves"}
    return {
        "model": classifier.name,
        "design": design,
        "seed": config.seed,
        "threads": torch.get_num_threads(),
        "seconds": round(time.perf_counter() - clock, 1),
        **content,
        "objective": design,
    }


def figures(record: Record) -> dict[str, Figure]:
    """Return the spatial ratios of every run with their intervals, by classifier and design."""
    known = [ratio for run in record["runs"] if (ratio := _ratio(run))]
    if not known:
        return {}
    figure = Figure(figsize=(plotting.WIDTH, 3.0), layout="constrained")
    models, designs = (list(dict.fromkeys(run[key] for run in record["runs"])) for key in ("model", "design"))
    panels = figure.subplots(1, len(models), sharey=True, squeeze=False)[0]
    top = 1.1 * max([record["expected"], *(r["ci_high"] or r["value"] for r in known)])
    for ax, model in zip(panels, models, strict=True):
        for number, design in enumerate(designs):
            ratios = [ratio for run in _runs(record, model, design) if (ratio := _ratio(run))]
            if not ratios:
                continue
            x = number + (np.arange(len(ratios)) - (len(ratios) - 1) / 2) * 0.12
            y = np.array([ratio["value"] for ratio in ratios])
            high = [top if r["ci_high"] is None else r["ci_high"] for r in ratios]
            ends = np.array([y - [r["ci_low"] for r in ratios], high - y])
            ax.errorbar(x, y, ends.clip(0), fmt="o", color=f"C{number}", markersize=4, capsize=2)
            endless = [r["ci_high"] is None for r in ratios]
            ax.plot(x[endless], np.array(high)[endless], "^", color=f"C{number}", markersize=4)
            ax.plot([number - 0.35, number + 0.35], [median(y)] * 2, color=f"C{number}", linewidth=1.2)
        ax.axhline(1, color="0.6", linewidth=0.8)
        ax.axhline(record["expected"], color="0.6", linewidth=0.8, linestyle=":")
        ax.set_xticks(range(len(designs)), designs)
        ax.set_xlim(-0.6, len(designs) - 0.4)
        ax.set_title(model, fontsize=9)
    panels[0].set_ylabel("spatial displacement at full strength,\nover that of the largest baseline")
    figure.supxlabel(
        "points: seeds, with 95 % intervals (triangle: no upper end); bar: median; dotted: expected",
        fontsize=8,
    )
    return {"ratios": figure}


def table(record: Record) -> str:
    """Return medians over seeds, and ranges."""
    rows = []
    for model in dict.fromkeys(run["model"] for run in record["runs"]):
        for design in dict.fromkeys(run["design"] for run in record["runs"] if run["model"] == model):
            runs = _runs(record, model, design)
            learned = {part: [run for run in runs if part in run["parts"]] for part in ("color", "spatial")}
            ratios = {
                part: [(ratio := _ratio(run, part)) and ratio["value"] for run in of_part]
                for part, of_part in learned.items()
            }
            displacements = {
                part: [_displacement(run, part) for run in runs] for part, runs in learned.items()
            }
            certificates = [run["certificate"] for run in runs]
            rows.append(
                (
                    model,
                    f"{design} x {len(runs)}",
                    _middle(displacements["spatial"], ".4f"),
                    _middle(ratios["spatial"], ".2f"),
                    _pooled(ratios["spatial"]),
                    _middle(_to_first(learned["spatial"]), ".2f"),
                    _pooled(_to_first(learned["spatial"])),
                    _middle(displacements["color"], ".3f"),
                    _middle(ratios["color"], ".2f"),
                    _middle(
                        [100 * (c["clean_accuracy"] - c["full"]["lower_bound"]) for c in certificates], ".2f"
                    ),
                    _middle(
                        [100 * (c["uniform"]["accuracy"] - c["searched"]["accuracy"]) for c in certificates],
                        ".2f",
                    ),
                    _middle([run["seconds"] for run in runs], ".0f"),
                )
            )
    header = (
        *("classifier", "design x seeds", "spatial displacement", "ratio to largest baseline", "pooled"),
        *("ratio to the largest by estimates", "pooled", "color displacement", "ratio"),
        *("clean accuracy minus bound, points", "uniform k minus worst k, points", "seconds"),
    )
    return study.markdown(header, rows)


def _runs(record: Record, model: str, design: str) -> list[Record]:
    return [run for run in record["runs"] if (run["model"], run["design"]) == (model, design)]


def _ratio(run: Record, part: str = "spatial") -> Record | None:
    """Return the headline of a part; that of all parts together counts as that of space."""
    found: Record | None = run["headline"].get(
        part, run["headline"].get("joint") if part == "spatial" else None
    )
    return found


def _displacement(run: Record, part: str = "spatial") -> float:
    return run["parts"][part]["displacement_full"]


def _to_first(runs: list[Record]) -> list[float | None]:
    """Return ratios to the baseline that training images show to be the largest.

    The family, too, was chosen by those alone. Among several baselines chance makes one large on calibration
    images; but estimates use fewer images than learning does, and so do not always put the largest first.
    """
    ratios = []
    for run in runs:
        first = max(run["baselines"]["spatial"], key=lambda baseline: baseline["estimated_displacement"])
        ends = first["displacement"] and not first["reached_bound"]
        ratios.append(_displacement(run) / first["displacement"] if ends else None)
    return ratios


def _pooled(ratios: list[float | None]) -> str:
    """Return the geometric mean over seeds with Student's 95 % interval; the images are the same."""
    known = [ratio for ratio in ratios if ratio]
    if len(known) < max(2, len(ratios)):
        return "-"
    logs = np.log(known)
    low, high = stats.t.interval(0.95, len(logs) - 1, logs.mean(), stats.sem(logs))
    return f"{np.exp(logs.mean()):.2f} [{np.exp(low):.2f}, {np.exp(high):.2f}]"


def _middle(values: list[float | None], form: str) -> str:
    """Return "median (smallest to largest)"; a ratio is None if the baseline reached its bound."""
    known = [value for value in values if value is not None]
    if not known:
        return "baseline at its bound" if values else "-"  # not learned
    return study.middle(known, form)


def readme(records: dict[str, Record]) -> str:
    """Return the text of README.md."""
    record = records["largest_family"]
    constrained = {model: _runs(record, model, "constrained") for model in MODELS}

    def over_constrained(other: Record, model: str, design: str) -> float:
        pairs = zip(_runs(other, model, design), constrained[model], strict=False)
        return geometric_mean(_displacement(run) / _displacement(same_seed) for run, same_seed in pairs)

    switched = [f"{over_constrained(record, model, 'switched'):.2f} on {model}" for model in MODELS]
    above = [
        sum(_displacement(a) > _displacement(b) for a, b in zip(runs, constrained[model], strict=True))
        for model in MODELS
        for runs in [_runs(record, model, "switched")]
    ]
    searched = [
        f"{100 * (1 - over_constrained(records['direct'], model, 'direct-search')):.0f} %" for model in MODELS
    ]
    largest = [
        max(b["displacement"] or 0 for b in run["baselines"]["spatial"]) for run in constrained["lenet5"]
    ]
    families = [_displacement(run) for run in constrained["lenet5"]]
    scatter = [f"{100 * np.log(values).std(ddof=1):.0f} %" for values in (largest, families)]
    alone = 100 * (over_constrained(records["spatial"], "lenet5", "constrained") - 1)
    dual = next(
        run["headline"]["spatial"] for run in records["designs"]["runs"] if run["design"] == "dual-ascent"
    )
    photographs = records["lite0"]["runs"][0]
    full, color = photographs["certificate"]["full"], photographs["headline"]["color"]
    return f"""
# How large a family does each objective learn?
{study.earlier(records)}

This study compares the [displacement](../../docs/glossary.md) of a learned family at full strength with
that of the largest baseline; their quotient is the *ratio*. Baselines are the single transformations of
the screening table. Family and baseline are certified to break at most 1 % of the images, with 95 %
confidence, on the same digits. Of 20,000 digits that the classifiers were not trained on, 8,000 train the
family, 6,000 calibrate its scale and 6,000 bound its accuracy. The seed draws split, weights and
batches.

```bash
python experiments largest_family    # three designs, one seed: 15 minutes
python experiments largest_family --full --seeds 0 1 2 3 4 --designs constrained switched    # 90 minutes
```

{table(record)}

![Ratios of all runs](ratios.png)

*Pooled* is the geometric mean over seeds with Student's interval; the seeds share the same 20,000
digits. *Largest by estimates* is the baseline with the largest displacement on 2,000 training digits,
chosen before calibration. *Minus bound* is at full strength. Seconds are those of one thread with other
work beside it.

- We had expected a median ratio of {record["expected"]:g} with a pooled interval above 1, a bound at
  full strength at most 1.5 points below the clean accuracy, and a worst k at most 1 point below uniform
  k. jennings-cnn meets all of this. **lenet5 misses the first two**: its interval begins just below 1.
- The largest of sixteen baselines is picked on the digits that calibrate it, which makes it larger by
  chance; the family was fixed before calibration. Over the seeds the displacement of the largest
  baseline of lenet5 is {study.extent(largest, ".3f")}. The standard deviation of its logarithm is
  {scatter[0]}, that of the family {scatter[1]}. [How far maps go on all
  digits](../furthest_map/README.md) shows the same.
- The objective of the paper, with the same tolerance, certificate and number of images, has
  {" and ".join(switched)} of the displacement of the constrained one (geometric means; {above[0]} and
  {above[1]} of five seeds are above). How far color goes depends on its seed, and on lenet5 color hardly
  changes.

## Spatial part alone

`--models lenet5 --parts spatial --designs constrained`, the same five seeds. Without colors the
family has {alone:.0f} % more displacement, and both expectations are met, the first one only just:

{table(records["spatial"])}

## A search without derivatives

Nelder and Mead's simplex over directions, with ten times as many images, seed 0: `--designs constrained
direct-search`. Its families have {" and ".join(searched)} less displacement than the learned ones
(jennings-cnn and lenet5). We had expected learned families to have at least 95 % of that of the search:

{table(records["direct"])}

## Dual ascent

Seed 0, `--models jennings-cnn`. Its ratio of {dual["value"]:.2f} [{dual["ci_low"]:.2f},
{dual["ci_high"]:.2f}] is below those of the other designs, and it hardly changes colors; it has a single
start:

{table(records["designs"])}

## Photographs

efficientnet-lite0 on 500 ImageNet photographs, tolerance 5 %: 200 to train on, 150 each to calibrate and
certify, and over all steps a tenth of the images of a default run. `--models efficientnet-lite0 --data DIR
--tolerance 0.05 --designs constrained --steps 200 --batch-size 64`. The certificate holds
({100 * full["accuracy"]:.1f} % at full strength, at least {100 * full["lower_bound"]:.1f} %;
{100 * photographs["certificate"]["clean_accuracy"]:.1f} % unchanged), but single transformations go
farther: the color ratio is {color["value"]:.2f} [{color["ci_low"]:.2f}, {color["ci_high"]:.2f}]. How
much of that is due to few photographs and how much to the short run is not measured. A tolerance of 1 %
cannot be certified with 150 photographs; 1.98 % can at best:

{table(records["lite0"])}
"""
