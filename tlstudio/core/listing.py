"""Which files lie under the dropped folders, without opening any."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tlstudio.core.errors import shown
from tlstudio.core.problem import Problem

IGNORED_NAMES = frozenset({
    "thumbs.db", "ehthumbs.db", "desktop.ini", "picasa.ini", "icon\r", "__macosx", "@eadir", "__pycache__",
    "$recycle.bin", "system volume information", "lost+found", "#recycle", "@recycle", "#snapshot",
})  # fmt: skip


class ListedFile(msgspec.Struct, frozen=True):
    """One file as the folder's listing tells of it; `place` is its path below the dropped folder, with / between.

    With a `code` it is not to be opened, and `message` says why.
    """

    path: str
    place: str
    size_bytes: int
    mtime_ns: int
    code: str = ""
    message: str = ""


def is_ignored(name: str) -> bool:
    """Return whether a file or folder is the system's own and never meant as a picture or a class."""
    return name.startswith((".", "~$")) or name.casefold() in IGNORED_NAMES


def list_files(folder: Path, problems: list[Problem], prefix: str = "") -> Iterator[ListedFile]:
    """Yield every file in a folder and in those inside it, each once; `prefix` comes before every place.

    Links are followed, links to folders after all else, so that a folder is known by its own place. The system's own
    files are among them, with the code "system-file". Folders that are empty or cannot be opened are added to
    `problems`. Raises OSError if the folder itself cannot be opened.
    """
    with os.scandir(folder):  # raises what a user must know at once
        pass
    seen: set[tuple[int, int]] = set()
    waiting = [(str(folder), prefix, False)]
    links: list[tuple[str, str, bool]] = []
    while waiting or links:
        if not waiting:
            waiting = [links.pop(0)]
        where, place, ignored = waiting.pop()
        try:
            facts = os.stat(where)  # noqa: PTH116 - pathlib takes twice as long over many folders
            if (facts.st_dev, facts.st_ino) in seen:
                message = "A link to a folder that is read at its own place already."
                yield ListedFile(shown(where), shown(place[:-1]), 0, 0, "link", message)
                continue
            seen.add((facts.st_dev, facts.st_ino))
            with os.scandir(where) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            problems.append(_no_access(where, error))
            continue
        if not entries and not ignored:
            problems.append(Problem(shown(where), "empty-folder", "The folder is empty."))
        inner: list[tuple[str, str, bool]] = []
        for entry in entries:
            unwanted = ignored or is_ignored(entry.name)
            if _is_folder(entry):
                (links if entry.is_symlink() else inner).append((entry.path, f"{place}{entry.name}/", unwanted))
            else:
                yield _listed(entry, f"{place}{entry.name}", unwanted)
        waiting += reversed(inner)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link into a folder that may not be opened
        return False


def _listed(entry: os.DirEntry[str], place: str, ignored: bool) -> ListedFile:
    path = entry.path
    if ignored:
        return ListedFile(shown(path), shown(place), 0, 0, "system-file", "A file of the system's own.")
    if shown(path) != path:
        message = "The name of the file or of its folder has bytes that are not text: rename a copy."
        return ListedFile(shown(path), shown(place), 0, 0, "name-not-text", message)
    try:
        facts = entry.stat()
    except OSError as error:
        message = f"The file cannot be opened: {error.strerror or error}."
        return ListedFile(path, place, 0, 0, "no-access", message)
    if not stat.S_ISREG(facts.st_mode):
        return ListedFile(path, place, 0, 0, "not-a-file", "This is not an ordinary file.")
    return ListedFile(path, place, facts.st_size, facts.st_mtime_ns)


def _no_access(folder: str, error: OSError) -> Problem:
    return Problem(shown(folder), "locked-folder", f"The folder cannot be opened: {error.strerror or error}.")


def files_below(folder: Path, problems: list[Problem]) -> Iterator[Path]:
    """Yield every file in a folder and in those inside it that may be a picture, sorted.

    The system's own files are left out. Files and folders that cannot be used are added to `problems`.
    """
    try:
        listed = sorted(list_files(folder, problems), key=lambda file: file.place)
    except OSError as error:
        problems.append(_no_access(str(folder), error))
        return
    for file in listed:
        if file.code not in ("", "system-file", "link"):
            problems.append(Problem(file.path, file.code, file.message))
        elif not file.code:
            yield Path(file.path)
