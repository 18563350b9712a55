"""What is known of all runs, what the user wrote about them, and the trash they can come back from.

The folders are the only truth: what is remembered of their logs is read anew as soon as a file of theirs has changed.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from tlstudio.core import cache_folder
from tlstudio.core.durable import read_json, write_json
from tlstudio.core.errors import StudioError, refused, shown
from tlstudio.core.events import Status
from tlstudio.core.listing import is_ignored
from tlstudio.core.paths import data_dir
from tlstudio.core.results import Interval
from tlstudio.core.runfolder import NewerVersion, RunFolder, runs_in

FACTS_KEY = "runs-1"
"""Under which the facts are remembered; another number for other facts."""
MOST_TAGS = 20
SHOWN_FILES = 3
State = Literal[Status, "training", "interrupted", "damaged", "newer"]
Signature = tuple[tuple[int, int] | None, ...]
"""Time of change in ns and size in bytes of every file that the facts come from; None for one that is not there."""


class RunNotes(msgspec.Struct, frozen=True):
    """What the user wrote about a run, stored in notes.json. The folder keeps its name."""

    name: str = ""
    """Shown instead of the folder's name; "" for that."""
    tags: tuple[str, ...] = ()
    note: str = ""


class RunFacts(msgspec.Struct, frozen=True):
    """What a list says about a run. What nobody knows is None or ""."""

    state: State
    time_s: float
    """When it began, or else when it was set up, in seconds since 1970."""
    val_accuracy: float | None = None
    val_interval: Interval | None = None
    backbone: str = ""
    regime: str = ""
    classes: int | None = None
    images: int | None = None
    """That teach and judge."""
    problem: str = ""
    """Why it cannot be opened."""


class KnownRun(NamedTuple):
    """A run of the list."""

    run: RunFolder
    facts: RunFacts
    notes: RunNotes

    @property
    def name(self) -> str:
        """The name the user gave it, or else its folder's."""
        return self.notes.name or self.run.path.name


class Trashed(msgspec.Struct, frozen=True):
    """A run in the trash: the folder of its own it lies in there, where it came from, and when."""

    folder: str
    came_from: str
    time_s: float

    @property
    def run(self) -> RunFolder:
        """The run where it is now."""
        return RunFolder(Path(self.folder) / "run")

    @property
    def name(self) -> str:
        """The name the user gave the run, or else that of the folder it came from."""
        return _readable_notes(self.run).name or Path(self.came_from).name


class _Remembered(msgspec.Struct, frozen=True):
    signature: Signature
    facts: RunFacts


class _Index(msgspec.Struct, frozen=True):
    runs: dict[str, _Remembered] = {}


def history(folder: Path) -> list[KnownRun]:
    """Return all runs directly inside a folder, newest first. Only logs that have changed are read."""
    before = (cache_folder.note(FACTS_KEY, _Index) or _Index()).runs
    known, after = [], {}
    for run in runs_in(folder):
        key, signature = str(run.path), _signature(run)
        remembered = before.get(key)
        if remembered is None or remembered.signature != signature:
            try:
                remembered = _Remembered(signature, facts_of(run))
            except FileNotFoundError:  # somebody has just moved it away
                continue
        if not remembered.facts.problem:  # the next version of the app, or a repair, may read it
            after[key] = remembered
        facts = remembered.facts
        if facts.state == "interrupted" and run.is_held():
            facts = msgspec.structs.replace(facts, state="training")
        known.append(KnownRun(run, facts, _readable_notes(run)))
    others = {key: value for key, value in before.items() if Path(key).parent != folder}
    if others | after != before:
        cache_folder.take_note(FACTS_KEY, _Index(others | after))
    return known


def facts_of(run: RunFolder) -> RunFacts:
    """Return the facts, read from the run's plan and its whole log."""
    try:
        plan = run.plan()
        started, ended = run.summary()
    except StudioError as error:
        state: State = "newer" if isinstance(error, NewerVersion) else "damaged"
        return RunFacts(state, _changed_s(run.plan_file), problem=f"{error.what} {error.hint}")
    return RunFacts(
        state=ended.status if ended else "interrupted",
        time_s=started.time_s if started else _changed_s(run.plan_file),
        val_accuracy=ended.val_accuracy if ended else None,
        val_interval=ended.val_interval if ended else None,
        backbone=plan.backbone,
        regime=plan.regime,
        classes=len(started.classes) if started else None,
        images=started.train_images + started.val_images if started else None,
    )


def shown_name(run: RunFolder) -> str:
    """Return the name the user gave a run, or else its folder's."""
    return _readable_notes(run).name or run.path.name


def notes_of(run: RunFolder) -> RunNotes:
    """Return what the user wrote about a run. Raises StudioError if it can no longer be read."""
    if not run.notes_file.exists():
        return RunNotes()
    try:
        return read_json(run.notes_file, RunNotes)
    except StudioError as error:
        raise StudioError(
            f"The name, tags and note of “{run.path.name}” cannot be read any more.",
            f"The run itself is unharmed. Repair {run.notes_file} in a text editor, or move it away.",
        ) from error


