import dataclasses
import functools
import hashlib
import inspect
import linecache
import math
import pickle

import numpy as np
import pytest
import torch

import itn.transforms.registry
from itn.transforms import TRANSFORMS, Transform, octaves, register, unregister


def close(result, expected, atol=1e-12):
    np.testing.assert_allclose(result.numpy(), np.asarray(expected), rtol=0, atol=atol)


@pytest.fixture
def registered():
    """The registry; what the test registers is removed afterwards."""
    before = dict(TRANSFORMS)
    yield TRANSFORMS
    for name in set(TRANSFORMS) - set(before):
        itn.transforms.registry._TRANSFORMS.pop(name)
    assert dict(TRANSFORMS) == before


def test_a_users_transformation_is_registered(registered, odd_images):
    @register("threshold", identity=1.0, magnitudes=(1.0, 0.0, 0.5), domain=(0, 1))
    def inverted(images, v):
        """Invert what is brighter than v."""
        return torch.where(images > v, 1 - images, images)

    assert list(registered)[-1] == "inverted"
    assert registered["inverted"] is inverted
    assert (inverted.name, inverted.unit, inverted.magnitudes) == ("inverted", "threshold", (0.0, 0.5, 1.0))
    assert inverted.__doc__ == "Invert what is brighter than v."
    result = inverted(odd_images, torch.tensor([0.0, 1.0, 0.25]))
    image = odd_images[2].numpy()
    close(result[0], 1 - odd_images[0])
    assert torch.equal(result[1], odd_images[1])
    close(result[2], np.where(image > 0.25, 1 - image, image))
    with pytest.raises(ValueError, match=r"inverted \(threshold\) takes magnitudes from 0 to 1, got 2"):
        inverted(odd_images, 2)


def test_a_users_result_is_clamped_and_exact_at_its_identity(registered, odd_images):
    @register("gain", identity=0.0, magnitudes=(0.0, 1.0))
    def careless(images, v):
        return 3 * images - 1 + v

    assert torch.equal(careless(odd_images, 0.0), odd_images)
    close(careless(odd_images, 0.5), np.clip(3 * odd_images.numpy() - 0.5, 0, 1))


def test_a_users_spatial_transformation(registered, odd_images):
    """A mirror and shrink at once, from magnitudes and the frame's aspect to matrices."""
    aspects = []

    @register("factor", identity=1.0, magnitudes=(-1.0, 1.0), spatial=True)
    def mirror(v, aspect):
        aspects.append(aspect)
        rows = torch.eye(2, 3, dtype=v.dtype).repeat(len(v), 1, 1)
        rows[:, 0, 0] = v
        return rows

    result = mirror(odd_images, [1.0, -1.0, 1.0])
    assert aspects == [13 / 9]
    assert torch.equal(result[[0, 2]], odd_images[[0, 2]])
    close(result[1], odd_images[1].flip(-1))
    assert not mirror.random
    close(mirror(odd_images, 2.0, padding="border")[..., 0], odd_images[..., 0])


def test_a_users_transformation_may_ask_for_padding_and_noise(registered, odd_images):
    received = {}

    @register("strength", identity=0.0, magnitudes=(0.0, 1.0))
    def greedy(images, v, noise, padding):
        received.update(noise=noise, padding=padding)
        return images

    assert greedy.random
    noise = torch.randn(odd_images.shape)
    greedy(odd_images, 1.0, noise=noise, padding="reflection")
    assert received["padding"] == "reflection"
    assert torch.equal(received["noise"], noise)


def test_a_users_discrete_transformation_may_have_any_magnitudes(registered, odd_images):
    """0.1 is not a float32."""

    @register("turns", identity=0.0, magnitudes=(0.0, 0.1, 0.3), domain=(0.0, 0.3), discrete=True)
    def jump(images, v):
        return images + v

    close(jump(odd_images.float(), 0.1), (odd_images + 0.1).clamp(0, 1), atol=1e-6)
    close(jump(odd_images.float(), 0.3), (odd_images + 0.3).clamp(0, 1), atol=1e-6)
    with pytest.raises(ValueError, match=r"jump takes 0 or 0\.1 or 0\.3 as its magnitude, got 0\.2"):
        jump(odd_images, 0.2)


def test_the_end_of_a_users_domain_is_allowed(registered, odd_images):
    @register("strength", identity=0.0, magnitudes=(0.0, 0.1), domain=(0.0, 0.1))
    def slight(images, v):
        return images + v

    close(slight(odd_images.float(), 0.1), (odd_images + 0.1).clamp(0, 1), atol=1e-6)


