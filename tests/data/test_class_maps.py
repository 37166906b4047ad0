import json

import numpy as np
import pytest
from torch import nn

import itn
from itn.data.class_names import class_indices

KERAS = {"0": ["n02123045", "cat"], "1": ["n02084071", "dog"], "2": ["n01503061", "bird"]}


def classifier(**settings):
    return itn.Classifier(nn.Flatten(), name="net", **settings)


def read(tmp_path, content, folders=("cat", "dog"), net=None, encoding="utf-8"):
    path = tmp_path / "map"
    text = content if isinstance(content, str | bytes) else json.dumps(content)
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return class_indices(list(folders), net, path)


MAPS = [
    {"tabby": "Cat", "rex": 1, "spare": 99},
    {"label2id": {"tabby": 0, "rex": 1}},
    "folder,class\ntabby,Cat\n\nrex, 1\nspare,99\n",
    "\ufefftabby\tcat\nrex\tdog\n",
    'tabby,"cat"\n"rex","1"\n',
    "folder;class\r\ntabby;Cat\r\nrex;1\r\n",
    "sep=;\n tabby ; 0\n rex ; 1\n",
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("content", MAPS)
def test_a_class_map_has_the_last_word(content, encoding, tmp_path):
    if isinstance(content, str) and content[0] == "\ufeff":
        content = content[encoding != "utf-8" :]
    net = classifier(class_names=["cat", "dog", "tabby", "rex"])
    assert read(tmp_path, content, ["tabby", "rex"], net, encoding) == {"tabby": 0, "rex": 1}


def test_a_class_map_may_be_given_as_text_or_mapping(tmp_path):
    net = classifier(class_names=["cat", "dog"])
    (tmp_path / "map").write_text("tabby,Cat\nrex,1\n")
    assert class_indices(["tabby", "rex"], net, str(tmp_path / "map")) == {"tabby": 0, "rex": 1}
    assert class_indices(["tabby", "rex"], net, {"tabby": "Cat", "rex": 1}) == {"tabby": 0, "rex": 1}
    assert class_indices(["tabby", "rex"], net, ["tabby", "rex"]) == {"tabby": 0, "rex": 1}
    with pytest.raises(ValueError, match="class_map names 1, the classifier has 2 classes"):
        class_indices(["tabby"], net, ("tabby",))


def test_a_map_that_names_a_folder_twice_is_refused_by_its_name(tmp_path):
    with pytest.raises(ValueError, match=r"/map gives the folder 'rex' to several classes \(0, 2\)"):
        read(tmp_path, "rex\ntabby\nrex\n", ["rex", "tabby"])


def test_a_map_that_counts_from_one_says_so(tmp_path):
    net = classifier(class_names=["cat", "dog"])
    with pytest.raises(ValueError, match=r"'rex' cannot be class '2'.*classes count from 0: subtract 1"):
        read(tmp_path, "tabby,1\nrex,2\n", ["tabby", "rex"], net)


@pytest.mark.parametrize(
    "content",
    [
        "bird\ndog\ncat\n",  # as timm writes it
        "bird\r\ndog\r\ncat\r\n\r\n",
        ["bird", "dog", "cat"],
        {"id2label": {"0": "bird", "1": "dog", "2": "cat"}, "label2id": {"bird": 0, "dog": 1, "cat": 2}},
        {"id2label": ["bird", "dog", "cat"]},
        {"0": "bird", "1": "dog", "2": "cat"},
        {"2": "cat", "0": "bird", "1": "dog"},
        {"1": ["n02084071", "dog"], "0": ["n01503061", "bird"], "2": ["n02123045", "cat"]},
        "index,name\n2,cat\n1,dog\n0,bird\n",
        "2;Cat\n1;DOG\n0;Bird\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_map_may_go_from_logits_to_folders(content, encoding, tmp_path):
    for net in (None, classifier(), classifier(class_names=["x", "y", "z"])):
        assert read(tmp_path, content, net=net, encoding=encoding) == {"cat": 2, "dog": 1}


def test_the_class_index_of_keras_has_two_names(tmp_path):
    assert read(tmp_path, KERAS, ["n01503061", "n02123045"]) == {"n01503061": 2, "n02123045": 0}
    turned = {"0": ["n0", "2"], "1": ["n1", "0"], "2": ["n2", "1"]}
    assert read(tmp_path, turned, "012") == {"0": 1, "1": 2, "2": 0}
    assert read(tmp_path, KERAS, ["bird", "n02123045"]) == {"bird": 2, "n02123045": 0}
    assert class_indices(["bird"], None, {0: ("n1", "cat"), 1: ("n2", "bird")}) == {"bird": 1}


def test_numbered_folders_are_looked_up_as_folders_unless_the_map_is_called_otherwise(tmp_path):
    turned = {"0": "1", "1": "2", "2": "0"}
    assert read(tmp_path, turned, "012") == {"0": 1, "1": 2, "2": 0}
    assert read(tmp_path, {"id2label": turned}, "012") == {"0": 2, "1": 0, "2": 1}
    assert read(tmp_path, "0\n1\n10\n2\n", ["10", "2"]) == {"10": 2, "2": 3}
    assert class_indices(["a", "b"], None, {0: "b", 1: "a"}) == {"a": 1, "b": 0}


def test_names_with_separators_accents_or_brackets_are_found(tmp_path):
    assert read(tmp_path, "a,b;1\nc;0\n", ["a,b", "c"]) == {"a,b": 1, "c": 0}
    assert read(tmp_path, "a;b,1\nc,0\n", ["a;b", "c"]) == {"a;b": 1, "c": 0}
    assert read(tmp_path, "tench, Tinca\nray\n", ["tench, Tinca"]) == {"tench, Tinca": 0}
    assert read(tmp_path, "[x],1\n", ["[x]"]) == {"[x]": 1}
    decomposed = "cre\u0300me"  # as macOS stores file names
    assert read(tmp_path, "crème,4\n", [decomposed]) == {decomposed: 4}


def test_a_class_map_may_hold_numbers_of_numpy():
    classes = class_indices(["tabby", "rex"], classifier(), {"tabby": np.int64(3), "rex": np.uint8(1)})
    assert classes == {"tabby": 3, "rex": 1}
    assert {type(number) for number in classes.values()} == {int}
    with pytest.raises(ValueError, match=r"'rex' cannot be class np\.float64\(1\.0\)"):
        class_indices(["rex"], classifier(), {"rex": np.float64(1)})


def test_a_class_map_without_names_gives_numbers():
    given = {"a": 5, "b": "7", "c": "n01443537"}
    assert class_indices(["a", "b"], None, given) == {"a": 5, "b": 7}
    assert class_indices(["a", "b", "c"], classifier(), given) == {"a": 5, "b": 7, "c": 1}


NOT_READ = r"cannot read the class map .*map \(.*\): expected lines of folder,class, one name a line"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 0, "b": 1}', r"map lacks the folders 'c': add the class of each"),
        ("a,0\n", r"map lacks the folders 'b', 'c': add"),
        ('{"a": 0, "b": 1, "c": 2}', r"map: 'c' cannot be class 2: its classes are 'cat', 'dog'"),
        ('{"a": 0, "b": 1, "c": -1}', r"map: 'c' cannot be class -1: its classes are"),
        ('{"a": 0, "b": 1, "c": true}', r"map: 'c' cannot be class True: its"),
        ('{"a": 0, "b": 1, "c": 1.0}', r"map: 'c' cannot be class 1\.0: its"),
        ('{"a": 0, "b": 1, "c": {"d": 1}}', r"map: 'c' cannot be class \(\('d', 1\),\): its"),
        ('{"a": 0, "b": 1, "c": ["cat", "pet"]}', r"map: 'c' cannot be class \['cat', 'pet'\]: its"),
        ('{"a": 0, "b": 1, "c": "cow"}', r"map: 'c' cannot be class 'cow': its"),
        ('{"a": 0, "a": 1}', r"map gives 'a' two classes, 0 and 1"),
        ("a,cat\na,dog\n", r"map gives 'a' two classes, 'cat' and 'dog'"),
        ("a cat\nb dog\n", r"map names the classes 'a cat', 'b dog', but lacks the folders 'a', 'b', 'c'"),
        ("a,b,c\n", r"map: expected two columns, folder,class, got 'a,b,c'; names with commas can be"),
        ("a;0\nb;1;2\n", r"map: expected two columns, folder,class, got 'b;1;2'"),
        ('a,"b', r"map: expected two columns"),
        ("a\nb\nc\n", r"map names 3, the classifier has 2 classes: give all, in the order of the logits"),
        ("class\na\n", r"map begins with 'class', which would be class 0: remove the header"),
        ("a\n\n", r"map names 1, the classifier has 2 classes"),
        ("a\n\nb", r"map has '' for a name"),
        ('["a", 1]', r"map has 1 for a name"),
        ('{"id2label": 5}', r"map has 5 for a name"),
        ('{"id2label": {"a": 0, "b": 1}}', r"map must go from the numbers of logits to names"),
        (
            '{"id2label": {"0": "a", "1": "x"}}',
            r"map names the classes 'a', 'x', but lacks the folders 'b', 'c'",
        ),
        ("1,a\n2,b\n3,c", r"map counts classes from 1, and logits from 0: subtract 1"),
        ("0,a\n1,b\n7,c", r"map has a class 7: expected numbers from 0 to 1"),
        ('{"0": ["a", "c"], "1": ["b", "c"]}', r"gives the folder 'c' to several classes \(0, 1\)"),
        ('{"0": ["a", 1], "1": ["b", "c"]}', r"map lacks the folders"),
        ("", r"map is empty: expected lines"),
        ("{}", r"map is empty: expected lines"),
        ("[]", r"map is empty: expected lines"),
        ('{"a": 0', NOT_READ),
        (
            b"\xff\xfe\xfa",
            r"cannot read .*map \(neither UTF-8 nor UTF-16: save it as UTF-8\): expected lines",
        ),
        (
            "Äa,0\n".encode("cp1252"),
            r"cannot read .*map \(neither UTF-8 nor UTF-16: save it as UTF-8\): expected lines",
        ),
        (b"\x80\x04}.", r"cannot read .*map \(a pickle, which may run code\): expected lines"),
        (b"PK\x03\x04", r"cannot read .*map \(a spreadsheet or another archive\): expected lines"),
    ],
)
def test_a_class_map_that_says_nothing_is_refused(content, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, content, "abc", classifier(class_names=["cat", "dog"]))


def test_a_class_map_that_is_missing_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"cannot read .*map \(.*No such file.*\): expected"):
        class_indices(["a"], None, tmp_path / "map")


@pytest.mark.parametrize("given", [{"cat", "dog"}, 5])
def test_a_class_map_without_an_order_is_refused(given):
    with pytest.raises(ValueError, match=f"class_map is a {type(given).__name__}: give a mapping"):
        class_indices(["cat", "dog"], None, given)
