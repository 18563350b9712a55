"""States of a training that can be gone on from: two generations on disk, each proven whole before it is trusted.

A generation is a small record that lists the tensor files it needs with their SHA-256. Tensors that have not changed
since the generation before, such as the weights a stage started from, are written once. Writing happens on a thread of
its own: training goes on meanwhile, and where it is faster than the disk only the newest state is written.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType

import msgspec
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor

from tlstudio.core.decoding import from_json
from tlstudio.core.durable import sealed, unsealed, write_bytes
from tlstudio.core.runfolder import NewerVersion, Versioned
from tlstudio.engine.honest_split import BothAccuracies
from tlstudio.engine.networks import HeadShape
from tlstudio.engine.waiting import Waiter

CHECKPOINT_VERSION = 1
GENERATIONS = 2
OWN_SUFFIXES = (".json", ".safetensors", ".tmp")
"""Nothing else in the folder is the app's to delete."""
SAVE_INTERVAL_S = 30.0
"""A state is saved at every end of an epoch, and within one when the last is older than this."""


class Counters(msgspec.Struct, frozen=True):
    """Where a gradient stage is. `batch` batches of `epoch` are done; the sums are over these."""

    epoch: int = 1
    batch: int = 0
    steps: int = 0
    loss_sum: float = 0.0
    correct: float = 0.0
    best_epoch: int = 0
    best_loss: float = 0.0
    without_gain: int = 0
    gentler: int = 0
    """How often the learning rates were lowered because the training ran out of bounds."""
    pass_size: int = 0
    """Pictures that go through the network at a time; 0 leaves that to the plan."""


class KeptBefore(msgspec.Struct, frozen=True):
    """What is known, besides tensors, of the model that a gradient stage has to beat."""

    words: str
    temperature: float
    epoch: int | None
    head: HeadShape
    """Of the network that the stage starts from."""
    both: BothAccuracies | None = None
    kept_head: HeadShape | None = None
    """Of that model itself; None in states of versions that did not keep it."""


class TensorFile(msgspec.Struct, frozen=True):
    name: str
    sha256: str


class Checkpoint(msgspec.Struct, frozen=True):
    """What a run needs, besides tensors, to go on as if nothing had happened."""

    generation: int
    stage: int
    """The number of the stage in the plan that was under way."""
    counters: Counters
    log_bytes: int
    """How much of the log had been written; what follows is written anew."""
    log_sha256: str
    kept: KeptBefore
    left_out: tuple[int, ...] = ()
    """Positions of pictures that could not be read when the training began."""
    files: dict[str, TensorFile] = {}
    version: int = CHECKPOINT_VERSION


class State(msgspec.Struct, frozen=True):
    """A checkpoint with its tensors: a mapping of names for every part of the state."""

    checkpoint: Checkpoint
    tensors: dict[str, dict[str, Tensor]]


class Part(msgspec.Struct, frozen=True):
    """Tensors that belong together. Equal keys promise equal tensors, which are then not written again."""

    key: str
    tensors: Mapping[str, Tensor]


