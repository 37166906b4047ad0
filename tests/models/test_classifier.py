import shutil

import numpy as np
import pytest
import torch
from torch import nn

import itn


@pytest.fixture
def linear():
    torch.manual_seed(0)
    return itn.Classifier(nn.Sequential(nn.Flatten(), nn.Linear(48, 3)), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


def test_normalizes_by_itself(linear):
    images = torch.rand(2, 3, 4, 4)
    normalized = torch.stack(
        [(images[:, c] - m) / s for c, (m, s) in enumerate([(0.5, 0.2), (0.4, 0.3), (0.3, 0.4)])], 1
    )
    torch.testing.assert_close(linear(images), linear.net(normalized))


def test_without_a_name_it_is_called_as_its_network_is():
    assert itn.Classifier(nn.Flatten()).name == "Flatten"
    assert itn.Classifier(nn.Flatten(), name="mine").name == "mine"


def test_bytes_are_divided_by_255(linear):
    images = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    assert torch.equal(linear(images), linear(images.float() / 255))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_images_take_the_precision_of_the_network(linear, dtype):
    images = torch.rand(2, 3, 4, 4)
    expected = linear(images)
    torch.testing.assert_close(linear.to(dtype)(images).float(), expected, rtol=0, atol=0.1)
    assert linear(images.double()).dtype == dtype


def test_stays_in_eval_mode_and_takes_no_gradients():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(8, 2))
    classifier = itn.Classifier(net.train())
    holder = nn.Sequential(classifier).train()
    assert not any(module.training for module in classifier.modules())
    before = classifier.sha256()
    images = torch.rand(5, 1, 4, 4, requires_grad=True)
    holder(images).sum().backward()
    assert images.grad.abs().sum() > 0
    assert all(p.grad is None for p in net.parameters())
    assert classifier.sha256() == before


def test_hash_tells_weights_apart(linear):
    before = linear.sha256()
    with torch.no_grad():
        linear.net[1].bias[0] += 1e-6
    assert linear.sha256() != before


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ((0.5,), None, "must both have one number per channel"),
        ((0.5,), (0.1, 0.2), "must both have one number per channel"),
        ((0.5,), (0.0,), r"std in \(0, 2\], got .*: std is what is divided by"),
        ((0.5,), (float("nan"),), r"std in \(0, 2\]"),
        ((-0.5,), (0.5,), r"mean must lie in \[0, 1\] .*: mean is what is subtracted"),
        ((0.5, 1.5), (0.5, 0.5), r"mean must lie in \[0, 1\]"),
        ((104.0, 117.0, 123.0), (1.0, 1.0, 1.0), "pixels from 0 to 255, divide both by 255"),
        ((-104.0, -117.0, -123.0), (1.0, 1.0, 1.0), "pixels from 0 to 255, divide both by 255"),
        ((0.0,), (255.0,), "pixels from 0 to 255, divide both by 255"),
        (0.5, 0.2, r"mean must have one number per channel, got 0.5: write \(0.5,\) for gray images"),
        ((0.5,), ("a",), r"std must have one number per channel, got \('a',\)"),
        ((), (), r"mean must lie in"),
    ],
)
def test_bad_normalization_is_refused(mean, std, message):
    with pytest.raises(ValueError, match=message):
        itn.Classifier(nn.Identity(), mean, std)


@pytest.mark.parametrize("sequence", [tuple, list, np.array, torch.tensor])
def test_any_sequence_of_numbers_normalizes(sequence):
    clf = itn.Classifier(nn.Identity(), sequence([0.5, 0.25]), sequence([0.5, 2.0]))
    assert clf.channels == 2
    assert (clf.mean.flatten().tolist(), clf.std.flatten().tolist()) == ([0.5, 0.25], [0.5, 2])


