"""The run folder: all that a run leaves, as readable JSON and safetensors.

    run.json             what was asked, on what data, with what, and how far it came
    model.safetensors    the weights; run.json holds their checksum
    checkpoint/          state.safetensors: everything an exact resume needs
    log.jsonl            one line of figures per report
    report.json, report.html

Nothing is written half: every file is written aside and then renamed. Nothing is unpickled.
"""

import contextlib
import errno
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from calco.data import Source, reopened, schema_from_json
from calco.errors import RequestError, RunError, native

FORMAT = 1
WHERE_NOW = "say where they are now, on the command line with --training-data, --training-labels, --held-out and their like"
AGAIN = "on the command line with --training-data or --held-out"

DataName = Literal["data", "held_out"]


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Give a path beside `path` to write to, which takes its place only when all went well.

    Raises:
        RunError: the disk is full, or the folder cannot be written; `path` is as it was.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(aside, path)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunError(f"Cannot write {path}: {reason}. What was there before is intact; {_advice(error)}.") from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


def check_writable(path: Path) -> None:
    """Raise before any work is done unless a file can be written at `path`.

    Raises:
        RequestError: it is a folder, or its folder cannot be written.
    """
    if path.is_dir():
        raise RequestError(f"Cannot write {path}: it is a folder. Choose another name for the file.")
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RequestError(f"Cannot write {path}: {error.strerror}. Nothing was computed; {_advice(error)}.") from error


