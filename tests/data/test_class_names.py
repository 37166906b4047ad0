import pytest
from torch import nn

import itn
from itn.data.class_names import class_indices

WNIDS = ["n01440764", "n01443537", "n01484850"]


def classifier(**settings):
    return itn.Classifier(nn.Flatten(), name="net", **settings)


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


def test_a_class_map_needs_numbers_if_there_is_no_classifier():
    with pytest.raises(
        ValueError, match="class_map: 'a' cannot be class 'cat': without class names expected"
    ):
        class_indices(["a"], None, {"a": "cat"})
