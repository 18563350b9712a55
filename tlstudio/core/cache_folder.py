"""What the app remembers to save time. All of it can be made again, so it may be deleted at any moment."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from tlstudio.core.durable import read_json, write_json
from tlstudio.core.errors import StudioError
from tlstudio.core.paths import data_dir

MAX_BYTES = 4 * 2**30
SHARE_OF_FREE_DISK = 0.1
FEATURES_SUFFIX = ".sqlite"
PACK_SUFFIX = ".pack"
# Beside a file of features sqlite keeps what it needs while it writes.
_PATTERNS = (
    f"features/*{FEATURES_SUFFIX}*",
    "notes/*.json",
    "scans/*",
    "pictures/*.sqlite*",
    f"pictures/*{PACK_SUFFIX}",
)
T = TypeVar("T")


def features_file(key: str) -> Path:
    """Return the file for features of that key; its folder is made. Raises OSError."""
    folder = _folder() / "features"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{key}{FEATURES_SUFFIX}"


def scanned_file(key: str) -> Path:
    """Return the file for what a look at folders found."""
    return _folder() / "scans" / f"{key}.json"


def pictures_file(version: int) -> Path:
    """Return the file for what was learned from pictures; its folder is made. Raises OSError."""
    folder = _folder() / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"pictures-{version}.sqlite"


def pack_file(name: str) -> Path:
    """Return the file of that name for thumbnails and small copies of pictures."""
    return _folder() / "pictures" / f"{name}{PACK_SUFFIX}"


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


def make_room(keep: Path | None = None, more_bytes: int = 0, unused_since_s: float = math.inf) -> None:
    """Delete the files that were not used for the longest time until the cache fits its limit with `more_bytes`.

    `keep` stays, and what was used after `unused_since_s` (seconds since 1970).
    """
    files = sorted(_files(), key=lambda file: file[2])
    excess = sum(size for _, size, _ in files) + more_bytes - limit_bytes()
    for path, size, used_s in files:
        if excess <= 0 or used_s >= unused_since_s:
            return
        if keep is None or not path.name.startswith(keep.name):
            with suppress(PermissionError):  # Windows deletes nothing that is in use
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
