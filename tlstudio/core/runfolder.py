"""The folder of a run: which file is where. The folder is the only truth about a run."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
from filelock import FileLock, Timeout

from tlstudio.core.dataset import DatasetIndex
from tlstudio.core.dataset_setup import DatasetSetup
from tlstudio.core.durable import json_bytes, read_json
from tlstudio.core.errors import StudioError
from tlstudio.core.events import Event, RunEnded, RunStarted, decode_event
from tlstudio.core.manifest import Manifest, lock_file
from tlstudio.core.plan import PLAN_VERSION, Plan
from tlstudio.core.split import Split

T = TypeVar("T")

ASKING_S = 1.0
"""Longer than `is_held` has a lock in order to ask for it."""


class NewerVersion(StudioError):
    """A run of a version of the app that this one does not understand."""


class Versioned(msgspec.Struct):
    """What can be read of a record of any version. One that names no version is of the first."""

    version: int = 1


class RunFolder:
    """A path that knows its file names. Creating one touches nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest = Manifest(path / "manifest.json")
        self.plan_file = path / "plan.json"
        self.setup_file = path / "setup.json"
        self.dataset_file = path / "dataset.json"
        self.split_file = path / "split.json"
        self.events_file = path / "events.jsonl"
        self.checkpoints_dir = path / "checkpoints"
        self.model_file = path / "model.safetensors"
        self.evaluation_file = path / "evaluation.json"
        self.predictions_file = path / "predictions.csv"
        self.exports_dir = path / "exports"
        self.notes_file = path / "notes.json"

    def require_empty(self) -> None:
        """Raise StudioError if the folder already holds something: a run never overwrites."""
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise StudioError(
                f"“{self.path}” already exists and is not empty.",
                "Choose a new folder for the run; nothing was overwritten.",
            )

    def start(self, plan: Plan, index: DatasetIndex, parts: Split, setup: DatasetSetup = DatasetSetup()) -> None:
        """Write what the run is going to do, into a new folder."""
        self.require_empty()
        # The plan comes last: it makes the folder a run.
        records = {self.setup_file: setup, self.dataset_file: index, self.split_file: parts, self.plan_file: plan}
        self.manifest.write_new({file: json_bytes(record) for file, record in records.items()})

    def record(self, file: Path, kind: type[T]) -> T:
        """Return the record in a file of the run, verified. Raises StudioError if it is missing or damaged."""
        return read_json(file, kind, self.manifest.read)

    def keep(self, file: Path, record: object) -> None:
        """Write a record into a file of the run. Raises StudioError."""
        self.manifest.write(file, json_bytes(record))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the run against other processes on this computer for as long as it is written to.

        Raises StudioError if one of them has it.
        """
        self._require_own_files()
        lock = self._lock()
        try:
            lock.acquire(timeout=ASKING_S)
        except Timeout as error:
            raise StudioError(
                f"“{self.path.name}” is being trained already, by another window or command.",
                "Wait for it to end, or stop it there. Nothing was changed.",
            ) from error
        try:
            yield
        finally:
            lock.release()

    def _require_own_files(self) -> None:
        """Raise StudioError where writing into the run would change what lies elsewhere."""
        for path in (self.events_file, self.checkpoints_dir):
            if path.is_symlink():
                raise StudioError(
                    f"In the run {self.path} there is a link in the place of “{path.name}”.",
                    "Nothing was changed. Put the file itself there, or choose another run.",
                )

    def is_held(self) -> bool:
        """Return whether the run is being written to now, by this process or another one on this computer."""
        try:
            with self._lock():
                return False
        except Timeout:
            return True

    def _lock(self) -> FileLock:
        return FileLock(lock_file(self.path), timeout=0)

    def plan(self) -> Plan:
        """Return the plan. Raises StudioError if this is no run folder, NewerVersion for one of a newer version."""
        if not self.plan_file.is_file():
            raise StudioError(
                f"“{self.path}” is not a run folder.", "Choose the folder that was given as --run when training."
            )
        # Asked first: the rest of a newer plan may be nothing that this version can read.
        if self.record(self.plan_file, Versioned).version > PLAN_VERSION:
            raise NewerVersion(f"“{self.path}” was made by a newer version of this app.", "Update the app to open it.")
        return self.record(self.plan_file, Plan)

    def dataset(self) -> DatasetIndex:
        """Return the pictures as they were when the run was set up."""
        return self.record(self.dataset_file, DatasetIndex)

    def setup(self) -> DatasetSetup:
        """Return what the user had decided about the pictures; the default for runs that did not keep it."""
        return self.record(self.setup_file, DatasetSetup) if self.setup_file.exists() else DatasetSetup()

    def split(self) -> Split:
        """Return which pictures taught and which judge."""
        return self.record(self.split_file, Split)

    def pictures(self) -> tuple[DatasetIndex, Split]:
        """Return the pictures and which of them taught and judge. Raises StudioError if the two do not fit."""
        index, parts = self.dataset(), self.split()
        if not all(
            0 <= position < len(index.images) for part in (parts.train, parts.val, parts.test) for position in part
        ):
            raise StudioError(
                f"The run {self.path} is damaged: its split names pictures that it does not have.",
                "Choose another run, or train again.",
            )
        return index, parts

    def is_judged(self) -> bool:
        """Return whether the run keeps an evaluation of its model as it is now, not of one before it learned on."""
        judged, model = self.evaluation_file, self.model_file
        try:
            judged_ns = judged.stat().st_mtime_ns
            return not model.exists() or model.stat().st_mtime_ns <= judged_ns
        except FileNotFoundError:
            return False

    def events(self) -> Iterator[Event]:
        """Yield the logged events; a last line cut off by a crash is left out. Raises StudioError if it is damaged."""
        if not self.events_file.exists():
            return
        for line in io.BytesIO(self.manifest.read(self.events_file)):
            try:
                yield decode_event(line)
            except msgspec.DecodeError:
                if line.endswith(b"\n"):
                    raise StudioError(f"The log of {self.path} is damaged.", "The model itself is unharmed.") from None
                return

    def summary(self) -> tuple[RunStarted | None, RunEnded | None]:
        """Return how the run began and how it ended, as far as the log tells."""
        first, last = None, None
        for event in self.events():
            match event:
                case RunStarted():
                    first = event
                case RunEnded():
                    last = event
        return first, last


def runs_in(folder: Path) -> list[RunFolder]:
    """Return the runs directly inside a folder, newest first."""
    found = [RunFolder(child) for child in folder.iterdir() if (child / "plan.json").is_file()]
    return sorted(found, key=lambda run: run.plan_file.stat().st_mtime, reverse=True)
