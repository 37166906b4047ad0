"""Image classifiers of transformers: tiny ones, made from their configurations and saved to folders."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torchvision.transforms.functional import pil_to_tensor

import itn

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 255, (5, 7, 3), np.uint8)).resize((150, 110))


def test_without_transformers_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("itn.models.hugging_face.find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r'hf:someone/net needs transformers: pip install "itn\[huggingface\]"'
    ):
        itn.load_classifier("hf:someone/net")


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def vit(transformers, tmp_path_factory):
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=32,
        patch_size=8,
        id2label={0: "cat", 1: "dog", 2: "owl"},
    )
    folder = tmp_path_factory.mktemp("vit")
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    transformers.ViTImageProcessor(size=size, image_mean=[0.1, 0.2, 0.3]).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def resnet(transformers, tmp_path_factory):
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=4
    )
    folder = tmp_path_factory.mktemp("resnet")
    transformers.ResNetForImageClassification(config).save_pretrained(folder)
    return folder


def check_same_answers(transformers, folder, clf):
    """What transformers itself answers to a photograph, up to how the two resize it."""
    net = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    crop = pil_to_tensor(clf.preprocessing(PHOTO)).unsqueeze(0)
    with torch.inference_mode():
        expected = net(**processor(images=PHOTO, return_tensors="pt")).logits
        torch.testing.assert_close(clf(crop), expected, rtol=0.02, atol=0.02 * float(expected.std()))


def test_a_folder_brings_size_normalization_and_names(transformers, vit):
    clf = itn.load_classifier(f"hf:{vit}")
    assert clf.class_names == ("cat", "dog", "owl")
    assert clf.preprocessing == itn.Preprocessing((32, 32), (32, 32), "bilinear")
    assert clf.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    check_same_answers(transformers, vit, clf)


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 56}, "crop_pct": 0.875}, (64, (56, 56))),
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 384}}, ((384, 384), (384, 384))),
        (
            "CLIPImageProcessor",
            {"size": {"shortest_edge": 64}, "crop_size": {"height": 48, "width": 48}, "do_normalize": False},
            (64, (48, 48)),
        ),
        ("ViTImageProcessor", {"size": {"height": 48, "width": 64}}, ((48, 64), (48, 64))),
    ],
)
def test_photographs_are_prepared_as_the_processor_does(kind, settings, expected, transformers, resnet):
    getattr(transformers, kind)(**settings).save_pretrained(resnet)
    clf = itn.load_classifier(f"hf:{resnet}")
    assert (clf.preprocessing.resize, clf.preprocessing.crop) == expected
    assert clf.class_names is None  # LABEL_0, LABEL_1 are no names
    check_same_answers(transformers, resnet, clf)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("ViTImageProcessor", {"size": {"height": 32, "width": 32}, "do_rescale": False}),
        (
            "MobileViTImageProcessor",
            {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}},
        ),
        ("ViTImageProcessor", {"do_resize": False}),
    ],
    ids=["0 to 255", "blue first", "any size"],
)
def test_processors_that_do_more_are_refused(kind, settings, transformers, resnet):
    getattr(transformers, kind)(**settings).save_pretrained(resnet)
    with pytest.raises(ValueError, match=r"image processor of hf:.* does more than .*FILE\.py:factory"):
        itn.load_classifier(f"hf:{resnet}")


def test_a_network_without_its_head_is_refused(transformers, vit, tmp_path):
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text((vit / "config.json").read_text())
    state = load_file(vit / "model.safetensors")
    save_file({k: v for k, v in state.items() if "classifier" not in k}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"has no weights for classifier\.bias, classifier\.weight: give"):
        itn.load_classifier(f"hf:{tmp_path}")
    (tmp_path / "model.safetensors").unlink()
    torch.save({"state_dict": {f"net.{k}": v for k, v in state.items()}}, tmp_path / "w.ckpt")
    clf = itn.load_classifier(f"hf:{tmp_path}", tmp_path / "w.ckpt")
    assert clf.weights == {"file": "w.ckpt", "key": "state_dict", "prefix": "net."}
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(clf.net(images), itn.load_classifier(f"hf:{vit}").net(images))
    del state["classifier.bias"]
    torch.save(state, tmp_path / "w.ckpt")
    with pytest.raises(ValueError, match=r"has no weights for classifier\.bias: give"):
        itn.load_classifier(f"hf:{tmp_path}", tmp_path / "w.ckpt")
    with pytest.raises(ValueError, match=r"no weights at .*none\.ckpt"):
        itn.load_classifier(f"hf:{tmp_path}", tmp_path / "none.ckpt")


class Payload:
    """Unpickled without care, it makes a file."""

    def __reduce__(self):
        return open, ("ran", "w")


@pytest.mark.parametrize("fault", ["code", "config", "no processor", "no image classifier"])
def test_unusable_folders_are_refused_in_one_line(fault, vit, tmp_path, monkeypatch, transformers):
    monkeypatch.chdir(tmp_path)
    config = json.loads((vit / "config.json").read_text())
    if fault != "no processor":
        transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    torch.save({"weight": Payload() if fault == "code" else torch.ones(1)}, "pytorch_model.bin")
    if fault == "config":
        config = {"model_type": "nothing"}
    elif fault == "no image classifier":
        config = transformers.BertConfig().to_dict()
    (tmp_path / "config.json").write_text(json.dumps(config))
    message = "refused, since loading it could run code" if fault == "code" else "transformers cannot load"
    with pytest.raises(ValueError, match=message) as caught:
        itn.load_classifier(f"hf:{tmp_path}")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_a_folder_below_home_that_is_not_there_is_no_repository(transformers, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(
        ValueError, match=f"there is no folder {tmp_path}/none: give one that save_pretrained"
    ):
        itn.load_classifier("hf:~/none")
