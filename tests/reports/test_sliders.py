"""What sliders.js does to images is what the net does: run by node, where there is one."""

import json
import shutil
import subprocess

import pytest
import torch
from torch import nn

import itn
from itn.functional import PADDINGS, Surround
from itn.learning.slider_data import part_data
from itn.learning.sliders import part_sliders
from itn.nn import ColorTransformer, InvariantTransformerNet, SpatialTransformer, Transformer
from itn.reports.html import _file

NODE = shutil.which("node")
PROGRAM = """
const family = require(process.argv[1]), cases = JSON.parse(require("fs").readFileSync(0, "utf8"));
const pixels = cases.map(({data, image, ks}) => Array.from(family.transformed(data, image, ks)));
console.log(JSON.stringify(pixels));
"""


def learned(part, seed):
    """Give a transformer weights as large as learning makes them."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        part.head.hidden.weight.uniform_(-1, 1, generator=g)
        part.head.output.weight.uniform_(-0.3, 0.3, generator=g)
        if part.head.nonnegative:
            part.head.output.weight.abs_()
    return part


def nets():
    """Nets with and without color, of all families and paddings, and whether there is a surround."""
    yield 1, ColorTransformer(1), SpatialTransformer(), True
    yield 3, ColorTransformer(3, bound=0.4), SpatialTransformer("similarity", padding="border"), True
    yield 3, ColorTransformer(3, nonnegative=True), SpatialTransformer("rotation", padding="reflection"), True
    yield (
        3,
        ColorTransformer(3, family="bias"),
        SpatialTransformer("translation", padding="reflection"),
        False,
    )
    yield 1, ColorTransformer(1, family="gain"), None, True
    yield 3, None, SpatialTransformer("zoom", padding="border"), False
    yield 1, None, SpatialTransformer("shear", nonnegative=True), False
    for padding in PADDINGS:
        for around in (True, False):
            yield 1, None, SpatialTransformer(padding=padding, interpolation="bicubic"), around


@pytest.mark.skipif(NODE is None, reason="no node")
def test_the_browser_computes_what_the_net_does(tmp_path):
    (tmp_path / "sliders.js").write_text(_file("sliders.js"))
    cases, expected = [], []
    g = torch.Generator().manual_seed(0)
    for seed, (channels, color, spatial, around) in enumerate(nets()):
        parts = [None if part is None else learned(part, seed) for part in (color, spatial)]
        net = InvariantTransformerNet(nn.Identity(), *parts)
        canvas = torch.rand(1, channels, 9, 13, generator=g)
        crop, box, surround = (0, 0, 9, 13), (0, 0, 13, 9), None
        if around:
            crop, box = (2, 3, 5, 7), (1, 2, 11, 8)
            surround = Surround(*crop, torch.tensor([box]))
        families = part_sliders(net, (1, channels, *crop[2:]))
        data = {"families": [list(map(part_data, families))]}
        image = {"pixels": canvas.flatten().tolist(), "channels": channels, "height": 9, "width": 13}
        image |= {"crop": crop, "box": box, "family": 0}
        for ks in (torch.zeros(2, 2), torch.ones(2, 2), torch.rand(2, 2, generator=g)):
            cases.append({"data": data, "image": image, "ks": ks.tolist()})
            expected.append(net.transform(canvas, *ks, surround=surround).detach().flatten())
    program = [NODE, "-e", PROGRAM, str(tmp_path / "sliders.js")]
    done = subprocess.run(program, input=json.dumps(cases), capture_output=True, text=True, check=True)
    moved = 0
    for found, of_net in zip(json.loads(done.stdout), expected, strict=True):
        torch.testing.assert_close(torch.tensor(found, dtype=of_net.dtype), of_net, atol=2e-5, rtol=0)
        moved += int((of_net - of_net.mean()).abs().max() > 0.1)
    assert moved > 10  # the pictures are not all flat


@pytest.mark.skipif(NODE is None, reason="no node")
def test_the_nearest_point_is_that_of_the_lattice(tmp_path):
    (tmp_path / "sliders.js").write_text(_file("sliders.js"))
    points = [0, 0.25, 0.5, 0.75, 1]
    lattice = torch.cartesian_prod(*[torch.tensor(points)] * 4)
    ks = torch.rand(20, 4, generator=torch.Generator().manual_seed(0))
    nearest = (ks[:, None] - lattice).abs().sum(2).argmin(1).tolist()
    program = f"""
const family = require({json.dumps(str(tmp_path / "sliders.js"))});
const ks = {json.dumps(ks.view(20, 2, 2).tolist())}, points = {json.dumps(points)};
console.log(JSON.stringify(ks.map((k) => family.nearest(points, k).number)));"""
    done = subprocess.run([NODE, "-e", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == nearest


class Fade(Transformer):
    names, bound = ("black",), 0.9

    def apply_parameters(self, images, p, frame):
        return images * (1 - p[:, :, None, None].abs())

    def displacement(self, p, frame):
        return p[:, 0].square()


def test_what_the_browser_cannot_compute_has_no_sliders():
    def curved(p, aspect):
        return [p[0] ** 2, 0, 0, 0, 0, 0]

    itn.nn.register_family("test_curved", ["a"], 0.5, curved, replace=True)
    for parts in (
        {"fade": Fade()},
        {"spatial": SpatialTransformer(), "color": ColorTransformer(1)},
        {"spatial": SpatialTransformer("test_curved")},
    ):
        assert part_sliders(InvariantTransformerNet(nn.Identity(), parts), (1, 1, 8, 8)) == ()
