"""Where tensors lie, without a GPU: everything runs on a pretended one that refuses to mix devices.

``pretended_gpu`` makes tensors that say they are on ``cuda:0``. They cannot meet tensors on the CPU, as on a
real GPU, but their values are there, computed on the CPU, so that control flow runs as it does and answers
must equal those of the CPU, bit for bit. (FakeTensorMode has no values, and no backward pass without a GPU.)

What this cannot show, and a machine with a GPU must (``benchmarks/device.py``): kernels, rounding and memory
of a GPU, ``compile=True``, what CUDA's autocast makes of each layer (that of the CPU stands in for it),
copies that overlap with work, NCCL, and ``--device cuda``, which asks torch whether there is a GPU.
"""

import contextlib
import copy
import dataclasses
import functools
import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

import itn
from itn.certification.criteria import Agreement, Broken
from itn.certification.family_baselines import FamilyBaselines
from itn.certification.parametric import EvaluationSet, ParametricTransform, remember
from itn.certification.search import search_worst_k
from itn.explorer.explorer import Explorer
from itn.explorer.photograph import Photograph
from itn.functional import COLOR_FAMILIES, FAMILIES, PADDINGS, Surround, apply_color, fill_outside
from itn.learning.constrained.learner import ConstrainedLearner
from itn.learning.constrained.settings import ConstrainedSettings
from itn.learning.figures import directions, grid, strips
from itn.learning.load import make_net
from itn.learning.objective import LearnProblem
from itn.learning.results import LearnResult
from itn.models.canvases import Canvases
from itn.models.classifier import margins
from itn.runtime.run_dir import content_of
from itn.screening.passes import Screener
from itn.stats import DropTest

GPU = torch.device("cuda", 0)
STANDS_FOR = "lazy"  # what C++ takes the tensors for: not the CPU, and nothing that needs a driver
PLENTY, NONE = 2**40, 0  # bytes free on the GPU; where there are none, images stay on the CPU
aten = torch.ops.aten
COPIES = (aten.copy_, aten._to_copy, aten._foreach_copy_)
INDEXING = (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_, aten._unsafe_index)
STRICT = (aten.cat, aten.stack)  # operations that refuse even single numbers of another device


class OnGPU(Tensor):
    """A tensor that says it is on a GPU; its values are on the CPU."""

    device = property(lambda self: GPU)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, values):
        with torch.inference_mode(False) if torch.is_inference_mode_enabled() else contextlib.nullcontext():
            return Tensor._make_wrapper_subclass(
                cls,
                values.shape,
                strides=values.stride(),
                storage_offset=values.storage_offset(),
                dtype=values.dtype,
                device=STANDS_FOR,
            )

    def __init__(self, values):
        self.values_on_cpu = values

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})

    def __repr__(self):
        return f"OnGPU({self.values_on_cpu})"

    def tolist(self):
        return self.cpu().tolist()

    def numpy(self):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    def pin_memory(self):
        raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")

    def __reduce_ex__(self, protocol):  # as what torch.load with map_location="cpu" gives
        return self.detach().cpu().__reduce_ex__(protocol)

    def __deepcopy__(self, memo):
        copied = self.detach().clone().requires_grad_(self.requires_grad)
        return memo.setdefault(id(self), nn.Parameter(copied) if isinstance(self, nn.Parameter) else copied)


_CPUGenerator, _generators_on_gpu = torch.Generator, {}


class Generator(torch.Generator):
    """A generator of the CPU that may say it is on a GPU; operations get its C++ part alone."""

    def __new__(cls, device="cpu"):
        made = super().__new__(cls, "cpu")
        if _means_gpu(device):
            _generators_on_gpu[made._cdata] = made
        return made

    @property
    def device(self):
        return GPU if self._cdata in _generators_on_gpu else torch.device("cpu")


class _Everywhere(TorchDispatchMode):
    """Sends every operation through ``_run``; under modes of this key torch does not look for a GPU."""

    _mode_key = torch._C._TorchDispatchModeKey.FAKE

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if _is_composite(function):
            with self:
                return function.decompose(*args, **kwargs)
        return _run(function, args, kwargs)

    @classmethod
    def is_infra_mode(cls):
        return True


@functools.cache
def _is_composite(function):
    return torch._C._dispatch_has_kernel_for_dispatch_key(function.name(), "CompositeImplicitAutograd")


def _means_gpu(device):
    return device is not None and torch.device(device).type in (GPU.type, STANDS_FOR)


