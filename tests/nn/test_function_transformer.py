"""Functions as transformers: what is measured, said, refused and learned; laws are in test_transformer."""

import dataclasses
import functools
import importlib.util
import json

import numpy as np
import pytest
import torch

import itn
from itn.functional import standard_picture
from itn.learning.config import describe_part
from itn.learning.constrained.settings import ConstrainedSettings
from itn.learning.load import make_net

FEW = itn.Constrained(settings=ConstrainedSettings(restarts=4))
QUICK = {"tolerance": 0.1, "steps": 20, "batch_size": 32, "objective": FEW}


def brighter(images, p):
    return images + p[:, 0, None, None, None]


def skewed(images, p):
    """Rows shifted by shares of the width; sampling rounds, also at 0."""
    shift = p[:, :1] * itn.functional.pixel_centers(images.shape[-2], p)
    field = torch.stack([shift, 0 * shift], 1)[..., None].expand(-1, -1, -1, images.shape[-1])
    return 1.0001 * itn.functional.shift_pixels(images, field) - 0.0001 * images


def exponential(images, p):
    """Gains of each channel; p has as many entries."""
    return images * p.exp()[:, :, None, None]


def frame_of(part, images):
    return part.frame(images.shape)


def test_the_identity_is_exact_where_the_function_rounds_and_keeps_its_gradient():
    part = itn.transformer_from(skewed, bound=0.3).double()
    images = torch.rand(3, 2, 9, 14, dtype=torch.float64)
    p = torch.tensor([[0.0], [0.1], [0.0]], dtype=torch.float64, requires_grad=True)
    moved = part.apply_parameters(images, p, frame_of(part, images))
    assert torch.equal(moved[::2], images[::2])
    assert not torch.equal(moved[1], images[1])
    (slope,) = torch.autograd.grad((moved * torch.rand_like(moved)).sum(), p)
    assert slope.all()


def test_displacement_is_the_mean_squared_change_of_the_standard_picture():
    part = itn.transformer_from(exponential, names=("r", "g", "b"), bound=2.0)
    p = torch.tensor([[0.1, -0.3, 0.2], [1.5, 0.0, -1.0], [0.0, 0.0, 0.0]])
    picture = standard_picture(3, (9, 14)).double().numpy()
    expected = [
        np.mean((np.clip(picture * np.exp(row)[:, None, None], 0, 1) - picture) ** 2)
        for row in p.double().numpy()
    ]
    found = part.displacement(p, part.frame((3, 9, 14)))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found[2] == 0


@pytest.mark.parametrize("as_uint8", [True, False])
def test_displacement_is_measured_on_given_images(as_uint8):
    images = torch.randint(256, (3, 1, 5, 8), dtype=torch.uint8)
    given = images if as_uint8 else images.double() / 255
    part = itn.transformer_from(exponential, bound=2.0, measured_on=given)
    values = images.double().numpy() / 255
    expected = np.mean((np.clip(values * np.exp(0.4), 0, 1) - values) ** 2)
    frame = frame_of(part, images)
    assert part.displacement(torch.tensor([[0.4]]), frame).item() == pytest.approx(expected, rel=1e-5)
    assert part.describe(torch.tensor([[0.4]]), frame) == (
        f"exponential is 0.4; this changes 3 given images by {100 * expected**0.5:.1f} % of the full range"
    )
    assert part.displacement_text == "mean squared change of the values of 3 given images"
    with pytest.raises(ValueError, match=r"have the shape \(1, 5, 8\), those to learn from \(1, 5, 9\)"):
        part.displacement(torch.zeros(1, 1), part.frame((1, 5, 9)))
    assert "measured_on" not in part.state_dict()  # images of others are not written beside weights


def test_neither_sign_is_favored_and_many_rows_are_measured_as_few(monkeypatch):
    part = itn.transformer_from(skewed, bound=0.3)
    p, frame = torch.linspace(-0.3, 0.3, 14)[:, None], part.frame((1, 12, 16))
    all_at_once = part.displacement(p, frame)
    torch.testing.assert_close(all_at_once, all_at_once.flip(0), rtol=1e-3, atol=0)
    monkeypatch.setattr("itn.nn.function_transformer._VALUES_AT_ONCE", 500)
    torch.testing.assert_close(part.displacement(p, frame), all_at_once)


