"""What the app remembers to save time. All of it can be made again, so it may be deleted at any moment."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import msgspec

from tlstudio.core.durable import read_json, write_json
from tlstudio.core.errors import StudioError
from tlstudio.core.paths import data_dir

MAX_BYTES = 4 * 2**30
SHARE_OF_FREE_DISK = 0.1
FEATURES_SUFFIX = ".sqlite"
# Beside a file of features sqlite keeps what it needs while it writes.
_PATTERNS = (f"features/*{FEATURES_SUFFIX}*", "notes/*.json", "scans/*.json")
T = TypeVar("T")


def features_file(key: str) -> Path:
    """Return the file for features of that key; its folder is made. Raises OSError."""
    folder = _folder() / "features"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{key}{FEATURES_SUFFIX}"


def scanned_file(key: str) -> Path:
    """Return the file for what a look at folders found."""
    return _folder() / "scans" / f"{key}.json"


def note(key: str, kind: type[T]) -> T | None:
    """Return the small record that was noted under that key; None if there is none that can be read."""
    try:
        return read_json(_note_file(key), kind)
    except StudioError:
        return None


def take_note(key: str, record: msgspec.Struct) -> None:
    """Keep a small record for the next time; a disk that refuses only costs that time."""
    try:
        write_json(_note_file(key), record)
    except (StudioError, OSError):
        return


def size_bytes() -> int:
    """Return how much of the disk the cache takes."""
    return sum(size for _, size, _ in _files())


def limit_bytes() -> int:
    """Return how much it may take: 4 GiB, or a tenth of the free disk where that is less."""
    return min(MAX_BYTES, int(shutil.disk_usage(data_dir()).free * SHARE_OF_FREE_DISK))


def clear() -> int:
    """Delete the cache and return how many bytes that freed. Raises OSError for a file that is in use on Windows."""
    freed = 0
    for path, size, _ in _files():
        path.unlink(missing_ok=True)
        freed += size
    return freed


def make_room(keep: Path) -> None:
    """Delete the files that were not used for the longest time until the cache fits its limit; `keep` stays."""
    files = sorted(_files(), key=lambda file: file[2])
    excess = sum(size for _, size, _ in files) - limit_bytes()
    for path, size, _ in files:
        if excess <= 0:
            return
        if not path.name.startswith(keep.name):
            path.unlink(missing_ok=True)
            excess -= size


def _folder() -> Path:
    return data_dir() / "cache"


def _note_file(key: str) -> Path:
    return _folder() / "notes" / f"{key}.json"


def _files() -> Iterator[tuple[Path, int, float]]:
    """Yield (path, bytes, when last used) of everything the cache holds."""
    for pattern in _PATTERNS:
        for path in _folder().glob(pattern):
            try:
                facts = path.stat()
            except FileNotFoundError:  # another process made room
                continue
            yield path, facts.st_size, facts.st_mtime
