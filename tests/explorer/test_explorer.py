"""Answers under the sliders are those of the screen, of the box and of the learned net at the same values."""

import dataclasses

import pytest
import torch

import itn
from itn.boxes.passes import BoxPasses
from itn.explorer.explorer import Explorer
from itn.explorer.photograph import Photograph
from itn.models.checked_images import CheckedImages
from itn.screening.passes import Screener

VALUES = {
    "translate_x": 0.15,
    "translate_y": -0.1,
    "rotate": 25.0,
    "scale_x": 0.8,
    "scale_y": 1.3,
    "zoom": 1.5,
    "shear_x": 0.4,
    "shear_y": -0.3,
    "brightness": 0.2,
    "contrast": 0.5,
    "grayscale": 0.7,
    "blur": 1.2,
    "noise": 0.3,
    "horizontal_flip": 1.0,
    "elastic": 0.05,
    "perspective_x": 30.0,
    "perspective_y": -20.0,
    "gamma": 2.0,
    "saturation": 3.0,
    "hue": 120.0,
    "posterize": 1.5,
    "solarize": 0.3,
    "vignette": 0.8,
    "motion_blur": 4.0,
    "defocus": 2.5,
    "sharpness": 8.0,
    "pixelate": 3.0,
    "jpeg": 90.0,
    "shot_noise": 0.5,
    "salt_and_pepper": 0.3,
    "occlusion": 0.4,
}


def screener(classifier, images, **settings):
    """What a screen measures with; the labels do not matter."""
    unused = torch.zeros(1, dtype=torch.int64)
    data = CheckedImages(images.images, unused, unused, canvases=images.canvases)
    return Screener(classifier, data, itn.ScreenConfig(transforms=("rotate",), **settings))


@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("surround", ["auto", "none"])
def test_each_slider_gives_the_logits_of_the_screen(colors, folder, file, padding, surround):
    assert VALUES.keys() == itn.TRANSFORMS.keys()
    images = itn.load_images(folder, colors, surround=surround)
    screen = screener(colors, images, padding=padding)
    explorer = Explorer(colors, padding=padding, surround=surround)
    photograph = explorer.read(file)
    assert (photograph.canvases is None) == (images.canvases is None) == (surround == "none")
    clean = explorer.logits(photograph)
    for name, value in VALUES.items():
        expected = screen.output(screen.at(itn.TRANSFORMS[name], value), torch.tensor([0]))
        logits = explorer.logits(photograph, {name: value})
        torch.testing.assert_close(logits, expected.logits[0], atol=2e-5, rtol=0)
        assert (logits - clean).abs().max() > 1e-3
        answer = explorer.answer(photograph, {name: value})
        torch.testing.assert_close(answer.picture, expected.changed[0], atol=2e-6, rtol=0)
        softmax = expected.logits[0].softmax(0).sort(descending=True)
        assert [top for top, _ in answer.top] == [colors.class_name(n) for n in softmax.indices[:5].tolist()]
        torch.testing.assert_close(torch.tensor([share for _, share in answer.top]), softmax.values[:5])


def test_several_sliders_give_the_images_of_the_box(colors, folder, file):
    images = itn.load_images(folder, colors)
    values = {
        name: v for name, v in VALUES.items() if not itn.TRANSFORMS[name].random
    }  # of a canvas there is another pattern
    ranges = {name: sorted((v, itn.TRANSFORMS[name].identity)) for name, v in values.items()}
    config = itn.WorstConfig(box=ranges)
    unused = torch.zeros(1, dtype=torch.int64)
    passes = BoxPasses(colors, CheckedImages(images.images, unused, unused, canvases=images.canvases), config)
    magnitudes = torch.tensor([[values[name] for name in passes.box.names]], dtype=torch.float64)
    expected = passes.pictures(torch.tensor([0]), magnitudes)[0]
    explorer = Explorer(colors)
    photograph = explorer.read(file)
    torch.testing.assert_close(explorer.answer(photograph, values).picture, expected, atol=2e-6, rtol=0)


def test_without_a_change_the_crop_comes_back_bit_for_bit(colors, family, folder, file):
    crop = itn.load_images(folder, colors).images[0]
    explorer = Explorer(colors, family[0])
    photograph = explorer.read(file)
    assert torch.equal(photograph.image[0], crop)
    assert torch.equal(explorer.answer(photograph).picture, crop / 255)
    at_identity = {name: slider.identity for name, slider in explorer.sliders.items()}
    assert torch.equal(explorer.answer(photograph, at_identity).picture, crop / 255)


