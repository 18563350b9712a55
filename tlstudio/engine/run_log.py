"""The log of a run while it is written: what happened, without how fast this computer was."""

from __future__ import annotations

import hashlib
import math
import os
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from tlstudio.core.errors import StudioError, refused
from tlstudio.core.events import BatchEnded, EpochEnded, Event, Progress, Waiting, encode_event
from tlstudio.engine.waiting import Waiter

BATCHES_LOGGED_AN_EPOCH = 20


class RunLog:
    """Appends events to a file, each as a whole or not at all. `length` and `sha256` are of all that is in it."""

    def __init__(self, file: Path, keep_bytes: int = 0, keep_sha256: str = "", waiter: Waiter | None = None) -> None:
        """Keep the first so many bytes of what is there, and cut off the rest.

        `waiter` says how long to wait for room on a full disk. Raises StudioError if these bytes are not what they
        were, OSError.
        """
        self._waiter = waiter or Waiter()
        kept = file.read_bytes()[:keep_bytes] if keep_bytes else b""
        self._hash = hashlib.sha256(kept)
        if keep_bytes and self._hash.hexdigest() != keep_sha256:
            raise StudioError(
                f"The log {file} is damaged, so the training cannot be gone on with.",
                "What was trained so far is unharmed. Start a new run for a longer training.",
            )
        # Unbuffered: what the disk refused must not come out later.
        self._file = file.open("r+b" if file.exists() else "w+b", buffering=0)
        if file.stat().st_size > keep_bytes:
            self._file.truncate(keep_bytes)
        self.length = keep_bytes

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def append(self, event: Event) -> None:
        """Log an event, if it is one that lasts. Raises StudioError."""
        lasting = _lasting(event)
        if lasting is None:
            return
        line = encode_event(lasting)
        self._waiter.outlast(partial(self._write, line))
        self._hash.update(line)
        self.length += len(line)

    def sync(self) -> None:
        """Return when all of it is on the disk. Safe on any thread. Raises StudioError."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise refused(error) from error

    def close(self) -> None:
        self._file.close()

    def _write(self, line: bytes) -> None:
        """Write the line after the last one; cut it off again if the disk takes only a part of it."""
        try:
            self._file.seek(self.length)
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(self.length)
            raise refused(error) from error


def is_logged_batch(batch: int, batches: int) -> bool:
    """Tell whether a batch is among those of an epoch that the log has; which ones does not depend on any clock."""
    return batch % math.ceil(batches / BATCHES_LOGGED_AN_EPOCH) == 0 or batch == batches


def _lasting(event: Event) -> Event | None:
    """Return what the log keeps of an event: the same for a run that was interrupted as for one that was not."""
    match event:
        case Progress() | Waiting():
            return None
        case BatchEnded() if not is_logged_batch(event.batch, event.batches):
            return None
        case BatchEnded() | EpochEnded():
            return msgspec.structs.replace(event, images_per_second=None, seconds_left=None)
    return event
