import re

import pytest
import torch
from torch import nn

from itn import (
    ColorTransformer,
    ElasticTransformer,
    FilterTransformer,
    HomographyTransformer,
    SpatialTransformer,
    ToneTransformer,
    Transform,
    transformer_from,
)
from itn.functional import COLOR_FAMILIES, FAMILIES


def haze(images, p, padding):
    """A veil that gets thicker downwards, and a shift of the padding's sort."""
    down = torch.linspace(0.2, 1, images.shape[-2], dtype=p.dtype, device=p.device)[:, None]
    veil = p[:, :1, None, None] * down * (0.8 - images)
    outside = {"zeros": 0.0, "border": 0.5}[padding]
    return images + veil + p[:, 1:, None, None] * (outside - images.flip(-1))


TINT = Transform("tint", "share", 0.0, (-0.5, 0.5), lambda images, v: images + v * (images.roll(1, 1) - 0.4))

MAKERS = {
    f"spatial-{family}": lambda family=family, **kw: SpatialTransformer(family, **kw) for family in FAMILIES
}
MAKERS |= {f"color-{c}": lambda c=c, **kw: ColorTransformer(c, **kw) for c in (1, 3, 4)}
MAKERS |= {f"color-{f}": lambda f=f, **kw: ColorTransformer(3, family=f, **kw) for f in ("gain", "bias")}
MAKERS |= {
    "filter": lambda **kw: FilterTransformer(3, **kw),
    "filter-mixing": lambda **kw: FilterTransformer(3, 3, True, False, hidden=16, **kw),
    "homography": HomographyTransformer,
    "tilts": lambda **kw: HomographyTransformer("tilts", **kw),
    "elastic": lambda **kw: ElasticTransformer(2, **kw),
    "tone": lambda **kw: ToneTransformer(3, **kw),
    "function": lambda bound=0.6, **kw: transformer_from(haze, bound=bound, names=("veil", "mirror"), **kw),
    "magnitude": lambda **kw: transformer_from(TINT, **kw),
}
CHANNELS = {"color-1": 1, "color-4": 4}


@pytest.fixture(params=MAKERS)
def name(request):
    return request.param


def make(name, scale=0.0, seed=0, **kw):
    """Make a transformer; with a scale, one whose weights are as if trained."""
    generator = torch.Generator().manual_seed(seed)
    module = MAKERS[name](generator=generator, **kw)
    if scale:
        nn.init.normal_(module.head.output.weight, std=scale, generator=generator)
    return module


def images_for(name, batch=4, dtype=torch.float32):
    generator = torch.Generator().manual_seed(2)
    return torch.rand(batch, CHANNELS.get(name, 3), 11, 8, generator=generator, dtype=dtype)


@pytest.mark.parametrize("scale", [0.0, 0.3])
@pytest.mark.parametrize("k", [torch.zeros(2), torch.zeros(1, 2), torch.zeros(4, 2)])
def test_zero_is_exactly_the_identity(name, scale, k):
    module, images = make(name, scale), images_for(name)
    assert not module.parameters_at(k).any()
    if hasattr(module, "matrix"):
        matrix = module.matrix(k)
        assert torch.equal(matrix, torch.eye(*matrix.shape[1:]).expand_as(matrix))
    assert torch.equal(module(images, k), images)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("scale", [0.0, 0.3])
