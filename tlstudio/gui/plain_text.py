"""Text from files, shown as it is: Qt would take some of it for HTML."""

from __future__ import annotations

import html


def tooltip(text: str) -> str:
    """Return a tooltip that shows the very letters of the text."""
    return f"<qt>{html.escape(text)}</qt>"
