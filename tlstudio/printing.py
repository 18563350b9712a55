"""What the command line prints."""

from __future__ import annotations

import json
from typing import Any


def printable(text: str) -> str:
    """Return the text without characters that could move the cursor or turn the writing direction."""
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def print_plain(text: str) -> None:
    """Print a line in which names that others chose may stand."""
    print(printable(text))


def print_json(value: Any) -> None:
    """Print a value as one line of JSON, at once."""
    print(json.dumps(value, ensure_ascii=False), flush=True)
