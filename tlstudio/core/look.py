"""What there is under dropped folders: every file opened and decoded once, whatever becomes of it later."""

from __future__ import annotations

import hashlib
import os
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from tlstudio.core.archives import is_archive, unpack
from tlstudio.core.cache_folder import note, scanned_file, take_note
from tlstudio.core.copies import near_copies
from tlstudio.core.decode_pass import inspect_all
from tlstudio.core.durable import write_bytes
from tlstudio.core.errors import StudioError, shown
from tlstudio.core.events import Emit, Progress, ScanChanged, ShouldStop, Stopped, ignore, never
from tlstudio.core.layout import steps_around
from tlstudio.core.listing import ListedFile, list_files
from tlstudio.core.picture_cache import PictureCache
from tlstudio.core.picture_facts import ScannedFile
from tlstudio.core.problem import Problem
from tlstudio.core.reading_check import unread_formats

NEAR_VERSION = 1
"""To be raised when the same fingerprints would give other pairs."""
REPORT_SECONDS = 0.25
PACE_SECONDS = 5.0
"""The pace is that of the last seconds: known files come at once, large ones slowly."""
REPORTED_FOLDERS = 200
RECENT = 12
CHECK_FOLDERS_SECONDS = 0.5
SUSPICIOUS_AFTER_FILES = 50
"""If most of so many files cannot be read, the installation is looked at before they are blamed."""


class Scanned(msgspec.Struct, frozen=True):
    """Every file that lies under the dropped folders, whatever the classes are. Files are sorted by place.

    `near` holds pairs of positions in `files` whose pictures are copies with changes: resized, compressed, cropped.
    `problems` tells of folders.
    """

    folders: tuple[str, ...]
    files: tuple[ScannedFile, ...]
    problems: tuple[Problem, ...]
    near: tuple[tuple[int, int], ...]
    seconds: float


def look(folders: Sequence[Path], emit: Emit = ignore, should_stop: ShouldStop = never) -> Scanned:
    """Return every file under the dropped folders, each opened and decoded in full, once ever while it stays unchanged.

    A zip archive counts as the folder with its content. A file that cannot be used has a code, it never raises. What
    was found stays known when this ends early. Raises StudioError for folders that cannot be read or are suddenly
    gone, Stopped.
    """
    started = time.monotonic()
    report = _Report(emit)
    homes = [_home(folder, emit, should_stop) for folder in folders]
    problems: list[Problem] = []
    listed: dict[str, ListedFile] = {}
    for folder, home in zip(folders, homes, strict=True):
        prefix = "" if len(folders) == 1 else f"{shown(folder.stem if home != folder else folder.name)}/"
        for number, file in enumerate(list_files(home, problems, prefix)):
            listed.setdefault(file.path, file)
            if number % 100 == 0:
                report.listing(len(listed))
                _stop_if(should_stop)
    if any(problem.code == "locked-folder" for problem in problems):
        _require(homes)
    files = _inspected(listed, homes, report, should_stop)
    near = _near(files, emit, should_stop)
    return Scanned(tuple(map(str, folders)), files, tuple(problems), near, time.monotonic() - started)


def write_scanned(scanned: Scanned) -> Path:
    """Keep what a look found for the window to read, and return the file. Raises StudioError."""
    file = scanned_file(hashlib.sha256(msgspec.json.encode(scanned.folders)).hexdigest()[:32])
    write_bytes(file, msgspec.msgpack.encode(scanned))
    return file


def read_scanned(file: Path) -> Scanned:
    """Return what a look found. Raises StudioError."""
    try:
        return msgspec.msgpack.decode(file.read_bytes(), type=Scanned)
    except (OSError, msgspec.DecodeError) as error:
        raise StudioError("What was found in the folders is no longer there.", "Look at them again.") from error


def _home(folder: Path, emit: Emit, should_stop: ShouldStop) -> Path:
    """Return the folder in which the dropped thing's files lie."""
    if is_archive(folder):
        return unpack(folder, emit, should_stop)
    try:
        with os.scandir(folder):
            return folder
    except NotADirectoryError as error:
        hint = "Drop a folder with one folder inside it for each class, or a zip archive of one."
        raise StudioError(f"“{shown(folder)}” is not a folder.", hint) from error
    except OSError as error:
        raise _unusable(folder, error) from error


def _unusable(folder: Path, error: OSError) -> StudioError:
    if isinstance(error, PermissionError):
        hint = "Ask whoever owns it for the right to read it, or copy the pictures to a folder of your own."
        return StudioError(f"You may not open “{shown(folder)}”.", hint)
    if isinstance(error, FileNotFoundError):
        hint = "Check its name, and that its disk or share is connected."
        return StudioError(f"“{shown(folder)}” is not a folder that exists.", hint)
    return StudioError(
        f"“{shown(folder)}” cannot be opened: {error.strerror or error}.",
        "Check that its disk or share is connected, then try again.",
    )


def _stop_if(should_stop: ShouldStop) -> None:
    if should_stop():
        raise Stopped


def _require(homes: Sequence[Path]) -> None:
    """Raise StudioError if a dropped folder is no longer there."""
    for home in homes:
        try:
            os.stat(home)  # noqa: PTH116 - a share that is gone has errors of its own, which is_dir() raises
        except OSError as error:
            raise StudioError(
                f"“{shown(home)}” is suddenly gone. Everything that was read so far is remembered.",
                "Connect its disk or share again, then start again.",
            ) from error


