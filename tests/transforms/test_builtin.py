import math

import numpy as np
import PIL.Image
import pytest
import scipy.ndimage
import torch

from itn.functional.sampling import PADDINGS
from itn.transforms import PAPER, TRANSFORMS

# Names of scipy and numpy for the paddings
SCIPY_WARP = {"zeros": "grid-constant", "border": "nearest", "reflection": "reflect"}
SCIPY_FILTER = {"zeros": "constant", "border": "nearest", "reflection": "reflect"}
NUMPY_PAD = {"zeros": "constant", "border": "edge", "reflection": "symmetric"}
PROJECTIVE = ("perspective_x", "perspective_y")
SPATIAL = [name for name, transform in TRANSFORMS.items() if transform.spatial and name not in PROJECTIVE]
ANGLES = [7.0, -33.0, 111.0, 205.5]

every = pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
every_padding = pytest.mark.parametrize("padding", PADDINGS)


def possible(transform, channels):
    """The channels, or three where the transformation refuses that many."""
    return 3 if transform.name in ("saturation", "hue") and channels == 2 else channels


def asymmetric(channels=2, batch=3, size=(9, 13), dtype=torch.float64, seed=1):
    images = torch.rand(batch, channels, *size, generator=torch.Generator().manual_seed(seed))
    return (images * 255).byte() if dtype == torch.uint8 else images.to(dtype)


def pattern(images, seed=2):
    randomness = torch.Generator().manual_seed(seed)
    return torch.randn(images.shape, generator=randomness, dtype=torch.float64).to(
        images.dtype if images.is_floating_point() else torch.float32
    )


def mixed(transform):
    """Three magnitudes, the identity between two from the ends of the sweep, where nothing is symmetric."""
    return torch.tensor([transform.magnitudes[1], transform.identity, transform.magnitudes[-2]]).double()


def close(result, expected, atol=1e-12):
    np.testing.assert_allclose(result.numpy(), np.asarray(expected), rtol=0, atol=atol)


def test_the_eleven_of_the_paper_come_first():
    names = (
        *("translate_x", "translate_y", "rotate", "scale_x", "scale_y", "zoom"),
        *("brightness", "contrast", "grayscale", "blur", "noise"),
    )
    assert names == PAPER
    assert tuple(TRANSFORMS)[: len(names)] == names
    identities = {name: transform.identity for name, transform in TRANSFORMS.items() if transform.identity}
    factors = ("scale_x", "scale_y", "zoom", "contrast", "gamma", "saturation", "sharpness", "pixelate")
    assert identities == dict.fromkeys(factors, 1.0) | {"posterize": 8.0, "solarize": 1.0}
    assert {name for name, transform in TRANSFORMS.items() if transform.logarithmic} == set(factors)


@every
def test_units_say_which_way_factors_go_and_fit_on_an_axis(transform):
    assert not transform.logarithmic or "above 1" in transform.unit or transform.name == "pixelate"
    assert len(transform.unit) <= 34


@every
def test_sweeps_ascend_and_contain_the_identity(transform):
    assert list(transform.magnitudes) == sorted(set(transform.magnitudes))
    assert transform.identity in transform.magnitudes


# Laws of every transformation


@every
@every_padding
@pytest.mark.parametrize(
    ("channels", "dtype"),
    [
        (1, torch.uint8),
        (3, torch.uint8),
        (1, torch.float32),
        (3, torch.float32),
        (2, torch.float64),
        (3, torch.float16),
        (3, torch.bfloat16),
    ],
    ids=str,
)
def test_identity_is_exact(transform, padding, channels, dtype):
    images = asymmetric(possible(transform, channels), dtype=dtype)
    expected = images.float() / 255 if dtype == torch.uint8 else images
    for v in (transform.identity, torch.tensor(transform.identity), torch.full((3,), transform.identity)):
        assert torch.equal(transform(images, v, padding=padding), expected)
    among_others = transform(images, mixed(transform), padding=padding)
    assert torch.equal(among_others[1], expected[1])
    assert channels == 1 or not torch.equal(among_others, expected)


