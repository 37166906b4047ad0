from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

import itn
from itn.data import loading
from itn.data.loading import ImagesWarning


def test_unknown_images_are_refused():
    with pytest.raises(
        ValueError, match="unknown images 'mnits': give one of mnist, mnist:train, mnist:heldout, or a folder"
    ):
        itn.load_images("mnits")


def test_a_subset_of_the_digits_is_stratified_and_keeps_its_identity():
    images, labels = itn.load_images("mnist")
    subset = loading.load_images("mnist", limit=1000, seed=1)
    assert torch.equal(subset.images, images[subset.index])
    assert torch.equal(subset.labels, labels[subset.index])
    assert ((subset.labels.bincount() - labels.bincount() / 10).abs() < 1).all()
    assert (subset.paths, subset.skipped) == ((), ())
    assert torch.equal(itn.load_images("mnist", limit=1000, seed=1).images, subset.images)
    assert not torch.equal(loading.load_images("mnist", limit=1000, seed=2).index, subset.index)


def photographs(folder, **classes):
    """Write for each class so many images that say their rank in the sorted whole."""
    rank = 0
    for name in sorted(classes):
        (folder / name).mkdir(parents=True)
        for i in range(classes[name]):
            Image.new("RGB", (4, 3), (rank, 100, 200)).save(folder / name / f"{i:02}.png")
            rank += 1


def test_a_folder_becomes_images_and_labels(tmp_path):
    photographs(tmp_path, cat=3, ant=2, dog=1)
    images, labels = itn.load_images(tmp_path)
    assert images.shape == (6, 3, 3, 4)
    assert images[:, 0, 1, 1].tolist() == [0, 1, 2, 3, 4, 5]
    assert labels.dtype == torch.int64
    assert labels.tolist() == [0, 0, 1, 1, 1, 2]
    clf = itn.Classifier(nn.Flatten(), class_names=["dog", "cow", "ant", "cat"])
    assert itn.load_images(str(tmp_path), clf).labels.tolist() == [2, 2, 3, 3, 3, 0]
    mapped = {"ant": 9, "cat": 1, "dog": 9}
    assert itn.load_images(tmp_path, class_map=mapped).labels.tolist() == [9, 9, 1, 1, 1, 9]


def test_an_empty_folder_keeps_its_rank_needs_no_class_and_is_said(tmp_path):
    photographs(tmp_path, ant=1, bee=0, cat=1)
    net = itn.Classifier(nn.Flatten(), class_names=["cat", "ant"])
    for classifier, labels in ((None, [0, 2]), (net, [1, 0])):
        with pytest.warns(ImagesWarning, match="class folders are empty: 'bee'"):
            assert itn.load_images(tmp_path, classifier).labels.tolist() == labels


def test_results_among_class_folders_change_no_rank(tmp_path):
    photographs(tmp_path, ant=1, cat=1)
    Image.new("RGB", (9, 9)).save(tmp_path / "figure.png")
    (tmp_path / "bee" / "figures").mkdir(parents=True)
    (tmp_path / "figure.png").rename(tmp_path / "bee" / "figures" / "1.png")
    (tmp_path / "bee" / "config.json").write_text('{"command": "learn", "config": {}}')
    with pytest.warns(ImagesWarning, match="results of itn were left out: 'bee'"):
        assert itn.load_images(tmp_path).labels.tolist() == [0, 1]
    with pytest.raises(ValueError, match="bee holds results of itn: name a folder of images"):
        itn.load_images(tmp_path / "bee")


def test_results_within_the_images_are_refused_in_python_too(tmp_path, brightness):
    photographs(tmp_path / "photos", ant=1, cat=1)
    images = itn.load_images(tmp_path / "photos")
    assert images.part(torch.tensor([1])).folder == tmp_path / "photos"
    with pytest.raises(ValueError, match="lies in the folder of images"):
        itn.screen(brightness, images, out=tmp_path / "photos" / "run")


def test_a_class_of_which_all_images_are_damaged_stops_the_run(tmp_path):
    photographs(tmp_path, ant=2, bee=2, cat=2)
    for path in (tmp_path / "bee").iterdir():
        path.write_text("no image")
    (tmp_path / "ant" / "00.png").write_text("no image")
    message = r"no image of 'bee' .* can be read; the first, bee/0.\.png: not an image .*: replace these"
    with pytest.raises(ValueError, match=message):
        loading.load_images(tmp_path, skip_bad=True)


def test_images_keep_their_identity_when_some_are_left_out(tmp_path):
    photographs(tmp_path, ant=3, bee=3)
    (tmp_path / "ant" / "01.png").write_text("no image")
    with pytest.raises(
        ValueError, match=r"ant/01\.png \(not an image that PIL can read\): remove it, or add skip_bad=True"
    ):
        loading.load_images(tmp_path)
    loaded = loading.load_images(tmp_path, skip_bad=True)
    assert loaded.index.tolist() == loaded.images[:, 0, 0, 0].tolist() == [0, 2, 3, 4, 5]
    assert loaded.labels.tolist() == [0, 0, 1, 1, 1]
    assert loaded.paths == ("ant/00.png", "ant/02.png", "bee/00.png", "bee/01.png", "bee/02.png")
    assert loaded.skipped == ("ant/01.png: not an image that PIL can read",)


def test_a_subset_is_drawn_before_anything_is_read(tmp_path):
    photographs(tmp_path, ant=20, bee=10)
    loaded = loading.load_images(tmp_path, limit=6, seed=3)
    assert loaded.labels.tolist() == [0, 0, 0, 0, 1, 1]
    assert loaded.index.tolist() == loaded.images[:, 0, 0, 0].tolist()
    for path in tmp_path.rglob("*.png"):
        if path.relative_to(tmp_path).as_posix() not in loaded.paths:
            path.write_text("no image")
    again = loading.load_images(tmp_path, limit=6, seed=3)
    assert torch.equal(again.images, loaded.images)
    assert again.skipped == ()
    with pytest.raises(ValueError, match="cannot read"):
        loading.load_images(tmp_path, limit=6, seed=4)


def test_what_is_no_folder_of_images_is_refused(tmp_path):
    (tmp_path / "file.png").touch()
    message = "{}: give one of mnist, mnist:train, mnist:heldout, or a folder of class folders"
    with pytest.raises(ValueError, match=message.format(r"file\.png is a file")):
        itn.load_images(tmp_path / "file.png")
    with pytest.raises(ValueError, match=message.format("unknown images '.*missing'")):
        itn.load_images(tmp_path / "missing")
    with pytest.raises(ValueError, match=message.format("unknown images 'mnist'")):
        itn.load_images(Path("mnist"))  # a path is a folder, whatever its name
    with pytest.raises(ValueError, match="a class map is for folders of photographs; mnist has its labels"):
        itn.load_images("mnist", class_map={"a": 0})
    with pytest.raises(ValueError, match="limit must be a number of images, or 0 for all, got -1"):
        itn.load_images("mnist", limit=-1)