class CheckpointWriter:
    """Writes states into a folder, away from the thread that trains. Use it in a `with` statement.

    `offer` does not wait for the disk, unless that is known to refuse: then the next state is written at once, as
    patiently as `waiter` is. Leaving the statement writes what was offered last.
    """

    def __init__(self, folder: Path, sync_log: Callable[[], None], waiter: Waiter | None = None) -> None:
        """Write into `folder`, which is made; `sync_log` brings the log to the disk before each record."""
        self.folder, self._sync_log, self._waiter = folder, sync_log, waiter or Waiter()
        self.seconds = 0.0
        """Time spent writing so far."""
        self._generation = max((number for number, _ in _records(folder)), default=0)
        self._written: dict[str, TensorFile] = {}
        self._offered: tuple[Checkpoint, dict[str, Part]] | None = None
        self._refused: tuple[Checkpoint, dict[str, Part]] | None = None
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write_on, name="checkpoint", daemon=True)
        self._thread.start()

    def offer(self, checkpoint: Checkpoint, parts: dict[str, Part]) -> None:
        """Have this state written; it replaces one that is still waiting. The tensors must not change any more.

        Raises StudioError where the disk refused the state before and now this one too.
        """
        with self._changed:
            was_refused, self._refused = self._refused is not None, None
            if not was_refused:
                self._offered = (checkpoint, parts)
                self._changed.notify_all()
        if was_refused:
            self._waiter.outlast(partial(self._write, checkpoint, parts))

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()
        if error is None and self._refused is not None:
            self._waiter.outlast(partial(self._write, *self._refused))

    def _write_on(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._offered is not None or self._ended)
                offered, self._offered = self._offered, None
            if offered is None:
                return
            started = time.monotonic()
            try:
                self._write(*offered)
            except Exception:  # whatever it is, the thread that trains is told of it when it writes again
                with self._changed:
                    self._refused, self._offered = self._offered or offered, None
            self.seconds += time.monotonic() - started

    def _write(self, checkpoint: Checkpoint, parts: dict[str, Part]) -> None:
        try:
            self._write_files(checkpoint, parts)
        finally:
            with suppress(OSError):  # what is left over now is deleted the next time
                self._clear_out()

    def _write_files(self, checkpoint: Checkpoint, parts: dict[str, Part]) -> None:
        files = {}
        for name, part in parts.items():
            file_name = f"{name}-{part.key}.safetensors"
            written = self._written.get(file_name)
            if written is None:
                content = save_safetensors({key: value.contiguous() for key, value in part.tensors.items()})
                written = TensorFile(file_name, hashlib.sha256(content).hexdigest())
                write_bytes(self.folder / file_name, content)
            files[name] = written
        self._sync_log()
        generation = self._generation + 1
        _write_record(self.folder, msgspec.structs.replace(checkpoint, generation=generation, files=files))
        self._generation = generation
        self._written = {file.name: file for file in files.values()}

    def _clear_out(self) -> None:
        """Delete what neither of the newest generations needs."""
        records = sorted(_records(self.folder), reverse=True)
        needed = {path.name for _, path in records[:GENERATIONS]}
        for _, path in records[:GENERATIONS]:
            if record := _read_record(path):
                needed |= {file.name for file in record.files.values()}
        for path in self.folder.iterdir():
            if path.name not in needed and path.suffix in OWN_SUFFIXES and not path.is_dir():
                path.unlink(missing_ok=True)


def newest_state(folder: Path, log: Path | None = None) -> tuple[State | None, list[Path]]:
    """Return the newest state that is whole, and the files of newer ones that proved damaged.

    With a log, it is the newest that goes on from what is in there, if one does. Raises NewerVersion for a state of a
    newer version of the app.
    """
    damaged: list[Path] = []
    without_log: State | None = None
    for _, path in sorted(_records(folder), reverse=True):
        record = _read_record(path)
        if record is None:
            damaged.append(path)
            continue
        tensors = {}
        for name, file in record.files.items():
            found = _read_tensors(folder / file.name, file.sha256)
            if found is None:
                damaged.append(folder / file.name)
                break
            tensors[name] = found
        else:
            state = State(record, tensors)
            if log is None or _begins_as_known(log, record):
                return state, damaged
            damaged.append(log)
            without_log = without_log or state
    return without_log, damaged


def save_again(folder: Path, checkpoint: Checkpoint) -> None:
    """Save a state whose record was changed once more, as the newest, with the tensors it had."""
    _write_record(folder, msgspec.structs.replace(checkpoint, generation=checkpoint.generation + 1))


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin with the prefix, under the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _records(folder: Path) -> list[tuple[int, Path]]:
    if not folder.is_dir():
        return []
    return [(int(path.stem), path) for path in folder.glob("*.json") if path.stem.isdecimal()]


def _write_record(folder: Path, record: Checkpoint) -> None:
    write_bytes(folder / f"{record.generation:08}.json", sealed(msgspec.json.encode(record)))


def _read_record(path: Path) -> Checkpoint | None:
    try:
        body = unsealed(path.read_bytes())
        if body is None:
            return None
        if from_json(body, Versioned).version > CHECKPOINT_VERSION:
            raise NewerVersion(
                f"The training in {path.parent.parent} was paused by a newer version of this app.",
                "Update the app to go on with it; nothing was changed.",
            )
        return from_json(body, Checkpoint)
    except (OSError, msgspec.DecodeError):
        return None


def _begins_as_known(log: Path, record: Checkpoint) -> bool:
    """Tell whether the log is, as far as it had been written then, what it was."""
    try:
        content = log.read_bytes()[: record.log_bytes]
    except OSError:
        return False
    return hashlib.sha256(content).hexdigest() == record.log_sha256


def _read_tensors(path: Path, sha256: str) -> dict[str, Tensor] | None:
    try:
        content = path.read_bytes()
        return load_safetensors(content) if hashlib.sha256(content).hexdigest() == sha256 else None
    except (OSError, SafetensorError):
        return None