@every
def test_identity_is_exact_where_values_are_at_their_ends(transform):
    images = asymmetric(3).round()
    assert torch.equal(transform(images, transform.identity), images)


@every
def test_every_other_magnitude_changes_something(transform):
    images = asymmetric(3)
    for v in set(transform.magnitudes) - {transform.identity}:
        assert (transform(images, v) - images).abs().max() > 0.005, v


@every
@every_padding
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_magnitude_per_image_equals_a_loop(transform, padding, channels):
    images = asymmetric(possible(transform, channels))
    noise = pattern(images)
    v = mixed(transform)
    loop = [
        transform(images[[i]], v[i].item(), padding=padding, noise=noise[[i]]) for i in range(len(images))
    ]
    close(transform(images, v, padding=padding, noise=noise), torch.cat(loop))


@every
def test_one_magnitude_applies_to_all_images(transform):
    images, v = asymmetric(3), transform.magnitudes[-2]
    given = torch.tensor(v, dtype=torch.float64)
    expected = transform(images, v)  # not rounded to float32, for images in float64
    assert torch.equal(transform(images, given), expected)
    assert torch.equal(transform(images, given.view(1)), expected)
    close(transform(images, given.expand(3)), expected)
    assert transform(images.float(), given).dtype == torch.float32


@every
@every_padding
def test_results_do_not_depend_on_other_images(transform, padding):
    images, others = asymmetric(3), asymmetric(3, seed=9)
    noise, other_noise = pattern(images), pattern(images, seed=10)
    v = mixed(transform)[[2, 0, 1]]
    others[1], other_noise[1] = images[1], noise[1]
    result = transform(images, v, padding=padding, noise=noise)[1]
    other_v = torch.stack([v[2], v[1], v[0]])
    close(transform(others, other_v, padding=padding, noise=other_noise)[1], result)


@every
@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str
)
def test_results_are_valid_images_of_the_same_kind(transform, dtype):
    images = asymmetric(3, dtype=dtype)
    before = images.clone()
    for v in transform.magnitudes:
        result = transform(images, v, padding="border")
        assert result.shape == images.shape
        assert result.dtype == (torch.float32 if dtype == torch.uint8 else dtype)
        assert result.min() >= 0
        assert result.max() <= 1
    assert torch.equal(images, before)


@every
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.bfloat16], ids=str)
def test_images_of_low_precision_are_transformed_in_full_precision(transform, dtype):
    """Only the result is rounded: a half-precision angle or offset would move whole pixels."""
    images = asymmetric(3, size=(9, 301), dtype=dtype)
    full = images.float() / 255 if dtype == torch.uint8 else images.float()
    v, noise = mixed(transform), pattern(full)
    expected = transform(full, v, noise=noise)
    assert torch.equal(
        transform(images, v, noise=noise), expected if dtype == torch.uint8 else expected.to(dtype)
    )


@pytest.mark.parametrize("name", [name for name, transform in TRANSFORMS.items() if not transform.discrete])
@every_padding
def test_gradients(name, padding):
    transform = TRANSFORMS[name]
    images = (0.3 + 0.4 * asymmetric(3, batch=2, size=(4, 5))).requires_grad_()
    v = mixed(transform)[[0, 2]].requires_grad_()
    noise = pattern(images)

    def change(images, v):
        return transform(images, v, padding=padding, noise=noise)

    assert torch.autograd.gradcheck(change, (images, v), fast_mode=True)


# Errors


@every
def test_bad_input_is_refused(transform):
    images = asymmetric(3)
    message = rf"{transform.name} takes one magnitude, or one for each of 3 images, got shape \({{}}\)"
    with pytest.raises(ValueError, match=message.format("2,")):
        transform(images, torch.full((2,), transform.identity))
    with pytest.raises(ValueError, match=message.format("3, 1")):
        transform(images, torch.full((3, 1), transform.identity))
    for v in (math.nan, math.inf):
        with pytest.raises(ValueError, match=rf"{transform.name} .*, got|: got {v}") as raised:
            transform(images, torch.tensor([transform.identity, v, transform.identity]))
        assert str(raised.value).endswith(f"got {v}")
    with pytest.raises(ValueError, match="padding must be one of zeros, border, reflection, got 'wrap'"):
        transform(images, transform.identity, padding="wrap")
    with pytest.raises(ValueError, match=r"images must lie in \[0, 1\]"):
        transform(images - 0.5, transform.identity)


