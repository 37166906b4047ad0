import json
import os

import pytest
import torch
from PIL import Image
from torch import nn

import itn
from itn.cli.main import main
from itn.data.loading import ImagesWarning

FILES = ("val_1.png", "val_2.png", "val_3.png", "more/val_4.png")


@pytest.fixture
def folder(tmp_path):
    """Four images that say their rank, in a folder that is not sorted by class."""
    for rank, name in enumerate(FILES):
        (tmp_path / "flat" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 3), (rank, 0, 0)).save(tmp_path / "flat" / name)
    return tmp_path / "flat"


def load(folder, text, net=None, encoding="utf-8", **settings):
    path = folder.parent / "labels.csv"
    path.write_text(text, encoding=encoding)
    return itn.load_images(folder, net, labels_file=path, **settings)


def labels_of(images):
    """The label of each file, if the images are those of their paths."""
    assert [FILES.index(path) for path in images.paths] == images.images[:, 0, 0, 0].tolist()
    return dict(zip(images.paths, images.labels.tolist(), strict=True))


NUMBERED = dict(zip(FILES, (2, 0, 2, 1), strict=True))
LINES = [f"{file},{label}" for file, label in NUMBERED.items()]


@pytest.mark.parametrize(
    "lines",
    [
        LINES,
        ["file,label", *LINES],
        ["ImageId;class", *(line.replace(",", " ; ") for line in LINES[::-1])],
        [line.replace(",", "\t") for line in LINES],
        [line.replace(",", " ") for line in LINES],  # as Caffe's val.txt
        [f'"./{line.replace(",", chr(34) + ",")}' for line in LINES],
        [line.replace("/", "\\") for line in [*LINES, LINES[0]]],
        [f"flat/{line}" for line in LINES],
        [f"C:\\data\\flat\\{line}".replace("/", "\\") for line in LINES],
        [f"/of/another/machine/flat/{line}" for line in LINES],
        ["Id,Category", *(line.replace(".png", "") for line in LINES)],  # as Kaggle writes them
        [line.replace(".png", ".PNG") for line in LINES],
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_file_gives_each_image_its_label(folder, lines, encoding):
    assert labels_of(load(folder, "\n".join(lines), encoding=encoding)) == NUMBERED


def test_a_folder_whose_name_only_ends_alike_is_another(folder):
    others = [f"/another/machine/old_flat/{file},{label}" for file, label in NUMBERED.items()]
    with pytest.raises(ValueError, match=r"none of the files of .* is in"):
        load(folder, "\n".join(others))


def test_paths_may_be_absolute(folder):
    lines = [f"{folder / file},{label}" for file, label in NUMBERED.items()]
    assert labels_of(load(folder, "\n".join(lines))) == NUMBERED


def test_labels_may_be_names(folder):
    names = dict(zip(FILES, ("Polar_Bear", "cat", "polar bear", "2"), strict=True))
    text = "\n".join(f"{file},{label}" for file, label in names.items())
    net = itn.Classifier(nn.Flatten(), class_names=["cat", "polar bear", "dog"])
    assert labels_of(load(folder, text, net)) == dict(zip(FILES, (1, 0, 1, 2), strict=True))
    given = {"Polar_Bear": 5, "polar bear": 6, "cat": 7, "2": 8}
    assert labels_of(load(folder, text, class_map=given)) == dict(zip(FILES, (5, 7, 6, 8), strict=True))
    # without a classifier by rank, as class folders are
    assert labels_of(load(folder, text)) == dict(zip(FILES, (1, 2, 3, 0), strict=True))
    ids = dict(zip(FILES, ("n01443537", "n01440764") * 2, strict=True))  # goldfish, tench
    text = "\n".join(f"{file} {wordnet_id}" for file, wordnet_id in ids.items())
    assert labels_of(load(folder, text, itn.Classifier(nn.Flatten()))) == dict(
        zip(FILES, (1, 0, 1, 0), strict=True)
    )


def test_a_subset_has_the_same_share_of_each_label_in_the_order_of_the_files(folder):
    images = load(folder, "\n".join(LINES), limit=3, seed=1)
    assert sorted(images.labels.tolist()) == [0, 1, 2]
    assert list(images.paths) == sorted(images.paths)
    assert torch.equal(load(folder, "\n".join(LINES[::-1]), limit=3, seed=1).images, images.images)


def test_what_is_missing_on_either_side_is_said(folder):
    text = "\n".join([*LINES[1:], "gone.png,5", "away.png,0"])
    with pytest.warns(ImagesWarning) as said:
        images = load(folder, text)
    assert images.notes == (
        "2 of 5 files of labels.csv are not in the folder: 'gone.png', 'away.png'; of the classes '5' there "
        "is none",
        "1 of 4 images have no label in labels.csv and were left out: 'val_1.png'",
    )
    assert [str(each.message) for each in said] == [f"{folder}: {note}" for note in images.notes]
    assert labels_of(images) == {file: NUMBERED[file] for file in FILES[1:]}


def test_listed_files_that_are_no_images_are_counted_and_no_class_vanishes(folder):
    for name in ("a.dcm", "b.dcm", "c"):
        (folder / name).touch()
    with pytest.warns(ImagesWarning, match=r"2 files .* 1 without ending, 1 \.dcm"):
        load(folder, "\n".join([*LINES, "a.dcm,2", "c,0"]))
    with pytest.raises(ValueError, match=r"no image of '7' can be read, since the only files are 2 \.dcm"):
        load(folder, "\n".join([*LINES, "a.dcm,7", "b.dcm,7"]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n".join([*LINES, "val_1.png,1"]), r"labels\.csv gives 'val_1\.png' two labels, '2' and '1'"),
        (
            "x.png,0\n",
            r"none of the files of .*labels\.csv is in .*flat; the first is 'x\.png': expected lines",
        ),
        ("vol_1,0\nvol_2,1", r"none of the files of .*; the first is 'vol_2'"),
        ("490\n361\n171\n", r"labels\.csv: expected lines of file,label, .*, got '490'"),
        ("val_1.png,0,1\n", r"labels\.csv: expected lines of file,label, .*, got 'val_1\.png,0,1'"),
        ("val_1.png cat\n", r"labels\.csv: expected lines of file,label, .*, got 'val_1\.png cat'"),
        ("", r"labels\.csv: expected lines of file,label, .*, got ''"),
        ("file,label\n", r"none of the files|expected lines"),
        ("val_1.png,3\n", r"labels\.csv cannot be class '3': its classes are 'cat', 'dog'"),
        ("val_1.png,cow\n", r"labels\.csv cannot be class 'cow': its classes are 'cat', 'dog'"),
        ("val_1.png,-1\n", r"labels\.csv cannot be class '-1': its classes are"),
        ("val_1.png,0.0\n", r"labels\.csv cannot be class '0\.0': its classes are"),
        ("val_1.png,\n", r"labels\.csv cannot be class '': its classes are"),
        ("../../etc/a.png,0\n", r"none of the files"),
    ],
)
def test_a_file_of_labels_that_says_nothing_is_refused(folder, text, message):
    with pytest.raises(ValueError, match=message):
        load(folder, text, itn.Classifier(nn.Flatten(), class_names=["cat", "dog"]))


def test_a_file_of_labels_is_for_photographs(tmp_path):
    with pytest.raises(ValueError, match="a file of labels is for folders of photographs; mnist has its"):
        itn.load_images("mnist", labels_file=tmp_path / "labels.csv")
    with pytest.raises(ValueError, match=r"cannot read the labels .*none\.csv \(.*No such file"):
        itn.load_images(tmp_path, labels_file=tmp_path / "none.csv")


NETWORK = """
import itn, torch

class Bright(torch.nn.Module):
    def forward(self, images):
        excess = 20 * (images.mean((1, 2, 3)) - 0.5)
        return torch.stack([-excess, excess], 1)

def make():
    return itn.Classifier(Bright(), class_names=["dark", "light"])
"""


def test_a_flat_folder_is_screened_with_its_labels_and_the_record_says_what_was_left_out(tmp_path, capsys):
    for number in range(12):
        name = tmp_path / "val" / f"{number}.png"
        name.parent.mkdir(exist_ok=True)
        Image.new("RGBA", (4, 4), (255 * (number % 2),) * 3 + (128,)).save(name)
    (tmp_path / "val" / "12.arw").touch()
    lines = [f"{number}.png;{('dark', 'light')[number % 2]}" for number in range(11)]
    (tmp_path / "labels.csv").write_text("\n".join(["file;label", *lines, "12.arw;dark"]), encoding="utf-16")
    (tmp_path / "net.py").write_text(NETWORK)
    where = ("--model", f"{tmp_path}/net.py:make", "--data", f"{tmp_path}/val", "--device", "cpu")
    what = ("--transforms", "brightness", "--magnitudes", "brightness=-0.1,0.1", "--bisections", "0")
    out = tmp_path / "out"
    arguments = ["screen", *where, *what, "--labels", f"{tmp_path}/labels.csv"]
    assert main([*arguments, "--out", str(out)]) == 0
    said = capsys.readouterr().err.splitlines()
    record = json.loads((out / "result.json").read_text())
    assert record["clean_accuracy"] == 1
    assert record["n"] == 11
    assert record["provenance"]["images"] == said
    assert said == [
        "1 file was left out, since its ending cannot be read: 1 .arw",
        "1 of 12 images have no label in labels.csv and were left out: '11.png'",
        "images with transparent pixels: 11; shown is the color stored beneath, as in torchvision and timm, "
        "unless there is a background such as white",
    ]
    # on white, half transparent black is brighter than one half
    assert main([*arguments, "--out", str(tmp_path / "white"), "--background", "white"]) in (0, 2)
    assert "transparent" not in capsys.readouterr().err
    assert main([*arguments, "--out", str(tmp_path / "val" / "out")]) == 2
    assert "lies in the folder of images" in capsys.readouterr().err
    assert not os.path.exists(tmp_path / "val" / "out")


def test_accents_may_be_written_as_on_another_system(folder):
    (folder / FILES[0]).rename(folder / "gr\u00fcn.png")
    (folder / FILES[1]).rename(folder / "cre\u0300me.png")
    images = load(folder, "gru\u0308n.png,1\ncr\u00e8me.png,2\nval_3.png,0\nmore/val_4.png,0\n")
    assert images.labels[images.images[:, 0, 0, 0].argsort()].tolist() == [1, 2, 0, 0]


def test_a_name_without_its_ending_must_be_that_of_one_file(folder):
    (folder / FILES[0]).rename(folder / "val_2.jpg")
    with pytest.raises(ValueError, match=r"none of the files of .*labels.csv is in .*; the first is 'val_2'"):
        load(folder, "Id,Category\nval_2,0\n")