def _run(function, args, kwargs):
    """Run an operation on values; raise if a GPU would refuse its tensors."""
    leaves = []
    values, options = _values(args, leaves), {key: _values(kwargs[key], leaves) for key in kwargs}
    on_gpu = [leaf for leaf in leaves if type(leaf) is OnGPU]
    random = [leaf._cdata in _generators_on_gpu for leaf in leaves if type(leaf) is _CPUGenerator]
    device, name = kwargs.get("device"), function.overloadpacket
    if not (on_gpu or any(random) or _means_gpu(device)):
        return function(*args, **kwargs)
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    if device is not None:
        to_gpu = _means_gpu(device)
    else:
        to_gpu = type(tensors[0]) is OnGPU if name in COPIES or name in INDEXING else bool(on_gpu)
    if name in INDEXING:
        if not to_gpu and any(type(index) is OnGPU for index in args[1]):
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor")
        tensors = [args[0], *(value for value in args[2:] if isinstance(value, Tensor))]
    # Single numbers on the CPU may meet tensors on a GPU
    together = {type(t) is OnGPU for t in tensors if type(t) is OnGPU or t.ndim or name in STRICT}
    if len(together) > 1 and name not in COPIES:
        raise RuntimeError(f"Expected all tensors to be on the same device: {function} got cuda:0 and cpu")
    if random and random != [to_gpu]:
        raise RuntimeError(f"Expected a generator on the device of the result of {function}")
    with torch._C._DisableTorchDispatch():
        result = function(*values, **options)
    _done.append(function)
    return _on_gpu(result, {id(tensor.values_on_cpu): tensor for tensor in on_gpu}) if to_gpu else result


def _values(thing, leaves):
    """Return what stands for an argument on the CPU, and append the leaves of lists to the leaves."""
    if isinstance(thing, list | tuple):
        return [_values(each, leaves) for each in thing]
    leaves.append(thing)
    if type(thing) is OnGPU:
        return thing.values_on_cpu
    return torch.device("cpu") if isinstance(thing, torch.device) else thing


def _on_gpu(result, changed_in_place):
    """Return what stands for a result on the GPU: a new tensor, or the one that was changed in place."""
    if isinstance(result, list | tuple):
        return type(result)([_on_gpu(each, changed_in_place) for each in result])
    if id(result) in changed_in_place:
        return changed_in_place[id(result)]
    return OnGPU(result) if isinstance(result, Tensor) else result


_done = []  # what the pretended GPU has done


@contextlib.contextmanager
def pretended_gpu(free=PLENTY):
    """Make ``cuda`` a pretended GPU with so many bytes free; yield the operations that it has done."""
    autocast = torch.autocast

    def autocast_on_cpu(device_type, *args, **kwargs):
        return autocast("cpu" if _means_gpu(device_type) else device_type, *args, **kwargs)

    lifts = torch._C._only_lift_cpu_tensors()
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    _done.clear()
    _generators_on_gpu.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "Generator", Generator)
        patch.setattr(torch, "autocast", autocast_on_cpu)
        patch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2 * free))
        patch.setattr(torch.cuda, "get_device_name", lambda device: "pretended")
        patch.setattr(Tensor, "pin_memory", lambda self, device=None: self.clone())
        torch._C._set_only_lift_cpu_tensors(True)  # torch.tensor(..., device="cuda") makes, then moves
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        try:
            with _Everywhere():
                yield _done
        finally:
            torch._C._set_only_lift_cpu_tensors(lifts)
            torch.__future__.set_overwrite_module_params_on_conversion(overwrites)


def agree(work, free=PLENTY, rtol=0.0):
    """Do some work on the CPU and on the pretended GPU: results must be equal, on whatever device."""
    torch.manual_seed(0)
    expected = work(torch.device("cpu"))
    torch.manual_seed(0)
    with pretended_gpu(free) as done:
        found = tree_map(lambda leaf: leaf.cpu() if isinstance(leaf, Tensor) else leaf, work(GPU))
    assert done, "nothing was done on the GPU"
    compare(found, expected, rtol)
    return expected


def compare(found, expected, rtol=0.0):
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        compare(list(found.values()), list(expected.values()), rtol)
    elif isinstance(expected, list | tuple):
        for pair in zip(found, expected, strict=True):
            compare(*pair, rtol)
    elif isinstance(expected, Tensor | np.ndarray):
        torch.testing.assert_close(
            *map(torch.as_tensor, (found, expected)), rtol=rtol, atol=0, equal_nan=True
        )
    else:
        assert found == expected


@functools.cache
def photographs():
    """150 uint8 images, 3 x 10 x 14, of a blob each that is red left, green in the middle, or blue right."""
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(150) % 3
    y, x = torch.meshgrid(torch.linspace(-1, 1, 10), torch.linspace(-1, 1, 14), indexing="ij")
    centres = 0.6 * (labels.float() - 1) + 0.05 * torch.randn(150, generator=random)
    blobs = torch.exp(-((x - centres[:, None, None]) ** 2 + y**2) / 0.1)
    colors = 0.3 + 0.6 * torch.eye(3)[labels]
    images = blobs[:, None] * colors[:, :, None, None] + 0.03 * torch.rand(150, 3, 10, 14, generator=random)
    return (255 * images).clamp(0, 255).byte(), labels