def test_contradicting_registrations_are_refused(registered):
    def rotate(images, v):
        return images

    def other(images, v):
        return images

    with pytest.raises(
        ValueError, match="there is a transformation 'rotate' already: give yours another name"
    ):
        register("degrees", 0.0, (0.0, 1.0))(rotate)
    with pytest.raises(ValueError, match="other is a factor: its identity must be positive"):
        register("factor", 0.0, (0.0, 1.0), logarithmic=True, domain=(0, 2))(other)
    with pytest.raises(ValueError, match=r"other is a factor: .* its domain from 0 or above"):
        register("factor", 1.0, (0.5, 1.0), logarithmic=True)(other)
    with pytest.raises(ValueError, match=r"other \(fraction\) takes magnitudes from 0 to 1, got 2"):
        register("fraction", 0.0, (0.0, 2.0), domain=(0, 1))(other)
    with pytest.raises(ValueError, match=r"other \(fraction\) takes magnitudes from 0 to 1, got -1"):
        register("fraction", -1.0, (0.0, 1.0), domain=(0, 1))(other)
    with pytest.raises(ValueError, match="other takes 1 or 2 as its magnitude, got 0"):
        register("either", 0.0, (1.0, 2.0), discrete=True)(other)
    assert "other" not in registered
    assert registered["rotate"].function is not rotate


def test_the_table_is_read_only():
    with pytest.raises(TypeError, match="does not support item assignment"):
        TRANSFORMS["mine"] = TRANSFORMS["rotate"]
    with pytest.raises(AttributeError, match="cannot assign to field 'identity'"):
        TRANSFORMS["rotate"].identity = 1.0


@pytest.mark.parametrize(
    ("name", "v", "distance"),
    [
        ("rotate", -30, 30),
        ("rotate", 15, 15),
        ("zoom", 2, math.log(2)),
        ("zoom", 0.5, math.log(2)),
        ("zoom", 1, 0),
    ],
)
def test_distance_from_the_identity(name, v, distance):
    transform = TRANSFORMS[name]
    assert transform.distance(v) == pytest.approx(distance)
    side = "below" if v < transform.identity else "above"
    assert transform.at_distance(distance, side) == pytest.approx(v)


def test_halfway():
    a, b = torch.tensor([1.0, 0.5]), torch.tensor([4.0, 2.0])
    close(TRANSFORMS["zoom"].between(a, b), [2, 1], atol=1e-6)
    close(TRANSFORMS["rotate"].between(a, b), [2.5, 1.25], atol=1e-6)


# Registering again


FADE = {"unit": "share", "identity": 0.0, "magnitudes": (0.0, 0.5), "domain": (0, 1)}
CELL = """
@itn.register("share", 0.0, (0.0, {magnitude}), domain=(0, 1))
def fade(images, v):
    return images * (1 - {by} * v)
"""


def run_cell(number, magnitude=0.5, by=1):
    """Run a notebook's cell: its source is known under the name of that execution."""
    code, name = CELL.format(magnitude=magnitude, by=by), f"<cell {number}>"
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    names = {"itn": itn, "__name__": "__main__"}
    exec(compile(code, name, "exec"), names)
    return names["fade"]


def test_a_cell_may_run_twice(registered):
    first, again = run_cell(1), run_cell(2)
    assert again is not first
    assert registered["fade"] is again
    assert again.describe() == first.describe()


@pytest.mark.parametrize("change", [{"by": 0.5}, {"magnitude": 0.25}])
def test_another_function_or_setting_needs_to_be_asked_for(registered, change):
    first = run_cell(1)
    with pytest.raises(ValueError, match="another transformation 'fade' already: replace it with replace="):
        run_cell(2, **change)
    assert registered["fade"] is first


def test_another_function_replaces_an_earlier_one_where_asked(registered, odd_images):
    run_cell(1)
    before = list(registered)

    @register(**FADE, name="fade", replace=True)
    def darker(images, v):
        return images * (1 - v) / 2

    assert registered["fade"] is darker
    assert list(registered) == before
    close(darker(odd_images, 0.5), odd_images / 4)


def test_what_is_built_in_stays(registered):
    def rotate(images, v):
        return images

    for replace in (False, True):
        with pytest.raises(ValueError, match="'rotate' already: give yours another name, since built-in"):
            register("degrees", 0.0, (0.0, 1.0), replace=replace)(rotate)
    rotation = registered["rotate"]
    with pytest.raises(ValueError, match="'rotate' is built in: only what was registered can be removed"):
        unregister("rotate")
    assert registered["rotate"] is rotation


def test_what_was_registered_can_be_removed(registered, odd_images):
    fade = run_cell(1)
    itn.unregister("fade")
    assert "fade" not in registered
    close(fade(odd_images, 0.5), odd_images / 2)
    with pytest.raises(ValueError, match="unknown transformation 'fade': nearest are"):
        unregister("fade")


