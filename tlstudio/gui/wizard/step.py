"""What the wizard asks of every step."""

from __future__ import annotations

from PySide6.QtCore import Signal

from tlstudio.gui.pages.page import Page


class Step(Page):
    """One question. Steps keep what the user chose for as long as the wizard lives."""

    title = ""
    question = ""
    completeness_changed = Signal()

    def is_complete(self) -> bool:
        """Return whether the user can go on."""
        return True