def test_own_displacement_and_words_take_the_place_of_the_defaults():
    settings = {"names": ("a", "b"), "bound": (0.5, 1.0), "displacement": lambda p, frame: p.square().sum(1)}
    part = itn.transformer_from(skewed, **settings, units=("of the width", ""))
    p, frame = torch.tensor([[0.25, -1.0]]), part.frame((1, 8, 8))
    assert part.displacement(p, frame).item() == 1.0625
    assert part.describe(p, frame) == "a is 0.25 (of the width), b is -1"
    shared = itn.transformer_from(skewed, **settings, units="of the width")
    assert shared.describe(p, frame) == "a is 0.25, b is -1 (of the width)"
    own = itn.transformer_from(skewed, **settings, describe=lambda p, frame: f"{frame.width} wide")
    assert own.describe(p, frame) == "8 wide"
    named = [(b.name, b.sign, b.max_offset, b.unit) for b in part.baselines(frame)]
    assert named == [
        *(("a", "+", 0.5, "of the width"), ("a", "-", -0.5, "of the width")),
        *(("b", "+", 1.0, ""), ("b", "-", -1.0, "")),
    ]
    assert part.rms_shift(p, frame) is None
    assert itn.transformer_from(skewed, **settings, moves_pixels=True).rms_shift(p, frame) == 1.0625**0.5
    one_sided = itn.transformer_from(skewed, **settings, nonnegative=True)
    assert [b.sign for b in one_sided.baselines(frame)] == ["+", "+"]


def test_padding_goes_to_functions_that_ask_for_it():
    def filled(images, p, padding):
        return images + p[:, 0, None, None, None] * {"zeros": 0, "border": 1}[padding]

    images = torch.rand(2, 1, 4, 4) / 2
    for padding, change in (("zeros", 0.0), ("border", 0.25)):
        part = itn.transformer_from(filled, bound=1.0, padding=padding)
        moved = part.apply_parameters(images, torch.full((2, 1), 0.25), frame_of(part, images))
        torch.testing.assert_close(moved, images + change)
    bound = itn.transformer_from(functools.partial(filled, padding="border"), bound=1.0)
    assert bound.names == ("filled",)
    assert torch.equal(bound.apply_parameters(images, torch.ones(2, 1), frame_of(bound, images)), images + 1)


def test_it_is_a_decorator_with_functools_partial():
    @functools.partial(itn.transformer_from, names=("light",), bound=0.4)
    def lighter(images, p):
        return images + p[:, :, None, None]

    assert isinstance(lighter, itn.Transformer)
    assert describe_part(lighter)["function"] == "lighter"


def test_a_factor_of_the_screening_table_is_learned_on_the_logarithmic_scale():
    gamma = itn.TRANSFORMS["gamma"]
    for settings, most in (({}, 8.0), ({"bound": 2.0}, 2.0)):
        part = itn.transformer_from(gamma, **settings)
        assert part.head.bound.item() == pytest.approx(np.log(most))
        images = torch.rand(2, 3, 4, 5)
        darker, lighter = part.baselines(frame_of(part, images))
        assert (darker.sign, lighter.sign) == ("+", "-")
        assert darker.magnitude(1.0) == pytest.approx(most)
        assert lighter.magnitude(1.0) == pytest.approx(1 / most)
        for single in (darker, lighter):
            scale = torch.full((2,), 0.5)
            exponent = single.magnitude(0.5)
            torch.testing.assert_close(single.apply(images, single.generate(scale)), images**exponent)
        assert part.magnitude(np.log(1.5)) == pytest.approx(1.5)
        assert tuple(part.magnitude_name) == ("gamma", gamma.unit)