# Functions of other kinds


def shade(images, v, strength, padding):
    """Darken by v."""
    assert padding in ("zeros", "border")
    return images * (1 - strength * v)


class Grain:
    """Add a pattern."""

    def __init__(self, pattern):
        self.pattern = pattern

    def __call__(self, images, v, noise):
        return images + v * self.pattern * noise

    __hash__ = None


def test_a_partial_is_a_transformation(registered, odd_images):
    half = register(**FADE, name="half_shade")(functools.partial(shade, strength=0.5))
    assert registered["half_shade"] is half
    assert half.__doc__ == "Darken by v."
    close(half(odd_images, 1.0, padding="border"), odd_images / 2)
    bound = register(**FADE, name="bound_shade")(functools.partial(shade, strength=1, padding="zeros"))
    close(bound(odd_images, 0.5, padding="reflection"), odd_images / 2)
    assert half.describe()["code_sha256"] != bound.describe()["code_sha256"]
    again = register(**FADE, name="half_shade")(functools.partial(shade, strength=0.5))
    assert registered["half_shade"] is again
    with pytest.raises(ValueError, match="another transformation 'half_shade'"):
        register(**FADE, name="half_shade")(functools.partial(shade, strength=0.25))


def test_a_callable_object_is_a_transformation(registered, odd_images):
    pattern, noise = torch.rand(9, 13), torch.randn(odd_images.shape, dtype=torch.float64)
    grain = register(**FADE, name="grain")(Grain(pattern))
    assert grain.random
    assert grain.__doc__ == "Add a pattern."
    close(grain(odd_images, 0.5, noise=noise), (odd_images + 0.5 * pattern * noise).clamp(0, 1))
    before = grain.describe()
    assert before == Transform("other", function=Grain(pattern.clone()), **FADE).describe()
    register(**FADE, name="grain")(Grain(pattern))
    grain.function.pattern = 2 * pattern
    assert grain.describe() != before  # a run with the earlier pattern is not continued
    register(**FADE, name="grain")(Grain(pattern))


@pytest.mark.parametrize(
    ("function", "kind"),
    [(functools.partial(shade), "partial"), (Grain(1), "Grain"), (lambda images, v: images, "lambda")],
)
def test_what_has_no_name_must_be_given_one(registered, function, kind):
    with pytest.raises(ValueError, match=rf'a {kind} has no name: give it one, name="my_transform"'):
        register(**FADE)(function)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "my-blur"}, "letters, digits and underscores, such as my_blur, got 'my-blur'"),
        ({"name": "../fade"}, "letters, digits and underscores"),
        ({"name": ""}, "letters, digits and underscores"),
        ({"name": 3}, "name must be text, got 3"),
        ({"unit": 3}, "unit must be text"),
        ({"identity": "0"}, "identity must be a number, got '0'"),
        ({"spatial": 1}, "spatial must be True or False"),
        ({"function": Grain}, r"fade is a class: give an object of it, such as fade\(...\)"),
        ({"function": 3}, "fade: a transformation is a function of images and magnitudes, got 3"),
        ({"magnitudes": ()}, "fade has no magnitudes: give those of its sweep"),
        ({"magnitudes": ("a",)}, "magnitudes of fade must be numbers"),
        ({"magnitudes": (0.0, 2.0)}, "from 0 to 1, got 2"),
        ({"domain": (1, 0)}, "a domain is its smallest and its largest magnitude"),
        ({"domain": 1}, "a domain is its smallest and its largest magnitude"),
        ({"logarithmic": True}, "fade is a factor: its identity must be positive"),
    ],
)
def test_a_transformation_is_checked_however_it_is_made(change, message):
    with pytest.raises(ValueError, match=message):
        Transform(**({"name": "fade", "function": shade} | FADE | change))


def test_a_transformation_of_a_program(odd_images):
    """Made without the registry, changed, and sent to another process."""
    fade = Transform("fade", "share", 0, np.array([0.5, 0.0]), functools.partial(shade, strength=1))
    assert "fade" not in TRANSFORMS
    assert fade.magnitudes == (0.0, 0.5)
    finer = dataclasses.replace(fade, magnitudes=octaves(-2, 0, 1))
    assert finer.magnitudes == (0.25, 0.5, 1.0)
    sent = pickle.loads(pickle.dumps(finer))
    assert sent.describe() == finer.describe()
    assert torch.equal(sent(odd_images, 0.5), finer(odd_images, 0.5))


def test_the_code_of_a_plain_function_is_its_source():
    rotate = TRANSFORMS["rotate"]
    source = inspect.getsource(rotate.function).encode()
    assert rotate.describe()["code_sha256"] == hashlib.sha256(source).hexdigest()
