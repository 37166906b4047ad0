"""What ends a run is named: a file that cannot be written, or whatever a user's network raises."""

import errno

import pytest
from torch import nn

import itn
from itn.runtime.errors import WriteError, explained
from itn.runtime.run_dir import RunFolder

SCREEN = itn.ScreenConfig(
    transforms=("contrast",), magnitudes={"contrast": (0.5, 2.0)}, bisections=0, accuracy_bisections=0
)


class Reader(nn.Module):
    """Reads a file once images have changed, as a network with a table on a disk might."""

    def __init__(self, net, path):
        super().__init__()
        self.net, self.path = net, path

    def forward(self, images):
        if (images == 1).any():
            self.path.read_text()
        return self.net(images)


def test_a_file_that_a_network_cannot_read_is_named(flats, brightness, tmp_path):
    classifier = itn.Classifier(Reader(brightness.net, tmp_path / "table.txt"))
    message = r"^FileNotFoundError: .*No such file.*table\.txt.*; \d+ of \d+ passes are kept"
    with pytest.raises(itn.RunError, match=message):
        itn.screen(classifier, *flats, SCREEN, tmp_path / "run")


def test_a_file_that_the_run_cannot_write_is_named(flats, brightness, tmp_path, monkeypatch):
    def full(path, target):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    run = RunFolder(tmp_path, {"command": "learn", "config": {}})
    run.start()
    monkeypatch.setattr("pathlib.Path.replace", full)
    for work in (
        lambda: run.write_json("result.json", {}),
        lambda: run.rename("config.json", "old.json"),
        lambda: run.write("points/a.npz", lambda path: path.touch()),
    ):
        with pytest.raises(WriteError, match="No space left") as caught:
            work()
        assert caught.value.strerror == "No space left on device"
        with pytest.raises(itn.RunError, match=r"^cannot write \(.*No space left.*; two steps$"):  # noqa: SIM117
            with explained(lambda: "two steps", resumable=True):
                work()


def test_what_torch_says_of_a_full_disk_counts_as_well(tmp_path):
    run = RunFolder(tmp_path, {"command": "learn", "config": {}})
    run.start()

    def full(path):
        raise RuntimeError("PytorchStreamWriter failed writing file")

    with pytest.raises(WriteError, match=r"checkpoint\.pt: PytorchStreamWriter failed"):
        run.write("checkpoint.pt", full)
