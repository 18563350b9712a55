"""Text from files, shown as it is: Qt would take some of it for HTML."""

from __future__ import annotations

import html


def tooltip(text: str) -> str:
    """Return a tooltip that shows the very letters of the text."""
    lines = html.escape(text).replace("\n", "<br>")
    return f"<qt>{lines}</qt>"
