"""A picture or folder that cannot be used, or that there is something to know about: data, not an exception."""

from __future__ import annotations

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """Something about a file or folder that the user should know. `code` is for programs, `message` for people."""

    path: str
    code: str
    message: str
