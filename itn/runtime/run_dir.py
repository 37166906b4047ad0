"""The folder of a run: atomic, resumable, with the provenance of what it holds."""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from itn.learning.records import LearnStep
from itn.runtime import distributed

LEARN, PER_CLASS = "learn", "learn --per-class"  # what config.json says a run is
CHECKPOINT, EARLIER = "checkpoint.pt", "checkpoint-before.pt"
TIMING = "timing.json"
LOCK = ".itn-lock"
POINTS = ".itn-points"  # a folder with one file for each step of a screen that is done
_FILES = (
    *("config.json", "result.json", TIMING, "history.jsonl", "model.safetensors", CHECKPOINT, EARLIER),
    *(f"{name}.csv" for name in ("curves", "pairs", "softmax", "flips")),
    *(
        f"figures/{name}.png"
        for name in ("losses", "classes", "grid", "curves", "directions", "baselines", "thresholds")
    ),
    *(f"figures/{name}.png" for name in ("allowed", "families")),
    *(f"figures/{kind}-*.png" for kind in ("accuracy", "softmax", "survival", "pair")),
)


class RunFolder:
    """The folder of one run: refuses what it cannot resume, writes every file whole or not at all.

    Args:
        path: New, empty, or the folder of an unfinished run with the same settings.
        settings: Everything that the results depend on; becomes config.json.
        overwrite: Remove the files of an earlier run instead of refusing; other files stay.

    Raises:
        ValueError: If the folder cannot be written or holds something else; it is left as it was.
    """

    def __init__(self, path: str | Path, settings: Mapping[str, Any], overwrite: bool = False) -> None:
        self.path = Path(path)
        self.settings = json.loads(json.dumps(settings))
        self.overwrite = overwrite
        self._lock = FileLock(self.path / LOCK, timeout=0)
        self.resumes = distributed.on_rank_zero(self._look)

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes; among several it is the first."""
        return distributed.rank() == 0

    def _look(self) -> bool:
        """Return whether there is a run to go on with; raise if there is something in the way."""
        above = next(path for path in (self.path, *self.path.absolute().parents) if path.exists())
        if not above.is_dir():
            raise ValueError(f"cannot write to {self.path}, since {above} is a file: name another folder")
        if not os.access(above, os.W_OK | os.X_OK):
            raise ValueError(f"cannot write to {self.path}, no permission in {above}: name another folder")
        # Hidden files are what a run leaves that was killed while it wrote
        if self.overwrite or not self.path.exists() or not any(self.path.glob("[!.]*")):
            return False
        if not (self.path / "config.json").exists():
            raise ValueError(f"{self.path} holds other files: name a new folder, or add --overwrite")
        if (self.path / "result.json").exists():
            with contextlib.suppress(Timeout), self._lock:  # unless that run is about to do so
                self.remove_leftovers()
                (self.path / LOCK).unlink(missing_ok=True)
            raise ValueError(f"{self.path} holds a finished run: name a new folder, or add --overwrite")
        try:
            there = json.loads((self.path / "config.json").read_text())
        except (OSError, ValueError, RecursionError):
            raise ValueError(
                f"{self.path}/config.json is damaged: name a new folder, or add --overwrite"
            ) from None
        differences = _differences(there, self.settings)
        if differences:
            raise ValueError(
                f"{self.path} holds an unfinished run with other settings ({'; '.join(differences[:3])}): "
                "use the same ones, name a new folder, or add --overwrite"
            )
        return True

    def start(self) -> None:
        """Create the folder and its config.json, or keep those of the run that goes on; let no other run in.

        Raises:
            ValueError: If another run is at work there, or the folder cannot be written.
        """
        self.resumes = distributed.on_rank_zero(self._start)

    def _start(self) -> bool:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            raise ValueError(
                f"another run is at work in {self.path}: wait for its end, or name another folder"
            ) from None
        except OSError as error:
            raise ValueError(f"cannot write to {self.path} ({error.strerror}): name another folder") from None
        try:
            resumes = self._look()  # again: another run may have come and gone
            if not resumes:
                self._clear()
        except BaseException:
            self.close()
            raise
        return resumes

    def _clear(self) -> None:
        """Remove what an earlier run has left, and begin."""
        try:
            for pattern in _FILES:
                for path in self.path.glob(pattern):
                    path.unlink()
            self.remove(POINTS)
            self.write_json("config.json", self.settings)
        except OSError as error:
            raise ValueError(f"cannot write to {self.path} ({error.strerror}): name another folder") from None

    def close(self) -> None:
        """Let other runs in."""
        if self._lock.is_locked:
            (self.path / LOCK).unlink(missing_ok=True)
            self._lock.release()

    def write(self, name: str, writer: Callable[[Path], object]) -> None:
        """Let ``writer`` write a file of this folder, whole or not at all."""
        if self.writes:
            write_whole(self.path / name, writer)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write JSON, indented; figures that are not finite are an error."""
        text = json.dumps(content, indent=2, allow_nan=False) + "\n"
        self.write(name, lambda path: path.write_text(text))

    def append_history(self, steps: Sequence[LearnStep]) -> None:
        """Append a line to history.jsonl for each step."""
        if not self.writes:
            return
        with (self.path / "history.jsonl").open("a") as file:
            file.writelines(json.dumps(dataclasses.asdict(step)) + "\n" for step in steps)
            file.flush()
            os.fsync(file.fileno())

    def history_digest(self) -> str:
        """Return a hash of history.jsonl."""
        return hashlib.sha256((self.path / "history.jsonl").read_bytes()).hexdigest()

    def cut_history(self, length: int, digest: str | None = None) -> list[LearnStep]:
        """Keep the first ``length`` lines of history.jsonl and return them.

        Raises:
            ValueError: If they are not those that had this digest.
        """
        return distributed.on_rank_zero(lambda: self._cut_history(length, digest))

    def _cut_history(self, length: int, digest: str | None) -> list[LearnStep]:
        path = self.path / "history.jsonl"
        lines = path.read_text().splitlines(keepends=True)[:length] if path.exists() else []
        text = "".join(lines)
        if digest is not None and hashlib.sha256(text.encode()).hexdigest() != digest:
            raise ValueError(f"{path} does not hold the steps that it was written with")
        self.write("history.jsonl", lambda partial: partial.write_text(text))
        return [LearnStep(**json.loads(line)) for line in lines]

    def keep(self, name: str, other: str) -> None:
        """Give a file another name, if it is there, in place of what had that name."""
        if self.writes and (self.path / name).exists():
            (self.path / name).replace(self.path / other)

    def remove_leftovers(self) -> None:
        """Remove what only an unfinished run needs."""
        for name in (CHECKPOINT, EARLIER, POINTS):
            self.remove(name)

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with all that it holds, that is needed no more."""
        if not self.writes:
            return
        path = self.path / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def working(folder: RunFolder | None) -> Iterator[None]:
    """Begin a run in a folder, if there is one, and let others in at its end."""
    if folder is None:
        yield
        return
    folder.start()
    try:
        yield
    finally:
        folder.close()


def content_of(folder: Path) -> dict[str, bytes]:
    """Return what a run has left, by path, but for the file that holds times: of equal runs it is equal."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != TIMING
    }


def write_whole(target: Path, writer: Callable[[Path], object]) -> Path:
    """Let ``writer`` write a file elsewhere in the target's folder, then move it into place in one step."""
    temporary = target.with_name(f".{target.stem}.partial{target.suffix}")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        try:
            writer(temporary)
        except (RuntimeError, SafetensorError) as error:  # how torch and safetensors report a full disk
            raise OSError(f"{target}: {error}") from error
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def _differences(there: Any, here: Any, name: str = "") -> list[str]:
    """Return the leaves in which two nested mappings differ, each as ``name: there, now here``."""
    if isinstance(there, dict) and isinstance(here, dict):
        keys = sorted(there.keys() | here.keys())
        return [d for key in keys for d in _differences(there.get(key), here.get(key), f"{name}{key}.")]
    return [] if there == here else [f"{name.rstrip('.')}: {there}, now {here}"]