@pytest.mark.parametrize(
    ("name", "v", "message"),
    [
        (
            "scale_x",
            -0.5,
            r"scale_x \(factor, above 1 narrows content\) takes magnitudes from 0 to inf, got -0.5",
        ),
        ("scale_y", -1, "scale_y .* from 0"),
        ("zoom", -1, "zoom .* from 0"),
        ("contrast", -0.1, "contrast .* from 0"),
        ("brightness", 1.5, r"brightness \(fraction of full range\) takes magnitudes from -1 to 1, got 1.5"),
        ("brightness", -1.25, "from -1 to 1, got -1.25"),
        ("grayscale", 1.25, r"grayscale \(fraction\) takes magnitudes from 0 to 1, got 1.25"),
        ("grayscale", -0.5, "got -0.5"),
        ("blur", -1.0, r"blur \(sigma in pixels\) takes magnitudes from 0 to 1000, got -1"),
        ("noise", -1.0, "noise .* takes magnitudes from 0 to inf, got -1"),
        ("horizontal_flip", 0.5, "horizontal_flip takes 0 or 1 as its magnitude, got 0.5"),
        ("horizontal_flip", 2.0, "got 2"),
    ],
)
def test_magnitudes_out_of_domain_are_refused(name, v, message):
    with pytest.raises(ValueError, match=message):
        TRANSFORMS[name](asymmetric(), v)
    with pytest.raises(ValueError, match=message):
        TRANSFORMS[name](
            asymmetric(), torch.tensor([TRANSFORMS[name].identity, v, TRANSFORMS[name].identity])
        )


def test_the_ends_of_a_domain_are_allowed():
    images = asymmetric()
    assert (TRANSFORMS["brightness"](images, 1) == 1).all()
    assert (TRANSFORMS["brightness"](images, -1) == 0).all()
    assert (TRANSFORMS["contrast"](images, 0) == 0).all()
    center = images[:, :, 4:5, 6:7].expand_as(images)
    close(TRANSFORMS["zoom"](images, 0), center)


def test_noise_of_another_shape_is_refused(odd_images):
    with pytest.raises(
        ValueError, match=r"noise must have the images' shape \(3, 2, 9, 13\), got \(3, 2, 9, 12\)"
    ):
        TRANSFORMS["noise"](odd_images, 0.1, noise=torch.randn(3, 2, 9, 12))


# Geometry: references and signs


def centered(name, v, size):
    """The table by hand: from where an output pixel is to where it reads, a 2 x 2 matrix and an offset.

    Both are (x, y) in pixels, right of the center and below it.
    """
    height, width = size
    c, s = math.cos(math.radians(v)), math.sin(math.radians(v))
    unmoved = (0.0, 0.0)
    return {
        "translate_x": (np.eye(2), (-v * width, 0)),
        "translate_y": (np.eye(2), (0, -v * height)),
        "rotate": (np.array([[c, s], [-s, c]]), unmoved),
        "scale_x": (np.diag([v, 1]), unmoved),
        "scale_y": (np.diag([1, v]), unmoved),
        "zoom": (np.diag([v, v]), unmoved),
        "shear_x": (np.array([[1, -v], [0, 1]]), unmoved),
        "shear_y": (np.array([[1, 0], [-v, 1]]), unmoved),
    }[name]


def index_map(name, v, size):
    """The same from pixel index to pixel index, 3 x 3, (x, y)."""
    linear, offset = centered(name, v, size)
    middle = (np.array(size[::-1]) - 1) / 2
    square = np.eye(3)
    square[:2, :2] = linear
    square[:2, 2] = middle + offset - linear @ middle
    return square


