"""Learn what the shipped MNIST classifiers do not see: color, space, both; three seeds each.

Command:   python experiments learned_invariances
Machine:   2 CPU cores, about 25 minutes
Writes:    experiments/results/learned_invariances.json
Published: Bunne et al. show AlexNet on ImageNet and give no numbers for a learned family; in words,
           it zooms out, hardly rotates, and changes colors little.

The learning is ``itn learn --objective switched``, one run for each line of the
table that is printed at the end. ``--print`` prints the table from the JSON without learning again.
"""

import argparse
import json
from pathlib import Path
from statistics import mean

import itn

RESULTS = Path(__file__).parent / "results" / "learned_invariances.json"
MODELS = ("jennings-cnn", "lenet5")
PARTS = (("spatial",), ("color",), ("color", "spatial"))
COLUMNS = {
    "clean_accuracy": 100,
    "accuracy": 100,
    "accuracy_at_corner": 100,
    "color_displacement_at_corner": 1,
    "spatial_displacement_at_corner": 1,
    "spatial_rms_displacement_at_corner": 100,
}


def run(steps: int, seeds: int) -> list[dict[str, object]]:
    """Learn every combination and return the records, without their curves."""
    images, labels = itn.load_images("mnist:heldout")
    records = []
    for model in MODELS:
        classifier = itn.load_classifier(model)
        for parts in PARTS:
            for seed in range(seeds):
                config = itn.LearnConfig(objective="switched", parts=parts, steps=steps, seed=seed)
                record = itn.learn(
                    classifier, images, labels, config, source="mnist:heldout"
                ).record.to_json()
                del record["curves"]
                records.append({"model": model, "parts": list(parts), "steps": steps, **record})
    return records


def table(records: list[dict[str, object]]) -> str:
    """Return a Markdown table: mean over seeds, and range."""
    lines = [
        "| classifier | learned | clean % | F(k), k uniform % | corner % | color at corner | space at corner "
        "| pixels moved at corner, % of width |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for model in MODELS:
        for parts in PARTS:
            runs = [r for r in records if r["model"] == model and r["parts"] == list(parts)]
            cells = [_cell([r[name] for r in runs], factor) for name, factor in COLUMNS.items()]
            lines.append(f"| {model} | {' + '.join(parts)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(values: list[float | None], factor: int) -> str:
    if None in values:
        return "-"
    digits = 2 if factor == 100 else 3
    scaled = [factor * value for value in values]
    return f"{mean(scaled):.{digits}f} ({min(scaled):.{digits}f}-{max(scaled):.{digits}f})"


def main() -> None:
    """Learn, write, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=itn.LearnConfig(objective="switched").steps)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--print", action="store_true", help="print the table from the JSON, learn nothing")
    args = parser.parse_args()
    if not args.print:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(run(args.steps, args.seeds), indent=1) + "\n")
    print(table(json.loads(args.out.read_text())))


if __name__ == "__main__":
    main()
