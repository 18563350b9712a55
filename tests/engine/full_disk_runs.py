"""Trains runs on a small disk that fills up at bad moments, and prints how they ended as JSON.

A program of its own, to be started where it may mount a disk in memory (`unshare --user --map-root-user --mount`).
Arguments: a planned run, and an empty folder to mount the disk on.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.engine.kill_runs import traces
from tlstudio.core.events import BatchEnded, EpochEnded, Event, RunStarted, Waiting, never
from tlstudio.core.jobs import Train
from tlstudio.core.paths import HOME_VARIABLE
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine import train as training
from tlstudio.engine.checkpoint import newest_state
from tlstudio.engine.disk_room import needed_bytes
from tlstudio.engine.perform import perform

DISK_MB = 96
BLOCK = bytes(4096)


class Disk:
    """A disk in memory that can be filled to the last block."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._filler = folder, folder / "filler"
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "none", str(folder)], check=True)

    def fill(self) -> None:
        with self._filler.open("ab", buffering=0) as file:
            try:
                while file.write(BLOCK) == len(BLOCK):
                    pass
            except OSError:
                return

    def make_room(self) -> None:
        self._filler.unlink(missing_ok=True)


def result_of(run: Path) -> dict[str, str]:
    """Return a hash of all that a run has come to: how often it saved its state on the way does not count."""
    state, damaged = newest_state(run / "checkpoints")
    assert state and not damaged
    found = {name: trace for name, trace in traces(run).items() if not name.startswith("checkpoints/")}
    return found | {file.name: file.sha256 for file in state.checkpoint.files.values()}


def train(
    plan: Path, disk: Disk, fills_at: Callable[[Event], bool], *, makes_room: bool = True, stops: bool = False
) -> dict[str, object]:
    """Train a copy of the plan, or go on with it, on a disk that is filled at some moments."""
    run = RunFolder(disk.folder / "run")
    if not run.path.exists():
        shutil.copytree(plan, run.path)
    waited: list[str] = []
    largest = 0

    def emit(event: Event) -> None:
        nonlocal largest
        largest = max(largest, sum(path.stat().st_size for path in run.path.rglob("*") if path.is_file()))
        if isinstance(event, Waiting):
            waited.append(f"{event.cause}: {event.hint}")
            if makes_room:
                disk.make_room()
        elif fills_at(event):
            disk.fill()

    ended = training.train(run, emit, lambda: stops and bool(waited))
    disk.make_room()
    return {
        "status": ended.status,
        "cause": ended.cause,
        "hint": ended.hint,
        "waited": waited,
        "largest": largest,
        "needed": needed_bytes(run.plan(), run.dataset()),
        "result": result_of(run.path) if ended.status == "finished" else {},
    }


def before_anything_is_kept(event: Event) -> bool:
    return isinstance(event, RunStarted)


def before_each_state(event: Event) -> bool:
    return isinstance(event, RunStarted | BatchEnded)


def before_the_last_state(event: Event) -> bool:
    return isinstance(event, EpochEnded) and event.epoch == 2


def main(plan: Path, folder: Path) -> None:
    disk = Disk(folder)
    os.environ[HOME_VARIABLE] = str(folder / "home")  # what the app remembers has no room either
    found = {"room made": train(plan, disk, before_each_state)}
    shutil.rmtree(folder / "run")
    training.LIMIT_S = 1.0
    found["given up"] = train(plan, disk, before_anything_is_kept, makes_room=False)
    training.LIMIT_S = 600.0
    found["stopped"] = train(plan, disk, before_the_last_state, makes_room=False, stops=True)
    found["gone on with"] = train(plan, disk, before_the_last_state)
    disk.fill()
    index, decided = RunFolder(plan).dataset(), RunFolder(plan).plan()
    job = Train(
        folders=index.folders, run=str(folder / "new"), weights=decided.weights_file, backbone=decided.backbone,
        regime=decided.regime, epochs=1, threads=1,
    )  # fmt: skip
    refused = perform(job, lambda event: None, never)
    found["refused"] = {
        "status": refused.status, "cause": refused.cause, "what": refused.what, "left": (folder / "new").exists(),
    }  # fmt: skip
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