def values(name):
    """Magnitudes on both sides of the identity that hit no pixel."""
    if name == "rotate":
        return ANGLES
    return [0.37, 1.9, 2.83] if TRANSFORMS[name].logarithmic else [-0.83, -0.21, 0.13, 0.55]


@pytest.mark.parametrize("name", SPATIAL)
@every_padding
def test_warps_match_scipy(name, padding, odd_images):
    size = odd_images.shape[-2:]
    for v in values(name):
        rows_first = index_map(name, v, size)[[1, 0, 2]][:, [1, 0, 2]]
        result = TRANSFORMS[name](odd_images, v, padding=padding)
        for image, changed in zip(odd_images.flatten(0, 1), result.flatten(0, 1), strict=True):
            expected = scipy.ndimage.affine_transform(
                image.numpy(), rows_first, order=1, mode=SCIPY_WARP[padding]
            )
            close(changed, expected)


@pytest.mark.parametrize("name", SPATIAL)
def test_warps_match_pil(name):
    """PIL counts from pixel edges, as the table does, but blanks what lies beyond: hence a black margin."""
    y, x = np.mgrid[-1:1:41j, -1:1:61j]
    smooth = np.exp(-(((x - 0.1) / 0.25) ** 2) - ((y + 0.15) / 0.3) ** 2)
    smooth[np.abs(y) > 0.9] = smooth[:, np.abs(x[0]) > 0.9] = 0
    for v in values(name):
        linear, offset = centered(name, v, smooth.shape)
        middle = np.array([61, 41]) / 2
        shift = middle + offset - linear @ middle
        picture = PIL.Image.fromarray(smooth.astype(np.float32))
        data = (*linear[0], shift[0], *linear[1], shift[1])
        expected = picture.transform(
            (61, 41), PIL.Image.Transform.AFFINE, data, PIL.Image.Resampling.BILINEAR
        )
        result = TRANSFORMS[name](torch.from_numpy(smooth)[None, None], v)
        close(result[0, 0], expected, atol=1e-4)


@pytest.mark.parametrize("name", SPATIAL)
def test_warps_match_skimage(name, odd_images):
    skimage = pytest.importorskip("skimage.transform")
    for v in values(name):
        inverse_map = index_map(name, v, (9, 13))
        image = odd_images[0, 0].numpy()
        expected = skimage.warp(image, inverse_map, order=1, mode="constant", cval=0, clip=False)
        close(TRANSFORMS[name](odd_images, v)[0, 0], expected)


def read(row, position):
    """Interpolate a row between pixel centers at a position counted from its left edge; black beyond."""
    left = math.floor(position - 0.5)
    share = position - 0.5 - left
    at = [row[i] if 0 <= i < len(row) else 0.0 for i in (left, left + 1)]
    return (1 - share) * at[0] + share * at[1]


@pytest.mark.parametrize("v", [0.4, 0.8, 1.7, 3.0])
def test_scales_match_the_papers_formula(v, odd_images):
    """I(vx - (v - 1)W/2, y), pixel by pixel, x at the pixels' centers."""

    def scaled(row):
        n = len(row)
        return [read(row, v * (i + 0.5) - (v - 1) * n / 2) for i in range(n)]

    image = odd_images[0, 1].numpy()
    wide = np.array([scaled(row) for row in image])
    high = np.array([scaled(column) for column in image.T]).T
    both = np.array([scaled(row) for row in high])
    for name, expected in (("scale_x", wide), ("scale_y", high), ("zoom", both)):
        close(TRANSFORMS[name](odd_images, v)[0, 1], expected)


@pytest.mark.parametrize("v", [-0.7, 0.3, 1.0])
def test_shears_match_a_loop(v, odd_images):
    image = odd_images[0, 1].numpy()

    def sheared(image):
        height, width = image.shape
        return np.array(
            [
                [read(row, i + 0.5 - v * (j + 0.5 - height / 2)) for i in range(width)]
                for j, row in enumerate(image)
            ]
        )

    close(TRANSFORMS["shear_x"](odd_images, v)[0, 1], sheared(image))
    close(TRANSFORMS["shear_y"](odd_images, v)[0, 1], sheared(image.T).T)


