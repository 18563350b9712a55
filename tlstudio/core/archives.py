"""Pictures in a zip archive: checked before anything is written, then unpacked once into the app's own folder."""

from __future__ import annotations

import errno
import lzma
import os
import re
import shutil
import stat
import struct
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from tlstudio.core.errors import StudioError, shown
from tlstudio.core.events import Emit, ShouldStop, Stopped, ignore, never
from tlstudio.core.paths import data_dir
from tlstudio.core.progress import Pace

SUFFIX = ".zip"
MAX_FILES = 1_000_000
MAX_TOTAL_BYTES = 200 * 2**30
MAX_RATIO = 200
"""Pictures hardly shrink in an archive; one that grows to so many times its size was made to fill a disk."""
RATIO_COUNTS_FROM_BYTES = 256 * 2**20
FREE_DISK_KEPT_BYTES = 512 * 2**20
MAX_NAME_BYTES = 255
MAX_PLACE_CHARACTERS = 1000
LEFTOVER_SECONDS = 24 * 3600
_CHUNK_BYTES = 2**20
_OF_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, RuntimeError, ValueError, OverflowError,
)  # fmt: skip
"""What reading an archive raises, besides OSError; a method of packing that is unknown is a RuntimeError."""
_NOT_ON_WINDOWS = re.compile(r'[<>:"|?*\x00-\x1f]|[ .]$|^(con|prn|aux|nul|com\d|lpt\d)(\.|$)', re.IGNORECASE)


def is_archive(path: Path) -> bool:
    """Return whether a dropped thing is an archive to unpack."""
    return path.suffix.lower() == SUFFIX and path.is_file()


def unpack(archive: Path, emit: Emit = ignore, should_stop: ShouldStop = never) -> Path:
    """Return the folder with the archive's content; an archive of the same bytes is unpacked only once.

    The folder appears when it is complete. The archive stays as it is. Raises StudioError for one that is damaged,
    locked with a password or not to be trusted, or does not fit on the disk; Stopped.
    """
    home = data_dir() / "unpacked"
    home.mkdir(exist_ok=True)
    key = _sha256(archive, emit, should_stop)[:16]
    folder = home / f"{key}-{re.sub(r'[^A-Za-z0-9_-]+', '-', archive.stem)[:40]}"
    if folder.is_dir():
        return folder
    _remove_leftovers(home)
    staged = Path(tempfile.mkdtemp(prefix=f".{key}-", dir=home))
    try:
        with zipfile.ZipFile(archive) as file:
            members = _checked(file, archive, home)
            _write_all(file, members, staged, emit, should_stop)
        staged.chmod(0o755)
        try:
            staged.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster
                raise
    except _OF_DAMAGE as error:
        raise _damaged(archive, error) from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # a place in the file that cannot be
            raise _damaged(archive, error) from error
        raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return folder


def _damaged(archive: Path, error: Exception) -> StudioError:
    return StudioError(
        f"The archive “{shown(archive.name)}” is damaged or of a kind that cannot be read: {error}.",
        "Copy it again, or unpack it with another program and drop the folder.",
    )


def _sha256(archive: Path, emit: Emit, should_stop: ShouldStop) -> str:
    pace = Pace(emit, "Reading the archive", archive.stat().st_size)
    digest, done = sha256(), 0
    with archive.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            done += len(chunk)
            pace.step(done)
            if should_stop():
                raise Stopped
    return digest.hexdigest()


def _remove_leftovers(home: Path) -> None:
    """Remove what a process left that was ended while it unpacked."""
    for folder in home.glob(".*"):
        if time.time() - folder.stat().st_mtime > LEFTOVER_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)


def _checked(file: zipfile.ZipFile, archive: Path, home: Path) -> list[tuple[zipfile.ZipInfo, str]]:
    """Return every file in the archive with its place; raise StudioError if any one is not to be trusted."""

    def refuse(why: str, hint: str) -> StudioError:
        return StudioError(f"The archive “{shown(archive.name)}” {why} Nothing was unpacked.", hint)

    unpack_it = "Unpack it with another program if you trust it, and drop the folder."
    entries = file.infolist()
    if len(entries) > MAX_FILES:
        raise refuse(f"holds {len(entries):,} files, more than {MAX_FILES:,}.", unpack_it)
    members = []
    for entry in entries:
        place = entry.filename.replace("\\", "/")
        if entry.flag_bits & 0x1:
            raise refuse("is locked with a password.", "Unpack it with another program and drop the folder.")
        if why := _distrusted(entry, place):
            raise refuse(f"holds “{shown(entry.orig_filename[:80])}”, {why}", unpack_it)
        if not place.endswith("/"):
            members.append((entry, place))
    if not members:
        raise refuse("is empty.", "Choose another archive, or a folder of pictures.")
    total = sum(entry.file_size for entry, _ in members)
    packed = archive.stat().st_size  # what the entries say of their packed sizes may count the same bytes twice
    if total > MAX_TOTAL_BYTES:
        raise refuse(f"would grow to {total / 2**30:,.0f} GB.", unpack_it)
    if total > RATIO_COUNTS_FROM_BYTES and total > MAX_RATIO * packed:
        raise refuse(f"would grow to {total // packed:,} times its size, as no pictures do.", unpack_it)
    free = shutil.disk_usage(home).free
    if total + FREE_DISK_KEPT_BYTES > free:
        missing = (total + FREE_DISK_KEPT_BYTES - free) / 1e9
        raise refuse(f"does not fit on the disk of {home}.", f"Free {missing:,.1f} GB there, then try again.")
    return members


def _distrusted(entry: zipfile.ZipInfo, place: str) -> str:
    """Return what is wrong with an entry, to go on after its name; "" if nothing is."""
    steps = place.rstrip("/").split("/")
    if "\0" in entry.orig_filename or not place.strip("/"):
        return "a name that no file can have."
    if place.startswith("/") or re.match(r"[A-Za-z]:", place) or ".." in steps:
        return "a name that leads out of the folder."
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "a link or a device instead of a file."
    if len(place) > MAX_PLACE_CHARACTERS or any(len(os.fsencode(step)) > MAX_NAME_BYTES for step in steps):
        return "a name that is too long."
    if os.name == "nt" and any(_NOT_ON_WINDOWS.search(step) for step in steps):
        return "a name that Windows does not take."
    return ""


def _write_all(
    file: zipfile.ZipFile,
    members: Sequence[tuple[zipfile.ZipInfo, str]],
    folder: Path,
    emit: Emit,
    should_stop: ShouldStop,
) -> None:
    pace = Pace(emit, "Unpacking", sum(entry.file_size for entry, _ in members))
    done = 0
    for entry, place in members:
        target = folder / place
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            written = target.open("xb")
        except (FileExistsError, NotADirectoryError) as error:
            raise StudioError(
                f"The archive holds two files of one name, “{shown(place)}”. Nothing was unpacked.",
                "Unpack it with another program and drop the folder.",
            ) from error
        with written, file.open(entry) as packed:
            done = _copy(packed.read, written.write, done, pace, should_stop)


def _copy(
    read: Callable[[int], bytes],
    write: Callable[[bytes], int],
    done: int,
    pace: Pace,
    should_stop: ShouldStop,
) -> int:
    while chunk := read(_CHUNK_BYTES):
        write(chunk)
        done += len(chunk)
        pace.step(done)
        if should_stop():
            raise Stopped
    return done
