"""Layouts whose widgets come and go."""

from __future__ import annotations

from PySide6.QtWidgets import QLayout


def remove_all(layout: QLayout) -> None:
    """Take every widget out of a layout and let go of it; none stays in view until then."""
    while (item := layout.takeAt(0)) is not None:
        widget = item.widget()
        if widget is not None:
            widget.hide()
            widget.deleteLater()
