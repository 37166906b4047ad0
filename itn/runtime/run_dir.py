"""The folder of a run: its files are written atomically, and an unfinished run can be resumed."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from itn.runtime import distributed
from itn.runtime.config_file import settings_of
from itn.runtime.errors import writing
from itn.runtime.run_files import (
    ANSWERS,
    CHECKPOINT,
    FORMATS,
    JOURNAL,
    LOCK,
    POINTS,
    PREVIOUS_CHECKPOINT,
    TIMING,
    FigureFormat,
    written_by,
)
from itn.runtime.validation import user_path

State = Literal["new", "unfinished", "finished"]


class RunFolder:
    """The folder of one run: refuses what it cannot resume, and writes each file completely or not at all.

    A run works ``with`` its folder, which is locked meanwhile.

    Args:
        path: A new or empty folder, or that of a run with the same settings; "~" is the home folder.
        settings: Everything that the results depend on; written to config.json.
        overwrite: Remove the files of an earlier run instead of refusing; other files stay.
        figure_format: Of the figures; results do not depend on it.

    Raises:
        ValueError: If there is no such format, or the folder cannot be written or holds something else; it is
            left unchanged.
    """

    def __init__(
        self,
        path: str | Path,
        settings: Mapping[str, Any],
        overwrite: bool = False,
        figure_format: FigureFormat = "png",
    ) -> None:
        if figure_format not in FORMATS:
            raise ValueError(f"figures are made as {', '.join(FORMATS)}, got {figure_format!r}")
        self.path = user_path(path)
        self.settings = json.loads(json.dumps(settings))
        self.overwrite = overwrite
        self.figure_format: FigureFormat = figure_format
        self._rounding = 0.0
        self._lock = FileLock(self.path / LOCK, timeout=0)
        self._state = distributed.on_rank_zero(self._check)

    @property
    def resumes(self) -> bool:
        """Whether there is an unfinished run to go on with."""
        return self._state == "unfinished"

    @property
    def finished(self) -> bool:
        """Whether a run with the same settings has finished here: there is nothing to do."""
        return self._state == "finished"

    @property
    def writes(self) -> bool:
        """Whether this process writes the files: rank 0 does."""
        return distributed.rank() == 0

    def check_answers(self, answers: Sequence[float], rounding: float) -> None:
        """Add to the settings what the classifier answers to a few images; its code is not among them.

        Args:
            answers: Numbers.
            rounding: How far those of the run to resume may differ, as a share of the largest number.

        Raises:
            ValueError: If the run to resume has other answers.
        """
        self.settings[ANSWERS], self._rounding = list(answers), rounding
        self._state = distributed.on_rank_zero(self._check)

    def _check(self) -> State:
        """Return what the folder holds of a run with these settings; raise if it cannot be used."""
        existing = next(path for path in (self.path, *self.path.absolute().parents) if path.exists())
        if not existing.is_dir():
            raise ValueError(f"cannot write to {self.path}, since {existing} is a file: name another folder")
        if not os.access(existing, os.W_OK | os.X_OK):
            raise ValueError(f"cannot write to {self.path}, no permission in {existing}: name another folder")
        # A run that was killed while writing leaves hidden files only
        if not self.path.exists() or not any(self.path.glob("[!.]*")):
            return "new"
        earlier = settings_of(self.path)
        known = written_by(earlier)
        for name in written_by(self.settings):
            if name not in known and os.path.lexists(self.path / name):
                file = self.path / name
                raise ValueError(f"{file} is damaged, or not of itn, and would be lost: name a new folder")
        if self.overwrite:
            return "new"
        if not known:
            raise ValueError(f"{self.path} holds other files: name a new folder, or add overwrite=True")
        finished = (self.path / "result.json").exists()
        run = f"{self.path} holds {'a finished' if finished else 'an unfinished'} run"
        if earlier.get("schema_version", 1) != self.settings.get("schema_version", 1):
            raise ValueError(f"{run} of another itn: name a new folder, or add overwrite=True")
        earlier_answers, answers = earlier.pop(ANSWERS, None), self.settings.get(ANSWERS)
        settings = {key: value for key, value in self.settings.items() if key != ANSWERS}
        differences = _differences(earlier, settings)
        if differences:
            raise ValueError(
                f"{run} with other settings ({'; '.join(differences[:3])}): "
                "use the same ones, name a new folder, or add overwrite=True"
            )
        if answers is not None and not _close(earlier_answers, answers, self._rounding):
            raise ValueError(
                f"{run} whose classifier has the same weights but answered differently to the same images: "
                "undo what has changed in its code, name a new folder, or add overwrite=True"
            )
        if not finished:
            return "unfinished"
        self._check_format(known)
        with contextlib.suppress(Timeout), self._lock:  # unless that run is just doing so
            self.remove_leftovers()
            (self.path / LOCK).unlink(missing_ok=True)
        return "finished"

    def _check_format(self, known: Sequence[str]) -> None:
        """Raise ValueError if a finished run has figures, and none in the format that is asked for."""
        there = {
            Path(name).suffix[1:]
            for name in known
            if name.startswith("figures/") and (self.path / name).exists()
        }
        if there and self.figure_format not in there:
            raise ValueError(
                f"{self.path} holds a finished run whose figures are {' and '.join(sorted(there))}: add "
                f"overwrite=True to make it again with {self.figure_format}, or name a new folder"
            )

    def start(self) -> None:
        """Lock the folder, and create it and its config.json unless a run is resumed.

        Raises:
            ValueError: If another run is at work there, or the folder cannot be written.
        """
        self._state = distributed.on_rank_zero(self._start)

    def _start(self) -> State:
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
            state = self._check()  # again: another run may have started and ended meanwhile
            if state == "finished":
                raise ValueError(f"another run has just finished in {self.path}: repeat this to see it")
            self._prepare(clear=state == "new")
        except BaseException:
            self.close()
            raise
        return state

    def _prepare(self, *, clear: bool) -> None:
        """Write config.json, also of a run that is resumed; before that, remove files of another run."""
        try:
            if clear:
                self.remove_leftovers()
                # Of the earlier run config.json stays until it is replaced: it tells which files are of a run
                for name in written_by(settings_of(self.path)):
                    if name != "config.json":
                        self.remove(name)
            self.write_json("config.json", self.settings)
        except OSError as error:
            raise ValueError(f"cannot write to {self.path} ({error.strerror}): name another folder") from None

    def close(self) -> None:
        """Unlock the folder."""
        if self._lock.is_locked:
            (self.path / LOCK).unlink(missing_ok=True)
            self._lock.release()

    __enter__ = start

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, name: str, writer: Callable[[Path], object]) -> None:
        """Let ``writer`` write a file of this folder, completely or not at all.

        This and all that changes files below raises WriteError where that fails.
        """
        if self.writes:
            with writing():
                write_whole(self.path / name, writer)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write indented JSON; numbers that are not finite are an error."""
        text = json.dumps(content, indent=2, allow_nan=False) + "\n"
        self.write(name, lambda path: path.write_text(text))

    def append_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append each row to history.jsonl as one line."""
        if not self.writes:
            return
        with writing(), (self.path / "history.jsonl").open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
            file.flush()
            os.fsync(file.fileno())

    def history_digest(self) -> str:
        """Return a hash of history.jsonl."""
        return hashlib.sha256((self.path / "history.jsonl").read_bytes()).hexdigest()

    def cut_history(self, length: int, digest: str | None = None) -> list[dict[str, Any]]:
        """Cut history.jsonl to its first ``length`` rows and return them.

        Raises:
            ValueError: If their hash is not ``digest``.
        """
        return distributed.on_rank_zero(lambda: self._cut_history(length, digest))

    def _cut_history(self, length: int, digest: str | None) -> list[dict[str, Any]]:
        path = self.path / "history.jsonl"
        lines = path.read_text().splitlines(keepends=True)[:length] if path.exists() else []
        text = "".join(lines)
        if digest is not None and hashlib.sha256(text.encode()).hexdigest() != digest:
            raise ValueError(f"{path} does not hold the steps that it was written with")
        self.write("history.jsonl", lambda partial: partial.write_text(text))
        return [json.loads(line) for line in lines]

    def rename(self, name: str, new_name: str) -> None:
        """Rename a file, if it exists, and replace any file of the new name."""
        if self.writes and (self.path / name).exists():
            with writing():
                (self.path / name).replace(self.path / new_name)

    def finish(self, record: Mapping[str, Any], timing: Mapping[str, Any]) -> None:
        """Write timing.json, then result.json, which says that the run is finished; remove its leftovers."""
        self.write_json(TIMING, timing)
        self.write_json("result.json", record)
        self.remove_leftovers()

    def correct_timing(self, timing: Mapping[str, Any]) -> None:
        """Write timing.json again, with what came after the end; where that fails the earlier one stays."""
        with contextlib.suppress(OSError):
            self.write_json(TIMING, timing)

    def remove_leftovers(self) -> None:
        """Remove what only an unfinished run needs."""
        for name in (CHECKPOINT, PREVIOUS_CHECKPOINT, POINTS, JOURNAL):
            self.remove(name)

    def remove(self, name: str) -> None:
        """Remove a file or a whole folder, if it exists."""
        if not self.writes:
            return
        path = self.path / name
        with writing():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def is_run(folder: Path) -> bool:
    """Return whether a folder holds the settings or the result of a run."""
    marks = {"config.json": {"command", "config"}, "result.json": {"schema_version", "provenance"}}
    for name, keys in marks.items():
        with contextlib.suppress(OSError, ValueError, RecursionError):
            path = folder / name
            content = json.loads(path.read_text()) if path.is_file() else None
            if isinstance(content, dict) and keys <= content.keys():
                return True
    return False


def content_of(folder: Path) -> dict[str, bytes]:
    """Return the content of all files of a run except its timing, by path; it is the same for equal runs."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != TIMING
    }


