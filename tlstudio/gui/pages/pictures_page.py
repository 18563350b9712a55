"""The pictures of the run in view, as they were when it was set up."""

from __future__ import annotations

from PySide6.QtCore import Slot
from PySide6.QtWidgets import QApplication, QStackedLayout, QTabWidget, QVBoxLayout, QWidget

from tlstudio.core.dataset import DatasetIndex
from tlstudio.core.errors import StudioError
from tlstudio.core.runfolder import RunFolder
from tlstudio.gui import theme
from tlstudio.gui.pages.page import Page
from tlstudio.gui.widgets.copies_view import CopiesView
from tlstudio.gui.widgets.dataset_grid import DatasetGrid
from tlstudio.gui.widgets.file_list import FileList
from tlstudio.gui.widgets.picture_overview import PictureOverview
from tlstudio.gui.widgets.state_panel import StatePanel


class PicturesPage(Page):
    """Classes, thumbnails, copies and the status of every file; nothing can be changed here."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._index: DatasetIndex | None = None
        self._empty = StatePanel()
        self._empty.action_pressed.connect(self._go_to_start)
        self._views = (PictureOverview(), DatasetGrid(), CopiesView(), FileList())
        self._up_to_date: set[int] = set()
        self._tabs = QTabWidget()
        for view, title in zip(self._views, ("Classes", "Look", "Copies", "Files"), strict=True):
            page = QWidget()
            column = QVBoxLayout(page)
            column.setContentsMargins(0, theme.SPACE, 0, 0)
            column.addWidget(view)
            self._tabs.addTab(page, title)
        self._tabs.currentChanged.connect(self._show_tab)
        framed = QWidget()
        frame = QVBoxLayout(framed)
        frame.setContentsMargins(theme.SPACE_PAGE, theme.SPACE, theme.SPACE_PAGE, theme.SPACE_PAGE)
        frame.addWidget(self._tabs)
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
            self._index = run.dataset()
        except StudioError as error:
            self._empty.say("The pictures of this run cannot be shown", str(error))
            return
        self._up_to_date.clear()
        self._show_tab(self._tabs.currentIndex())
        self._states.setCurrentIndex(1)

    @Slot(int)
    def _show_tab(self, number: int) -> None:
        # A tab that nobody looks at reads no pictures.
        if self._index is not None and number not in self._up_to_date:
            self._up_to_date.add(number)
            self._views[number].show_index(self._index)

    @Slot()
    def _go_to_start(self) -> None:
        self.page_requested.emit("start")


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    page = PicturesPage()
    page.show()
    app.exec()