def write_notes(run: RunFolder, notes: RunNotes) -> None:
    """Keep name, tags and note in the run's folder, whose name stays. Raises StudioError; the old ones then stay.

    Spaces around them go; so do empty tags, and tags that differ from an earlier one in capitals only.
    """
    notes_of(run)  # what cannot be read is not overwritten
    tags = {tag.casefold(): tag for tag in reversed([" ".join(tag.split()) for tag in notes.tags]) if tag}
    write_json(
        run.notes_file,
        RunNotes(" ".join(notes.name.split()), tuple(reversed(tags.values()))[:MOST_TAGS], notes.note.strip()),
    )


def trash(run: RunFolder) -> Trashed:
    """Move a run into the app's trash, from where it can come back.

    Raises StudioError for a run that is being trained, that lies on another disk, or that holds files of others.
    """
    if not run.plan_file.is_file():
        raise StudioError(f"“{run.path}” is not a run folder.", "Nothing was moved.")
    if run.path.is_symlink():
        raise StudioError(
            f"“{run.path.name}” is a link to a folder elsewhere.", "Remove the link in your file manager instead."
        )
    if others := _files_of_others(run):
        raise StudioError(
            f"The folder of “{run.path.name}” also holds {_listed(others)}, which the app did not write.",
            "Move that elsewhere first. Nothing was moved.",
        )
    with run.held():
        try:
            _trash_dir().mkdir(exist_ok=True)
            folder = Path(tempfile.mkdtemp(dir=_trash_dir(), prefix="run-"))
            trashed = Trashed(str(folder), str(run.path.absolute()), time.time())
            write_json(folder / "trashed.json", trashed)
            try:
                run.path.replace(trashed.run.path)
            except OSError:
                _remove_frame(folder)
                raise
        except OSError as error:
            if error.errno == errno.EXDEV:
                raise StudioError(
                    f"“{run.path.name}” lies on another disk than the app's trash.",
                    "Delete its folder in your file manager if it should go. Nothing was moved.",
                ) from error
            raise refused(error) from error
    return trashed


def restore(trashed: Trashed) -> RunFolder:
    """Move a run back to where it was and return it there; under a new name if something else has the old one.

    Raises StudioError if it is no longer in the trash, or if the system refuses; it then stays there.
    """
    if not trashed.run.path.is_dir():
        raise StudioError(
            f"“{Path(trashed.came_from).name}” is no longer in the trash.", "It was put back or deleted meanwhile."
        )
    wanted = Path(trashed.came_from)
    target, number = wanted, 1
    while target.exists() or target.is_symlink():
        number += 1
        target = wanted.with_name(f"{wanted.name} {number}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        trashed.run.path.replace(target)
        _remove_frame(Path(trashed.folder))
    except OSError as error:
        raise refused(error) from error
    return RunFolder(target)


def trashed() -> list[Trashed]:
    """Return the runs in the trash, the one that was moved there last first."""
    found = []
    for record in _trash_dir().glob("run-*/trashed.json"):
        with suppress(StudioError):
            # The folder may have moved with the app's own since, so the record's place tells where it is.
            found.append(msgspec.structs.replace(read_json(record, Trashed), folder=str(record.parent)))
    return sorted(
        (one for one in found if one.run.plan_file.is_file()), key=lambda one: (one.time_s, one.folder), reverse=True
    )


def size_bytes(trashed: Trashed) -> int:
    """Return how much of the disk a run in the trash takes."""
    return sum(path.lstat().st_size for path in trashed.run.path.rglob("*") if not path.is_dir())


def delete_for_ever(trashed: Trashed) -> None:
    """Delete a run in the trash with its model and all else it left. Raises StudioError if the system refuses."""
    try:
        shutil.rmtree(trashed.run.path)
        _remove_frame(Path(trashed.folder))
    except OSError as error:
        raise refused(error) from error


def _trash_dir() -> Path:
    return data_dir() / "trash"


def _remove_frame(folder: Path) -> None:
    """Delete what the trash adds to a run, when the run is no longer in there."""
    (folder / "trashed.json").unlink()
    folder.rmdir()


def _files_of_others(run: RunFolder) -> list[str]:
    """Return the names of what lies in a run's folder and is neither the run's nor the system's own."""
    own = {run.manifest.file.name} | {path.name for path in vars(run).values() if isinstance(path, Path)}
    return sorted(shown(path.name) for path in run.path.iterdir() if path.name not in own and not is_ignored(path.name))


def _listed(names: list[str]) -> str:
    first = ", ".join(f"“{name}”" for name in names[:SHOWN_FILES])
    return first if len(names) <= SHOWN_FILES else f"{first} and {len(names) - SHOWN_FILES} more"


def _readable_notes(run: RunFolder) -> RunNotes:
    try:
        return notes_of(run)
    except StudioError:
        return RunNotes()


def _signature(run: RunFolder) -> Signature:
    return tuple(_stamp(path) for path in (run.plan_file, run.events_file, run.manifest.file))


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return facts.st_mtime_ns, facts.st_size


def _changed_s(path: Path) -> float:
    return path.stat().st_mtime