def test_displacement_grows_along_rays(name, seed, scale):
    module = make(name, scale, seed)
    rays = torch.rand(16, 2, generator=torch.Generator().manual_seed(seed))
    frame = module.double().frame(images_for(name).shape)
    along = torch.stack(
        [module.displacement(module.parameters_at(t * rays), frame) for t in torch.linspace(0, 1, 11)]
    )
    assert (along.diff(dim=0) >= 0).all()
    assert (along[-1] > 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_untrained_stays_near_the_identity(name, seed):
    module = make(name, seed=seed)
    k = torch.rand(256, 2, generator=torch.Generator().manual_seed(seed))
    k[0] = 1
    assert 0 < module.parameters_at(k).abs().max() < 1e-2
    images = images_for(name, 256)
    assert (module(images, k) - images).abs().max() < 1e-2


def test_per_image_k_equals_a_loop(name):
    module, images = make(name, 0.1), images_for(name)
    k = torch.rand(4, 2, generator=torch.Generator().manual_seed(3))
    one_by_one = torch.cat([module(images[i : i + 1], k[i]) for i in range(4)])
    torch.testing.assert_close(module(images, k), one_by_one, rtol=0, atol=2e-6)


def test_one_k_applies_to_the_batch(name):
    module, images = make(name, 0.1), images_for(name)
    k = torch.tensor([0.3, 0.9])
    torch.testing.assert_close(module(images, k), module(images, k.expand(4, 2)), rtol=0, atol=2e-6)
    assert module.parameters_at(k).shape[0] == 1


def test_output_stays_in_range_and_parameters_in_bounds(name):
    module, images = make(name, 50.0), images_for(name, dtype=torch.float32).round()
    k = torch.rand(4, 2, generator=torch.Generator().manual_seed(4))
    moved = module(images, k)
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert (module.head(k).abs() <= module.head.bound).all()


def test_gradients_reach_images_k_and_weights(name):
    module = make(name, 0.1).double()
    images = (0.2 + 0.6 * images_for(name, 2, torch.float64)).requires_grad_()
    k = torch.tensor([[0.31, 0.77], [0.62, 0.18]], dtype=torch.float64, requires_grad=True)
    names = [key for key, _ in module.named_parameters()]

    def run(images, k, *weights):
        return torch.func.functional_call(module, dict(zip(names, weights, strict=True)), (images, k))

    weights = [weight.detach().clone().requires_grad_() for weight in module.parameters()]
    assert torch.autograd.gradcheck(run, (images, k, *weights))


def test_k_beside_zero_has_a_gradient(name):
    """The identity is where learning of an image's own k would start."""
    module = make(name, 0.3).double()
    k = torch.full((1, 2), 1e-12, dtype=torch.float64, requires_grad=True)
    parameters = module.parameters_at(k)
    (parameters * torch.rand_like(parameters)).sum().backward()
    assert k.grad.abs().max() > 1e-3


def test_state_dict_round_trip(name):
    first, second = make(name, 0.3, bound=0.7), make(name, seed=1)
    second.load_state_dict(first.state_dict())
    k = torch.rand(5, 2)
    assert torch.equal(first.parameters_at(k), second.parameters_at(k))


def test_generators_reproduce_and_differ(name):
    k = torch.rand(5, 2)
    assert torch.equal(make(name, seed=3).parameters_at(k), make(name, seed=3).parameters_at(k))
    assert not torch.equal(make(name, seed=3).parameters_at(k), make(name, seed=4).parameters_at(k))


def test_autocast_keeps_parameters_and_identity_exact(name):
    module, images = make(name, 0.1), images_for(name)
    k = torch.rand(4, 2, generator=torch.Generator().manual_seed(5))
    plain = module.parameters_at(k)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(module.parameters_at(k), plain)
        assert torch.equal(module(images, torch.zeros(2)), images)
        torch.testing.assert_close(module(images, k).float(), module(images.float(), k), rtol=0, atol=2e-2)


def test_nonnegative_parameters_are_never_negative(name):
    """As trained, with weights of either sign."""
    k = torch.rand(64, 2, generator=torch.Generator().manual_seed(8))
    parameters, default = (
        torch.cat([make(name, 0.3, seed, bound=0.7, nonnegative=nonnegative).head(k) for seed in range(8)])
        for nonnegative in (True, False)
    )
    assert default.min() < 0
    assert torch.equal(parameters, default.clamp(min=0))
    assert parameters.max() <= 0.7


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("scale", [0.0, 0.3])
def test_nonnegative_keeps_the_identity_and_grows_along_rays(name, seed, scale):
    module, images = make(name, scale, seed, nonnegative=True).double(), images_for(name, dtype=torch.float64)
    assert torch.equal(module(images, torch.zeros(4, 2)), images)
    rays = torch.rand(16, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    along = torch.stack([module.head(t * rays) for t in torch.linspace(0, 1, 11)])
    assert not along[0].any()
    assert (along.diff(dim=0) >= 0).all()


@pytest.mark.parametrize("seed", range(5))
def test_every_nonnegative_output_can_learn(name, seed):
    head = make(name, seed=seed, nonnegative=True).head
    k = torch.rand(64, 2, generator=torch.Generator().manual_seed(seed))
    parameters = head(k)
    parameters.sum().backward()
    assert (parameters > 0).all()
    assert head.output.weight.grad.any(1).all()


def test_nonnegative_weights_are_the_same_draw(name):
    default, nonnegative = make(name).head, make(name, nonnegative=True).head
    assert torch.equal(nonnegative.hidden.weight, default.hidden.weight)
    assert torch.equal(nonnegative.output.weight, default.output.weight.abs())
    assert (default.output.weight < 0).any()


def test_compiles_without_graph_breaks(name):
    module, images = make(name, 0.1), images_for(name)
    k = torch.rand(4, 2, generator=torch.Generator().manual_seed(6))
    torch.compiler.reset()
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(images, k), module(images, k))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_cpu(name):
    module, images = make(name, 0.1), images_for(name)
    k = torch.rand(4, 2, generator=torch.Generator().manual_seed(7))
    expected = module(images, k)
    module.cuda()
    torch.testing.assert_close(module(images.cuda(), k.cuda()).cpu(), expected, rtol=0, atol=1e-5)
    assert torch.equal(module(images.cuda(), torch.zeros(2).cuda()).cpu(), images)


@pytest.mark.parametrize(
    ("k", "message"),
    [
        (torch.zeros(3), r"shape \(2,\), \(1, 2\) or \(B, 2\), got \(3,\)"),
        (torch.zeros(4, 3), r"got \(4, 3\)"),
        (torch.zeros(1, 4, 2), r"got \(1, 4, 2\)"),
        (torch.tensor([0.5, 1.5]), r"k must lie in \[0, 1\], got values from 0.5 to 1.5"),
        (torch.tensor([-0.1, 0.5]), "from -0.1"),
        (torch.tensor([torch.nan, 0.5]), "nan"),
        (torch.zeros(3, 2), "k has 3 rows for 4 images"),
    ],
)
def test_bad_k_is_refused(name, k, message):
    with pytest.raises(ValueError, match=message):
        make(name)(images_for(name), k)


def test_bad_images_are_refused(name):
    with pytest.raises(ValueError, match="divide uint8 by 255"):
        make(name)((images_for(name) * 255).byte(), torch.zeros(2))
    with pytest.raises(ValueError, match="undo the normalization"):
        make(name)(images_for(name) - 1, torch.zeros(2))


def test_wrong_channel_count_is_refused():
    with pytest.raises(ValueError, match="images have 1 channel"):
        ColorTransformer(3)(torch.rand(2, 1, 4, 4), torch.zeros(2))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"family": "afine"}, "unknown family"),
        ({"padding": "wrap"}, "padding must be one of zeros, border, reflection, got 'wrap'"),
        ({"bound": 0.0}, "positive"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SpatialTransformer(**settings)


@pytest.mark.parametrize("channels", [1000, 513, 0, -1, 2.5, True, "3"])
@pytest.mark.parametrize("family", COLOR_FAMILIES)
def test_a_number_of_channels_that_no_images_have_is_refused(channels, family):
    with pytest.raises(ValueError, match=re.escape(f"channels must be from 1 to 512, got {channels!r}")):
        ColorTransformer(channels, family=family)


def test_as_many_channels_as_a_hyperspectral_camera_has_are_taken():
    color, images = ColorTransformer(224, hidden=1), torch.rand(1, 224, 2, 3)
    assert len(color.names) == 224 * 225
    assert torch.equal(color(images, torch.zeros(2)), images)


@pytest.mark.parametrize("channels", [1, 3, 9, 10, 13, 224])
def test_parameters_of_many_channels_have_names_of_their_own(channels):
    names = ColorTransformer(channels, hidden=1).names
    assert len(set(names)) == len(names) == channels * (channels + 1)
    assert names[0] == ("gain - 1 00" if channels < 10 else "gain - 1 0,0")


def test_an_unknown_color_family_is_refused():
    with pytest.raises(ValueError, match="unknown color family 'hue': give one of affine, gain, bias"):
        ColorTransformer(3, family="hue")
