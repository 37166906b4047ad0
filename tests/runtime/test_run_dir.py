import json
import os

import pytest
import torch

from itn.learning.records import LearnStep
from itn.runtime.provenance import data_fingerprint, provenance
from itn.runtime.run_dir import RunFolder, content_of

STEP = LearnStep(0, {"spatial": 0.5}, {"accuracy": 0.9, "asked_cross_entropy": True}).to_json()

SETTINGS = {"command": "learn", "config": {"steps": 3}}


def started(path, settings=None, **kw):
    folder = RunFolder(path, settings or SETTINGS, **kw)
    folder.start()
    return folder


@pytest.mark.parametrize("make", ["new", "deep", "empty"])
def test_new_and_empty_folders_start(make, tmp_path):
    path = {"new": tmp_path / "a", "deep": tmp_path / "a" / "b", "empty": tmp_path}[make]
    folder = started(path)
    assert not folder.resumes
    assert json.loads((path / "config.json").read_text()) == SETTINGS


def test_unfinished_runs_resume_only_with_the_same_settings(tmp_path):
    started(tmp_path)
    assert started(tmp_path).resumes
    with pytest.raises(ValueError, match=r"other settings \(config.steps: 3, now 4\).*overwrite=True"):
        RunFolder(tmp_path, {"command": "learn", "config": {"steps": 4}})


def test_finished_runs_and_other_files_are_left_unchanged(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "mine.png").write_text("a photograph")
    with pytest.raises(ValueError, match="holds other files"):
        started(tmp_path)
    folder = started(tmp_path, overwrite=True)
    folder.write_json("result.json", {"accuracy": 1})
    folder.close()
    finished = RunFolder(tmp_path, SETTINGS)
    assert (finished.finished, finished.resumes) == (True, False)
    with pytest.raises(ValueError, match=r"holds a finished run with other settings \(config.steps"):
        RunFolder(tmp_path, {"command": "learn", "config": {"steps": 4}})
    with pytest.raises(ValueError, match="another run has just finished"):
        started(tmp_path)
    started(tmp_path, overwrite=True)
    assert not (tmp_path / "result.json").exists()
    assert (tmp_path / "thesis.tex").read_text() == "years of work"
    assert (tmp_path / "figures" / "mine.png").exists()


def test_a_run_starts_after_a_kill_in_its_first_write(tmp_path):
    (tmp_path / ".config.partial.json").write_text("{")
    folder = started(tmp_path)
    assert not folder.resumes
    folder.close()
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize("text", ['{"config": ', "[1, 2]", "[]", '"text"', "3", "null"])
def test_a_damaged_configuration_is_refused(text, tmp_path):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match="damaged"):
        started(tmp_path)


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ValueError, match="is a file: name another folder"):
            RunFolder(path, {})


def test_a_file_is_written_completely_or_not_at_all(tmp_path):
    folder = started(tmp_path)
    folder.write_json("result.json", {"accuracy": 1})

    def half(path):
        path.write_text("{")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        folder.write("result.json", half)
    with pytest.raises(ValueError, match="not JSON compliant"):
        folder.write_json("result.json", {"accuracy": float("nan")})
    assert json.loads((tmp_path / "result.json").read_text()) == {"accuracy": 1}
    folder.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "result.json"]


def test_history_is_cut_to_the_steps_of_the_checkpoint(tmp_path):
    folder = started(tmp_path)
    folder.append_history([STEP, STEP])
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"step": 2, "cross_')  # a kill in mid-line
    assert folder.cut_history(1) == [STEP]
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 1
    assert folder.cut_history(0) == []


def test_fingerprints_differ_for_different_data():
    images, labels = torch.randint(0, 256, (5, 1, 3, 3), dtype=torch.uint8), torch.arange(5)
    before = data_fingerprint(images, labels)
    assert data_fingerprint(images.clone(), labels.clone()) == before
    assert data_fingerprint(images.flip(0), labels) != before
    assert data_fingerprint(images, labels.flip(0)) != before


def test_provenance_names_versions_and_device():
    origin = provenance(torch.device("cpu"))
    assert origin["torch"] == torch.__version__.split("+")[0] or origin["torch"] == torch.__version__
    assert origin["device"] == "cpu"
    assert origin["threads"] == torch.get_num_threads()
    assert origin["itn"]


