"""A disk that fails when told to: opening for writing, writing, flushing, syncing and replacing, in this process."""

from __future__ import annotations

import builtins
import errno
import io
import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

import pytest

CODES = (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS, errno.EACCES)
CHANGING = os.O_WRONLY | os.O_RDWR


class FailingDisk:
    """While the `with` statement lasts, operation number `n` fails with `code` if `fails(n)`; the first is 1.

    A write that fails has written half of it. Nothing is really brought to the disk, which would only take time.
    """

    def __init__(self, fails: Callable[[int], bool] = lambda number: False, code: int = errno.EIO) -> None:
        self._fails, self._code = fails, code
        self._counting = threading.Lock()
        self._patch = pytest.MonkeyPatch()
        self.operations = 0
        self.faults: list[str] = []
        """What failed."""

    def due(self, what: str) -> bool:
        """Count an operation and return whether it is to fail."""
        with self._counting:
            self.operations += 1
            if fails := self._fails(self.operations):
                self.faults.append(what)
            return fails

    def pass_or_fail(self, what: str) -> None:
        """Count an operation. Raises OSError if it is to fail."""
        if self.due(what):
            raise self.error()

    def error(self) -> OSError:
        return OSError(self._code, os.strerror(self._code))

    def __enter__(self) -> FailingDisk:
        open_file, open_handle, replace = io.open, os.open, os.replace

        def opened(file: Any, mode: str = "r", buffering: int = -1, *rest: Any, **named: Any) -> Any:
            changing = set(mode) & set("wax+")
            if changing and not isinstance(file, int):  # a handle has been opened, and counted, before
                self.pass_or_fail("open")
            if not changing or "b" not in mode:
                return open_file(file, mode, buffering, *rest, **named)
            if buffering == 0:
                return _Unbuffered(file, mode, self)
            raw = open_file(file, mode, buffering=0)
            return _ReadingToo(raw, self) if "+" in mode else _Writing(raw, self)

        def handle_opened(path: Any, flags: int, *rest: Any, **named: Any) -> int:
            if flags & CHANGING:
                self.pass_or_fail("open")
            return open_handle(path, flags, *rest, **named)

        def replaced(*arguments: Any, **named: Any) -> None:
            self.pass_or_fail("replace")
            replace(*arguments, **named)

        self._patch.setattr(builtins, "open", opened)
        self._patch.setattr(io, "open", opened)
        self._patch.setattr(os, "open", handle_opened)
        self._patch.setattr(os, "replace", replaced)
        self._patch.setattr(os, "fsync", lambda handle: self.pass_or_fail("sync"))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._patch.undo()


class _Failing:
    """What files of a failing disk do otherwise."""

    disk: FailingDisk

    def write(self, content: Any) -> int:
        if self.disk.due("write"):
            super().write(content[: len(content) // 2])  # type: ignore[misc]
            raise self.disk.error()
        written: int = super().write(content)  # type: ignore[misc]
        return written

    def flush(self) -> None:
        if not self.closed:  # type: ignore[attr-defined]
            self.disk.pass_or_fail("flush")
        super().flush()  # type: ignore[misc]


class _Writing(_Failing, io.BufferedWriter):
    def __init__(self, raw: Any, disk: FailingDisk) -> None:
        super().__init__(raw)
        self.disk = disk


class _ReadingToo(_Failing, io.BufferedRandom):
    def __init__(self, raw: Any, disk: FailingDisk) -> None:
        super().__init__(raw)
        self.disk = disk


class _Unbuffered(_Failing, io.FileIO):
    def __init__(self, file: Any, mode: str, disk: FailingDisk) -> None:
        super().__init__(file, mode)
        self.disk = disk
