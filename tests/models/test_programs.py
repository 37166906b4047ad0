"""Programs of TorchScript and torch.export as classifiers."""

import warnings

import pytest
import torch
from torch import nn

import itn
from itn.cli.main import main
from itn.models.programs import FixedBatch

IMAGES = torch.rand(5, 3, 12, 12, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def net():
    """Tells dark images from light ones, and has statistics of batches."""
    net = nn.Sequential(nn.BatchNorm2d(3, affine=False), nn.AvgPool2d(12), nn.Flatten(), nn.Linear(3, 2))
    with torch.no_grad():
        net[3].weight.copy_(torch.tensor([[-7.0] * 3, [7.0] * 3]))
        net[3].bias.copy_(torch.tensor([10.5, -10.5]))
    return net.eval()


def exported(net, size, batch=None):
    shapes = batch and ({0: batch},)
    return torch.export.export(net, (IMAGES[:1].expand(size, -1, -1, -1),), dynamic_shapes=shapes)


@pytest.fixture(scope="module")
def files(net, tmp_path_factory):
    folder = tmp_path_factory.mktemp("programs")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        torch.jit.save(torch.jit.trace(net, IMAGES), folder / "traced.pt")
        torch.jit.save(torch.jit.freeze(torch.jit.script(net)), folder / "frozen.torchscript")
    torch.export.save(exported(net, 3, torch.export.Dim("batch")), folder / "any.pt2")
    torch.export.save(exported(net, 1), folder / "one.pt2")
    torch.export.save(exported(net, 3), folder / "three.model")
    return folder


NAMES = ("traced.pt", "frozen.torchscript", "any.pt2", "one.pt2", "three.model")


@pytest.mark.parametrize("name", NAMES)
def test_a_program_answers_as_its_network_to_any_number_of_images(name, files, net):
    clf = itn.load_classifier(str(files / name))
    for images in (IMAGES, IMAGES[:1], IMAGES[:3]):
        torch.testing.assert_close(clf(images), net(images), rtol=1e-4, atol=1e-4)
    images = IMAGES.clone().requires_grad_()
    clf(images)[:, 0].sum().backward()
    assert images.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in clf.net.parameters())
    assert isinstance(clf.net, FixedBatch) == (name in ("one.pt2", "three.model"))


@pytest.mark.parametrize("name", ["traced.pt", "one.pt2"])
def test_a_program_is_screened_like_others(name, files, net):
    labels = torch.arange(20) % 2
    images = (0.4 + 0.2 * labels.view(-1, 1, 1, 1) + 0.1 * torch.rand(20, 3, 12, 12)).clamp(0, 1)
    config = itn.ScreenConfig(transforms=("brightness",), magnitudes={"brightness": (-0.4, 0.1, 0.4)})
    screens = [
        itn.screen(classifier, images, labels, config)
        for classifier in (itn.Classifier(net), itn.load_classifier(str(files / name)))
    ]
    curves = [screen.record.transforms["brightness"].accuracy for screen in screens]
    assert curves[0] == curves[1]
    assert min(curves[0]) < 1


@pytest.mark.parametrize("name", NAMES)
def test_a_program_is_never_weights(name, files):
    with pytest.raises(ValueError, match=rf"{name} is a program of .*, not weights: give it as the model"):
        itn.load_classifier("lenet5", files / name)


def test_what_is_no_program_is_refused_with_what_to_write(files, tmp_path):
    torch.save({"weight": torch.ones(1)}, tmp_path / "w.pt")
    for path, weights, message in (
        (tmp_path / "w.pt", None, "no program .* give them as its weights"),
        (tmp_path / "none.pt2", None, r"no file .*none\.pt2"),
        (files / "traced.pt", tmp_path / "w.pt", "weights of its own: leave out the weights"),
    ):
        with pytest.raises(ValueError, match=message):
            itn.load_classifier(str(path), weights)


@pytest.mark.parametrize("name", ["traced.pt", "any.pt2"])
def test_a_damaged_program_is_refused_in_one_line(name, files, tmp_path, capfd):
    content = (files / name).read_bytes()
    for change in ((b"conv", b"norm"), (b"weight", b"wright"), (b"Linear", b"Lineal"), (b"aten", b"atom")):
        (tmp_path / name).write_bytes(content.replace(*change))
        status = main(["screen", "--model", str(tmp_path / name), "--out", str(tmp_path / "out")])
        said = capfd.readouterr().err
        assert status == 2
        assert said.count("\n") == 1, said
    assert not (tmp_path / "out").exists()