def _advice(error: Exception) -> str:
    full = getattr(error, "errno", None) in (None, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return "make room and try again" if full else "give another place, with --out on the command line"


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically. Numbers that are not finite become null, so that any reader can read it."""
    with written_aside(path) as aside:
        aside.write_text(json.dumps(_finite(content), indent=2, allow_nan=False) + "\n")


def _finite(value: Any) -> Any:
    value = native(value)
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    if isinstance(value, float) and value not in (float("inf"), float("-inf")) and value == value:
        return value
    return None if isinstance(value, float) else value


def duration_of(history: list[dict[str, Any]]) -> float:
    """Seconds that a training took which told these lines; 0 where none says."""
    return next((line["seconds"] for line in reversed(history) if "seconds" in line), 0.0)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        RequestError: the file is missing, or does not hold a JSON object.
    """
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise RequestError(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise RequestError(f"{path} is not valid JSON ({error}): it is damaged or was edited by hand.") from error
    if not isinstance(content, dict):
        raise RequestError(f"{path} should hold a JSON object, not a {type(content).__name__}.")
    return content


def write_tensors(path: Path, tensors: dict[str, Tensor], meta: dict[str, Any] | None = None) -> None:
    """Write tensors, and JSON beside them, atomically."""
    # Cloned where memory is shared: safetensors refuses two names for one storage.
    plain = {key: value.detach().to("cpu", memory_format=torch.contiguous_format).clone() for key, value in tensors.items()}
    with written_aside(path) as aside:
        save_file(plain, aside, {"calco": json.dumps(meta or {})})


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `write_tensors` wrote, on the CPU.

    Raises:
        RequestError: the file is missing or damaged.
    """
    if not path.is_file():
        raise RequestError(f"{path} is missing.")
    try:
        # safetensors takes names in UTF-8 only; any other is opened here.
        with path.open("rb") as opened, safe_open(_in_utf8(path) or f"/dev/fd/{opened.fileno()}", framework="pt") as file:
            meta = json.loads((file.metadata() or {}).get("calco", "{}"))
            return {key: file.get_tensor(key) for key in file.keys()}, meta  # noqa: SIM118
    except (SafetensorError, ValueError, OSError) as error:
        raise RequestError(f"{path} is damaged, or is not a safetensors file: {error}.") from error


def _in_utf8(path: Path) -> str:
    """The name of a file, "" where it is not UTF-8."""
    try:
        os.fsencode(path).decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return str(path)


def checksum(path: Path) -> str:
    """SHA-256 of a file's contents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _place(place: str | os.PathLike[str]) -> str:
    """The whole path of what is there; a name as it is."""
    return str(Path(place).resolve()) if Path(place).exists() else str(place)


class Run:
    """A run folder that exists. `record` is what run.json holds."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open a run folder.

        Raises:
            RequestError: it is not a run folder, is damaged, or comes from a newer calco.
        """
        self.path = Path(path)
        if not (self.path / "run.json").is_file():
            raise RequestError(f"{self.path} is not a run folder: it has no run.json. `calco fit` makes one.")
        self.record = read_json(self.path / "run.json")
        found = self.record.get("format")
        if not isinstance(found, int) or found < 1:
            raise RequestError(f"{self.path / 'run.json'} names no format: it is damaged or was edited by hand.")
        if found > FORMAT:
            raise RequestError(
                f"{self.path} was written by a newer calco (run format {found}; this one reads up to {FORMAT}). Update calco."
            )

    @classmethod
    def create(cls, path: str | os.PathLike[str], record: dict[str, Any]) -> "Run":
        """Start a run folder.

        Raises:
            RequestError: there is a run already, or something else that is not an empty folder.
        """
        folder = Path(path)
        if (folder / "run.json").exists():
            raise RequestError(f"{folder} holds a run already: choose another folder, or go on with `calco resume {folder}`.")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RequestError(f"{folder} exists and is not an empty folder: choose another one for the run.")
        write_json(folder / "run.json", {"format": FORMAT, **record})
        return cls(folder)

    @classmethod
    def created(cls, path: str | os.PathLike[str], patience: float = 60.0) -> "Run":
        """Open a run folder that another process of the same run is just creating."""
        end = time.monotonic() + patience
        while not (Path(path) / "run.json").is_file() and time.monotonic() < end:
            time.sleep(0.05)
        return cls(path)

    def forget(self) -> None:
        """Remove a run that was refused before it came to a checkpoint, so that the folder can be used again."""
        if self.checkpointed or (self.path / "model.safetensors").exists():
            return
        for name in ("run.json", "log.jsonl"):
            (self.path / name).unlink(missing_ok=True)
        if not any(self.path.iterdir()):
            self.path.rmdir()

    def update(self, **changes: Any) -> None:
        """Change fields of run.json."""
        self.record = {**self.record, **changes}
        write_json(self.path / "run.json", self.record)

    def field(self, name: str, kind: type) -> Any:
        """A field of run.json that must be there, of type `kind`."""
        value = self.record.get(name)
        if not isinstance(value, kind):
            raise RequestError(f"{self.path / 'run.json'} lacks a valid {name!r}: it is damaged or was edited by hand.")
        return value

    def opening(self, name: str = "data") -> dict[str, Any]:
        """How `reopened` opens the run's data (or those named) again; empty where there are none, or they were in memory."""
        described = self.record.get(name)
        return (described.get("open") or {}) if isinstance(described, dict) else {}

    def reopen(self, name: DataName = "data") -> Source:
        """The data that the run used, opened again.

        Raises:
            RequestError: they were in memory, are not where they were, or are others now.
        """
        described = self.field(name, dict)
        if not self.opening(name):
            raise RequestError(f"This run used data in memory ({described.get('about')}): give the same data again, {AGAIN}.")
        try:
            source = reopened(self.opening(name))
        except RequestError as error:
            raise RequestError(f"{error} The run {self.path} used these data: {WHERE_NOW}.") from error
        if source.describe()["fingerprint"] != described.get("fingerprint"):
            raise RequestError(
                f"These are not the data of the run {self.path} ({described.get('about')}): their fingerprints differ. If the"
                f" right ones are elsewhere, {WHERE_NOW}."
            )
        return source

    def move(self, name: DataName = "data", **places: str | os.PathLike[str] | None) -> None:
        """Say where data of the run are now; they are opened from there as they were, and checked by their fingerprint.

        run.json is told when it is next written, as it is by a run that goes on.

        Args:
            name: data, those it learned from, or held_out, those it watched.
            places: of the examples (`data`), of their `labels` or `masks`, and of those that are `unlabelled`; None stays.

        Raises:
            RequestError: the run used no such data.
        """
        moved = {what: _place(place) for what, place in places.items() if place is not None}
        if not moved:
            return
        if not isinstance(self.record.get(name), dict) or "share" in self.record[name]:
            raise RequestError(f"The run {self.path} was not given held-out data of its own: leave their place out.")
        opening = self.opening(name) or getattr(schema_from_json(self.field("schema", dict)), "opening", dict)()
        others = moved.pop("unlabelled", None)
        if others is not None:
            opening = {**opening, "unlabelled": {**(opening.get("unlabelled") or {}), "data": others}}
        self.record = {**self.record, name: {**self.record[name], "open": {**opening, **moved}}}

    def log(self, line: dict[str, Any]) -> None:
        """Append one line to log.jsonl."""
        try:
            with (self.path / "log.jsonl").open("a") as file:
                file.write(json.dumps(_finite(line)) + "\n")
        except OSError as error:
            raise RunError(f"Cannot write {self.path / 'log.jsonl'}: {error.strerror}. Make room, then resume.") from error

    def history(self) -> list[dict[str, Any]]:
        """The lines of log.jsonl; one that a crash cut short is left out."""
        path = self.path / "log.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        history = []
        for line in lines:
            try:
                history.append(json.loads(line))
            except ValueError:
                continue
        return history

    def rewind(self, step: int) -> None:
        """Forget the lines logged after `step`, which a resumed run writes again."""
        kept = [json.dumps(line) for line in self.history() if line.get("step", 0) <= step]
        with written_aside(self.path / "log.jsonl") as aside:
            aside.write_text("".join(line + "\n" for line in kept))

    @property
    def _checkpoint(self) -> Path:
        return self.path / "checkpoint" / "state.safetensors"

    @property
    def checkpointed(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return self._checkpoint.exists()

    def save_state(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> None:
        """Replace the checkpoint."""
        write_tensors(self._checkpoint, tensors, meta)

    def load_state(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The checkpoint, or None where the run has not come so far."""
        return read_tensors(self._checkpoint) if self.checkpointed else None

    def save_model(self, tensors: dict[str, Tensor], **changes: Any) -> None:
        """Write model.safetensors, and its checksum with `changes` to run.json."""
        path = self.path / "model.safetensors"
        write_tensors(path, tensors)
        self.update(weights=checksum(path), **changes)

    def load_model(self) -> dict[str, Tensor]:
        """The weights.

        Raises:
            RequestError: they are missing, damaged, or not those that the run wrote.
        """
        path = self.path / "model.safetensors"
        if not path.is_file():
            raise RequestError(
                f"{self.path} has no weights yet: the run did not finish. Go on with `calco resume {self.path}`."
            )
        if checksum(path) != self.record.get("weights"):
            raise RequestError(f"{path} is not the file this run wrote: its checksum differs from the one in run.json.")
        return read_tensors(path)[0]