@pytest.mark.parametrize("sequence", [tuple, list, np.array])
def test_any_sequence_of_strings_names_classes(sequence):
    names = itn.Classifier(
        nn.Identity(), class_names=sequence(["cat", "dog"]), class_ids=sequence(["n1", "n2"])
    )
    assert (names.class_names, names.class_ids) == (("cat", "dog"), ("n1", "n2"))
    assert {type(name) for name in (*names.class_names, *names.class_ids)} == {str}


@pytest.mark.parametrize("names", ["cat", [1, 2], np.array([1, 2])])
def test_what_are_no_names_is_refused(names):
    with pytest.raises(ValueError, match="class_names must be a sequence of names, one for each logit, got"):
        itn.Classifier(nn.Identity(), class_names=names)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_no_images_have_no_predictions(dtype, linear):
    predictions = itn.predict(linear, torch.zeros(0, 3, 4, 4, dtype=dtype))
    assert (predictions.shape, predictions.dtype) == ((0,), torch.int64)
    assert predictions.device == linear.device


def test_preflight_returns_clean_predictions(blobs, side):
    images, labels = blobs
    checked = itn.preflight(side, images, labels, batch_size=7)
    assert torch.equal(checked.predictions, labels)
    part = checked.part(torch.tensor([3, 5]))
    assert len(part) == 2
    assert torch.equal(part.images, images[[3, 5]])
    assert part.clean.all()


