"""Passes of images through transformations and a classifier, against loops and closed forms."""

import numpy as np
import pytest
import torch
from torch import nn

import itn
from itn.models.forward import suitable_batch
from itn.screening.config import ScreenConfig
from itn.screening.passes import Screener
from itn.transforms.registry import TRANSFORMS


class Counting(nn.Module):
    """A linear classifier that counts the images it sees."""

    def __init__(self, pixels, classes=4):
        super().__init__()
        self.linear = nn.Linear(pixels, classes, bias=False)
        self.linear.weight.data = torch.randn(classes, pixels, generator=torch.Generator().manual_seed(3))
        self.seen = 0

    def forward(self, images):
        self.seen += len(images)
        return self.linear(images.flatten(1))


@pytest.fixture
def pictures():
    """41 random images of 2 x 7 x 11, uint8, with labels 0, 1 and 3."""
    images = torch.randint(0, 256, (41, 2, 7, 11), generator=torch.Generator().manual_seed(5)).byte()
    return images, torch.tensor([0, 1, 3])[torch.arange(41) % 3]


def make(pictures, **settings):
    images, labels = pictures
    classifier = itn.Classifier(Counting(images[0].numel()))
    data = itn.CheckedImages(images, labels, itn.predict(classifier, images))
    classifier.net.seen = 0
    return Screener(classifier, data, ScreenConfig(batch_size=8, **settings))


def one_by_one(screener, name, magnitude, **more):
    """Return the softmax of every image, transformed alone."""
    images = screener.images
    return torch.cat(
        [
            screener.classifier(TRANSFORMS[name](images[[i]], magnitude, **more)).softmax(1)
            for i in range(len(images))
        ]
    )


def test_class_statistics_are_the_mean_over_a_loop(pictures):
    screener = make(pictures)
    seen = screener.class_statistics(screener.at(TRANSFORMS["rotate"], 25.0))
    softmax, labels = one_by_one(screener, "rotate", 25.0).double(), pictures[1]
    np.testing.assert_array_equal(seen["predictions"], softmax.argmax(1))
    np.testing.assert_allclose(seen["softmax_true"], softmax[torch.arange(41), labels], atol=1e-6)
    turned = TRANSFORMS["rotate"](pictures[0], 25.0)
    change = ((turned - pictures[0] / 255) ** 2).mean((1, 2, 3)).sqrt().mean()
    assert seen["pixel_change"] == pytest.approx(change.item(), abs=1e-6)
    for row, label in enumerate((0, 1, 3)):
        members = softmax[labels == label]
        np.testing.assert_allclose(seen["class_softmax"][row], members.mean(0), atol=1e-6)
        # The margin to each rival is a mean of n differences; its interval is Student's
        from scipy.stats import sem, t  # noqa: PLC0415

        rivals = [k for k in range(4) if k != label]
        difference = (members[:, [label]] - members[:, rivals]).numpy()
        low = t.ppf(0.975, len(members) - 1) * sem(difference)
        # With 14 images none of the three rivals is out of the race
        high = t.ppf(1 - 0.025 * 0.9 / 3, len(members) - 1) * sem(difference)
        assert seen["margin"][row] == pytest.approx(difference.mean(0).min(), abs=1e-6)
        assert seen["margin_low"][row] == pytest.approx((difference.mean(0) - low).min(), abs=1e-5)
        assert seen["margin_high"][row] == pytest.approx((difference.mean(0) + high).min(), abs=1e-5)


