import itertools
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import itn
from itn.data import decoding
from itn.data.class_folders import is_image
from itn.data.decoding import open_photo, read_photo, read_photos
from itn.models.preprocessing import Preprocessing

RANDOM = np.random.default_rng(0)
HEIGHT, WIDTH = 7, 11


def noise(*shape, high=256, dtype=np.uint8):
    return RANDOM.integers(0, high, shape, dtype)


def classifier(**settings):
    return itn.Classifier(nn.Flatten(), name="net", **settings)


def luma(rgb):
    return (rgb * [0.299, 0.587, 0.114]).sum(-1)


def bands(mode, array):
    return Image.merge(mode, [Image.fromarray(band) for band in np.moveaxis(array, -1, 0)])


def palette_image(colors, indices):
    image = Image.fromarray(indices).convert("P")
    image.putdata(indices.flatten().tolist())
    image.putpalette(colors.flatten().tolist())
    return image


def one_bit():
    bits = noise(HEIGHT, WIDTH, high=2)
    return Image.fromarray(255 * bits).convert("1"), "png", {}, 255 * bits[..., None].repeat(3, 2)


def gray():
    values = noise(HEIGHT, WIDTH)
    return Image.fromarray(values), "png", {}, values[..., None].repeat(3, 2)


def gray_alpha():
    values = noise(HEIGHT, WIDTH, 2)
    on_black = values[..., :1] * (values[..., 1:] / 255)
    return bands("LA", values), "png", {}, on_black.repeat(3, 2)


def palette():
    colors, indices = noise(16, 3), noise(HEIGHT, WIDTH, high=16)
    return palette_image(colors, indices), "gif", {}, colors[indices]


def palette_alpha():
    colors, indices, alpha = noise(16, 3), noise(HEIGHT, WIDTH, high=16), noise(16)
    on_black = (colors * (alpha[:, None] / 255))[indices]
    return palette_image(colors, indices), "png", {"transparency": alpha.tobytes()}, on_black


def color():
    values = noise(HEIGHT, WIDTH, 3)
    return Image.fromarray(values), "png", {}, values


def color_with_a_transparent_one():
    values = noise(HEIGHT, WIDTH, 3)
    values[2:5, 3:8] = 200, 100, 50
    on_black = values.copy()
    on_black[2:5, 3:8] = 0
    return Image.fromarray(values), "png", {"transparency": (200, 100, 50)}, on_black


def color_alpha():
    values = noise(HEIGHT, WIDTH, 4)
    return (
        Image.fromarray(values),
        "webp",
        {"lossless": True, "exact": True},
        values[..., :3] * (values[..., 3:] / 255),
    )


def inks():
    values = noise(HEIGHT, WIDTH, 4)
    paper = 255.0 - values
    return bands("CMYK", values), "tif", {}, paper[..., :3] * paper[..., 3:] / 255


