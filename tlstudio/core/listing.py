"""Which files lie under the dropped folders, without opening any."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tlstudio.core.errors import shown
from tlstudio.core.problem import Problem

IGNORED_NAMES = frozenset({"thumbs.db", "desktop.ini", "__macosx", "@eadir", "__pycache__"})


class ListedFile(msgspec.Struct, frozen=True):
    """One file as the folder's listing tells of it; `place` is its path below the dropped folder, with / between."""

    path: str
    place: str
    size_bytes: int
    mtime_ns: int


def files_below(folder: Path, problems: list[Problem]) -> Iterator[Path]:
    """Yield every file in a folder and in those inside it, links followed, in a stable order.

    The system's own files are left out. Files and folders that cannot be used are added to `problems`.
    """
    seen: set[tuple[int, int]] = set()
    for where, names, files in os.walk(folder, followlinks=True, onerror=lambda e: _note_error(e, problems)):
        facts = Path(where).stat()
        if (facts.st_dev, facts.st_ino) in seen:  # a link that leads back
            names.clear()
            continue
        seen.add((facts.st_dev, facts.st_ino))
        names[:] = sorted(name for name in names if not is_ignored(name))
        for name in sorted(files):
            if is_ignored(name):
                continue
            path = Path(where) / name
            if shown(path) != str(path):
                problems.append(
                    Problem(shown(path), "name-not-text", "The file name has bytes that are not text: rename a copy.")
                )
                continue
            yield path


def _note_error(error: OSError, problems: list[Problem]) -> None:
    name = shown(error.filename)
    problems.append(Problem(name, "no-access", f"The folder cannot be opened: {error.strerror or error}."))


def is_ignored(name: str) -> bool:
    """Return whether a file or folder is the system's own and never meant as a picture or a class."""
    return name.startswith(".") or name.casefold() in IGNORED_NAMES
