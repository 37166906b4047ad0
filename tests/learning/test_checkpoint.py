"""Checkpoints: a damaged one is noticed, and the one before it taken."""

import pytest
import torch

import itn
from itn import LearnConfig

QUICK = LearnConfig(objective="switched", steps=40, batch_size=32)


def truncated(content):
    return content[: len(content) // 2]


def flipped(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 16]) + content[middle + 1 :]


@pytest.mark.parametrize("damaged", [truncated, flipped])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(damaged, blobs, side, tmp_path, monkeypatch):
    whole = itn.learn(side, *blobs, QUICK)
    with monkeypatch.context() as stopped:
        stopped.setattr("itn.learning.trainer.CHECKPOINT_SECONDS", -1.0)
        stopped.setattr(
            "itn.learning.family.evaluate", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(itn.Interrupted, match="state after 40 steps is"):
            itn.learn(side, *blobs, QUICK, tmp_path / "run")
    checkpoint = tmp_path / "run" / "checkpoint.pt"
    checkpoint.write_bytes(damaged(checkpoint.read_bytes()))
    again = itn.learn(side, *blobs, QUICK, tmp_path / "run")
    assert again.history == whole.history
    assert all(map(torch.equal, again.net.parameters(), whole.net.parameters()))
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {
        *("config.json", "result.json", "timing.json", "history.jsonl", "model.safetensors", "figures"),
        *("examples.json", "report.html"),
    }


def test_where_all_checkpoints_are_damaged_the_run_is_refused(blobs, side, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "itn.learning.family.evaluate", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(itn.Interrupted):
        itn.learn(side, *blobs, QUICK, tmp_path / "run")
    for checkpoint in (tmp_path / "run").glob("*.pt"):
        checkpoint.write_bytes(truncated(checkpoint.read_bytes()))
    with pytest.raises(ValueError, match=r"checkpoint.pt is damaged .*overwrite=True"):
        itn.learn(side, *blobs, QUICK, tmp_path / "run")
