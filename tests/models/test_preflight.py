"""Networks that would falsify a run are refused before it starts."""

import pytest
import torch
from torch import nn

import itn
from itn.models.gradient_check import check_gradient

SCREEN = itn.ScreenConfig(transforms=("contrast",), magnitudes={"contrast": (0.5, 2.0)}, bisections=0)
LEARN = itn.LearnConfig(objective="switched", parts=("color",), steps=3, batch_size=16)


class Through(nn.Module):
    """Another network, behind a function that prepares the images."""

    def __init__(self, net, prepare):
        super().__init__()
        self.net, self.prepare = net, prepare

    def forward(self, images):
        return self.net(self.prepare(images))


IN_PLACE = {
    "normalization": (lambda x: x.sub_(0.5).div_(0.25) * 0.25 + 0.5, "from 0.25 to 0.75 became -1 to 1"),
    "view": (lambda x: x.flatten(1).mul_(2).view_as(x) / 2, "from 0.25 to 0.75 became 0.5 to 1.5"),
    "shape": (lambda x: x.unsqueeze_(0)[0], r"shape \(32, 1, 4, 4\) became \(1, 32, 1, 4, 4\)"),
}


@pytest.mark.parametrize("written", IN_PLACE)
@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_network_that_writes_into_its_images_is_refused(written, as_bytes, flats, brightness):
    images, labels = flats
    images = (images * 256).byte() if as_bytes else images
    before = images.clone()
    classifier = itn.Classifier(Through(brightness.net, IN_PLACE[written][0]), name="mine")
    with pytest.raises(ValueError, match=r"mine writes into the images .*x = \(x - mean\) / std"):
        itn.screen(classifier, images, labels, SCREEN)
    with pytest.raises(ValueError, match="writes into the images"):
        itn.learn(classifier, images, labels, LEARN)
    assert torch.equal(images, before)


def test_the_error_says_what_was_written(flats, brightness):
    for prepare, seen in IN_PLACE.values():
        with pytest.raises(ValueError, match=seen):
            itn.preflight(itn.Classifier(Through(brightness.net, prepare)), *flats)


def test_writing_into_a_copy_is_allowed(flats, brightness):
    """A Classifier with a mean gives the network normalized images, which are its own."""
    copied = itn.Classifier(Through(brightness.net, lambda x: x.clone().sub_(0.5).add_(0.5)))
    normalized = itn.Classifier(Through(brightness.net, lambda x: x.mul_(0.25).add_(0.5)), (0.5,), (0.25,))
    for classifier in (copied, normalized):
        assert itn.preflight(classifier, *flats).clean.all()


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
    prepare, message, flats, brightness, tmp_path
):
    classifier = itn.Classifier(Through(brightness.net, prepare), name="mine")
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


def test_gradients_are_looked_for_in_as_few_images_as_fit_into_memory(flats, brightness):
    def tight(images):
        if len(images) > 3 and images.requires_grad:
            raise torch.OutOfMemoryError
        return images

    classifier = itn.Classifier(Through(brightness.net, tight))
    check_gradient(classifier, itn.preflight(classifier, *flats))