@every_padding
@pytest.mark.parametrize(("right", "down"), [(3, 0), (-4, 0), (0, 2), (0, -5), (13, 0)])
def test_whole_pixel_translation_is_a_shifted_array(right, down, padding, odd_images):
    name, v = ("translate_x", right / 13) if right else ("translate_y", down / 9)
    world = np.pad(odd_images.numpy(), [(0, 0), (0, 0), (9, 9), (13, 13)], NUMPY_PAD[padding])
    expected = world[:, :, 9 - down : 18 - down, 13 - right : 26 - right]
    close(TRANSFORMS[name](odd_images, v, padding=padding), expected)


@every_padding
@pytest.mark.parametrize("quarters", [-3, -2, -1, 1, 2, 3, 4])
@pytest.mark.parametrize("n", [10, 11])
def test_quarter_turns_match_rot90(quarters, n, padding):
    """torch turns counter-clockwise, the table clockwise."""
    images = asymmetric(size=(n, n))
    turned = TRANSFORMS["rotate"](images, 90.0 * quarters, padding=padding)
    close(turned, torch.rot90(images, -quarters, (2, 3)))
    close(TRANSFORMS["rotate"](turned, -90.0 * quarters, padding=padding), images)


def test_a_half_turn_of_an_oblong_frame_reverses_both_axes(odd_images):
    close(TRANSFORMS["rotate"](odd_images, 180), odd_images.flip(-1, -2))


def peak(name, v, start):
    """Where the brightest pixel goes, (x, y) right of and below the center of a 21 x 31 frame."""
    image = torch.zeros(1, 1, 21, 31, dtype=torch.float64)
    image[0, 0, 10 + start[1], 15 + start[0]] = 1
    brightest = int(TRANSFORMS[name](image, v).argmax())
    return brightest % 31 - 15, brightest // 31 - 10


@pytest.mark.parametrize(
    ("name", "v", "start", "end"),
    [
        ("translate_x", 5 / 31, (-3, 2), (2, 2)),
        ("translate_y", 5 / 21, (-3, 2), (-3, 7)),
        ("rotate", 90, (6, 0), (0, 6)),  # from three o'clock to six
        ("rotate", 45, (0, -8), (6, -6)),  # from twelve o'clock towards three
        ("zoom", 2, (8, -6), (4, -3)),
        ("scale_x", 2, (8, -6), (4, -6)),
        ("scale_y", 2, (8, -6), (8, -3)),
        ("scale_x", 0.5, (5, -6), (10, -6)),
        ("shear_x", 1, (3, 4), (7, 4)),  # below the center, so to the right
        ("shear_x", 1, (3, -4), (-1, -4)),
        ("shear_y", 1, (4, 3), (4, 7)),
        ("horizontal_flip", 1, (4, 3), (-4, 3)),
    ],
)
def test_signs(name, v, start, end):
    assert peak(name, v, start) == end


def test_horizontal_flip_reverses_columns(odd_images):
    flipped = TRANSFORMS["horizontal_flip"](odd_images, 1)
    assert np.array_equal(flipped.numpy(), odd_images.numpy()[..., ::-1])
    assert torch.equal(TRANSFORMS["horizontal_flip"](flipped, 1), odd_images)


# Geometry: inverses and compositions


def matrix(name, v, images):
    """The 3 x 3 matrix of a record."""
    affine = TRANSFORMS[name].matrix(torch.tensor([v], dtype=torch.float64), images)[0]
    return torch.cat([affine, torch.tensor([[0.0, 0.0, 1.0]])])


