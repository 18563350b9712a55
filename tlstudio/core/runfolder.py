"""The folder of a run: which file is where. The folder is the only truth about a run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from tlstudio.core.dataset import DatasetIndex
from tlstudio.core.dataset_setup import DatasetSetup
from tlstudio.core.durable import read_json, write_json
from tlstudio.core.errors import StudioError
from tlstudio.core.events import Event, RunEnded, RunStarted, decode_event
from tlstudio.core.paths import locks_dir
from tlstudio.core.plan import PLAN_VERSION, Plan
from tlstudio.core.split import Split


class RunFolder:
    """A path that knows its file names. Creating one touches nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
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
        write_json(self.setup_file, setup)
        write_json(self.dataset_file, index)
        write_json(self.split_file, parts)
        write_json(self.plan_file, plan)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the run against other processes on this computer for as long as it is written to.

        Raises StudioError if one of them has it.
        """
        name = hashlib.sha256(os.fsencode(self.path.absolute())).hexdigest()[:32]
        lock = FileLock(locks_dir() / f"{name}.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise StudioError(
                f"“{self.path.name}” is being trained already, by another window or command.",
                "Wait for it to end, or stop it there. Nothing was changed.",
            ) from error
        try:
            yield
        finally:
            lock.release()

    def plan(self) -> Plan:
        """Return the plan. Raises StudioError if this is no run folder or one of a newer version."""
        if not self.plan_file.is_file():
            raise StudioError(
                f"“{self.path}” is not a run folder.", "Choose the folder that was given as --run when training."
            )
        plan = read_json(self.plan_file, Plan)
        if plan.version > PLAN_VERSION:
            raise StudioError(f"“{self.path}” was made by a newer version of this app.", "Update the app to open it.")
        return plan

    def dataset(self) -> DatasetIndex:
        """Return the pictures as they were when the run was set up."""
        return read_json(self.dataset_file, DatasetIndex)

    def setup(self) -> DatasetSetup:
        """Return what the user had decided about the pictures; the default for runs that did not keep it."""
        return read_json(self.setup_file, DatasetSetup) if self.setup_file.exists() else DatasetSetup()

    def split(self) -> Split:
        """Return which pictures taught and which judge."""
        return read_json(self.split_file, Split)

    def events(self) -> Iterator[Event]:
        """Yield the logged events; a last line cut off by a crash is left out."""
        if not self.events_file.exists():
            return
        with self.events_file.open("rb") as file:
            for line in file:
                try:
                    yield decode_event(line)
                except msgspec.DecodeError:
                    if line.endswith(b"\n"):
                        raise StudioError(
                            f"The log of {self.path} is damaged.", "The model itself is unharmed."
                        ) from None
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
