"""The report of a box: its statement, images at their worst points, classes."""

import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

import itn
from itn.boxes.run import worst_case

BOX = {"rotate": (-90.0, 90.0), "translate_x": (-0.3, 0.3)}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    classifier, images = itn.load_classifier("lenet5"), itn.load_images("mnist", limit=120)
    folder = tmp_path_factory.mktemp("worst")
    config = itn.WorstConfig(box=BOX, passes=20, single_steps=2, growth_passes=4)
    return worst_case(classifier, *images, config, folder), images, folder


def texts(page):
    """Everything that a page writes, without what it draws."""
    written = []
    for section in page.sections:
        written.append(section.title)
        for block in section.blocks:
            written += [*getattr(block, "lines", ()), getattr(block, "text", "")]
            written += [" ".join(row) for row in getattr(block, "rows", ())]
            written += [str(getattr(block, "reading", ""))]
    return "\n".join([*page.statement, *written])


def test_a_page_says_what_the_table_says(found):
    result, _, folder = found
    page = result.page()
    assert result.record.statement in page.statement[0]
    control = result.record.round_trip
    assert f"Of {control.images} images that break, {control.broken} break as well when" in texts(page)
    written = texts(page)
    for row in (f"rotate {100 * result.record.survival_single['rotate']:.1f} %", "all together", "lenet5"):
        assert row in written
    assert "upper bound" in written
    assert "rotate=(-90.0, 90.0)" in written.replace("'rotate': ", "rotate=")
    html = (folder / "report.html").read_text()
    assert "what survives all transformations together" in html
    assert not re.search(r'(src|href)="(?!data:|#)', html)


def test_pictures_are_the_image_and_the_image_at_its_worst_point(found):
    result, (images, _), _ = found
    assert result.examples
    rows = {row.image: row for row in result.images}
    for example in result.examples:
        row = rows[example.image]
        image = images[int(example.image)]
        matrices = [
            itn.functional.square_matrix(itn.TRANSFORMS[name].function(torch.tensor([v]), 1.0))
            for name, v in zip(BOX, row.point, strict=True)
        ]
        moved = itn.warp(image[None] / 255, (matrices[0] @ matrices[1])[:, :2])[0]
        for file, expected in ((example.unchanged, image / 255), (example.worst, moved)):
            pixels = torch.from_numpy(np.array(Image.open(io.BytesIO(file)))) / 255
            torch.testing.assert_close(pixels, expected[0], atol=2 / 255, rtol=0)
        assert example.answer == example.class_  # right unchanged, or not searched


def test_classes_are_those_with_the_fewest_and_the_most_survivors(found):
    result, *_ = found
    (section,) = [section for section in result.page().sections if section.key == "classes"]
    shares = {}
    for row in result.images:
        if row.searched:
            shares.setdefault(row.class_, []).append(row.survives)
    shares = {name: sum(kept) / len(kept) for name, kept in shares.items() if len(kept) >= 10}
    shown = {(row[0], row[1]): float(row[3].split()[0]) for row in section.blocks[0].rows}
    most = [name for name, rank in shown if rank == "most"]
    assert max(shares[name] for name in most) <= min(
        value for name, value in shares.items() if name not in most
    )
    for (name, _), value in shown.items():
        assert value == pytest.approx(100 * shares[name], abs=0.051)


def test_a_result_in_memory_has_a_figure_and_a_page_too(found):
    result = found[0]
    assert result.plot().axes
    assert "<pre" in result._repr_html_()
