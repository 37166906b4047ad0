"""Photographs in memory become what they become from a folder; nothing is written."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

import itn
from itn.explorer.photograph import PhotographReader


@pytest.mark.parametrize(("surround", "ratio"), [("auto", 1.5), ("none", None), (1.2, 1.25), (1, None)])
def test_a_photograph_is_what_load_images_reads(colors, folder, file, surround, ratio):
    images = itn.load_images(folder, colors, surround=surround)
    photograph = PhotographReader(colors, surround).read(file)
    assert torch.equal(photograph.image, images.images)
    if ratio is None:
        assert photograph.canvases is images.canvases is None
        return
    assert photograph.canvases.ratio == images.canvases.ratio
    assert torch.equal(photograph.canvases.pixels, images.canvases.pixels)
    assert photograph.canvases.surround[:4] == images.canvases.surround[:4]
    assert torch.equal(photograph.canvases.surround.boxes, images.canvases.surround.boxes)


def test_a_photograph_that_ends_with_its_crop_has_no_surround(colors):
    file = io.BytesIO()
    Image.new("RGB", (20, 20), "white").save(file, "PNG")
    tall = itn.Classifier(colors.net, preprocessing=itn.Preprocessing(resize=20, crop=(20, 20)))
    assert PhotographReader(tall).read(file.getvalue()).canvases is None


def test_transparent_pixels_show_the_background(colors):
    file = io.BytesIO()
    Image.new("RGBA", (20, 20), (10, 20, 30, 0)).save(file, "PNG")
    assert PhotographReader(colors).read(file.getvalue()).image.amax() == 30
    assert PhotographReader(colors, background="white").read(file.getvalue()).image.amin() == 255
    with pytest.raises(ValueError, match="background must be an opaque color"):
        PhotographReader(colors, background="whitish")


def test_files_that_are_no_photographs_are_refused(colors):
    reader = PhotographReader(colors)
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    png = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (50, 50), dtype=np.uint8)).save(png, "PNG")
    for file, message in (
        (b"", "not an image that PIL can read"),
        (b"hello", "not an image that PIL can read"),
        (eps, "an EPS file is a program"),
        (png.getvalue()[:500], "this image cannot be read"),
    ):
        with pytest.raises(ValueError, match=message):
            reader.read(file)


def test_heic_is_read_where_its_reader_is_installed(colors):
    heif = pytest.importorskip("pillow_heif")
    file = io.BytesIO()
    heif.from_pillow(Image.new("RGB", (64, 64), (200, 100, 50))).save(file)
    assert PhotographReader(colors).read(file.getvalue()).image.shape == (1, 3, 14, 18)