def test_controls_give_the_images_of_the_learned_net(colors, family, file):
    result, folder = family
    photograph = Explorer(colors).read(file)
    k1, k2 = [0.3, 0.9], [0.8, 0.2]
    canvases = photograph.canvases
    with torch.no_grad():
        expected = result.net.transform(canvases.pixels, k1, k2, surround=canvases.surround)[0]
    values = {"k1[0]": 0.3, "k1[1]": 0.9, "k2[0]": 0.8, "k2[1]": 0.2}
    picture = Explorer(colors, result).answer(photograph, values).picture
    torch.testing.assert_close(picture, expected, atol=1e-6, rtol=0)
    assert (picture - photograph.image[0] / 255).abs().max() > 0.1
    from_folder = Explorer(colors, folder)
    assert from_folder.sliders.keys() == Explorer(colors, result).sliders.keys()
    assert [slider.part for slider in from_folder.sliders.values()][-4:] == ["color"] * 2 + ["spatial"] * 2


def test_table_and_family_are_a_single_warp_with_colors_before_it(colors, family, file):
    """The oracle multiplies matrices itself, and samples once with the padding of the family."""
    net = family[0].net
    photograph = Explorer(colors).read(file)
    values = {"rotate": 30.0, "brightness": -0.1, "k1[0]": 1.0, "k2[0]": 1.0, "k2[1]": 0.5}
    k1, k2 = torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.5]])
    surround = photograph.canvases.surround
    canvas = photograph.canvases.pixels / 255
    left, top, right, bottom = surround.boxes[0].tolist()
    inside = torch.zeros(canvas.shape[-2:], dtype=torch.bool)
    inside[top:bottom, left:right] = True
    with torch.no_grad():
        canvas = (canvas - 0.1).clamp(0, 1)
        canvas = net.part("color")(canvas, k1) * inside
        square = torch.eye(3)[None].repeat(2, 1, 1)
        square[0, :2] = itn.TRANSFORMS["rotate"].function(torch.tensor([30.0]), 18 / 14)[0]
        square[1, :2] = net.part("spatial").matrix(k2, size=(14, 18))[0]
        expected = itn.warp(canvas, (square[0] @ square[1])[None, :2], "zeros", surround)[0]
    picture = Explorer(colors, family[0]).answer(photograph, values).picture
    torch.testing.assert_close(picture, expected.clamp(0, 1), atol=1e-5, rtol=0)


def test_noise_is_the_same_on_the_crop_whether_geometry_looks_around_it_or_not(colors, file):
    explorer = Explorer(colors)
    photograph = explorer.read(file)
    alone = explorer.answer(photograph, {"noise": 0.2}).picture
    barely_moved = explorer.answer(photograph, {"noise": 0.2, "translate_x": 1e-6}).picture
    torch.testing.assert_close(alone, barely_moved, atol=1e-3, rtol=0)


def test_a_transformer_of_ones_own_follows_the_warp_or_precedes_it(colors, file):
    class Fade(itn.Transformer):
        names, bound = ("black",), 0.9

        def apply_parameters(self, images, p, frame):
            return images * (1 - p[:, :, None, None].abs())

        def displacement(self, p, frame):
            return p[:, 0].square()

    class Roll(Fade):
        def apply_parameters(self, images, p, frame):
            return torch.where(p[:, :, None, None] != 0, images.roll(3, -1), images)

        def rms_shift(self, p, frame):
            return p[:, 0].abs()

    generator = torch.Generator().manual_seed(0)
    net = itn.InvariantTransformerNet(colors, {"fade": Fade(), "roll": Roll(generator=generator)})
    run = itn.LearnResult(net, None, ())
    explorer = Explorer(colors, run, ("rotate", "blur"))
    assert explorer.order == "Applied in this order: blur, fade; then, rotate, roll."
    photograph = explorer.read(file)
    turned = explorer.answer(photograph, {"rotate": 20}).picture
    rolled = explorer.answer(photograph, {"rotate": 20, "k2[0]": 1.0, "k2[1]": 1.0}).picture
    torch.testing.assert_close(rolled, turned.roll(3, -1))


def test_sliders_go_from_the_first_to_the_last_default_magnitude(colors):
    sliders = Explorer(colors).sliders
    for name, transform in itn.TRANSFORMS.items():
        assert (sliders[name].low, sliders[name].high) == (
            min(transform.magnitudes),
            max(transform.magnitudes),
        )
    assert sliders["horizontal_flip"].values == (0.0, 1.0)
    assert sliders["zoom"].logarithmic


def test_transformations_of_ones_own_have_sliders(colors, file):
    def solarize(images, v):
        return torch.where(images > v, 1 - images, images)

    own = itn.Transform("solarize", "threshold", 1.0, (0.0, 0.5), solarize, domain=(0, 1))
    still = itn.Transform("still", "nothing", 0.0, (0.0,), lambda images, v: images)
    explorer = Explorer(colors, transforms=(own, still, "zoom"))
    assert list(explorer.sliders) == ["solarize", "zoom"]
    assert (explorer.sliders["solarize"].low, explorer.sliders["solarize"].high) == (0.0, 1.0)
    photograph = explorer.read(file)
    inverted = explorer.answer(photograph, {"solarize": 0.0}).picture
    torch.testing.assert_close(inverted, 1 - photograph.image[0] / 255)