def write_whole(target: Path, writer: Callable[[Path], object]) -> Path:
    """Let ``writer`` write a temporary file in the target's folder, then rename it to the target."""
    temporary = target.with_name(f".{target.stem}.partial{target.suffix}")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary.unlink(missing_ok=True)  # a kill may have left it
        temporary.touch()
        mode = temporary.stat().st_mode  # as the umask says, whatever the writer makes of it
        try:
            writer(temporary)
        except (RuntimeError, SafetensorError) as error:  # how torch and safetensors report a full disk
            raise OSError(f"{target}: {error}") from error
        temporary.chmod(mode)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def _close(old: Any, new: Sequence[float], rounding: float) -> bool:
    """Return whether numbers differ by no more than a share of the largest one; old ones may be anything."""
    try:
        pairs = zip(old, new, strict=True)
        return all(abs(before - now) <= rounding * max(map(abs, new)) for before, now in pairs)
    except (TypeError, ValueError):
        return False


def _differences(old: Any, new: Any, name: str = "") -> list[str]:
    """Return the leaves in which two nested mappings differ, each as ``name: old, now new``."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [d for key in keys for d in _differences(old.get(key), new.get(key), f"{name}{key}.")]
    return [] if old == new else [f"{name.rstrip('.')}: {old}, now {new}"]
