"""The one exception a user is meant to read."""

from __future__ import annotations

import errno
import os
from typing import Literal

Cause = Literal["", "disk-full", "pictures-gone", "out-of-memory", "diverged", "device-lost", "engine-died"]
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class StudioError(Exception):
    """A problem the user can mend.

    `what` says what happened to which thing, in plain words; `hint` gives one next step. Where there is a `cause`,
    the work can be gone on with as soon as that has passed, and nothing is lost.
    Anything else that is raised is a bug and reaches the exception hook.
    """

    def __init__(self, what: str, hint: str = "", cause: Cause = "") -> None:
        super().__init__(f"{what} {hint}".strip())
        self.what = what
        self.hint = hint
        self.cause: Cause = cause


def refused(error: OSError) -> StudioError:
    """Return what the system would not do, for the user to read."""
    if error.errno in _FULL:
        where = f"“{shown(error.filename)}” could not be written" if error.filename else "Nothing more can be written"
        return StudioError(
            f"{where}: the disk is full.",
            "What was saved before is untouched. Free some space, then go on.",
            "disk-full",
        )
    where = f"“{shown(error.filename)}” cannot be used" if error.filename else "The system refused to go on"
    return StudioError(
        f"{where}: {error.strerror or error}.",
        "Check the name, your right to use it and the space on the disk, then try again.",
    )


def shown(name: str | bytes | os.PathLike[str]) -> str:
    """Return a path or name as text that can be stored and shown, whatever bytes it has."""
    return os.fsencode(name).decode("utf-8", "replace")
