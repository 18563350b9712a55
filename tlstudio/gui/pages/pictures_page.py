"""The pictures of the run in view, as they were when it was set up."""

from __future__ import annotations

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QApplication, QStackedLayout, QVBoxLayout, QWidget

from tlstudio.core.errors import StudioError
from tlstudio.core.runfolder import RunFolder
from tlstudio.gui import theme
from tlstudio.gui.pages.page import Page
from tlstudio.gui.widgets.picture_overview import PictureOverview
from tlstudio.gui.widgets.state_panel import StatePanel


class PicturesPage(Page):
    """Classes, counts and what was set aside."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._empty = StatePanel()
        self._empty.action_pressed.connect(self._go_to_start)
        self._overview = PictureOverview()
        framed = QWidget()
        frame = QVBoxLayout(framed)
        frame.setContentsMargins(theme.SPACE_PAGE, theme.SPACE_PAGE, theme.SPACE_PAGE, theme.SPACE_PAGE)
        frame.addWidget(self._overview)
        self._states = QStackedLayout(self)
        self._states.addWidget(self._empty)
        self._states.addWidget(framed)
        self.set_run(None)

    def set_run(self, run: RunFolder | None) -> None:
        """Show the pictures of this run."""
        self._states.setCurrentIndex(0)
        if run is None:
            self._empty.say("No pictures yet", "Drop a folder of pictures on the start page to begin.", "Go to Start")
            return
        try:
            self._overview.show_index(run.dataset())
        except StudioError as error:
            self._empty.say("The pictures of this run cannot be shown", str(error))
            return
        self._states.setCurrentIndex(1)

    @Slot()
    def _go_to_start(self) -> None:
        self.page_requested.emit("start")


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    page = PicturesPage()
    page.show()
    app.exec()