def test_a_folder_without_permission_is_refused_before_and_at_the_first_write(tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(ValueError, match=r"no permission in .*: name another folder"):
        RunFolder(tmp_path / "run", {})
    monkeypatch.undo()

    def refuse(*args, **kw):
        raise PermissionError(13, "Permission denied")

    folder = RunFolder(tmp_path / "run", {})
    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(ValueError, match=r"cannot write to .*run \(Permission denied\): name another folder"):
        folder.start()
    assert not (tmp_path / "run").exists()


def test_the_content_of_a_run_is_every_file_but_its_timing(tmp_path):
    (tmp_path / "figures").mkdir()
    for name, text in (("result.json", "{}"), ("figures/losses.png", "red"), ("timing.json", "late")):
        (tmp_path / name).write_text(text)
    assert content_of(tmp_path) == {"result.json": b"{}", "figures/losses.png": b"red"}


@pytest.mark.parametrize(
    ("now", "resumes"),
    [([5, -2], True), ([5.04, -2.04], True), ([5.06, -2], False), ([5, -2.06], False), ([5], False)],
)
def test_answers_may_differ_by_a_share_of_the_largest(now, resumes, tmp_path):
    folder = RunFolder(tmp_path, SETTINGS)
    folder.check_answers([5, -2], 0.01)
    folder.start()
    folder.close()
    again = RunFolder(tmp_path, SETTINGS)
    if resumes:
        again.check_answers(now, 0.01)
        again.start()
        assert again.resumes
        # As an undisturbed run leaves them
        assert json.loads((tmp_path / "config.json").read_text())["answers"] == now
    else:
        with pytest.raises(ValueError, match="answered differently to the same images"):
            again.check_answers(now, 0.01)


@pytest.mark.parametrize("damaged", [None, "text", 3, {"a": 1}, [5, "a"], [5, None], [5, float("nan")]])
def test_damaged_answers_are_refused(damaged, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(SETTINGS | {"answers": damaged}))
    with pytest.raises(ValueError, match="answered differently"):
        RunFolder(tmp_path, SETTINGS).check_answers([5, -2], 0.01)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("config.json", '{"model_type": "vit", "architectures": ["ViTForImageClassification"]}'),
        ("config.json", '{"command": "npx", "config": {}}'),
        ("result.json", '{"accuracy": 0.9}'),
        ("model.safetensors", "weights of days"),
        ("figures/losses.png", "a figure"),
    ],
)
def test_files_that_no_run_has_written_are_never_touched(name, text, overwrite, tmp_path):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"{name} is damaged, or not of itn, .*: name a new folder$"):
        started(tmp_path, overwrite=overwrite)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]
    assert path.read_text() == text


def test_a_run_that_is_replaced_takes_only_its_own_files_along(tmp_path):
    """Those of a screen are not those of learning, and a figure may have the name of another sweep."""
    screened = {"command": "screen", "config": {}, "magnitudes": {"sweeps": {"rotate": [1]}, "pairs": []}}
    folder = started(tmp_path, screened)
    for name in ("result.json", "figures/accuracy-rotate.png", "figures/accuracy-mine.png", "history.jsonl"):
        folder.write(name, lambda path: path.write_text("text"))
    folder.close()
    with pytest.raises(ValueError, match=r"history.jsonl is damaged, or not of itn"):
        started(tmp_path, overwrite=True)
    started(tmp_path, screened, overwrite=True).close()
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")}
    assert left == {"config.json", "history.jsonl", "figures/accuracy-mine.png"}


def test_files_have_the_mode_that_the_umask_gives(tmp_path):
    folder = started(tmp_path)

    def secret(path):
        path.touch()
        path.chmod(0o600)  # as safetensors makes them

    before = os.umask(0o027)
    try:
        folder.write("model.safetensors", secret)
    finally:
        os.umask(before)
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o640


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert RunFolder("~/runs/a", SETTINGS).path == tmp_path / "runs" / "a"
    with pytest.raises(ValueError, match="no home folder is known"):
        RunFolder("~nobody-of-that-name/a", SETTINGS)


def test_a_finished_run_is_not_taken_for_one_with_figures_of_another_format(tmp_path):
    folder = RunFolder(tmp_path, SETTINGS, figure_format="pdf")
    with folder:
        folder.write("figures/losses.pdf", lambda path: path.write_text("a figure"))
        folder.finish({}, {})
    assert RunFolder(tmp_path, SETTINGS, figure_format="pdf").finished
    with pytest.raises(
        ValueError, match="whose figures are pdf: add overwrite=True to make it again with png"
    ):
        RunFolder(tmp_path, SETTINGS)
    with RunFolder(tmp_path, SETTINGS, overwrite=True):
        assert not (tmp_path / "figures" / "losses.pdf").exists()
    with pytest.raises(ValueError, match="figures are made as png, pdf, svg, got 'gif'"):
        RunFolder(tmp_path / "other", SETTINGS, figure_format="gif")