def test_the_change_of_the_softmax_is_half_the_sum_of_absolute_differences(pictures):
    """Total variation, by numpy in double precision, image by image."""
    screener = make(pictures)
    assert "softmax_change" not in screener.image_statistics(screener.at(TRANSFORMS["blur"], 1.0))
    before = screener.unchanged_statistics()
    assert not before["softmax_change"].any()
    screener.unchanged_softmax = torch.from_numpy(before["softmax"])
    flat, weight = pictures[0].numpy().reshape(41, -1) / 255, screener.classifier.net.linear.weight.numpy()
    powers = np.exp(flat @ weight.T.astype(float))
    softmax = powers / powers.sum(1, keepdims=True)
    np.testing.assert_allclose(before["softmax"], softmax, atol=1e-6)
    brighter = np.exp(np.clip(flat + 0.2, 0, 1) @ weight.T.astype(float))
    moved = brighter / brighter.sum(1, keepdims=True)
    change = screener.at(TRANSFORMS["brightness"], 0.2)
    for seen in (screener.class_statistics(change), screener.image_statistics(change)):
        expected = 1 - np.minimum(softmax, moved).sum(1)  # what the distributions do not share
        np.testing.assert_allclose(seen["softmax_change"], expected, atol=1e-6)
    assert seen["softmax_change"].max() > 0.1


def test_a_class_of_one_image_has_no_interval(pictures):
    images, labels = pictures
    screener = make((images[:3], labels[:3]))
    seen = screener.class_statistics(screener.at(TRANSFORMS["blur"], 1.0))
    assert np.isneginf(seen["margin_low"]).all()
    assert np.isposinf(seen["margin_high"]).all()
    assert np.isfinite(seen["margin"]).all()


def test_image_and_class_statistics_agree(pictures):
    screener = make(pictures)
    change = screener.at(TRANSFORMS["brightness"], 0.3)
    seen, glanced = screener.class_statistics(change), screener.image_statistics(change)
    np.testing.assert_array_equal(seen["predictions"], glanced["predictions"])
    np.testing.assert_array_equal(seen["softmax_true"], glanced["softmax_true"])
    np.testing.assert_array_equal(screener.predictions(change), seen["predictions"])
    index = torch.tensor([40, 3, 17])
    np.testing.assert_array_equal(screener.predictions(change, index), seen["predictions"][index])


def test_every_image_keeps_its_noise(pictures):
    """Noise must not depend on batches, on who else is looked at, or on the magnitude."""
    screener = make(pictures)
    images = torch.full((41, 2, 7, 11), 0.5)

    def noise(v, index):
        return (screener.at(TRANSFORMS["noise"], v)(images[index], index) - 0.5) / v

    together = noise(0.01, torch.arange(41))
    apart = noise(0.02, torch.tensor([17, 4]))
    torch.testing.assert_close(apart, together[[17, 4]], atol=1e-4, rtol=0)
    assert not torch.allclose(together[0], together[1], atol=0.1)
    assert together.std() == pytest.approx(1, abs=0.03)


def test_fresh_noise_differs_between_magnitudes(pictures):
    screener = make(pictures, fresh_noise=True)
    index, images = torch.arange(4), torch.full((4, 2, 7, 11), 0.5)
    a, b, again = ((screener.at(TRANSFORMS["noise"], v)(images, index) - 0.5) / v for v in (0.01, 0.02, 0.01))
    assert torch.equal(a, again)
    assert not torch.allclose(a, b, atol=0.1)


def test_round_trip_undoes_what_stays_in_the_frame(pictures):
    screener = make(pictures)
    images = torch.rand(2, 1, 8, 12)
    round_trip = screener.round_trip(TRANSFORMS["translate_x"], 3 / 12)
    back = round_trip(images, torch.arange(2))
    torch.testing.assert_close(back[..., :9], images[..., :9], atol=1e-5, rtol=0)
    assert (back[..., 9:] == 0).all()


def test_two_spatial_transformations_are_one_warp(pictures):
    """What the first moves out of the frame and the second back in is not cut off."""
    screener = make(pictures)
    images, x = torch.rand(2, 1, 8, 12), TRANSFORMS["translate_x"]
    moved = screener.pair(x, 0.5, x, -0.5)(images, torch.arange(2))
    torch.testing.assert_close(moved, images, atol=1e-5, rtol=0)


