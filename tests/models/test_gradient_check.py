"""Learning refuses networks without a gradient, or with a wrong one; screening does not."""

import pytest
import torch
from torch import nn

import itn
from itn.models.gradient_check import check_gradient

SCREEN = itn.ScreenConfig(transforms=("contrast",), magnitudes={"contrast": (0.5, 2.0)}, bisections=0)
LEARN = itn.LearnConfig(objective="switched", parts=("color",), steps=3, batch_size=16)


def without_gradient(images):
    with torch.no_grad():
        return images * 1


class Rewritten(torch.autograd.Function):
    """The identity, whose backward pass is not implemented."""

    @staticmethod
    def forward(ctx, images):
        return images * 1


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda x: (x * 255).round() / 255, "mine passes no gradient to the images.*rounding"),
        (without_gradient, "passes no gradient"),
        (lambda x: x.detach() + 0 * x, "passes no gradient"),
        (lambda x: torch.from_numpy(x.detach().numpy()), "passes no gradient"),
        (lambda x: torch.from_numpy(x.numpy()), "mine cannot be differentiated.*call numpy"),
        (Rewritten.apply, "mine cannot be differentiated"),
    ],
)
def test_learning_refuses_a_network_without_gradient_and_screening_does_not(
    prepare, message, flats, brightness, tmp_path, through
):
    classifier = itn.Classifier(through(brightness.net, prepare), name="mine")
    with pytest.raises(ValueError, match=message):
        itn.learn(classifier, *flats, LEARN, tmp_path / "learn")
    with pytest.raises(ValueError, match=message):
        itn.learn_per_class(classifier, *flats, itn.LearnConfig(parts=("color",), steps=3, tolerance=0.2))
    assert not (tmp_path / "learn").exists()
    assert itn.screen(classifier, *flats, SCREEN).record.clean_accuracy == 1


def test_a_certain_answer_on_every_image_is_no_missing_gradient(flats, brightness):
    """Logits that are cut off at +-3, as those of all these images are, have no gradient there."""
    clamped = itn.Classifier(nn.Sequential(brightness.net, nn.Hardtanh(-3, 3)))
    data = itn.preflight(clamped, *flats)
    images = data.images.clone().requires_grad_()
    assert not torch.autograd.grad(clamped(images)[:, 0].sum(), images)[0].any()
    check_gradient(clamped, data)


def test_gradients_are_looked_for_in_as_few_images_as_fit_into_memory(flats, brightness, through):
    def tight(images):
        if len(images) > 3 and images.requires_grad:
            raise torch.OutOfMemoryError
        return images

    classifier = itn.Classifier(through(brightness.net, tight))
    check_gradient(classifier, itn.preflight(classifier, *flats))


class StraightThrough(torch.autograd.Function):
    """Rounding whose gradient is that of the identity."""

    @staticmethod
    def forward(ctx, images):
        return (images * 255).round() / 255

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def test_a_gradient_of_a_part_of_the_network_is_refused(blobs, side, through):
    detached = itn.Classifier(through(side.net, lambda x: x / 2 + x.detach().square() / 2))
    data = itn.preflight(detached, *blobs)
    with pytest.raises(
        ValueError, match=r"is not the slope of its logits, at \d+ of 16 images.*accept=.\"grad"
    ):
        check_gradient(detached, data)
    for prepare in (StraightThrough.apply, lambda x: x.clamp(0, 1), lambda x: x / 2 + x.square() / 2):
        check_gradient(itn.Classifier(through(side.net, prepare)), data)


def test_learning_where_gradients_are_switched_off_is_refused(flats, brightness):
    for off in (torch.no_grad(), torch.inference_mode()):
        with off, pytest.raises(ValueError, match="gradients are switched off where learning starts"):
            itn.learn(brightness, *flats, LEARN)
        with off:
            assert itn.screen(brightness, *flats, SCREEN).record.clean_accuracy == 1


def test_a_constant_answer_rightly_has_no_gradient(flats, brightness, through):
    constant = itn.Classifier(through(brightness.net, change=lambda logits: 0 * logits))
    check_gradient(constant, itn.preflight(constant, *flats, accept=("chance",)))


def test_learning_goes_on_without_a_gradient_if_that_is_accepted(flats, brightness, through):
    classifier = itn.Classifier(through(brightness.net, without_gradient))
    run = itn.learn(classifier, *flats, itn.LearnConfig(**vars(LEARN) | {"accept": ("gradient",)}))
    assert "passes no gradient" in run.record.provenance["accepted"]["gradient"]
    assert "accepted, gradient: Through passes no gradient to the images\n" in str(run)
