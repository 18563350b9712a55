"""Which runs were interrupted and can be gone on with."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from tlstudio.core.durable import read_json, write_json
from tlstudio.core.errors import StudioError
from tlstudio.core.events import EpochEnded, RunEnded
from tlstudio.core.paths import data_dir
from tlstudio.core.run_history import history
from tlstudio.core.runfolder import RunFolder


class Interrupted(NamedTuple):
    """A run that waits to be gone on with, and how far it is."""

    run: RunFolder
    name: str
    epoch: EpochEnded | None
    """The last that was finished."""
    ended: RunEnded | None
    """How it was left; None if it had no time to say so."""


def interrupted_runs(folder: Path) -> list[Interrupted]:
    """Return the runs in a folder that were cut off, are paused, or were left by closing the window; newest first.

    Runs that are being trained now, and those that cannot be read, are left out.
    """
    left = _left()
    found = []
    for known in history(folder):
        run, state = known.run, known.facts.state
        waits = state in ("interrupted", "paused") or (state == "stopped" and str(run.path) in left)
        if waits and not run.is_held():
            with suppress(StudioError):
                found.append(Interrupted(run, known.name, *_how_far(run)))
    return found


def remember_left(run: RunFolder) -> None:
    """Remember that the user left a training to go on with it later. Raises StudioError if the disk refuses."""
    write_json(_left_file(), sorted(_left() | {str(run.path)}))


def forget_left(run: RunFolder) -> None:
    """Forget it, because it is gone on with or the user does not want it. Raises StudioError if the disk refuses."""
    left = _left()
    if str(run.path) in left:
        write_json(_left_file(), sorted(left - {str(run.path)}))


def _how_far(run: RunFolder) -> tuple[EpochEnded | None, RunEnded | None]:
    epoch, ended = None, None
    for event in run.events():
        match event:
            case EpochEnded():
                epoch = event
            case RunEnded():
                ended = event
    return epoch, ended


def _left() -> set[str]:
    try:
        return set(read_json(_left_file(), list[str]))
    except StudioError:
        return set()


def _left_file() -> Path:
    return data_dir() / "left-in-training.json"