def test_a_pair_is_applied_in_its_order(pictures):
    screener = make((torch.zeros(3, 1, 9, 9), torch.tensor([0, 1, 3])))
    images, index = torch.rand(2, 1, 9, 9), torch.arange(2)
    rotate, shift = TRANSFORMS["rotate"], TRANSFORMS["translate_x"]
    turned_then_moved = screener.pair(rotate, 90.0, shift, 1 / 9)(images, index)
    by_hand = torch.rot90(images, -1, (2, 3)).roll(1, -1)
    torch.testing.assert_close(turned_then_moved[..., 1:], by_hand[..., 1:], atol=1e-5, rtol=0)
    brighter_then_moved = screener.pair(TRANSFORMS["brightness"], 0.2, shift, 1 / 9)(images, index)
    assert (brighter_then_moved[..., 0] == 0).all()
    moved_then_brighter = screener.pair(shift, 1 / 9, TRANSFORMS["brightness"], 0.2)(images, index)
    torch.testing.assert_close(moved_then_brighter[..., 0], torch.full((2, 1, 9), 0.2))


@pytest.mark.parametrize(
    ("name", "magnitude", "area"),
    [
        ("translate_x", 4 / 12, 4 / 12),
        ("translate_y", -2 / 8, 2 / 8),
        ("zoom", 0.5, 3 / 4),
        ("zoom", 2.0, 0),
        ("scale_x", 0.5, 1 / 2),
        ("rotate", 180.0, 0),
    ],
)
def test_lost_content_is_what_geometry_says(name, magnitude, area):
    images = torch.zeros(3, 1, 8, 12, dtype=torch.uint8)
    images[0] = 200  # loses the same share of its intensity as the frame of its area
    images[1, 0, 0, 11] = 255  # all of its intensity in the upper right corner
    screener = make((images, torch.tensor([0, 1, 2])))
    lost = screener.lost_content(TRANSFORMS[name], (magnitude,))
    assert lost["area"] == pytest.approx([area])
    corner = {"translate_x": 1, "translate_y": 1, "scale_x": 1}.get(name, float(area > 0))
    assert lost["intensity"] == pytest.approx([(area + corner + 0) / 3])


def test_half_of_a_turned_frame_is_lost_where_trigonometry_says():
    """Turned by 90 degrees, a frame keeps the square of its shorter side; a square by 45, 2 (sqrt 2 - 1)."""
    screener = make((torch.zeros(1, 1, 40, 60, dtype=torch.uint8), torch.tensor([0])))
    assert screener.lost_content(TRANSFORMS["rotate"], (90.0,))["area"] == pytest.approx([1 / 3])
    screener = make((torch.zeros(1, 1, 200, 200, dtype=torch.uint8), torch.tensor([0])))
    assert screener.lost_content(TRANSFORMS["rotate"], (45.0,))["area"] == pytest.approx(
        [3 - 2 * 2**0.5], abs=1e-3
    )


def test_flips_of_a_subset_cost_only_its_passes(pictures):
    screener = make(pictures)
    clean = screener.predictions(lambda images, index: images)
    before = screener.classifier.net.seen
    found = screener.flips(TRANSFORMS["rotate"], (30.0, 60.0, 90.0), clean)
    magnitude = torch.where(found.flipped, found.magnitude, torch.inf)
    standing = [41, *(int((magnitude > v).sum()) for v in (30, 60))]
    cost = sum(standing) + 4 * int(found.flipped.sum())
    assert screener.classifier.net.seen - before == cost
    assert screener.images_passed == screener.classifier.net.seen
    assert found.flipped.sum() > 0


def test_a_flip_is_a_flip_when_looked_at_alone(pictures):
    screener = make(pictures)
    clean = screener.predictions(lambda images, index: images)
    found = screener.flips(TRANSFORMS["noise"], (0.1, 0.2, 0.4), clean)
    index = found.flipped.nonzero().flatten()
    assert len(index) > 3
    at = torch.zeros(41).double()
    at[index] = found.magnitude[index]
    flipped = screener.predictions(screener.at(TRANSFORMS["noise"], at), index)
    assert (flipped != clean[index]).all()
    at[index] = found.magnitude[index] - 1.001 * found.resolution
    before = screener.predictions(screener.at(TRANSFORMS["noise"], at.clamp_min(0)), index)
    assert (before == clean[index]).float().mean() > 0.9  # below the bracket it may have come back