KINDS = [
    one_bit,
    gray,
    gray_alpha,
    palette,
    palette_alpha,
    color,
    color_with_a_transparent_one,
    color_alpha,
    inks,
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image_becomes_color_and_gray(kind, tmp_path):
    image, extension, options, expected = kind()
    path = tmp_path / f"image.{extension}"
    image.save(path, **options)
    rounding = 0 if expected.dtype == np.uint8 else 1
    made = read_photo(path, "RGB", background="black")
    assert made.dtype == np.uint8
    np.testing.assert_allclose(made.astype(float), expected, atol=rounding)
    made = read_photo(path, "L", background="black")
    np.testing.assert_allclose(made.astype(float), luma(expected)[..., None], atol=rounding + 0.6)


@pytest.mark.filterwarnings("ignore:Palette images with Transparency")
@pytest.mark.parametrize("kind", KINDS)
def test_without_a_background_pixels_are_those_of_torchvision_and_timm(kind, tmp_path):
    image, extension, options, _ = kind()
    path = tmp_path / f"image.{extension}"
    image.save(path, **options)
    with Image.open(path) as opened:
        np.testing.assert_array_equal(read_photo(path, "RGB"), np.asarray(opened.convert("RGB")))


def test_a_background_is_seen_through_what_is_transparent(tmp_path):
    values = noise(HEIGHT, WIDTH, 4)
    Image.fromarray(values).save(tmp_path / "a.png")
    share = values[..., 3:] / 255
    expected = values[..., :3] * share + np.array([255, 0, 128]) * (1 - share)
    made = read_photo(tmp_path / "a.png", "RGB", background="#ff0080")
    np.testing.assert_allclose(made.astype(float), expected, atol=1)


def test_transparent_images_are_counted_and_opaque_ones_are_not(tmp_path):
    for name, alpha in (("a.png", 255), ("b.png", 254), ("c.png", 0)):
        Image.new("RGBA", (3, 2), (10, 20, 30, alpha)).save(tmp_path / name)
    images, reading = read_photos(tmp_path, ["a.png", "b.png", "c.png"])
    assert reading.transparent == 2
    assert images[:, :, 1, 2].tolist() == [[10, 20, 30]] * 3
    images, reading = read_photos(tmp_path, ["a.png", "c.png"], background="white")
    assert images[:, :, 1, 2].tolist() == [[10, 20, 30], [255] * 3]


@pytest.mark.parametrize("background", ["whit", "#12345", "#ffffff80", "", 7])
def test_a_background_that_is_no_color_is_refused(background, tmp_path):
    with pytest.raises(ValueError, match=f"background must be an opaque color .*, got {background!r}"):
        read_photos(tmp_path, ["a.png"], background=background)


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_lightness_becomes_gray(mode, tmp_path):
    Image.new("LAB", (3, 2), (128, 128, 128)).save(tmp_path / "a.tif")
    np.testing.assert_allclose(read_photo(tmp_path / "a.tif", mode).astype(float), 119, atol=2)  # L* = 50


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("a.png", "<u2"), ("a.tif", "<u2"), ("a.tif", ">u2"), ("a.tif", "<i4"), ("a.pgm", "<u2")],
)
def test_sixteen_bits_are_scaled_and_not_clipped(name, dtype, tmp_path):
    ramp = np.arange(65536).reshape(128, 512)
    Image.fromarray(ramp.astype(dtype)).save(tmp_path / name)
    expected = np.round(ramp / 257)[..., None]
    np.testing.assert_array_equal(read_photo(tmp_path / name, "L"), expected)
    np.testing.assert_array_equal(read_photo(tmp_path / name, "RGB"), expected.repeat(3, 2))


@pytest.mark.parametrize(("background", "shown"), [(None, 233), ("black", 0), ("white", 255)])
def test_one_gray_of_sixteen_bits_may_be_transparent(background, shown, tmp_path):
    values = np.array([[60_000, 30_000, 60_001]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png", transparency=60_000)
    made = read_photo(tmp_path / "a.png", "L", background=background)
    assert made.flatten().tolist() == [shown, 117, 233]


def test_heic_is_read(tmp_path):
    pytest.importorskip("pillow_heif")
    assert is_image("a.heic")  # registers the reader
    stored = np.zeros((32, 64, 3), np.uint8)
    stored[:, :32] = 255, 0, 0
    Image.fromarray(stored).save(tmp_path / "a.heic", quality=95)
    images, reading = read_photos(tmp_path, ["a.heic"])
    np.testing.assert_allclose(images[0].permute(1, 2, 0).float(), stored, atol=30)
    assert reading == ({}, 0)


def test_floats_are_scaled_if_they_lie_in_range(tmp_path):
    values = np.linspace(0, 1, 77, dtype=np.float32).reshape(HEIGHT, WIDTH)
    Image.fromarray(values).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_photo(tmp_path / "a.tif", "L")[..., 0], np.rint(values * 255))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[0, 65536]], np.int32), "values from 0 to 65536, expected 0 to 65535"),
        (np.array([[-1, 9]], np.int32), "values from -1 to 9, expected 0 to 65535"),
        (np.array([[0, 255]], np.float32), "values from 0 to 255, expected 0 to 1"),
        (np.array([[0, np.nan]], np.float32), "values from nan to nan, expected 0 to 1"),
    ],
)
def test_values_beyond_the_range_are_bad(values, message, tmp_path):
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=message):
        read_photo(tmp_path / "a.tif", "RGB")