def test_values_outside_their_sliders_are_refused(colors, file):
    explorer = Explorer(colors)
    photograph = explorer.read(file)
    for values, message in (
        ({"rotate": 181}, "rotate goes from -180 to 180, got 181"),
        ({"horizontal_flip": 0.5}, "horizontal_flip goes from 0 to 1, got 0.5"),
        ({"zoom": float("nan")}, "zoom goes from 0.25 to 4, got nan"),
        ({"turn": 1}, "there is no slider 'turn': there are brightness"),
    ):
        with pytest.raises(ValueError, match=message):
            explorer.answer(photograph, values)
    with pytest.raises(ValueError, match="there is no slider 'turn'"):
        explorer.changes(photograph, "turn")


def test_settings_that_contradict_each_other_are_refused(colors, family, tmp_path):
    plain = itn.Classifier(torch.nn.Flatten())
    for arguments, message in (
        ({"size": 8}, "size is 8, but colors says itself how photographs are prepared"),
        ({"padding": "border", "run": family[0]}, "the family was learned with padding zeros, got border"),
        ({"padding": "none"}, "padding must be one of zeros, border, reflection"),
        ({"run": tmp_path}, "holds no finished run of itn learn"),
        ({"label": 1}, "label chooses the family of a class: give the run too"),
        ({"transforms": ("rotate", "rotate")}, "names one twice"),
        ({"transforms": ("rotat",)}, "unknown transformation 'rotat': nearest are rotate"),
        ({"transforms": ()}, "nothing to move"),
        ({"accept": ("all",)}, "accept must be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            Explorer(colors, **arguments)
    with pytest.raises(ValueError, match="surround is 2, but nothing is cropped"):
        Explorer(plain, surround=2)
    with pytest.raises(ValueError, match="takes 2 channels"):
        Explorer(itn.Classifier(torch.nn.Flatten(), (0.5, 0.5), (0.5, 0.5)))


def test_a_family_of_other_weights_is_said(colors, family):
    assert Explorer(colors, family[0]).notes == ()
    assert Explorer(colors, family[1]).notes == ()
    other = itn.Classifier(
        torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(756, 6)), (0.5,) * 3, (1.0,) * 3
    )
    for run in family:
        assert Explorer(other, run).notes == ("The family was learned for other weights, those of colors.",)


def test_a_classifier_that_returns_probabilities_is_refused_unless_that_is_accepted(file, colors):
    class Softmax(torch.nn.Module):
        def forward(self, images):
            return colors.net(images).softmax(1)

    classifier = itn.Classifier(Softmax(), (0.5,) * 3, (0.5,) * 3, preprocessing=colors.preprocessing)
    with pytest.raises(ValueError, match=r'probabilities.*accept=\("logits",\)'):
        Explorer(classifier).read(file)
    assert Explorer(classifier, accept=("logits",)).read(file).image.shape == (1, 3, 14, 18)


def test_a_network_that_writes_into_its_images_is_given_copies(colors, file):
    class InPlace(torch.nn.Module):
        def forward(self, images):
            return colors.net(images.mul_(2))

    explorer = Explorer(itn.Classifier(InPlace(), preprocessing=colors.preprocessing))
    photograph = explorer.read(file)
    assert torch.equal(explorer.answer(photograph).picture, photograph.image[0] / 255)


def test_a_classifier_without_preprocessing_needs_a_size(file):
    clf = itn.load_classifier("lenet5")
    with pytest.raises(
        ValueError, match=r"lenet5 cannot take images of 1x26x40.*give its number of pixels, size=N"
    ):
        Explorer(clf).read(file)
    photograph = Explorer(clf, size=28).read(file)
    assert photograph.image.shape == (1, 1, 28, 28)
    assert photograph.canvases is not None
    digit = Photograph(itn.load_images("mnist", limit=1).images)
    assert Explorer(clf).answer(digit).top[0][1] > 0.5


def test_what_is_not_finite_is_refused(colors, file):
    class Overflows(torch.nn.Module):
        def forward(self, images):
            logits = colors.net(images)
            return torch.where(images.mean() > 0.9, torch.inf, 1.0) * logits

    explorer = Explorer(itn.Classifier(Overflows(), preprocessing=colors.preprocessing))
    photograph = explorer.read(file)
    with pytest.raises(itn.RunError, match="not finite"):
        explorer.answer(photograph, {"brightness": 1.0})


def test_a_family_learned_on_gray_images_refuses_others(file):
    net = itn.InvariantTransformerNet(itn.Classifier(torch.nn.Flatten()), itn.ColorTransformer(channels=1))
    explorer = Explorer(itn.Classifier(torch.nn.Flatten()), itn.LearnResult(net, None, ()))
    with pytest.raises(ValueError, match="channel"):
        explorer.read(file)
    assert dataclasses.is_dataclass(explorer.reader)
