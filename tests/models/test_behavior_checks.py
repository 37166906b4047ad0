"""Networks that write into their images, that are random, and that mix the images of a batch."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import itn

SCREEN = itn.ScreenConfig(transforms=("contrast",), magnitudes={"contrast": (0.5, 2.0)}, bisections=0)
LEARN = itn.LearnConfig(objective="switched", parts=("color",), steps=3, batch_size=16)


IN_PLACE = {
    "normalization": (lambda x: x.sub_(0.5).div_(0.25) * 0.25 + 0.5, "from 0.25 to 0.75 became -1 to 1"),
    "view": (lambda x: x.flatten(1).mul_(2).view_as(x) / 2, "from 0.25 to 0.75 became 0.5 to 1.5"),
    "shape": (lambda x: x.unsqueeze_(0)[0], r"shape \(32, 1, 4, 4\) became \(1, 32, 1, 4, 4\)"),
}


@pytest.mark.parametrize("written", IN_PLACE)
@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_network_that_writes_into_its_images_is_refused(written, as_bytes, flats, brightness, through):
    images, labels = flats
    images = (images * 256).byte() if as_bytes else images
    before = images.clone()
    classifier = itn.Classifier(through(brightness.net, IN_PLACE[written][0]), name="mine")
    with pytest.raises(ValueError, match=r"mine writes into the images .*x = \(x - mean\) / std"):
        itn.screen(classifier, images, labels, SCREEN)
    with pytest.raises(ValueError, match="writes into the images"):
        itn.learn(classifier, images, labels, LEARN)
    assert torch.equal(images, before)


def test_the_error_says_what_was_written(flats, brightness, through):
    for prepare, seen in IN_PLACE.values():
        with pytest.raises(ValueError, match=seen):
            itn.preflight(itn.Classifier(through(brightness.net, prepare)), *flats)


def test_writing_into_a_copy_is_allowed(flats, brightness, through):
    """A Classifier with a mean gives the network normalized images, which are its own."""
    copied = itn.Classifier(through(brightness.net, lambda x: x.clone().sub_(0.5).add_(0.5)))
    normalized = itn.Classifier(through(brightness.net, lambda x: x.mul_(0.25).add_(0.5)), (0.5,), (0.25,))
    for classifier in (copied, normalized):
        assert itn.preflight(classifier, *flats).clean.all()


def test_a_network_that_writes_into_its_images_is_given_copies_if_that_is_accepted(
    flats, brightness, through, tmp_path
):
    config = itn.ScreenConfig(("contrast",), magnitudes={"contrast": (0.5, 2.0)}, accept=("in-place",))
    writes = itn.Classifier(through(brightness.net, IN_PLACE["normalization"][0]))
    before = flats[0].clone()
    found, expected = (itn.screen(net, *flats, config) for net in (writes, brightness))
    assert torch.equal(flats[0], before)
    assert found.curves == expected.curves
    assert "writes into the images" in found.record.provenance["accepted"]["in-place"]
    assert expected.record.provenance["accepted"] == {"in-place": None}
    learned = itn.learn(writes, *flats, itn.LearnConfig(**vars(LEARN) | {"accept": ("in-place",)}))
    assert learned.record.clean_accuracy == 1
    assert torch.equal(flats[0], before)


class Flips(nn.Module):
    """Turns all images of some batches upside down, as augmentation does that is left switched on."""

    def forward(self, images):
        return images.flip(-1) if torch.rand(()) < 0.5 else images


class Stubborn(nn.Dropout):
    """Dropout that eval() does not reach."""

    def train(self, mode=True):
        return super().train(True)


@pytest.mark.parametrize(
    ("random", "message"),
    [
        (Flips(), r"F\.dropout needs training"),
        (Stubborn(0.2), r"\(prepare\.1 stayed in training mode\)"),
        (lambda x: F.dropout(x, 0.1), "answers differently the second time"),
        (lambda x: x + 0.02 * torch.randn_like(x), "noise"),
    ],
)
def test_what_is_random_is_refused(random, message, blobs, side, through):
    torch.manual_seed(0)
    prepare = nn.Sequential(nn.Identity(), random) if isinstance(random, nn.Module) else random
    classifier = itn.Classifier(through(side.net, prepare))
    with pytest.raises(ValueError, match=f'(?s){message}.*accept=."repeat"'):
        itn.preflight(classifier, *blobs)
    accepted = itn.preflight(classifier, *blobs, accept=("repeat", "chance", "labels", "range"))
    assert len(accepted) == len(blobs[1])


MIXED = {
    "batch normalization": (nn.BatchNorm2d(1, track_running_stats=False), r"running statistics \(prepare\)"),
    "largest value": (lambda x: x / x.max(), "largest logits of an image"),
    "mean": (lambda x: x - x.mean() + 0.5, "largest logits of an image"),
    "one image": (lambda x: x - x.mean(0) if len(x) == 1 else x, "largest logits"),
    "rank": (lambda x: x.squeeze()[:, None] if len(x) > 1 else x.squeeze(), "alone it fails"),
}


@pytest.mark.parametrize("mixed", MIXED)
def test_an_answer_that_depends_on_the_other_images_is_refused(mixed, flats, brightness, through):
    prepare, message = MIXED[mixed]
    with pytest.raises(ValueError, match=message):
        itn.preflight(itn.Classifier(through(brightness.net, prepare)), *flats)


def test_an_answer_that_loses_its_batch_of_one_is_refused(flats, brightness, through):
    squeezed = itn.Classifier(through(brightness.net, change=torch.squeeze))
    with pytest.raises(ValueError, match=r"alone its answer has shape \(2,\), expected \(1, 2\)"):
        itn.preflight(squeezed, *flats)


def test_statistics_of_each_image_and_running_ones_are_fine(blobs, side, through):
    for norm in (nn.InstanceNorm2d(1), nn.BatchNorm2d(1), nn.GroupNorm(1, 1)):
        assert itn.preflight(
            itn.Classifier(through(side.net, nn.Sequential(norm, nn.ReLU()))), *blobs
        ).clean.all()


MASKS = {"constant": lambda z: 0 * z - 1e9, "added": lambda z: z - 1e9, "lowest": lambda z: 0 * z - 3e38}


@pytest.mark.parametrize("mask", MASKS)
def test_classes_that_are_masked_hide_nothing(mask, flats, brightness, through):
    """Beside -1e9 the logits of all other classes are as good as equal, whatever they are."""

    def masked(change):
        return lambda z: torch.cat([change(z), MASKS[mask](z)], 1)

    torch.manual_seed(0)
    fine = itn.Classifier(through(brightness.net, change=masked(lambda z: z)))
    assert itn.preflight(fine, *flats).clean.all()
    with pytest.raises(ValueError, match="answers differently the second time"):
        itn.preflight(itn.Classifier(through(brightness.net, change=masked(F.dropout))), *flats)
    with pytest.raises(ValueError, match="otherwise than to the same image in a batch"):
        itn.preflight(itn.Classifier(through(brightness.net, change=masked(lambda z: z - z.mean(0)))), *flats)