def classifier_on(device):
    """A convolution that changes nothing, then the nearest of the mean images of the classes."""
    images, labels = photographs()
    means = torch.stack([images[labels == label].float().div(255).mean(0).flatten() for label in range(3)])
    same, nearest = nn.Conv2d(3, 3, 1), nn.Linear(420, 3)
    with torch.no_grad():
        same.weight.copy_(torch.eye(3)[:, :, None, None])
        same.bias.zero_()
        nearest.weight.copy_(means / 2)
        nearest.bias.copy_(-means.square().sum(1))
    net = nn.Sequential(same, nn.Flatten(), nearest)
    return itn.Classifier(net, (0.0,) * 3, (0.5,) * 3, name="nearest").to(device)


def net_on(device, **settings):
    """An untrained net whose transformations are large enough to be seen."""
    config = itn.LearnConfig(**settings)
    net = make_net(classifier_on(device), config, photographs()[0].shape)
    with torch.no_grad():
        for part in net.members:
            part.head.output.weight.mul_(300)
    return net


def some(device, number=6):
    return photographs()[0][:number].to(device).float() / 255


def controls(number, seed=1):
    return torch.rand(number, 2, generator=torch.Generator().manual_seed(seed))


MATRIX, COLORS = torch.eye(2, 3) + 0.1, torch.eye(3, 4) + 0.1
MIXES = {
    "a matrix on the CPU": lambda there, here: itn.warp(there, MATRIX),
    "a color matrix on the CPU": lambda there, here: apply_color(there, COLORS),
    "images on the CPU": lambda there, here: classifier_on(there.device).logits(here),
    "a net on the CPU": lambda there, here: classifier_on("cpu").logits(there),
    "labels on the CPU": lambda there, here: margins(there[:, 0, 0], torch.zeros(6, dtype=torch.long)),
    "an index on the GPU": lambda there, here: here[torch.zeros(1, dtype=torch.long, device=there.device)],
    "a mask on the GPU": lambda there, here: here[there > 0.5],
    "a number of the GPU": lambda there, here: here * there.sum(),
    "a number into the CPU": lambda there, here: here.add_(there.sum()),
    "stacked numbers": lambda there, here: torch.stack([there.sum(), here.sum()]),
    "assigned": lambda there, here: there.__setitem__(torch.tensor([0, 1]), here[:2]),
    "equal": torch.equal,
    "a generator of the CPU": lambda there, here: torch.rand(
        3, device=there.device, generator=torch.Generator()
    ),
    "a generator of the GPU": lambda there, here: torch.rand(3, generator=torch.Generator(there.device)),
    "numpy": lambda there, here: there.numpy(),
    "pinned": lambda there, here: there.pin_memory(),
}


@pytest.mark.parametrize("name", MIXES)
def test_the_pretended_gpu_refuses_what_a_gpu_refuses(name):
    here = some("cpu")
    with pretended_gpu(), pytest.raises((RuntimeError, TypeError), match=r"device|numpy|pin"):
        MIXES[name](here.to(GPU), here)


def test_the_pretended_gpu_takes_what_a_gpu_takes():
    def work(device):
        images, index = some(device), torch.tensor([4, 0, 0])
        filled = torch.zeros(6, 2, device=device)
        filled[index, 1] = images[index].mean((1, 2, 3))  # an index on the CPU
        filled[images.mean((1, 2, 3)) > 0.1, 0] = torch.tensor(2.0)  # a number on the CPU
        copied = torch.zeros(3).copy_(images[:3, 0, 0, 0])
        made = images.new_tensor([0.25]) * torch.tensor([3.0], device=device)
        return [filled, copied, made.to(images), images.sum().item(), images[0, 0].tolist()]

    agree(work)


def test_the_pretended_gpu_keeps_no_trace():
    before = torch.Generator, torch.autocast, Tensor.pin_memory, torch.cuda.mem_get_info
    with pytest.raises(KeyError), pretended_gpu():
        raise KeyError
    assert (torch.Generator, torch.autocast, Tensor.pin_memory, torch.cuda.mem_get_info) == before
    assert not torch.__future__.get_overwrite_module_params_on_conversion()
    assert classifier_on("cpu").device.type == "cpu"


def padded(name):
    blurs = ("blur", "motion_blur", "defocus")
    return PADDINGS if itn.TRANSFORMS[name].spatial or name in blurs else PADDINGS[:1]


