"""Images under points of a box, against oracles that compose positions on paper."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from torch import nn

import itn
from itn import CheckedImages, WorstConfig
from itn.boxes.passes import BoxPasses
from itn.screening.passes import Screener
from tests.shades import shade_classifier, shade_photographs


def passes_of(images, classifier=None, canvases=None, **config):
    labels = torch.zeros(len(images), dtype=torch.int64)
    data = CheckedImages(images, labels, labels, None, canvases)
    net = nn.Sequential(nn.Flatten(), nn.Linear(images[0].numel(), 2))
    return BoxPasses(classifier or itn.Classifier(net), data, WorstConfig(**config))


POSITIONS = {  # where F(I, v) reads the image at (x, y), in pixels from the outer edge
    "translate_x": lambda x, y, v, w, h: (x - v * w, y),
    "translate_y": lambda x, y, v, w, h: (x, y - v * h),
    "zoom": lambda x, y, v, w, h: (v * x - (v - 1) * w / 2, v * y - (v - 1) * h / 2),
    "rotate": lambda x, y, v, w, h: (
        w / 2 + np.cos(np.deg2rad(v)) * (x - w / 2) + np.sin(np.deg2rad(v)) * (y - h / 2),
        h / 2 - np.sin(np.deg2rad(v)) * (x - w / 2) + np.cos(np.deg2rad(v)) * (y - h / 2),
    ),
    "shear_x": lambda x, y, v, w, h: (x - v * (y - h / 2), y),
}


@pytest.mark.parametrize(
    "names", [("rotate", "translate_x", "zoom"), ("translate_y", "shear_x", "rotate"), ("zoom", "rotate")]
)
def test_a_single_warp_reads_where_the_composition_reads(names, odd_images):
    """The first transformation is innermost: what the last one reads at p is what the first made there."""
    box = {"rotate": (-40, 40), "translate_x": (-0.3, 0.3), "translate_y": (-0.3, 0.3), "zoom": (0.5, 2)}
    box["shear_x"] = (-0.5, 0.5)
    passes = passes_of(odd_images.float(), box={name: box[name] for name in names})
    random = torch.Generator().manual_seed(0)
    ways = 2 * torch.rand(len(odd_images), len(names), generator=random, dtype=torch.float64) - 1
    magnitudes = passes.box.magnitudes(ways)
    got = passes.pictures(torch.arange(len(odd_images)), magnitudes)
    h, w = odd_images.shape[-2:]
    for image, point, mine in zip(odd_images.numpy(), magnitudes.tolist(), got.numpy(), strict=True):
        y, x = np.meshgrid(np.arange(h) + 0.5, np.arange(w) + 0.5, indexing="ij")
        for name, v in reversed(list(zip(names, point, strict=True))):
            x, y = POSITIONS[name](x, y, v, w, h)
        for channel, seen in zip(image, mine, strict=True):
            oracle = map_coordinates(channel, [y - 0.5, x - 0.5], order=1, mode="grid-constant", cval=0)
            assert seen == pytest.approx(oracle, abs=1e-5)


def test_the_identity_returns_images_bit_for_bit(odd_images):
    images = odd_images.float()
    passes = passes_of(
        images, box={"rotate": (-9, 9), "zoom": (0.5, 2), "brightness": (-1, 1), "blur": (0, 2)}
    )
    ways = torch.zeros(3, 4, dtype=torch.float64)
    assert torch.equal(passes.pictures(torch.arange(3), passes.box.magnitudes(ways)), images)


def test_colors_come_before_the_warp_so_that_what_comes_in_stays_black():
    images = torch.full((2, 1, 4, 8), 0.5)
    passes = passes_of(images, box={"translate_x": (-0.5, 0.5), "brightness": (-0.2, 0.2)})
    assert passes.box.names == ("brightness", "translate_x")
    magnitudes = torch.tensor([[0.2, 0.5], [-0.2, -0.5]], dtype=torch.float64)
    got = passes.pictures(torch.tensor([0, 1]), magnitudes)
    assert got[0, 0, 0].tolist() == pytest.approx([0] * 4 + [0.7] * 4)
    assert got[1, 0, 0].tolist() == pytest.approx([0.3] * 4 + [0] * 4)


@pytest.mark.parametrize(
    "names",
    [
        *(("rotate", "translate_x"), ("brightness", "rotate"), ("noise", "zoom")),
        *(("perspective_x", "rotate"), ("rotate", "perspective_x")),  # one warp
        *(
            ("elastic", "rotate"),
            ("occlusion", "perspective_x"),
            ("vignette", "zoom"),
            ("elastic", "occlusion"),
        ),
    ],
    ids=",".join,
)
@pytest.mark.parametrize("surround", ["auto", "none"])
def test_pairs_are_those_of_a_screen_with_and_without_surround(names, surround, tmp_path):
    classifier = shade_classifier(0.3, 20)
    photographs = shade_photographs(tmp_path, classifier, 4)
    canvases = photographs.canvases if surround == "auto" else None
    images = photographs.images if canvases is None else canvases.crops
    ends = {"rotate": (-30, 30), "translate_x": (-0.3, 0.3), "brightness": (-0.2, 0.2), "zoom": (0.5, 2)}
    ends |= dict.fromkeys(("noise", "occlusion", "vignette"), (0, 0.3))
    ends |= {"perspective_x": (-20, 20), "elastic": (0, 0.03)}
    passes = passes_of(images, classifier, canvases, box={name: ends[name] for name in names}, seed=3)
    screener = Screener(classifier, passes.data, itn.ScreenConfig(seed=3))
    first, second = (itn.TRANSFORMS[name] for name in names)
    v, w = (ends[name][1] for name in names)
    index = torch.arange(len(images))
    theirs = screener.output(screener.pair(first, v, second, w), index).changed
    mine = passes.pictures(index, torch.tensor([[v, w]], dtype=torch.float64).expand(len(index), 2))
    assert mine == pytest.approx(theirs, abs=2e-6)


def test_answers_are_those_of_each_image_under_its_own_point(side, blobs):
    images, labels = blobs
    data = CheckedImages(images, labels, labels)
    passes = BoxPasses(side, data, WorstConfig(box={"translate_x": (-0.5, 0.5)}, batch_size=7))
    index = torch.arange(40)
    ways = torch.linspace(-1, 1, 40, dtype=torch.float64)[:, None]
    answers = passes.answers(index, ways)
    for image, way, (margin, prediction) in zip(index, ways, answers, strict=True):
        logits = side(itn.TRANSFORMS["translate_x"](images[image, None], float(way) / 2))[0]
        assert prediction == logits.argmax()
        assert (margin < 0) == (prediction != labels[image])
        assert float(margin) == pytest.approx(
            float(logits[labels[image]] - logits[1 - labels[image]]), abs=1e-3
        )


def test_an_image_breaks_exactly_where_its_class_is_not_predicted():
    """A tie is decided by the order of the classes, as everywhere."""

    class Tied(nn.Module):
        def forward(self, images):
            return torch.zeros(len(images), 3)

    images, labels = torch.rand(3, 1, 4, 4), torch.tensor([0, 1, 2])
    for topk, kept in ((1, [True, False, False]), (2, [True, True, False])):
        config = WorstConfig(box={"brightness": (-0.1, 0.1)}, topk=topk)
        passes = BoxPasses(itn.Classifier(Tied()), CheckedImages(images, labels, labels), config)
        margins = passes.answers(torch.arange(3), torch.zeros(3, 1, dtype=torch.float64))[:, 0]
        assert (margins >= 0).tolist() == kept


def test_settings_that_cannot_run_are_refused(side, blobs):
    data = CheckedImages(*blobs, blobs[1])
    box = {"rotate": (-5, 5)}
    with pytest.raises(ValueError, match="topk must be less than the 2 outputs of side, got 2"):
        BoxPasses(side, data, WorstConfig(box=box, topk=2)).check()
    fine = BoxPasses(side, dataclasses.replace(data), WorstConfig(box=box))
    fine.check()
