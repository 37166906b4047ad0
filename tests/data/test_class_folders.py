import importlib.util
import os
from pathlib import Path

import pytest

from itn.data.class_folders import find_photos, refuse_results, refuse_results_inside


def touch(folder, *paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()


def test_images_are_found_below_class_folders(tmp_path):
    wanted = ["b c/1.JPG", "b/deep/er/2.png", "b/1.jpeg", "b/deep/1.webp", "Ä/ñandú.tiff", "B/x.y.PnG"]
    other = [
        ".DS_Store",
        "map.csv",
        "b/.hidden.png",
        "b/.trash/1.png",
        ".git/1.png",
        "b/Thumbs.db",
        "__MACOSX/b/._1.jpg",
    ]
    touch(tmp_path, *wanted, *other)
    photos = find_photos(tmp_path)
    assert photos.paths == sorted(wanted)
    assert photos.classes == [path.partition("/")[0] for path in sorted(wanted)]
    assert photos.folders == ["B", "b", "b c", "Ä"]
    assert photos.notes == []


def test_a_linked_class_folder_is_followed(tmp_path):
    touch(tmp_path / "store", "cat/1.png")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cat").symlink_to(tmp_path / "store" / "cat")
    (tmp_path / "store" / "cat" / "loop").symlink_to(tmp_path / "store" / "cat")
    photos = find_photos(tmp_path / "data")
    assert (photos.folders, photos.paths) == (["cat"], ["cat/1.png"])


def test_without_class_folders_the_images_of_the_folder_are_listed(tmp_path):
    touch(tmp_path, "b.png", "a.jpg", ".c.png", "notes.txt")
    photos = find_photos(tmp_path)
    assert (photos.paths, photos.classes, photos.folders) == (["a.jpg", "b.png"], [], [])
    assert photos.notes == ["1 file was left out, since its ending cannot be read: 1 .txt"]


def test_all_that_is_left_out_is_said(tmp_path):
    touch(tmp_path, "cat/1.png", "cat/more/2.DCM", "cat/3.dcm", "cat/4", "dog/1.png", "dog/2.npy", "top.png")
    (tmp_path / "empty" / "deep").mkdir(parents=True)
    assert find_photos(tmp_path).notes == [
        "4 files were left out, since their endings cannot be read: 2 .dcm, 1 without ending, 1 .npy",
        "images beside the class folders were left out: 'top.png'",
        "class folders are empty: 'empty'",
    ]


def test_of_many_endings_the_most_frequent_are_said(tmp_path):
    touch(tmp_path, "a/1.png", *(f"a/1.2.840.{i}" for i in range(9)), "a/x.840", "a/y.840", "a/z.\n")
    (note,) = find_photos(tmp_path).notes
    assert note.endswith(r"2 .840, 1 '.\n', 1 .0, 1 .1, 1 .2, 6 others")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (["cat/1.dcm", "cat/deep/2.dcm"], r"2 \.dcm"),
        (["cat/1", "cat/2.npy"], r"1 without ending, 1 \.npy"),
        (["cat/a.xyz.", "cat/.hidden.png"], r"1 "),
    ],
)
def test_a_class_of_which_nothing_can_be_read_stops_the_run(files, said, tmp_path):
    touch(tmp_path, "dog/1.png", *files)
    with pytest.raises(
        ValueError, match=f"no image of 'cat' can be read, since the only files are {said}.*move"
    ):
        find_photos(tmp_path)


def test_heic_is_read_or_the_package_for_it_is_named(tmp_path):
    touch(tmp_path, "cat/1.png", "cat/2.HEIC", "cat/3.heif")
    if importlib.util.find_spec("pillow_heif"):
        assert find_photos(tmp_path).paths == ["cat/1.png", "cat/2.HEIC", "cat/3.heif"]
    else:
        (note,) = find_photos(tmp_path).notes
        assert '1 .heic (pip install "itn[heic]"), 1 .heif (pip install "itn[heic]")' in note


def run_at(folder, name="config.json", content='{"command": "screen", "config": {}}'):
    touch(folder, "figures/overview.png")
    (folder / name).write_text(content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", '{"command": "screen", "config": {}}'),
        ("result.json", '{"schema_version": 9, "provenance": {}}'),
    ],
)
@pytest.mark.parametrize("at", ["run", "runs/a", "cat/run"])
def test_results_of_a_run_are_no_class(name, content, at, tmp_path):
    touch(tmp_path, "cat/1.png", "dog/1.png")
    run_at(tmp_path / at, name, content)
    photos = find_photos(tmp_path)
    assert (photos.folders, photos.paths) == (["cat", "dog"], ["cat/1.png", "dog/1.png"])
    assert photos.notes == [f"results of itn were left out: '{at}'"]


def test_results_beside_images_without_class_folders_leave_these_unlabeled(tmp_path):
    touch(tmp_path, "1.png")
    run_at(tmp_path / "run")
    assert find_photos(tmp_path).classes == []
    with pytest.raises(ValueError, match=r"run holds results of itn: name a folder of images"):
        refuse_results(tmp_path / "run")


def test_a_config_of_others_makes_no_results(tmp_path):
    touch(tmp_path, "cat/1.png")
    (tmp_path / "cat" / "config.json").write_text('{"id2label": {}}')
    assert find_photos(tmp_path).paths == ["cat/1.png"]


@pytest.mark.parametrize("out", ["photos", "photos/run", "photos/a/../b/c", "link/run", "photos/away"])
def test_results_within_the_images_are_refused(out, tmp_path, monkeypatch):
    touch(tmp_path, "photos/cat/1.png")
    (tmp_path / "link").symlink_to("photos")
    (tmp_path / "photos" / "away").symlink_to(tmp_path.parent)
    monkeypatch.chdir(tmp_path)
    for folder in ("photos", tmp_path / "photos"):
        with pytest.raises(ValueError, match="lies in the folder of images"):
            refuse_results_inside(tmp_path / out if out == "photos" else out, folder)
    with pytest.raises(ValueError, match="lies in the folder of images"):
        refuse_results_inside("photos/run", "link")


def test_results_elsewhere_are_fine(tmp_path, monkeypatch):
    touch(tmp_path, "photos/cat/1.png")
    monkeypatch.chdir(tmp_path)
    refuse_results_inside("photos2", "photos")
    refuse_results_inside("photos/../run", "photos")
    refuse_results_inside("mnist/run", "mnist")  # no folder


def test_a_folder_without_images_is_refused(tmp_path):
    touch(tmp_path, "notes.txt")
    with pytest.raises(
        ValueError, match=r"has no class folders and no image, only 1 \.txt: put images into one"
    ):
        find_photos(tmp_path)
    for name in "abcde":
        (tmp_path / name).mkdir()
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
