"""The statements of Bunne et al. about single transformations: as numbers, and in words."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import pearsonr, rankdata, spearmanr

import itn

Record = dict[str, Any]
QUANTILES = {"nearest": 0.0, "lower quartile": 0.25, "median": 0.5, "upper quartile": 0.75, "farthest": 1.0}
UNTESTED = ("not testable here", "-")
CONSTANT, STRONG = 0.9, 0.5
"""A softmax that keeps the first share of its clean value is constant, one that falls below the second is
strongly reduced."""


def class_spread(transform: itn.Transform, values: Mapping[str, float | None]) -> Record:
    """Return quantiles of the thresholds of classes on one side; None: beyond what was swept.

    Classes that are not recognized at the identity have no threshold; they are counted.
    """
    known = {name: v for name, v in values.items() if v != transform.identity}
    distance = {name: math.inf if v is None else transform.distance(v) for name, v in known.items()}
    order = sorted(known, key=distance.__getitem__)
    at = {what: order[int(share * (len(order) - 1))] for what, share in QUANTILES.items()} if order else {}
    return {
        "classes": len(known),
        "reached": sum(v is not None for v in known.values()),
        "unrecognized": len(values) - len(known),
        **{what: {"class": name, "value": known[name]} for what, name in at.items()},
    }


def noise(transforms: Mapping[str, Record], single: bool) -> Record | None:
    """Return how many classes noise switches, and whether two of them switch at levels that differ.

    A class that never does so is no evidence: it may be what the network calls every noisy image.
    """
    if "noise" not in transforms or single:
        return None
    sweep = transforms["noise"]
    thresholds = [sides["above"] for sides in sweep["class_thresholds"].values()]
    switched = [threshold for threshold in thresholds if threshold["value"] not in (None, sweep["identity"])]
    nearest = min((math.inf if t["ci_high"] is None else t["ci_high"] for t in switched), default=math.inf)
    spread = sweep["class_spread"]["above"]
    return {**spread, "differ": any(threshold["ci_low"] > nearest for threshold in switched)}


def rotation(result: itn.ScreenResult, single: bool) -> Record | None:
    """Return how far the softmax of true classes falls under rotation, and which are back at 180 degrees."""
    sweep = result.record.transforms.get("rotate")
    if sweep is None or not {0.0, 180.0} <= set(sweep.magnitudes):
        return None
    thresholds = sweep.thresholds.classes
    curves: dict[str, dict[float, float]] = {}
    for row in result.curves:
        if row.transform == "rotate" and row.class_ in thresholds and row.softmax_true > 0:
            curves.setdefault(row.class_, {})[row.magnitude] = row.softmax_true
    recognized = {
        name: curve
        for name, curve in curves.items()
        if all(threshold.value != sweep.identity for threshold in thresholds[name].values())
    }
    remaining = {name: min(curve.values()) / curve[0.0] for name, curve in recognized.items()}
    recovered = {
        name
        for name, stretches in sweep.recoveries.classes.items()
        if any(180.0 in (abs(start), abs(end)) for start, end in stretches)
    }
    return {
        "classes": len(remaining),
        "median_remaining": float(np.median(list(remaining.values()))) if remaining else None,
        "strongly_reduced": sum(share < STRONG for share in remaining.values()),
        "constant": [name for name, share in remaining.items() if share >= CONSTANT],
        "never_broken": [
            name for name in recognized if all(end.value is None for end in thresholds[name].values())
        ],
        "back_at_180": None if single else [name for name in recognized if name in recovered],
        "images_returned_at_180": sweep.recoveries.returned[sweep.magnitudes.index(180.0)],
        "by_class": None
        if single
        else {
            name: {"clean": curve[0.0], "lowest": min(curve.values()), "at_180": curve[180.0]}
            for name, curve in recognized.items()
        },
    }


def similarity(one: Record, other: Record) -> Record | None:
    """Return the rank correlation of the thresholds of two networks, over classes and transformations.

    The units of the transformations alone make ranks agree; ``rho_within`` ranks the classes under each
    transformation and side by themselves.
    """
    groups = []
    counts = {"thresholds": 0, "censored": 0, "unrecognized": 0}
    for name in (name for name in one["transforms"] if name in other["transforms"]):
        transform = itn.TRANSFORMS[name]
        thresholds = [record["transforms"][name]["class_thresholds"] for record in (one, other)]
        if None in thresholds:
            return None
        for side in ("below", "above"):
            group = []
            for class_ in (class_ for class_ in thresholds[0] if class_ in thresholds[1]):
                if not all(side in by_class[class_] for by_class in thresholds):
                    continue
                values = [by_class[class_][side]["value"] for by_class in thresholds]
                if transform.identity in values:
                    counts["unrecognized"] += 1
                elif None in values:
                    counts["censored"] += 1
                else:
                    group.append([transform.distance(v) for v in values])
            groups.append(np.array(group).reshape(-1, 2))
    counts["thresholds"] = sum(map(len, groups))
    if counts["thresholds"] < 3:
        return None
    pooled = np.concatenate(groups)
    ranks = np.concatenate([rankdata(group, axis=0) - (len(group) + 1) / 2 for group in groups if len(group)])
    return {
        "model": other["model"],
        **counts,
        **_correlation("", spearmanr(pooled[:, 0], pooled[:, 1])),
        **_correlation("_within", pearsonr(ranks[:, 0], ranks[:, 1]) if ranks.any(0).all() else None),
    }


def rows(statements: Record) -> list[tuple[str, ...]]:
    """Return the statements, whether each of them holds here, and the numbers behind it."""
    return [
        (
            "noise switches the prediction at a level that depends on the class",
            *_of_noise(statements["noise"]),
        ),
        ("rotation reduces softmax strongly", *_of_rotation(statements["rotation"])),
        ("that of point-symmetric objects stays constant", *_of_constant(statements["rotation"])),
        ("that of axis-symmetric objects is back at 180 degrees", *_of_return(statements["rotation"])),
        ("both networks behave similarly", *_of_similarity(statements["similarity"])),
    ]


def spread_text(spread: Record | None) -> str:
    """Return the nearest, the middle and the farthest of the thresholds of classes, with their classes."""
    if not spread or not spread["classes"]:
        return "-"
    ends = (spread[what] for what in ("nearest", "median", "farthest"))
    return " / ".join(f"{number(end['value'], 'beyond')} ({end['class']})" for end in ends)


def number(value: float | None, absent: str = "-") -> str:
    """Return a number to three digits."""
    return absent if value is None else f"{value:.3g}"


def _of_noise(noise: Record | None) -> tuple[str, str]:
    if not noise:
        return UNTESTED
    overlap = "do not all overlap" if noise["differ"] else "all overlap"
    return _verdict(noise["differ"]), (
        f"{noise['reached']} of {noise['classes']} classes switch; nearest / median / farthest "
        f"{spread_text(noise)}; the intervals of those that switch {overlap}"
    )


def _of_rotation(rotation: Record | None) -> tuple[str, str]:
    if not rotation or not rotation["classes"]:
        return UNTESTED
    return _verdict(2 * rotation["strongly_reduced"] > rotation["classes"]), (
        f"below {100 * STRONG:g} % of its clean value in {rotation['strongly_reduced']} of "
        f"{rotation['classes']} classes; median of the lowest {100 * rotation['median_remaining']:.1f} %"
    )


def _of_constant(rotation: Record | None) -> tuple[str, str]:
    if not rotation:
        return UNTESTED
    return _verdict(rotation["constant"]), (
        f"at least {100 * CONSTANT:g} % of its clean value throughout: {_listed(rotation['constant'])} of "
        f"{rotation['classes']} classes; the largest throughout: {_listed(rotation['never_broken'])}"
    )


def _of_return(rotation: Record | None) -> tuple[str, str]:
    if not rotation:
        return UNTESTED
    images = f"{100 * rotation['images_returned_at_180']:.1f} % of the images regain their clean prediction"
    if rotation["back_at_180"] is None:
        return UNTESTED[0], images
    classes = f"{_listed(rotation['back_at_180'])} of {rotation['classes']} classes"
    return _verdict(
        rotation["back_at_180"]
    ), f"broken and recovered, by intervals that do not overlap: {classes}; {images}"


def _of_similarity(similarity: Record | None) -> tuple[str, str]:
    if not similarity or similarity["rho_within"] is None:
        return UNTESTED
    return _verdict(similarity["rho_within"] > 0 and similarity["p_within"] < 0.05), (
        f"with {similarity['model']}: rank correlation of {similarity['thresholds']} class thresholds "
        f"{number(similarity['rho'])}, within each transformation {number(similarity['rho_within'])} "
        f"(p = {number(similarity['p_within'])}); left out: {similarity['censored']} beyond what was swept, "
        f"{similarity['unrecognized']} of classes not recognized"
    )


def _correlation(kind: str, test: Any) -> Record:
    usable = test is not None and math.isfinite(test.statistic)
    return {
        f"rho{kind}": float(test.statistic) if usable else None,
        f"p{kind}": float(test.pvalue) if usable else None,
    }


def _verdict(holds: object) -> str:
    return "holds" if holds else "does not hold"


def _listed(names: list[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more if names else "none"