def _inspected(
    listed: dict[str, ListedFile], homes: Sequence[Path], report: _Report, should_stop: ShouldStop
) -> tuple[ScannedFile, ...]:
    """Return what is known of every file, sorted by place."""
    found = [ScannedFile(file.path, file.place, None, file.code, file.message) for file in listed.values() if file.code]
    to_open = [file for file in listed.values() if not file.code]
    report.begin(to_open)
    checked_s = float("-inf")
    unreadable = 0
    for number, file in enumerate(inspect_all(to_open, should_stop), 1):
        unreadable += file.code == "unreadable"
        if number == SUSPICIOUS_AFTER_FILES and 2 * unreadable > number:
            _suspect_ourselves()
        if file.code == "no-access" and time.monotonic() - checked_s > CHECK_FOLDERS_SECONDS:
            _require(homes)
            checked_s = time.monotonic()
        place = listed[file.path].place
        found.append(file if file.place == place else msgspec.structs.replace(file, place=place))
        report.add(found[-1])
    if any(file.code == "no-access" for file in found):
        _require(homes)
    report.end()
    return tuple(sorted(found, key=lambda file: (file.place, file.path)))


def _suspect_ourselves() -> None:
    """Raise StudioError if it is this computer's libraries, not the user's pictures, that are broken."""
    if unread := unread_formats():
        raise StudioError(
            f"This installation of the app cannot read {', '.join(unread)} pictures. Yours are probably all right.",
            "Install the app again.",
        )


def _near(files: Sequence[ScannedFile], emit: Emit, should_stop: ShouldStop) -> tuple[tuple[int, int], ...]:
    """Return pairs of positions of pictures that are nearly the same; of exact copies the first stands for all."""
    first: dict[str, int] = {}
    for position, file in enumerate(files):
        if file.facts:
            first.setdefault(file.facts.sha256, position)
    with PictureCache() as cache:
        fingerprints = cache.fingerprints(list(first))
    known = [
        (position, print_) for position, print_ in zip(first.values(), fingerprints, strict=True) if print_ is not None
    ]
    if len(known) < 2:
        return ()
    prints = np.stack([print_ for _, print_ in known])
    key = f"near-{NEAR_VERSION}-{hashlib.sha256(prints.tobytes()).hexdigest()[:32]}"
    found = note(key, _NearPairs)
    if found is None:
        found = _NearPairs(tuple(near_copies(prints, emit, should_stop)))
        take_note(key, found)
    return tuple((known[one][0], known[other][0]) for one, other in found.pairs)


class _NearPairs(msgspec.Struct, frozen=True):
    """Positions of near copies among fingerprints, remembered because comparing all of very many takes minutes."""

    pairs: tuple[tuple[int, int], ...]


class _Report:
    """Tells how far a look is, at most four times a second, first at once."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._told_s = float("-inf")
        self._done = self._total = self._set_aside = self._skipped_steps = 0
        self._folders: Counter[str] = Counter()
        self._recent: deque[str] = deque(maxlen=RECENT)
        self._pace: deque[tuple[float, int]] = deque()

    def listing(self, found: int) -> None:
        """Say how many files were found so far."""
        if self._is_due():
            self._emit(Progress(what="Looking for pictures", done=found, total=0))
            self._emit(ScanChanged(done=0, total=0, set_aside=0, files_per_second=0.0, folders={}))

    def begin(self, files: Sequence[ListedFile]) -> None:
        """Begin to count the files that are opened."""
        self._total = len(files)
        self._skipped_steps = steps_around([file.place.rpartition("/")[0] for file in files])
        self._pace.append((time.monotonic(), 0))
        self._tell()

    def add(self, file: ScannedFile) -> None:
        """Count a file."""
        self._done += 1
        if file.facts is None:
            self._set_aside += 1
        else:
            steps = file.place.split("/", self._skipped_steps + 1)
            if len(steps) > self._skipped_steps + 1:
                self._folders[steps[self._skipped_steps]] += 1
            self._recent.append(file.path)
        if self._is_due():
            self._tell()

    def end(self) -> None:
        """Say that all are counted."""
        self._tell()

    def _is_due(self) -> bool:
        return time.monotonic() - self._told_s >= REPORT_SECONDS

    def _tell(self) -> None:
        now = time.monotonic()
        self._told_s = now
        self._pace.append((now, self._done))
        while len(self._pace) > 2 and now - self._pace[1][0] > PACE_SECONDS:
            self._pace.popleft()
        since_s, before = self._pace[0]
        speed = (self._done - before) / (now - since_s) if now > since_s else 0.0
        left = (self._total - self._done) / speed if speed else None
        self._emit(Progress(what="Reading pictures", done=self._done, total=self._total, seconds_left=left))
        self._emit(
            ScanChanged(
                done=self._done,
                total=self._total,
                set_aside=self._set_aside,
                files_per_second=speed,
                seconds_left=left,
                folders=dict(self._folders.most_common(REPORTED_FOLDERS)),
                recent=tuple(self._recent),
            )
        )