@pytest.mark.parametrize(
    ("name", "parameter", "magnitude", "signs"),
    [("blur", 0.5, 0.5, "+"), ("solarize", 0.25, 0.75, "-"), ("hue", -30.0, -30.0, "+-")],
)
def test_a_magnitude_grows_on_the_sides_of_its_sweep(name, parameter, magnitude, signs):
    transform = itn.TRANSFORMS[name]
    part = itn.transformer_from(transform)
    images = torch.rand(2, 3, 8, 9)
    frame = frame_of(part, images)
    assert part.magnitude(parameter) == magnitude
    assert "".join(single.sign for single in part.baselines(frame)) == signs
    assert part.head.nonnegative == (len(signs) == 1)
    moved = part.apply_parameters(images, torch.full((2, 1), parameter), frame)
    torch.testing.assert_close(moved, transform(images, magnitude))
    assert part.describe(torch.tensor([[parameter]]), frame).startswith(
        f"{name} is {magnitude:g} ({transform.unit}); this changes a standard picture by"
    )


@pytest.mark.parametrize(
    ("function", "settings", "message"),
    [
        (brighter, {}, "give a bound"),
        (3, {"bound": 1.0}, "give a function of images and parameters, got 3"),
        (torch.nn.ReLU(), {"bound": 1.0}, "a class or a module is not taken"),
        (lambda images, p: images, {"bound": 1.0}, "a lambda has no name"),
        (brighter, {"bound": 1.0, "moves_pixels": True}, "moves_pixels needs displacement"),
        (brighter, {"bound": (1.0, 2.0)}, "bound must be one number, or 1"),
        (brighter, {"bound": 1.0, "units": ("a", "b")}, "give one unit, or 1 unit, .* got 2 units"),
        (brighter, {"bound": 1.0, "padding": "wrap"}, "padding must be one of"),
        (brighter, {"bound": 1.0, "names": "light"}, "needs names, a tuple"),
        (brighter, {"bound": 1.0, "measured_on": torch.rand(4, 4)}, "images must"),
        (itn.TRANSFORMS["rotate"], {}, "rotate is spatial"),
        (itn.TRANSFORMS["noise"], {}, "noise is random"),
        (dataclasses.replace(itn.TRANSFORMS["gamma"], discrete=True), {}, "no magnitudes between"),
        (dataclasses.replace(itn.TRANSFORMS["gamma"], magnitudes=(1.0,)), {}, "no magnitude beside"),
        (itn.TRANSFORMS["gamma"], {"names": ("g",)}, "has a name and a unit"),
        (itn.TRANSFORMS["gamma"], {"bound": 0.5}, "bound of gamma must be a number above 1, got 0.5"),
        (itn.TRANSFORMS["vignette"], {"bound": 1.5}, "takes magnitudes from 0 to 1, got 1.5"),
    ],
)
def test_what_cannot_be_learned_is_refused(function, settings, message):
    with pytest.raises(ValueError, match=message):
        itn.transformer_from(function, **settings)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda images, p: images * (0.9 + p[:, 0, None, None, None]), "at parameters of almost 0"),
        (lambda images, p: images + p[0, 0], "changes an image otherwise in a batch than alone"),
        (lambda images, p: images + p[:, :, None, None] * torch.rand(()), "in the same way at every call"),
        (lambda images, p: images + p[:, :, None, None].round(), "has no slope within its bounds"),
        (lambda images, p: images + p[:, :, None, None].detach(), "passes no gradient"),
        (lambda images, p: images + p[:, :, None, None] / (p[:, :, None, None].abs() < 0.1), "not finite"),
        (lambda images, p: (images + p[:, :, None, None]).mean(1), r"must return images of the shape"),
    ],
)
@pytest.mark.parametrize("objective", ["constrained", "switched"])
def test_what_a_function_has_to_keep_is_checked_before_the_run(
    function, message, objective, blobs, side, tmp_path
):
    part = itn.transformer_from(function, names=("p",), bound=0.9)
    config = itn.LearnConfig(parts={"own": part}, tolerance=0.1, steps=1, objective=objective)
    with pytest.raises(ValueError, match=message):
        itn.learn(side, *blobs, config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("no_figures")
def test_one_function_is_screened_and_learned_and_both_find_where_it_breaks(flats, brightness):
    """Images of 0.25 and 0.75 are told apart by 1/2: a veil that takes values towards 1 is kept up to 1/3."""
    veil = itn.Transform(
        "veil", "share", 0.0, np.linspace(0, 0.9, 10), lambda images, v: images + v * (1 - images)
    )
    sweep = itn.screen(brightness, *flats, itn.ScreenConfig(transforms=(veil,)))
    threshold = sweep.record.transforms["veil"].thresholds.accuracy["above"]
    assert threshold.value == pytest.approx(1 / 3, abs=0.01)
    parts = {"veil": itn.transformer_from(veil)}
    run = itn.learn(brightness, *flats, itn.LearnConfig(parts=parts, **QUICK))
    ends = run.record.parts["veil"].range
    assert (ends.transform, ends.unit) == ("veil", "share")
    assert 0.9 / 3 <= max(ends.low, ends.high) <= 1.001 / 3


@pytest.mark.parametrize("objective", ["constrained", "switched"])
def test_it_is_learned_drawn_resumed_reported_and_loaded(
    objective, blobs, side, tmp_path, monkeypatch, cut_after_three_steps
):
    settings = {"names": ("skew",), "bound": 0.4, "units": "of the width", "measured_on": blobs[0][:2]}
    own = {"own": itn.transformer_from(skewed, **settings)}
    settings_of_run = QUICK | {"steps": 6, "objective": FEW if objective == "constrained" else objective}
    config = itn.LearnConfig(parts=own, **settings_of_run)
    whole = itn.learn(side, *blobs, config, tmp_path / "whole")
    assert whole.record.parts["own"].displacement_full > 0
    assert "this changes 2 given images by" in (tmp_path / "whole" / "report.html").read_text()
    assert "skew is" in str(whole)

    with cut_after_three_steps():
        itn.learn(side, *blobs, config, tmp_path / "cut")
    monkeypatch.setattr("itn.learning.figures.draw", lambda *_: {})
    again = {"own": itn.transformer_from(skewed, **settings)}
    itn.learn(side, *blobs, itn.LearnConfig(parts=again, **settings_of_run), tmp_path / "cut")
    for file in ("config.json", "result.json", "history.jsonl", "model.safetensors"):
        assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()

    images, k = blobs[0][:5], torch.rand(5, 2)
    net = itn.load_net(tmp_path / "whole", side, transformers=again)
    assert torch.equal(net.transform(images, k), whole.net.transform(images, k))
    augment = itn.load_augmentation(tmp_path / "whole", transformers=again)
    assert augment(images).shape == images.shape
    with pytest.raises(ValueError, match=r'transformers=\{"own": itn.transformer_from\(skewed, ...\)\}'):
        itn.load_net(tmp_path / "whole", side)
    other = {"own": itn.transformer_from(brighter, **settings)}
    with pytest.raises(ValueError, match="its function was skewed, that of the one given is brighter"):
        itn.load_net(tmp_path / "whole", side, transformers=other)
    elsewhere = itn.transformer_from(skewed, **settings | {"measured_on": 1 - blobs[0][:2]})
    with pytest.warns(UserWarning, match="the code or the settings of own have changed"):
        itn.load_net(tmp_path / "whole", side, transformers={"own": elsewhere})


def test_the_code_of_a_function_and_of_its_file_counts_for_resuming(tmp_path):
    text = "SHARE = 0.5\n\n\ndef faded(images, p):\n    return images * (1 - SHARE * p[:, :, None, None])\n"
    described = []
    for number, content in enumerate((text, text, text.replace("0.5", "0.6"))):
        path = tmp_path / str(number) / "faded.py"
        path.parent.mkdir()
        path.write_text(content)
        spec = importlib.util.spec_from_file_location("faded", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for function in (module.faded, functools.partial(module.faded)):
            described.append(json.dumps(describe_part(itn.transformer_from(function, bound=0.5))))
    assert described[0] == described[2] != described[4]
    assert described[1] == described[3] != described[5]


@pytest.mark.parametrize(
    "part",
    [
        itn.transformer_from(lambda images, p: images + p[:, :, None, None], names=("add",), bound=5.0),
        itn.SpatialTransformer(bound=5.0),
    ],
    ids=["all values are clamped within the bound", "far beyond what images need"],
)
def test_large_bounds_are_no_fault(part):
    shape = (2, 1, 512, 512)
    net = make_net(itn.Classifier(torch.nn.Flatten()), itn.LearnConfig(parts={"own": part}), shape)
    assert net.parts == ("own",)