@pytest.mark.parametrize(
    ("name", "padding"), [(name, padding) for name in itn.TRANSFORMS for padding in padded(name)]
)
def test_transformations(name, padding):
    """Called with one magnitude on the CPU, with one for each image, and without checks."""
    transform = itn.TRANSFORMS[name]
    magnitudes = torch.tensor([transform.identity, *transform.magnitudes[-1:] * 3, *transform.magnitudes[:2]])

    def work(device):
        images = some(device)
        noise = images.flip(0) if transform.random else None
        results = [
            transform(images, float(magnitudes[1]), padding=padding),
            transform(images, magnitudes, padding=padding),
            transform(images, magnitudes.to(device), padding=padding),
            transform.apply(images, magnitudes.to(device), padding, noise),
        ]
        if transform.random:
            results.append(transform(images, magnitudes, generator=torch.Generator(device).manual_seed(3)))
        assert {result.device.type for result in results} == {device.type}
        return results

    agree(work)


@pytest.mark.parametrize("padding", PADDINGS)
def test_functions(padding):
    def work(device):
        images, k = some(device).requires_grad_(), controls(6).to(device)
        matrices = torch.eye(2, 3, device=device) + 0.1 * k[:, :, None]
        colors = torch.eye(3, 4, device=device) + 0.1 * k[:, :1, None]
        warped = itn.warp(images, matrices, padding)
        colored = apply_color(images, colors)
        (warped + colored).square().sum().backward()
        far = [itn.displacement(matrix) for matrix in (matrices, colors)]
        return [warped, colored, images.grad, *far]

    agree(work)


TRANSFORMERS = {
    **{f"spatial {name}": functools.partial(itn.SpatialTransformer, name) for name in FAMILIES},
    **{f"color {name}": functools.partial(itn.ColorTransformer, family=name) for name in COLOR_FAMILIES},
    "spatial, rectified": functools.partial(itn.SpatialTransformer, nonnegative=True),
}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers(name):
    def work(device):
        random = torch.Generator().manual_seed(0)
        part = TRANSFORMERS[name](generator=random)
        with torch.no_grad():
            part.head.output.weight.mul_(100)
        part.to(device)
        images = some(device).requires_grad_()
        frame, k = part.frame(images.shape), controls(6)
        transformed = part(images, k)  # on the CPU, as a user may give them
        p = part.generate(k.to(device))
        far = part.displacement(p, frame)
        (transformed.square().mean() - far.mean()).backward()
        sampled = part.sampled_displacement(p, 4, torch.Generator().manual_seed(0), frame)
        singles = part.baselines(frame)
        scales = torch.linspace(0, 1, 6, device=device)
        rows = [single.generate(scales) for single in singles]
        return {
            "transformed": [transformed, part.matrix(k), p, far, sampled],
            "gradients": [images.grad, *(weight.grad for weight in part.parameters())],
            "shift": [shift for shift in [part.rms_shift(p, frame)] if shift is not None],
            "words": [part.describe(p[:1], frame), part.details(p[:1], frame), part.magnitude_name],
            "deviation": part.deviation(p, frame),
            "baselines": [
                [single.name, single.apply(images, row), single.displacements(row), single.displacement(0.5)]
                for single, row in zip(singles, rows, strict=True)
            ],
            "parameters": [single.parameters(0.5) for single in singles if single.parameters is not None],
        }

    agree(work)


def test_net():
    def work(device):
        net = net_on(device)
        images, ks = some(device), [controls(6, seed) for seed in (1, 2)]
        parameters = net.generate(*(k.to(device) for k in ks))
        logits = net(images, *ks)
        loss = logits.square().sum() + net.classifier(net.render(images, parameters)).sum()
        loss.backward()
        gradients = [weight.grad for weight in net.transformers.parameters()]
        photograph = photographs()[0][:2]
        shown = [
            *strips(net, photograph, (0.0, 1.0)),
            grid(net, photograph, (0.0, 1.0), (0.5,)),
            *directions(net, photograph[:1], 3),
        ]
        assert {picture.device.type for picture in tree_leaves(shown)} == {"cpu"}  # to be drawn
        return [logits, *parameters, *gradients, *shown]

    agree(work)


def test_the_explorer():
    def work(device):
        images = photographs()[0][:1]
        surround = Surround.central((10, 14), (8, 10), 1)
        photograph = Photograph(surround.crops(images), Canvases(images, surround))
        net = net_on(device)
        explorer = Explorer(_flat_on(device), LearnResult(net, None, ()))
        values = {"rotate": 20.0, "noise": 0.1, "k1[0]": 0.5, "k2[1]": 0.5}
        answer = explorer.answer(photograph, values)
        changes = explorer.changes(photograph, "brightness", values)
        return [answer.picture, str(answer.top), str(changes), explorer.logits(photograph, {"blur": 1.0})]

    agree(work)


def _flat_on(device):
    """A classifier of crops of 8 x 10 pixels: its outputs are the means of the channels."""
    return itn.Classifier(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), (0.0,) * 3, (1.0,) * 3).to(
        device
    )


