"""What has been evaluated is not evaluated again, whatever a kill has left."""

import pytest
import torch

from itn.runtime.journal import Journal
from itn.runtime.run_dir import RunFolder
from itn.runtime.run_files import JOURNAL

RESULTS = [
    torch.tensor(0.125, dtype=torch.float64),
    torch.tensor([True, False, True]),
    torch.linspace(-1, 1, 7),
]


def attempt(path, evaluations, fail_at=None):
    """Ask for the results in order; return them and the numbers of those that were evaluated."""
    evaluated = []

    def evaluate(number):
        if number == fail_at:
            raise KeyboardInterrupt
        evaluated.append(number)
        return RESULTS[number]

    folder, journal = RunFolder(path, {"command": "learn", "config": {}}), Journal()
    results = []
    with folder, journal.opened(folder):
        try:
            for number in range(evaluations):
                results.append(journal.once(lambda number=number: evaluate(number)))
        except KeyboardInterrupt:
            pass
    return results, evaluated, journal.count


def test_a_second_attempt_goes_on_where_the_first_ended(tmp_path):
    assert attempt(tmp_path / "run", 3, fail_at=2)[1:] == ([0, 1], 2)
    results, evaluated, count = attempt(tmp_path / "run", 3)
    assert evaluated == [2]
    assert count == 3
    for result, expected in zip(results, RESULTS, strict=True):
        assert result.dtype == expected.dtype
        assert torch.equal(result, expected)


@pytest.mark.parametrize("lost", [1, 20, 100])
def test_half_an_entry_is_evaluated_again(tmp_path, lost):
    attempt(tmp_path / "run", 3)
    path = tmp_path / "run" / JOURNAL
    path.write_bytes(path.read_bytes()[:-lost])
    assert attempt(tmp_path / "run", 3)[1] == [2]
    assert attempt(tmp_path / "run", 3)[1] == []


def test_a_damaged_entry_and_all_after_it_are_evaluated_again(tmp_path):
    attempt(tmp_path / "run", 3)
    path = tmp_path / "run" / JOURNAL
    content = bytearray(path.read_bytes())
    start = 0
    for _ in range(2):  # the version of the code, and the first result
        start += 8 + int.from_bytes(content[start : start + 4], "little")
    content[start + 20] ^= 1
    path.write_bytes(bytes(content))
    assert attempt(tmp_path / "run", 3)[1] == [1, 2]


def test_another_version_of_the_package_evaluates_everything_again(tmp_path, monkeypatch):
    attempt(tmp_path / "run", 3, fail_at=2)
    monkeypatch.setattr("itn.runtime.journal._version", lambda: torch.zeros(32, dtype=torch.uint8))
    assert attempt(tmp_path / "run", 3)[1] == [0, 1, 2]
    assert attempt(tmp_path / "run", 3)[1] == []


def test_without_a_folder_everything_is_evaluated():
    journal = Journal()
    with journal.opened(None):
        assert [journal.once(lambda: RESULTS[1]).tolist() for _ in range(2)] == [RESULTS[1].tolist()] * 2
    assert journal.count == 2


def test_overwriting_forgets_what_was_evaluated(tmp_path):
    attempt(tmp_path / "run", 2)
    with RunFolder(tmp_path / "run", {"command": "learn", "config": {}}, overwrite=True):
        assert not (tmp_path / "run" / JOURNAL).exists()