@pytest.mark.parametrize(
    ("name", "a", "b", "both"),
    [
        ("rotate", 30, 45, 75),
        ("rotate", 70, -70, 0),
        ("translate_x", 0.3, -0.1, 0.2),
        ("translate_y", 0.3, -0.3, 0),
        ("scale_x", 2, 0.7, 1.4),
        ("scale_y", 2, 0.5, 1),
        ("zoom", 3, 0.5, 1.5),
        ("shear_x", 0.4, -0.4, 0),
        ("shear_x", 0.4, 0.5, 0.9),
        ("shear_y", 0.4, -0.4, 0),
        ("shear_y", -0.4, -0.5, -0.9),
    ],
)
def test_matrices_compose(name, a, b, both, odd_images):
    product = matrix(name, a, odd_images) @ matrix(name, b, odd_images)
    close(product, matrix(name, both, odd_images))


@every_padding
def test_zoom_is_scale_x_then_scale_y(padding, odd_images):
    product = matrix("scale_x", 1.7, odd_images) @ matrix("scale_y", 1.7, odd_images)
    close(product, matrix("zoom", 1.7, odd_images))
    wide = TRANSFORMS["scale_x"](odd_images, 1.7, padding=padding)
    one_by_one = TRANSFORMS["scale_y"](wide, 1.7, padding=padding)
    close(TRANSFORMS["zoom"](odd_images, 1.7, padding=padding), one_by_one)


@pytest.mark.parametrize(("name", "n"), [("translate_x", 13), ("translate_y", 9)])
def test_translations_by_whole_pixels_compose(name, n, odd_images):
    translate = TRANSFORMS[name]
    for a, b in ((2, 3), (-1, -4)):
        close(translate(translate(odd_images, a / n), b / n), translate(odd_images, (a + b) / n))


# Color, blur and noise


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_brightness_and_contrast_match_their_formulas(channels):
    images = asymmetric(channels)
    for v in (-0.7, -0.05, 0.3, 0.95):
        close(TRANSFORMS["brightness"](images, v), np.clip(images.numpy() + v, 0, 1))
    for v in (0.0625, 0.8, 1.3, 16):
        close(TRANSFORMS["contrast"](images, v), np.clip(images.numpy() * v, 0, 1))


@pytest.mark.parametrize("v", [0.25, 0.5, 1.0])
def test_grayscale_fades_to_luma(v):
    """ITU-R BT.601 for three channels; the mean for two; a gray image is gray already."""
    three, two, one = (asymmetric(channels) for channels in (3, 2, 1))
    luma = 0.299 * three[:, 0] + 0.587 * three[:, 1] + 0.114 * three[:, 2]
    for images, gray in ((three, luma), (two, (two[:, 0] + two[:, 1]) / 2)):
        expected = (1 - v) * images + v * gray.unsqueeze(1)
        close(TRANSFORMS["grayscale"](images, v), expected)
    assert torch.equal(TRANSFORMS["grayscale"](one, v), one)


@pytest.mark.parametrize(
    ("name", "a", "b", "both"),
    [
        ("brightness", 0.1, 0.15, 0.25),
        ("brightness", 0.2, -0.2, 0),
        ("contrast", 0.5, 1.5, 0.75),
        ("contrast", 0.5, 2, 1),
        ("grayscale", 0.2, 0.5, 1 - 0.8 * 0.5),
        ("grayscale", 1, 0.3, 1),
    ],
)
def test_colors_compose_where_nothing_is_clipped(name, a, b, both):
    images = 0.3 + 0.3 * asymmetric(3)
    change = TRANSFORMS[name]
    close(change(change(images, a), b), change(images, both))


@every_padding
def test_blur_matches_scipy(padding):
    """One sigma an image, from almost nothing to far larger than the frame."""
    images = asymmetric(2, batch=6)
    sigmas = torch.tensor([0.05, 0.3, 1.0, 2.7, 11.0, 60.0], dtype=torch.float64)
    result = TRANSFORMS["blur"](images, sigmas, padding=padding)
    for image, blurred, sigma in zip(images, result, sigmas.tolist(), strict=True):
        for channel, changed in zip(image, blurred, strict=True):
            expected = scipy.ndimage.gaussian_filter(
                channel.numpy(), sigma, mode=SCIPY_FILTER[padding], truncate=4
            )
            close(changed, expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1)])