def test_flip_magnitudes_of_a_classifier_known_on_paper(blobs, side):
    """A blob at x = -0.5 (0.5) crosses the middle moved by 0.25 (-0.25) of the width, or turned by 90."""
    images, labels = blobs
    found = itn.flip_magnitudes(side, images, "translate_x", (-0.4, -0.2, 0.2, 0.4), bisections=8)
    assert found["above"].flipped.tolist() == (labels == 0).tolist()
    assert found["below"].flipped.tolist() == (labels == 1).tolist()
    above = found["above"].magnitude[labels == 0]
    assert (above - 0.25).abs().max() <= found["above"].resolution + 1e-3
    assert found["above"].resolution == pytest.approx(0.2 / 2**8)
    turned = itn.flip_magnitudes(side, images, "rotate", range(-180, 181, 20))
    for way, sign in (("above", 1), ("below", -1)):
        assert turned[way].flipped.all()
        assert (sign * turned[way].magnitude - 90).abs().max() <= turned[way].resolution + 0.3
    unmoved = itn.flip_magnitudes(side, images, itn.TRANSFORMS["translate_y"], (0.1, 0.3))
    assert not unmoved["above"].flipped.any()
    assert (unmoved["above"].magnitude == 0.3).all()
    assert list(unmoved) == ["above"]


def test_flip_magnitudes_of_a_transformation_that_is_not_registered(brightness, flats):
    """Bright images of 0.75 are dark once v exceeds a third."""
    images, labels = flats
    darken = itn.Transform("rotate", "share", 0.0, (0.0, 0.5, 1.0), lambda images, v: images * (1 - v))
    found = itn.flip_magnitudes(brightness, images, darken, bisections=8)["above"]
    assert found.flipped.tolist() == (labels == 1).tolist()
    assert (found.magnitude[labels == 1] - 1 / 3).abs().max() <= found.resolution + 1e-6


def test_flip_magnitudes_checks_what_it_is_given(side, blobs):
    with pytest.raises(ValueError, match="nearest are rotate"):
        itn.flip_magnitudes(side, blobs[0], "rotat")
    with pytest.raises(ValueError, match="divide by 255"):
        itn.flip_magnitudes(side, blobs[0] * 255, "rotate")


def test_bfloat16_is_close_and_the_transformation_stays_exact(pictures):
    wide, narrow = make(pictures), make(pictures, precision="bfloat16")
    images, index = pictures[0][:5] / 255, torch.arange(5)
    change = TRANSFORMS["rotate"], 33.0
    assert torch.equal(wide.at(*change)(images, index), narrow.at(*change)(images, index))
    a, b = (s.image_statistics(s.at(*change))["softmax_true"] for s in (wide, narrow))
    assert not np.array_equal(a, b)
    np.testing.assert_allclose(a, b, atol=0.05)


def test_channels_last_reaches_the_network(pictures):
    formats = []

    class Net(nn.Module):
        def forward(self, images):
            formats.append(images.is_contiguous(memory_format=torch.channels_last))
            return images.mean((2, 3))

    images, labels = pictures
    data = itn.CheckedImages(images, labels, labels)
    for wanted in (False, True):
        Screener(itn.Classifier(Net()), data, ScreenConfig(channels_last=wanted)).predictions(lambda x, i: x)
    assert formats == [False, True]


def test_the_batch_suits_the_size_of_the_images():
    cpu = torch.device("cpu")
    sizes = [
        suitable_batch(torch.zeros(1, *shape), cpu) for shape in ((1, 28, 28), (3, 224, 224), (3, 2000, 2000))
    ]
    assert sizes == [250, 27, 1]


class Narrow(torch.nn.Module):
    """Runs out of memory where more than 40 images come at once."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, images):
        if len(images) > 40:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.net(images)


def test_a_screen_halves_batches_that_do_not_fit(side, blobs):
    config = itn.ScreenConfig(("translate_x",), magnitudes={"translate_x": (-0.3, 0.3)}, batch_size=100)
    narrow = itn.screen(itn.Classifier(Narrow(side.net), name="side"), *blobs, config)
    assert narrow.record == itn.screen(itn.Classifier(side.net, name="side"), *blobs, config).record
