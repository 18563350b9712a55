"""Records from JSON that anybody may have written."""

from __future__ import annotations

from typing import TypeVar

import msgspec

T = TypeVar("T")


def from_json(content: bytes | str, kind: type[T]) -> T:
    """Return the content as a `kind`. Raises msgspec.DecodeError for all else, also nesting without end."""
    try:
        return msgspec.json.decode(content, type=kind)
    except (RecursionError, UnicodeDecodeError) as error:
        raise msgspec.DecodeError(f"It is no text that could be read: {error}") from error