def test_neighbors_are_fused():
    def work(device):
        random = torch.Generator().manual_seed(0)
        parts = {
            "turn": itn.SpatialTransformer("rotation", generator=random),
            "move": itn.SpatialTransformer("translation", generator=random),
            "gain": itn.ColorTransformer(family="gain", generator=random),
            "tint": itn.ColorTransformer(generator=random),
        }
        with torch.no_grad():
            for part in parts.values():
                part.head.output.weight.mul_(100)
        net = itn.InvariantTransformerNet(classifier_on(device), parts).to(device)
        return net.transform(some(device), *(controls(6, seed) for seed in range(4)))

    agree(work)


def test_net_state():
    """The state of a net on the CPU goes into one on the GPU, and back."""

    def work(device):
        net, other = net_on(device), net_on(device, seed=1)
        other.load_transformer_state({name: value.cpu() for name, value in net.transformer_state().items()})
        moved = copy.deepcopy(other).cpu()
        return [net.transformer_state(), moved(some("cpu"), controls(6), controls(6))]

    agree(work)


def test_augmentation():
    def work(device):
        net = net_on(device)
        augment = itn.LearnedAugmentation(net.part("color"), net.part("spatial"), scale=0.7)
        sample, label = augment(photographs()[0][0].to(device), 3)
        means = augment.probabilities(net.classifier, some(device), draws=2)
        return [augment(some(device)), augment(photographs()[0][:4].to(device)), sample, label, means]

    agree(work)


@pytest.mark.parametrize("images_on", ["cpu", "cuda"])
def test_preflight(images_on):
    def work(device):
        images, labels = (tensor.to(device if images_on == "cuda" else "cpu") for tensor in photographs())
        classifier = classifier_on(device)
        checked = itn.preflight(classifier, images, labels, batch_size=64)
        assert {checked.images.device.type, checked.predictions.device.type} == {"cpu"}
        predictions = itn.predict(classifier, images, 64), itn.predict(classifier, images[:0])
        assert {each.device.type for each in predictions} == {device.type}
        return [checked.predictions, *predictions, classifier.sha256()]

    *_, weights = agree(work)
    assert weights == classifier_on("cpu").sha256()


def evaluation_set(device, criterion=None, number=150):
    classifier = classifier_on(device)
    images, labels = photographs()
    wrong = torch.where(torch.arange(number) % 10 == 0, (labels[:number] + 1) % 3, labels[:number])
    data = itn.CheckedImages(images[:number], wrong, itn.predict(classifier, images[:number]).cpu())
    images = EvaluationSet(classifier, data, 80, **({} if criterion is None else {"criterion": criterion}))
    return images._replace(data=remember(images))


class Halved(itn.Criterion):
    """The margin stays above half of that of the unchanged image: what is remembered is a number."""

    def reference(self, logits, labels):
        return margins(logits, labels)

    def surrogate(self, logits, reference, labels):
        return margins(logits, labels) - 0.5 * reference.abs()


def test_evaluation_of_every_baseline():
    def work(device):
        images, net = evaluation_set(device), net_on(device)
        results = {}
        for part in net.members:
            for single in part.baselines(part.frame(images.data.images.shape)):
                transform = ParametricTransform.of_single(single)
                k = torch.linspace(0, 1, 150)[:, None]
                evaluated = *images.outcomes(transform, k), images.changes(transform, k[-1:])
                results[single.name, single.sign] = list(evaluated)
        return results

    results = agree(work)
    assert len(results) == 5 + 16
    assert sum(int(changes.any()) for *_, changes in results.values()) > 5


@pytest.mark.parametrize(
    "criterion",
    [None, Broken(), Agreement(), Halved()],
    ids=["accuracy", "broken", "agreement", "a number is remembered"],
)
def test_evaluation_of_a_net(criterion):
    def work(device):
        images, net = evaluation_set(device, criterion), net_on(device)
        results = []
        zoom = itn.SpatialTransformer("zoom").to(device)
        for transform in (ParametricTransform.of_net(net), ParametricTransform.of_parameter(zoom)):
            k = torch.rand(150, transform.controls, generator=torch.Generator().manual_seed(2))
            results += [
                images.outcomes(transform, k).margins,
                images.changes(transform, k),
                images.changes_at(transform, 0.5, transform.full_strength),
                images.tally(transform, transform.full_strength, 0.1),
                tuple(search_worst_k(images, transform, 0.7)),
            ]
        return results

    results = agree(work)
    assert len(results[0].unique()) > 100
    assert 0 < (results[6] != 0).sum() < 150


@dataclasses.dataclass(frozen=True)
class Known(FamilyBaselines):
    """Baselines that need no estimates, one of them a direction to begin with."""

    references = property(lambda self: {"color": 0.2, "spatial": 0.1})
    bounded = frozenset({"color"})
    target = 0.08

    def promising_pairs(self, part):
        size = {"color": 12, "spatial": 6}[part]
        return torch.stack([torch.eye(size)[:2] / 4, torch.eye(size)[1:3] / 3])