@pytest.mark.parametrize(
    ("orientation", "upright"),  # the tag's definition: where the stored first row and column belong
    [
        (1, lambda stored: stored),
        (2, lambda stored: stored[:, ::-1]),
        (3, lambda stored: stored[::-1, ::-1]),
        (4, lambda stored: stored[::-1]),
        (5, lambda stored: stored.swapaxes(0, 1)),
        (6, lambda stored: stored[::-1].swapaxes(0, 1)),
        (7, lambda stored: stored[::-1, ::-1].swapaxes(0, 1)),
        (8, lambda stored: stored[:, ::-1].swapaxes(0, 1)),
    ],
)
@pytest.mark.parametrize("high", [256, 65536])
def test_a_turned_camera_is_turned_back(orientation, upright, high, tmp_path):
    stored = noise(HEIGHT, WIDTH, 3) if high == 256 else noise(HEIGHT, WIDTH, high=high, dtype=np.uint16)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    expected = upright(stored if high == 256 else np.rint(stored / 257)[..., None])
    np.testing.assert_array_equal(read_photo(tmp_path / "a.png", "RGB" if high == 256 else "L"), expected)


@pytest.mark.parametrize("extension", ["jpg", "tif", "webp"])
def test_a_turned_camera_is_turned_back_once_in_every_format(extension, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.zeros((16, 32), np.uint8)
    stored[:, :16] = 255  # left half white: upright, it is the upper half
    Image.fromarray(stored).convert("RGB").save(tmp_path / f"a.{extension}", exif=exif, quality=95)
    made = read_photo(tmp_path / f"a.{extension}", "L")[..., 0]
    assert made.shape == (32, 16)
    assert made[:15].min() > 200
    assert made[17:].max() < 50


def test_gray_is_for_classifiers_of_one_channel(tmp_path):
    values = noise(HEIGHT, WIDTH, 3)
    Image.fromarray(values).save(tmp_path / "a.png")
    for channels, expected in ((1, luma(values)[None]), (3, values.transpose(2, 0, 1))):
        images, _ = read_photos(tmp_path, ["a.png"], classifier(mean=(0.5,) * channels, std=(1,) * channels))
        assert images.dtype == torch.uint8
        np.testing.assert_allclose(images[0].float(), expected, atol=0.6)
    for colorful in (None, classifier()):
        assert torch.equal(read_photos(tmp_path, ["a.png"], colorful)[0], images)
    with pytest.raises(ValueError, match=r"takes 4 channels, image files give 1 \(gray\) or 3 \(RGB\)"):
        read_photos(tmp_path, ["a.png"], classifier(mean=(0.5,) * 4, std=(1,) * 4))


@pytest.mark.parametrize("size", [(1, 1), (900, 2), (3, 500)])
def test_sizes_far_from_the_input_are_resized(size, tmp_path):
    Image.new("RGB", size, (9, 99, 199)).save(tmp_path / "a.png")
    images, _ = read_photos(tmp_path, ["a.png"], classifier(preprocessing=Preprocessing(10, (6, 8))))
    assert torch.equal(
        images, torch.tensor([9, 99, 199], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 6, 8)
    )


def numbered(folder, n):
    """Write n images that each say which they are."""
    names = [f"{i:03}.png" for i in range(n)]
    for i, name in enumerate(names):
        Image.new("L", (4, 3), i).save(folder / name)
    return names


@pytest.mark.parametrize("workers", [1, 4])
def test_order_does_not_depend_on_the_timing_of_threads(workers, tmp_path, monkeypatch):
    names = numbered(tmp_path, 24)
    together = threading.Barrier(workers, timeout=60)  # passes only if so many threads read at once

    def slow_at_first(path, *rest):
        together.wait()
        time.sleep((24 - int(path.stem)) / 2000)
        return open_photo(path, *rest)

    monkeypatch.setattr(decoding, "open_photo", slow_at_first)
    images, reading = read_photos(tmp_path, names, workers=workers)
    assert images[:, 1, 2, 3].tolist() == list(range(24))
    assert reading == ({}, 0)


def break_jpeg(path):
    Image.fromarray(noise(64, 64, 3)).save(path)
    path.write_bytes(path.read_bytes()[:1500])


def break_png_checksum(path):
    Image.fromarray(noise(64, 64, 3)).save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


BROKEN = {
    "truncated.jpg": (break_jpeg, "image file is truncated"),
    "flipped.png": (break_png_checksum, "."),
    "text.jpg": (lambda path: path.write_text("no image"), "not an image that PIL can read"),
    "empty.png": (Path.touch, "not an image that PIL can read"),
    "folder.png": (Path.mkdir, "Is a directory"),
    "missing.png": (lambda path: None, "No such file or directory"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_image_is_named_or_left_out(name, tmp_path):
    names = numbered(tmp_path, 5)
    names.insert(3, name)
    spoil, reason = BROKEN[name]
    spoil(tmp_path / name)
    with pytest.raises(ValueError, match=rf"cannot read .*{name} \({reason}.*remove it, or add skip_bad"):
        read_photos(tmp_path, names)
    images, (bad, _) = read_photos(tmp_path, names, skip_bad=True)
    assert images[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert images.shape == (5, 3, 3, 4)
    assert list(bad) == [3]
    with pytest.raises(ValueError, match=rf"none of 1 image .* can be read; the first, {name}: {reason}"):
        read_photos(tmp_path, [name], skip_bad=True)


def test_the_first_broken_image_is_named_whichever_is_found_first(tmp_path, monkeypatch):
    def fail(path, *rest):
        time.sleep(0.05 if path.stem == "a" else 0)
        raise OSError(path.stem)

    monkeypatch.setattr(decoding, "open_photo", fail)
    with pytest.raises(ValueError, match=r"a\.png \(a\)"):
        read_photos(tmp_path, ["a.png", "b.png", "c.png"], workers=3)


def test_images_too_large_to_be_photographs_are_bad(tmp_path, monkeypatch):
    for name, width in (("a.png", 15), ("b.png", 25)):
        Image.new("L", (width, 10), 7).save(tmp_path / name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # PIL warns beyond, and refuses beyond twice as many
    images, (bad, _) = read_photos(tmp_path, ["a.png", "b.png"], skip_bad=True)
    assert images.shape == (1, 3, 10, 15)
    assert "decompression bomb" in bad[1]


def test_nothing_more_is_read_after_a_broken_image(tmp_path, monkeypatch):
    counter = itertools.count()

    def fail(path, *rest):
        next(counter)
        time.sleep(0.01)
        raise OSError("broken")

    monkeypatch.setattr(decoding, "open_photo", fail)
    with pytest.raises(ValueError, match=r"0\.png \(broken\)"):
        read_photos(tmp_path, [f"{i}.png" for i in range(500)], workers=2)
    assert next(counter) < 50


def test_a_broken_note_of_the_camera_does_not_spoil_the_pixels(tmp_path):
    Image.new("RGB", (4, 3), "white").save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01")
    assert (read_photos(tmp_path, ["a.jpg"])[0] == 255).all()


def test_images_of_two_sizes_need_a_preprocessing(tmp_path):
    names = numbered(tmp_path, 3)
    Image.new("L", (5, 6)).save(tmp_path / names[2])
    (tmp_path / names[0]).write_text("broken")
    message = r"001\.png has 4 x 3 pixels, 002\.png has 5 x 6: give the Classifier a preprocessing="
    with pytest.raises(ValueError, match=message):
        read_photos(tmp_path, names, skip_bad=True)
    images, _ = read_photos(tmp_path, names[1:], classifier(preprocessing=Preprocessing(2, (2, 1))))
    assert images.shape == (2, 3, 2, 1)


def test_ctrl_c_ends_promptly(tmp_path, monkeypatch):
    counter = itertools.count()

    def interrupted(path, *rest):
        if next(counter) == 5:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        time.sleep(0.02)
        return Image.new("RGB", (4, 3)), False

    monkeypatch.setattr(decoding, "open_photo", interrupted)
    with pytest.raises(KeyboardInterrupt):
        read_photos(tmp_path, [f"{i}.png" for i in range(500)], workers=2)
    done = next(counter)
    assert done < 50
    time.sleep(0.1)
    assert next(counter) == done + 1  # no thread goes on


def test_a_bar_is_shown_on_demand(tmp_path, capsys):
    names = numbered(tmp_path, 5)
    read_photos(tmp_path, names)
    assert capsys.readouterr().err == ""
    read_photos(tmp_path, names, progress=True)
    assert "5/5" in capsys.readouterr().err


def test_no_workers_are_refused(tmp_path):
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        read_photos(tmp_path, ["a.png"], workers=0)
