"""What went wrong that nobody foresaw: the file it is noted in, and whether a window ended without closing."""

from __future__ import annotations

import contextlib
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec
from filelock import FileLock, Timeout

from tlstudio.core.durable import read_json, write_json
from tlstudio.core.errors import StudioError
from tlstudio.core.paths import crash_log, data_dir, open_windows_dir

SHOWN_BYTES = 200_000
"""Of a long file of errors the last so many bytes are read: the newest tell what happened."""


class _Seen(msgspec.Struct, frozen=True):
    length: int


def note(text: str) -> None:
    """Add a dated entry to the file of unexpected errors; a full disk must not make things worse."""
    try:
        with crash_log().open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"\n{time.strftime('%Y-%m-%d %H:%M:%S')}\n{text.rstrip()}\n")
    except OSError as error:
        print(f"{crash_log()}: {error}", file=sys.stderr)


def noted(start: int = 0) -> str:
    """Return what is noted from the byte `start` on; of very much, the end."""
    try:
        with crash_log().open("rb") as file:
            file.seek(max(start, file.seek(0, 2) - SHOWN_BYTES))
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""


def unseen() -> str:
    """Return what was noted since the user last saw it; empty if there is nothing."""
    try:
        seen = read_json(_seen_file(), _Seen).length
    except StudioError:
        seen = 0
    # A file that is shorter than what was seen of it is another one.
    return noted(seen if seen <= _length() else 0)


def mark_seen() -> None:
    """Remember that the user knows all that is noted by now."""
    with contextlib.suppress(StudioError):
        write_json(_seen_file(), _Seen(_length()))


def note_dead_windows() -> bool:
    """Note what is left of windows that ended without closing; return whether there were any."""
    found = False
    try:
        for dump in open_windows_dir().glob("*.txt"):
            with contextlib.suppress(Timeout), _lock_of(dump):  # who holds the lock lives
                if dump.exists():  # else another window that starts now has noted it
                    last_words = dump.read_text(encoding="utf-8", errors="replace").strip()
                    note(f"The window ended without closing.\n{last_words or 'It was ended from outside.'}")
                    dump.unlink()
                    found = True
            if not dump.exists():
                dump.with_suffix(".lock").unlink(missing_ok=True)
    except OSError as error:
        note(repr(error))
    return found


@contextlib.contextmanager
def open_window() -> Iterator[IO[str] | None]:
    """Let later starts know of a window that does not leave this block; yield the file for its last words.

    Yields None where the disk takes no such file.
    """
    with contextlib.ExitStack() as stack:
        try:
            dump = open_windows_dir() / f"{uuid.uuid4().hex}.txt"
            lock = _lock_of(dump)
            # In this order, so that whoever sees the file sees a lock that is held.
            stack.callback(Path(lock.lock_file).unlink, missing_ok=True)
            stack.enter_context(lock)
            stack.callback(dump.unlink, missing_ok=True)
            file: IO[str] | None = stack.enter_context(dump.open("w", encoding="utf-8"))
        except OSError as error:
            note(repr(error))
            file = None
        yield file


def _lock_of(dump: Path) -> FileLock:
    return FileLock(dump.with_suffix(".lock"), timeout=0)


def _seen_file() -> Path:
    return data_dir() / "errors-seen.json"


def _length() -> int:
    try:
        return crash_log().stat().st_size
    except OSError:
        return 0
