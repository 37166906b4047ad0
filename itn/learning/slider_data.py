"""What ``sliders.js`` computes with, as JSON."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from itn.learning.examples import Lattice, LearnExamples, Rays
from itn.learning.sliders import PartSliders
from itn.nn import CONTROLS
from itn.reports.pictures import data_uri, is_small

Marks = Mapping[str, Sequence[float] | None]


def slider_data(examples: LearnExamples, controls: Sequence[str], marks: Marks) -> dict[str, Any]:
    """Return the data of one page.

    Args:
        examples: Of a run.
        controls: What each k drives.
        marks: Places that a button leads to, by name: all entries of k of the parts one after another, or one
            for all; None: that is not known.
    """
    names = {str(index): name for index, name in examples.names.items()}
    if examples.lattice is not None:
        return {"names": names, "controls": list(controls)} | _lattice(examples.lattice, marks)
    assert examples.rays is not None
    return {"names": names} | _rays(examples.rays, controls)


def _lattice(lattice: Lattice, marks: Marks) -> dict[str, Any]:
    families = [[part_data(part) for part in family] for family in lattice.families]
    entries = CONTROLS * len(families[0])
    images = [
        {
            "src": data_uri(image.picture),
            "channels": image.size[0],
            "height": image.size[1],
            "width": image.size[2],
            "crop": image.crop,
            "box": image.box,
            "family": image.family,
            "unchanged": image.unchanged,
            "answers": image.answers,
        }
        for image in lattice.images
    ]
    known = [
        {"name": name, "k": list(k) if len(k) == entries else list(k) * entries}
        for name, k in marks.items()
        if k is not None
    ]
    return {"points": lattice.points, "families": families, "images": images, "marks": known}


def part_data(part: PartSliders) -> dict[str, Any]:
    """Return one transformer of a family."""
    return dataclasses.asdict(part) | {"rotation": part.linear is None}


def _rays(rays: Rays, controls: Sequence[str]) -> dict[str, Any]:
    names = []
    for part, ray in rays.ways:
        entries = ", ".join("t" if entry else "0" for entry in ray)
        names.append({"name": f"{part}: k{list(controls).index(part) + 1} = ({entries})"})
    images = [
        {
            "pictures": [list(map(data_uri, way)) for way in image.pictures],
            "answers": image.answers,
            "unchanged": image.answers[0][0],
            "small": is_small(image.pictures[0][0]),
        }
        for image in rays.images
    ]
    return {"ts": rays.ts, "ways": names, "images": images}