class Answers(nn.Module):
    """Returns what a function makes of the flattened images."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, images):
        return self.function(images.flatten(1))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x[:, 0], "expected logits B x classes"),
        (lambda x: x[:, :2] * torch.nan, "non-finite logits"),
        (lambda x: torch.randn(len(x), 2), "answers differently the second time"),
        (lambda x: x[:, :2].softmax(1), "drop its last softmax"),
        (lambda x: x @ torch.zeros(7, 2), "cannot take images of 1x20x20"),
        (lambda x: torch.tensor([[1.0, -1.0]]).expand(len(x), 2), "at chance level.*100 of 200 right"),
        (lambda x: torch.stack([x.sum(1), -x.sum(1)], 1), "at chance level"),
    ],
)
def test_preflight_refuses(function, message, blobs):
    with pytest.raises(ValueError, match=message):
        itn.preflight(itn.Classifier(Answers(function)), *blobs)


def test_images_with_their_channels_last_are_told_by_their_shape():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(ValueError, match=r"cannot take images of 32x32x3.*give images.permute\(0, 3, 1, 2\)"):
        itn.preflight(itn.Classifier(net), torch.rand(8, 32, 32, 3), torch.arange(8) % 4)


def test_preflight_refuses_labels_that_do_not_belong(blobs, side):
    images, labels = blobs
    for bad, message in (
        (labels + 1, "labels run from 1 to 2, but side has 2 classes, 0 to 1"),
        (labels - 1, "labels run from -1 to 0"),
        (labels[:5], "labels must be 200 integers"),
        (labels.float(), "labels must be 200 integers"),
        (1 - labels, "0.0 % of the images are right as labeled, and 100.0 % if .* in reverse"),
    ):
        with pytest.raises(ValueError, match=message):
            itn.preflight(side, images, bad)


def test_preflight_lets_a_weak_but_real_classifier_pass(flats):
    """Of one class alone, a classifier that is mostly right is above chance."""
    images, labels = flats
    bright = labels == 1
    net = Answers(lambda x: torch.stack([torch.zeros(len(x)), x.mean(1)], 1))
    assert itn.preflight(itn.Classifier(net), images[bright], labels[bright]).clean.all()


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_classifier_runs_in_half_precision_beside_itself(precision):
    """Logits of a linear layer are sums of rounded products: off by a few of their last bits, not by more."""
    torch.manual_seed(0)
    whole = itn.Classifier(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3)), (0.5,), (0.2,))
    images = torch.rand(50, 1, 8, 8)
    before, half = whole(images), whole.with_backend(precision)
    found = half(images)
    assert found.dtype == torch.float32
    bits = torch.finfo(getattr(torch, precision)).eps
    assert 0 < (found - before).abs().max() < 20 * bits * before.abs().max()
    assert torch.equal(whole(images), before)
    assert half.sha256() == whole.sha256()


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch's own
def test_a_compiled_classifier_answers_as_before_under_the_same_name():
    torch.manual_seed(0)
    linear = torch.nn.Linear(64, 3)
    plain = itn.Classifier(Answers(lambda pixels: linear(pixels).relu()), (0.5,), (0.2,))
    compiled = plain.with_backend("float32", compile=True)
    images = torch.rand(5, 1, 8, 8, requires_grad=True)
    torch.testing.assert_close(compiled(images), plain(images))
    grads = [torch.autograd.grad(each(images).sum(), images)[0] for each in (plain, compiled)]
    torch.testing.assert_close(*grads)
    assert compiled.sha256() == plain.sha256()
    assert None not in (compiled.compiled, plain.with_backend("float32", compile=True).compiled)
    assert (plain.compiled, compiled.with_backend("float32").compiled) == (None, None)


def test_a_plain_module_is_taken_for_images_in_0_1_wherever_a_classifier_is(flats, brightness, tmp_path):
    net, (images, labels) = brightness.net, flats
    magnitudes = {"brightness": (0.1, 0.5)}
    config = {"transforms": ("brightness",), "magnitudes": magnitudes, "bisections": 0}
    learned = {"parts": ("color",), "steps": 2, "objective": "switched"}
    itn.learn(brightness, images, labels, learned, tmp_path / "run")
    for use in (
        lambda net: str(itn.screen(net, images, labels, config)),
        lambda net: str(itn.learn(net, images, labels, learned)),
        lambda net: itn.predict(net, images).tolist(),
        lambda net: itn.preflight(net, images, labels).predictions.tolist(),
        lambda net: itn.flip_magnitudes(net, images, "brightness", (0.5,))["above"].magnitude.tolist(),
        lambda net: itn.load_net(tmp_path / "run", net).transformer_state().keys(),
    ):
        expected = use(itn.Classifier(net))
        with pytest.warns(
            UserWarning, match=r"^Brightness is taken to expect images in \[0, 1\]: .* give"
        ) as seen:
            assert use(net) == expected
        assert len(seen) == 1


@pytest.mark.parametrize("wrong", ["lenet5", 3, lambda images: images])
def test_what_is_no_module_is_no_classifier(wrong, flats):
    with pytest.raises(
        ValueError, match=r"must be an itn.Classifier or a torch.nn.Module, got .*load_classifier"
    ):
        itn.screen(wrong, *flats)


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        (
            "screen",
            {"transform": ("rotate",)},
            "unknown setting 'transform' of itn.ScreenConfig: nearest are trans",
        ),
        (
            "screen",
            ("rotate",),
            r"config must be itn.ScreenConfig\(...\) or a mapping of its settings, got tuple",
        ),
        ("screen", itn.LearnConfig(), r"config must be itn.ScreenConfig.*, got LearnConfig"),
        ("learn", {"tolerance": 2}, "tolerance"),
        ("learn", {3: 2}, "unknown setting 3 of itn.LearnConfig"),
        ("learn_per_class", itn.ScreenConfig(), r"config must be itn.LearnConfig.*, got ScreenConfig"),
    ],
)
def test_settings_that_are_none_are_refused(kind, given, message, flats, brightness):
    with pytest.raises(ValueError, match=message):
        getattr(itn, kind)(brightness, *flats, given)


def test_labels_are_asked_for_only_where_they_are_needed(flats, brightness):
    images, _ = flats
    config = {"transforms": ("brightness",), "magnitudes": {"brightness": (0.5,)}, "bisections": 0}
    assert (
        itn.screen(brightness, images, None, config | {"criterion": "agreement"}).record.clean_accuracy == 1
    )
    assert itn.preflight(brightness, images, None).predictions.sum() == 100
    for work in (itn.screen, itn.learn, itn.learn_per_class):
        with pytest.raises(ValueError, match=r'labels are missing: .* criterion="agreement"$'):
            work(brightness, images)
