"""What a run has evaluated, in order, so that a resumed run evaluates none of it again."""

import contextlib
import functools
import hashlib
import io
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from itn.runtime import distributed
from itn.runtime.errors import writing
from itn.runtime.progress import ProgressBar, progress_bar
from itn.runtime.run_dir import RunFolder
from itn.runtime.run_files import JOURNAL

_HEADER = 8  # bytes before each entry: its length and its checksum


class Journal:
    """Results of evaluations in the order in which they were made, kept in the folder of a run.

    A run that is repeated with the same settings asks for the same evaluations in the same order, so their
    number is enough to find them again; another version of this package may ask for others, and begins anew.
    Several processes ask for the same ones. Nothing is kept unless it is ``opened``.
    """

    def __init__(self) -> None:
        self.count = 0
        """Evaluations so far, those of an earlier attempt included."""
        self._earlier: list[Tensor] = []
        self._file: BinaryIO | None = None
        self._bar: ProgressBar | None = None

    @contextlib.contextmanager
    def opened(self, folder: RunFolder | None) -> Iterator[None]:
        """Read what an earlier attempt has left in a folder, and keep there what follows."""
        if folder is None:
            yield
            return
        path = folder.path / JOURNAL
        self._earlier, end = distributed.on_rank_zero(lambda: _read(path))
        if not folder.writes:
            yield
            return
        with path.open("r+b" if path.exists() else "w+b") as file:
            file.truncate(end)  # a kill may have left half an entry
            file.seek(end)
            if not end:
                file.write(_entry(_version()))
                file.flush()
            self._file = file
            try:
                yield
            finally:
                self._file = None

    @contextlib.contextmanager
    def phase(self, name: str, progress: bool | None) -> Iterator[None]:
        """Show a bar that counts the evaluations of a phase."""
        with progress_bar(name, None, "evaluations", progress) as bar:
            self._bar = bar
            try:
                yield
            finally:
                self._bar = None

    def once(self, evaluate: Callable[[], Tensor]) -> Tensor:
        """Return the next result: that of an earlier attempt, or a new one, a tensor on the CPU."""
        if self.count < len(self._earlier):
            result = self._earlier[self.count]
        else:
            result = evaluate()
            if self._file is not None:
                with writing():
                    self._file.write(_entry(result))
                    self._file.flush()
        self.count += 1
        if self._bar is not None:
            self._bar.advance()
        return result


def _entry(result: Tensor) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, result.numpy(), allow_pickle=False)
    content = buffer.getvalue()
    return len(content).to_bytes(4, "little") + zlib.crc32(content).to_bytes(4, "little") + content


@functools.cache
def _version() -> Tensor:
    """Return a hash of all code of this package, which is the first entry."""
    root, digest = Path(__file__).parents[1], hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)} ".encode() + path.read_bytes())
    return torch.tensor([*digest.digest()], dtype=torch.uint8)


def _read(path: Path) -> tuple[list[Tensor], int]:
    """Return all results up to the first that is damaged, and where that begins; none of another version."""
    content, start = path.read_bytes() if path.exists() else b"", 0
    entries = []
    while start + _HEADER <= len(content):
        length, checksum = (int.from_bytes(content[start + at : start + at + 4], "little") for at in (0, 4))
        end = start + _HEADER + length
        entry = content[start + _HEADER : end]
        if len(entry) < length or zlib.crc32(entry) != checksum:
            break
        entries.append(torch.from_numpy(np.load(io.BytesIO(entry), allow_pickle=False)))
        start = end
    if not (entries and torch.equal(entries[0], _version())):
        return [], 0
    return entries[1:], start
