import math

import numpy as np
import pytest
import torch

import itn.transforms.registry
from itn.transforms import TRANSFORMS, register


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
    def solarize(images, v):
        """Invert what is brighter than v."""
        return torch.where(images > v, 1 - images, images)

    assert list(registered)[-1] == "solarize"
    assert registered["solarize"] is solarize
    assert (solarize.name, solarize.unit, solarize.magnitudes) == ("solarize", "threshold", (0.0, 0.5, 1.0))
    assert solarize.__doc__ == "Invert what is brighter than v."
    result = solarize(odd_images, torch.tensor([0.0, 1.0, 0.25]))
    image = odd_images[2].numpy()
    close(result[0], 1 - odd_images[0])
    assert torch.equal(result[1], odd_images[1])
    close(result[2], np.where(image > 0.25, 1 - image, image))
    with pytest.raises(ValueError, match=r"solarize \(threshold\) takes magnitudes from 0 to 1, got 2"):
        solarize(odd_images, 2)


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