@every_padding
def test_blur_of_narrow_images_matches_scipy(size, padding):
    image = asymmetric(1, batch=1, size=size)
    expected = scipy.ndimage.gaussian_filter(image[0, 0].numpy(), 1.5, mode=SCIPY_FILTER[padding])
    close(TRANSFORMS["blur"](image, 1.5, padding=padding)[0, 0], expected)


def test_blur_matches_skimage():
    filters = pytest.importorskip("skimage.filters")
    image = asymmetric(3, batch=1)
    expected = filters.gaussian(image[0].numpy(), 1.7, mode="nearest", truncate=4, channel_axis=0)
    close(TRANSFORMS["blur"](image, 1.7, padding="border")[0], expected)


@every_padding
def test_variances_of_blurs_add_inside_the_frame(padding):
    """To the accuracy of kernels that are cut at 4 sigma."""
    images = asymmetric(1, batch=1, size=(61, 71))
    blur = TRANSFORMS["blur"]
    twice = blur(blur(images, 1.5, padding=padding), 2.0, padding=padding)
    once = blur(images, 2.5, padding=padding)
    inside = (..., slice(15, -15), slice(15, -15))
    assert (twice - once)[inside].abs().max() < 2e-4
    assert (blur(images, 2.4) - once)[inside].abs().max() > 1e-3


def test_blur_keeps_a_flat_image_flat_unless_the_padding_is_black():
    flat = torch.full((1, 1, 9, 13), 0.6, dtype=torch.float64)
    for padding in ("border", "reflection"):
        close(TRANSFORMS["blur"](flat, 2.5, padding=padding), flat)
    assert TRANSFORMS["blur"](flat, 2.5)[0, 0, 0, 0] < 0.3


def test_noise_is_added_and_clipped(odd_images):
    noise = pattern(odd_images)
    expected = np.clip(odd_images.numpy() + 0.3 * noise.numpy(), 0, 1)
    close(TRANSFORMS["noise"](odd_images, 0.3, noise=noise), expected)
    per_image = TRANSFORMS["noise"](odd_images, [0.3, 0.0, 0.7], noise=noise)
    close(per_image[0], expected[0])
    assert torch.equal(per_image[1], odd_images[1])


def test_default_noise_is_standard_normal():
    gray = torch.full((2, 3, 200, 201), 0.5)
    z = (TRANSFORMS["noise"](gray, 0.05) - 0.5).double() / 0.05
    n = z.numel()
    assert abs(z.mean()) < 5 / math.sqrt(n)
    assert abs(z.std() - 1) < 5 / math.sqrt(2 * n)
    assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / n)
    # pixels, channels and images are independent of each other
    for shifted in (z.roll(1, 3), z.roll(1, 2), z.roll(1, 1), z.roll(1, 0)):
        assert abs((z * shifted).mean()) < 5 / math.sqrt(n / 2)


def test_noise_is_reproducible(odd_images):
    noise = TRANSFORMS["noise"]

    def seeded(seed):
        return noise(odd_images, 0.2, generator=torch.Generator().manual_seed(seed))

    torch.manual_seed(5)
    state = torch.get_rng_state()
    default = noise(odd_images, 0.2)
    assert torch.equal(torch.get_rng_state(), state)  # the global generator is unchanged
    torch.manual_seed(6)
    assert torch.equal(noise(odd_images, 0.2), default)
    assert torch.equal(seeded(3), seeded(3))
    assert not torch.equal(seeded(3), seeded(4))
    one = torch.Generator().manual_seed(3)
    assert torch.equal(noise(odd_images, 0.2, generator=one), seeded(3))
    assert not torch.equal(noise(odd_images, 0.2, generator=one), seeded(3))  # the next draw
    grown = (noise(odd_images * 0 + 0.5, 0.1) - 0.5) / 0.05
    close((noise(odd_images * 0 + 0.5, 0.05) - 0.5) / 0.05, (grown / 2).clamp(-10, 10))
