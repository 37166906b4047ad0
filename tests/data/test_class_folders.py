import json
import os
from pathlib import Path

import numpy as np
import pytest
from torch import nn

import itn
from itn.data.class_folders import class_indices, find_photos

WNIDS = ["n01440764", "n01443537", "n01484850"]


def classifier(**settings):
    return itn.Classifier(nn.Flatten(), name="net", **settings)


def touch(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()


def test_images_are_found_below_class_folders(tmp_path):
    wanted = ["b c/1.JPG", "b/deep/er/2.png", "b/1.jpeg", "b/deep/1.webp", "Ä/ñandú.tiff", "B/x.y.PnG"]
    other = [
        ".DS_Store",
        "top.png",
        "b/.hidden.png",
        "b/.trash/1.png",
        ".git/1.png",
        "b/notes.txt",
        "b/png",
        "empty/a.csv",
    ]
    touch(tmp_path, *wanted, *other)
    folders, paths = find_photos(tmp_path)
    assert paths == sorted(wanted)
    assert folders == ["B", "b", "b c", "empty", "Ä"]


def test_a_linked_class_folder_is_followed(tmp_path):
    touch(tmp_path / "store", "cat/1.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cat").symlink_to(tmp_path / "store" / "cat")
    (tmp_path / "store" / "cat" / "loop").symlink_to(tmp_path / "store" / "cat")
    assert find_photos(tmp_path / "data") == (["cat"], ["cat/1.png"])


def test_without_class_folders_the_images_of_the_folder_are_listed(tmp_path):
    touch(tmp_path, "b.png", "a.jpg", ".c.png", "notes.txt")
    assert find_photos(tmp_path) == ([], ["a.jpg", "b.png"])


def test_a_folder_without_images_is_refused(tmp_path):
    touch(tmp_path, "notes.txt")
    with pytest.raises(ValueError, match="has no class folders: put images into one folder for each class"):
        find_photos(tmp_path)
    touch(tmp_path, *(f"{name}/a.txt" for name in "abcde"))
    with pytest.raises(ValueError, match="has no image in its class folders 'a', 'b', 'c' and 2 more: put"):
        find_photos(tmp_path)


def test_a_folder_that_cannot_be_listed_is_not_taken_for_empty(tmp_path, monkeypatch):
    touch(tmp_path, "cat/1.png", "dog/1.png")
    scan = os.scandir

    def refuse(path):
        if Path(path).name == "dog":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ValueError, match=r"cannot list .*dog \(Permission denied\)"):
        find_photos(tmp_path)


def test_without_a_classifier_folders_are_ranked():
    assert class_indices(["b", "a", "C"]) == {"C": 0, "a": 1, "b": 2}


def test_folders_named_like_classes():
    net = classifier(class_names=["polar bear", "Cat", "crème brûlée"], class_ids=["a", "b", "cat"])
    assert class_indices(["CAT", "Polar_Bear"], net) == {"CAT": 1, "Polar_Bear": 0}
    assert class_indices(["cre\u0300me bru\u0302le\u0301e"], net) == {"cre\u0300me bru\u0302le\u0301e": 2}
    assert class_indices(["cat", "a"], net) == {"cat": 2, "a": 0}  # only as ids are all of them known


def test_a_name_of_two_classes_asks_for_ids():
    net = classifier(class_names=["crane", "Cat", "Crane"], class_ids=["bird", "pet", "machine"])
    assert class_indices(["cat"], net) == {"cat": 1}
    message = r"'crane' is the name of 2 classes \(0, 2\): name the folders by class ids, or .* class_map="
    with pytest.raises(ValueError, match=message):
        class_indices(["cat", "crane"], net)
    with pytest.raises(ValueError, match=message):
        class_indices(["x"], net, {"x": "crane"})
    assert class_indices(["machine"], net) == {"machine": 2}
    assert class_indices(["crane"], net, {"crane": "machine"}) == {"crane": 2}


@pytest.mark.parametrize("names", [None, [f"class {i}" for i in range(1000)]])
def test_wordnet_ids_mean_imagenet(names):
    net = classifier(class_names=names)
    folders = ["n15075141", "n01443537", "n02124075"]  # toilet tissue, goldfish, Egyptian cat
    assert class_indices(folders, net) == dict(zip(folders, (999, 1, 285), strict=True))


def test_wordnet_ids_mean_nothing_to_others():
    for net in (classifier(class_names=["a", "b"]), classifier(class_ids=["a", "b"])):
        with pytest.raises(ValueError, match="'n01440764', 'n01443537', 'n01484850' are not classes of net"):
            class_indices(WNIDS, net)
    net = classifier(class_ids=WNIDS[::-1])
    assert class_indices(WNIDS, net) == dict(zip(WNIDS, (2, 1, 0), strict=True))
    with pytest.raises(ValueError, match="the folders 'n00000001' are not classes"):
        class_indices([*WNIDS, "n00000001"], classifier())