def in_canvases(data):
    """The same images as crops of photographs that end at different places."""
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (len(data), 3, 17, 21), generator=random).byte()
    boxes = torch.tensor([[0, 0, 21, 17], [2, 1, 19, 14], [4, 2, 21, 13]]).repeat(len(data) // 3, 1)
    surround = Surround(2, 4, 10, 14, boxes)
    surround.crops(pixels).copy_(data.images)
    canvases = Canvases(fill_outside(pixels, surround, "zeros"), surround)
    return dataclasses.replace(data, images=canvases.crops, canvases=canvases)


def learner_on(device, problems=1, surround=False, **settings):
    """A learner whose families begin at known single transformations."""
    few = itn.Constrained(settings=ConstrainedSettings(restarts=4, restarts_of_class=4, keep_one_in=2))
    config = itn.LearnConfig(**{"objective": few, "batch_size": 32, "steps": 4, "tolerance": 0.1, **settings})
    images = evaluation_set(device)
    images = images._replace(data=in_canvases(images.data)) if surround else images
    known = Known({}, DropTest(1000, 0.08), dict.fromkeys(("color", "spatial"), (0.4, -0.2)))
    made = []
    for label in range(problems):
        members = torch.arange(150) if problems == 1 else (photographs()[1] == label).nonzero().flatten()
        net = make_net(images.classifier, config, images.data.images.shape)
        made.append(LearnProblem(net, images.part(members), known))
    return config.goal.learner(made, config)


def steps_of(learner, numbers):
    return [(step.displacement, step.values) for step in map(learner.step, numbers)]


LEARNERS = {
    "constrained": {},
    "constrained, ranges": {"family": "rotation", "color_family": "gain"},
    "constrained, problems side by side": {"problems": 3},
    "switched": {"objective": "switched"},
    "switched, sampled": {"objective": itn.Switched(displacement_samples=5, acc_orig="measured")},
    "constrained, surround": {"surround": True, "padding": "border"},
    "switched, surround": {"objective": "switched", "surround": True},
    "switched, rectified": {"objective": "switched", "nonnegative": True, "padding": "reflection"},
}


@pytest.mark.parametrize(
    ("name", "free"), [*((name, PLENTY) for name in LEARNERS), ("constrained", NONE), ("switched", NONE)]
)
def test_learners(name, free):
    """All steps, and with them both prunings."""

    def work(device):
        learner = learner_on(device, **LEARNERS[name])
        data = learner.sampler.data if name.startswith("constrained") else learner.data
        assert data.labels.device.type == device.type
        assert data.images.device.type == (device.type if free else "cpu")
        steps = steps_of(learner, range(4))
        assert learner.is_finite()
        learner.finish()
        problems = getattr(learner, "problems", None) or [learner.problem]
        return [steps, *(problem.net.transformer_state() for problem in problems)]

    steps = agree(work, free)[0]
    if name == "constrained":
        assert [values["restarts"] for _, values in steps] == [4, 2, 2, 1]


@pytest.mark.parametrize("name", ["constrained", "switched"])
def test_a_state_on_the_cpu_is_taken_up_on_the_gpu(name):
    """As that of a checkpoint is."""

    def work(device):
        learner = learner_on(device, **LEARNERS[name])
        steps_of(learner, range(2))
        state = tree_map(
            lambda leaf: leaf.detach().cpu() if isinstance(leaf, Tensor) else leaf,
            copy.deepcopy(learner.state()),
        )
        expected = steps_of(learner, range(2, 4))
        learner.load_state(state)
        resumed = steps_of(learner, range(2, 4))
        assert resumed == expected
        return resumed

    agree(work)


def screened(ask, free=PLENTY, **settings):
    """Compare what screeners on both devices say."""

    def work(device):
        classifier = classifier_on(device)
        data = itn.preflight(classifier, *photographs())
        screener = Screener(classifier, data, itn.ScreenConfig(batch_size=64, bisections=2, **settings))
        assert screener.images.device.type == (device.type if free else "cpu")
        screener.check()
        return ask(screener)

    agree(work, free)


@pytest.mark.parametrize(
    ("name", "free"), [*((name, PLENTY) for name in itn.TRANSFORMS), ("rotate", NONE), ("noise", NONE)]
)
def test_screening_passes(name, free):
    transform = itn.TRANSFORMS[name]
    end = max(transform.magnitudes, key=lambda v: (abs(v - transform.identity), v))
    each = torch.linspace(transform.identity, end, 150)
    each = each.round() if transform.discrete else each
    path = (end,) if transform.discrete else ((end + transform.identity) / 2, end)

    def ask(screener):
        clean = screener.predictions(lambda images, index: images)
        screener.unchanged_softmax = torch.from_numpy(screener.unchanged_statistics()["softmax"]).to(
            screener.device
        )
        answers = [
            screener.class_statistics(screener.at(transform, end)),
            screener.image_statistics(screener.at(transform, each)),
            screener.predictions(screener.at(transform, end), torch.tensor([7, 3, 120])),
            tuple(screener.flips(transform, path, clean)),
        ]
        if transform.spatial:
            control = screener.round_trip(transform, end)
            lost = screener.lost_content(transform, (transform.identity, end))
            answers += [screener.predictions(control), lost]
        return answers

    screened(ask, free)


@pytest.mark.parametrize("pair", [("rotate", "zoom"), ("zoom", "contrast"), ("noise", "blur")], ids=",".join)
@pytest.mark.parametrize("free", [PLENTY, NONE])
def test_screening_pairs(pair, free):
    first, second = (itn.TRANSFORMS[name] for name in pair)

    def ask(screener):
        change = screener.pair(first, first.magnitudes[-2], second, second.magnitudes[1])
        return screener.class_statistics(change)

    screened(ask, free, fresh_noise=True, padding="reflection")


@pytest.mark.parametrize("free", [PLENTY, NONE])
@pytest.mark.parametrize("padding", PADDINGS)
def test_the_surround(padding, free):
    def work(device):
        classifier = classifier_on(device)
        data = in_canvases(itn.preflight(classifier, *photographs()))
        screener = Screener(classifier, data, itn.ScreenConfig(batch_size=64, padding=padding))
        assert screener.data.canvases.pixels.device.type == (device.type if free else "cpu")
        rotate, blur = itn.TRANSFORMS["rotate"], itn.TRANSFORMS["blur"]
        changes = [
            screener.at(rotate, 50.0),
            screener.at(rotate, torch.linspace(-90, 90, 150)),
            screener.at(rotate, 50.0, surround=False),
            screener.round_trip(rotate, 50.0),
            screener.pair(blur, 1.0, rotate, 50.0),
            screener.pair(rotate, 50.0, itn.TRANSFORMS["zoom"], 1.5),
        ]
        net = net_on(device, padding=padding)
        images = EvaluationSet(classifier, data, 80).part(torch.arange(0, 150, 5))
        return [
            *(screener.output(change, torch.tensor([7, 3, 120])).changed for change in changes),
            *(screener.class_statistics(change) for change in changes),
            tuple(images.outcomes(ParametricTransform.of_net(net), torch.full((1, 4), 0.5))),
            *strips(net, data.stored[0][:2], (0.0, 1.0), data.canvases.surround.part(slice(2))),
            itn.LearnedAugmentation(net.part("color"), net.part("spatial"), crop=(6, 8))(some(device)),
        ]

    agree(work, free)


@pytest.mark.parametrize("settings", [{"precision": "bfloat16"}, {"channels_last": True}], ids=str)
def test_screening_with_other_settings(settings):
    """In bfloat16 the CPU's autocast stands in for CUDA's; it rounds at other places."""

    def work(device):
        data = itn.preflight(classifier_on(device), *photographs())
        screener = Screener(classifier_on(device), data, itn.ScreenConfig(**settings))
        change = screener.at(itn.TRANSFORMS["rotate"], 20.0)
        return screener.image_statistics(change)["softmax_true"]

    exact = classifier_on("cpu")
    softmax = agree(work, rtol=0.0 if "channels_last" in settings else 0.02)
    turned = itn.TRANSFORMS["rotate"](photographs()[0], 20.0)
    exact = exact(turned).softmax(1).gather(1, photographs()[1][:, None])[:, 0].numpy()
    assert np.array_equal(softmax, exact) == ("channels_last" in settings)


class Fade(itn.Transformer):
    """A user's transformer."""

    names, bound = ("black",), 0.9

    def apply_parameters(self, images, p, frame):
        return images * (1 - p[:, :, None, None].abs())

    def displacement(self, p, frame):
        return p[:, 0].square()


def run_learn(classifier, out=None):
    config = itn.LearnConfig(steps=4, batch_size=150, tolerance=0.25, parts={"fade": Fade()})
    return itn.learn(classifier, *photographs(), config, out)


def run_learn_per_class(classifier):
    config = itn.LearnConfig(steps=4, batch_size=150, tolerance=0.3, parts=("color",), color_family="gain")
    images, labels = (torch.cat([part] * 2) for part in photographs())
    return itn.learn_per_class(classifier, images, labels, config)


def run_screen(classifier):
    magnitudes = {"rotate": (-90.0, 90.0), "noise": (0.0, 1.0)}
    config = itn.ScreenConfig(
        transforms=tuple(magnitudes), pairs=(("rotate", "noise"),), magnitudes=magnitudes, bisections=1
    )
    return itn.screen(classifier, *photographs(), config)


@pytest.mark.parametrize("run", [run_learn_per_class, run_screen], ids=lambda run: run.__name__)
def test_whole_runs(run):
    def work(device):
        return dataclasses.replace(run(classifier_on(device)).record, provenance={})

    agree(work)


def test_a_run_is_interrupted_on_the_gpu_and_resumed(tmp_path, monkeypatch):
    """All files are those of an undisturbed run on the CPU, but for the device's name; nothing is drawn."""

    def save(weights, path):  # safetensors reads the memory of tensors, and pretended ones have none
        save_file({name: weight.cpu() for name, weight in weights.items()}, path)

    def interrupted(learner, number):
        if number == 2:
            raise KeyboardInterrupt
        return step(learner, number)

    monkeypatch.setattr(itn.learning.run, "save_file", save)
    monkeypatch.setattr("itn.plotting.style.write_figures", lambda folder, figures: None)
    monkeypatch.setattr(itn.learning.trainer, "CHECKPOINT_SECONDS", 0.0)
    step = ConstrainedLearner.step
    run_learn(classifier_on("cpu"), tmp_path / "cpu")
    with pretended_gpu():
        monkeypatch.setattr(ConstrainedLearner, "step", interrupted)
        with pytest.raises(itn.Interrupted):
            run_learn(classifier_on(GPU), tmp_path / "gpu")
        monkeypatch.setattr(ConstrainedLearner, "step", step)
        resumed = run_learn(classifier_on(GPU), tmp_path / "gpu")
    assert [step.step for step in resumed.history] == [0, 1, 2, 3]
    files, expected = content_of(tmp_path / "gpu"), content_of(tmp_path / "cpu")
    settings, settings_on_cpu = (json.loads(each.pop("config.json")) for each in (files, expected))
    record, record_on_cpu = (json.loads(each.pop("result.json")) for each in (files, expected))
    assert (settings["device"], settings_on_cpu["device"]) == ("cuda", "cpu")
    assert record | {"provenance": 0} == record_on_cpu | {"provenance": 0}
    del files["report.html"], expected["report.html"]  # they name the device
    assert files == expected


@pytest.fixture
def script(monkeypatch):
    """benchmarks/device.py, imported as Python does that runs it."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module("device")


def test_the_script_for_a_gpu_has_a_rehearsal(script, tmp_path):
    """The sections that work in this process; the others start Python several times."""
    here = ("machine", "agreement", "floors lenet5", "precision lenet5")
    assert script.main([str(tmp_path / "found.json"), "--quick", "--only", *here]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert [(name, section["status"]) for name, section in found["sections"].items()] == [
        (name, "done") for name in here
    ]
    answers = found["sections"]["agreement"]["result"]["lenet5"]
    assert {decisions["decisions"] for decisions in answers["logits"].values()} == {0}
    assert all(sum(compared.values()) == 0 for compared in answers["passes"].values())
    floors = found["sections"]["floors lenet5"]["result"]
    assert floors["pass_over_forward"]["median"] > 0.2
    assert set(floors["learning"]["ratio"]) == {"constrained", "cross-entropy", "displacement"}
    precisions = found["sections"]["precision lenet5"]["result"]
    assert 0 < precisions["bfloat16"]["logits"]["largest"] < 0.1 * precisions["bfloat16"]["logits"]["of"]


def test_the_script_for_a_gpu_goes_on_after_errors_and_heeds_the_clock(script, tmp_path, monkeypatch):
    def broken(machine):
        raise RuntimeError("CUDA error: an illegal memory access")

    def slow(machine):
        raise AssertionError("there is no time for it")

    def quick(machine):
        return {"left": machine.left, "written": json.loads((tmp_path / "found.json").read_text())}

    sections = {"broken": (broken, 1), "slow": (slow, 100), "quick": (quick, 1)}
    monkeypatch.setattr(script, "SECTIONS", sections)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(script, "provenance", lambda device: {"device": device.type})
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    assert script.main([str(tmp_path / "found.json"), "--minutes", "1"]) == 1
    found = json.loads((tmp_path / "found.json").read_text())["sections"]
    assert [section["status"] for section in found.values()] == ["failed", "left out", "done"]
    assert found["broken"]["error"] == "RuntimeError: CUDA error: an illegal memory access"
    assert 0 < found["quick"]["result"]["left"] < 55
    assert list(found["quick"]["result"]["written"]["sections"]) == ["broken", "slow"]


def test_the_script_for_a_gpu_names_what_differs(script):
    one = {"a.json": b"{\n 1,\n 2\n}", "b": b"\x00", "c": b"same"}
    other = {"a.json": b"{\n 1,\n 3\n}", "b": b"\x01", "c": b"same", "d": b""}
    assert script.differing(one, other) == {"a.json": ["2, 3"], "b": [], "d": ["missing"]}