def test_folders_named_by_number():
    assert class_indices(["10", "007"], classifier()) == {"10": 10, "007": 7}
    assert class_indices(["1"], classifier(class_names=["1", "0"])) == {"1": 0}  # names go first
    with pytest.raises(ValueError, match="the folders '1' are not classes"):
        class_indices(["0", "1"], classifier(class_names=["0", "cat"]))
    with pytest.raises(ValueError, match="the folders '2' are not classes"):
        class_indices(["0", "2"], classifier(class_ids=["a", "b"]))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"class_names": ["ant", "bee", "cow", "dog", "elk"]},
            r"its classes are 'ant', 'bee', 'cow' and 2 more",
        ),
        ({"class_ids": ["i", "j"]}, "its classes are 'i', 'j'"),
        ({}, "without class names expected numbers from 0, or WordNet ids"),
    ],
)
def test_folders_that_mean_nothing_are_named_with_a_cure(settings, expected):
    known = (settings.get("class_names") or settings.get("class_ids") or ["0"])[0]
    message = rf"the folders 'p', 'q', 'r' and 1 more are not classes of net \({expected}\): .*class_map=FILE"
    with pytest.raises(ValueError, match=message):
        class_indices(["p", "q", known, "r", "s"], classifier(**settings))


MAPS = {
    "map.json": json.dumps({"tabby": "Cat", "rex": 1, "spare": 99}),
    "map.csv": "folder,class\ntabby,Cat\n\nrex, 1\nspare,99\n",
    "map.txt": "\ufefftabby\tcat\nrex\tdog\n",
    "quoted.csv": 'tabby,"cat"\n"rex","1"\n',
}


def test_a_class_map_may_hold_numbers_of_numpy():
    classes = class_indices(["tabby", "rex"], classifier(), {"tabby": np.int64(3), "rex": np.uint8(1)})
    assert classes == {"tabby": 3, "rex": 1}
    assert {type(number) for number in classes.values()} == {int}
    with pytest.raises(ValueError, match=r"'rex' cannot be class np\.float64\(1\.0\)"):
        class_indices(["rex"], classifier(), {"rex": np.float64(1)})


@pytest.mark.parametrize("name", [None, *MAPS])
def test_a_class_map_has_the_last_word(name, tmp_path):
    given = {"tabby": "Cat", "rex": 1}
    if name:
        given = tmp_path / name
        given.write_text(MAPS[name], encoding="utf-8")
    net = classifier(class_names=["cat", "dog", "tabby", "rex"])
    expected = {"tabby": 0, "rex": 1}
    assert class_indices(["tabby", "rex"], net, given) == expected
    assert class_indices(["tabby", "rex"], net, str(given) if name else given) == expected


def test_a_class_map_without_names_gives_numbers():
    given = {"a": 5, "b": "7", "c": "n01443537"}
    assert class_indices(["a", "b"], None, given) == {"a": 5, "b": 7}
    assert class_indices(["a", "b", "c"], classifier(), given) == {"a": 5, "b": 7, "c": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 0, "b": 1}', r"map lacks the folders 'c': add the class of each"),
        ("a,0\n", r"map lacks the folders 'b', 'c': add"),
        ('{"a": 0, "b": 1, "c": 2}', r"map: 'c' cannot be class 2: its classes are 'cat', 'dog'"),
        ('{"a": 0, "b": 1, "c": -1}', r"map: 'c' cannot be class -1: its classes are"),
        ('{"a": 0, "b": 1, "c": true}', r"map: 'c' cannot be class True: its"),
        ('{"a": 0, "b": 1, "c": 1.0}', r"map: 'c' cannot be class 1\.0: its"),
        ('{"a": 0, "b": 1, "c": {"d": 1}}', r"map: 'c' cannot be class \[\('d', 1\)\]: its"),
        ('{"a": 0, "b": 1, "c": "cow"}', r"map: 'c' cannot be class 'cow': its"),
        ('{"a": 0, "a": 1}', r"map gives 'a' two classes, 0 and 1"),
        ("a,cat\na,dog\n", r"map gives 'a' two classes, 'cat' and 'dog'"),
        ("a cat\n", r"map: expected two columns, folder,class, got 'a cat'"),
        ("a,b,c\n", r"map: expected two columns, folder,class, got 'a,b,c'"),
        (
            '{"a": 0',
            r"cannot read the class map .*map \(.*\): expected a JSON object or lines of folder,class",
        ),
        ('a,"b', r"cannot read the class map .*map \(.*\): expected"),
        (b"\xff\xfe\xfa", r"cannot read the class map .*map \(.*\): expected"),
        (None, r"cannot read the class map .*map \(.*No such file.*\): expected"),
    ],
)
def test_a_class_map_that_says_nothing_is_refused(content, message, tmp_path):
    path = tmp_path / "map"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message):
        class_indices(["a", "b", "c"], classifier(class_names=["cat", "dog"]), path)


def test_a_class_map_needs_numbers_if_there_is_no_classifier():
    with pytest.raises(
        ValueError, match="class_map: 'a' cannot be class 'cat': without class names expected"
    ):
        class_indices(["a"], None, {"a": "cat"})
