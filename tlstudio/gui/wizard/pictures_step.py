"""The first step: what is in the dropped folders."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QFileDialog, QStackedLayout, QVBoxLayout, QWidget

from tlstudio.core.dataset import DatasetIndex, arrange, read_scanned, require_classes
from tlstudio.core.errors import StudioError
from tlstudio.core.events import Event, JobEnded, Progress
from tlstudio.core.images import SUFFIXES
from tlstudio.core.jobs import Scan
from tlstudio.core.listing import is_ignored
from tlstudio.core.split import split
from tlstudio.gui import remembered, theme
from tlstudio.gui.background import Background
from tlstudio.gui.widgets.picture_overview import PictureOverview
from tlstudio.gui.widgets.state_panel import StatePanel
from tlstudio.gui.widgets.thumbnails import ThumbnailStrip
from tlstudio.gui.wizard.step import Step

FIRST_LOOK_PICTURES = 10
FIRST_LOOK_PX = 64
FIRST_LOOK_A_FOLDER = 2


class PicturesStep(Step):
    """Scans, shows what was found, or says what to do about folders that cannot be used."""

    title = "Pictures"
    question = "Are these your pictures?"
    dealt = Signal(object, object)
    """(DatasetIndex, Split): what was found, and which of it teaches or judges."""

    def __init__(self, folders: Sequence[Path], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._folders = tuple(folders)
        self._index: DatasetIndex | None = None
        self._seed = 0
        self._state = StatePanel()
        self._state.action_pressed.connect(self._choose_other)
        self._state.cancelled.connect(self.stop_requested)
        self._first_look = ThumbnailStrip(FIRST_LOOK_PX, FIRST_LOOK_PICTURES)
        self._background = Background(self)
        self._background.done.connect(self._show_first_look)
        self._overview = PictureOverview()
        waiting = QWidget()
        column = QVBoxLayout(waiting)
        column.addWidget(self._state, 1)
        column.addWidget(self._first_look, 0, Qt.AlignmentFlag.AlignHCenter)
        column.addSpacing(theme.SPACE_PAGE)
        self._layers = QStackedLayout(self)
        self._layers.addWidget(waiting)
        self._layers.addWidget(self._overview)

    def begin(self) -> None:
        """Scan the folders."""
        self._index = None
        self.completeness_changed.emit()
        names = ", ".join(folder.name for folder in self._folders)
        self._state.work(f"Looking at “{names}”", "Every picture is opened once and left as it is.", "Reading pictures")
        self._layers.setCurrentIndex(0)
        folders = self._folders
        self._first_look.show_pictures(())
        self._background.forget()
        self._background.start(folders, lambda: tuple(islice(first_pictures(folders), FIRST_LOOK_PICTURES)))
        self.job_requested.emit(Scan(folders=tuple(str(folder) for folder in self._folders)))

    @Slot(int)
    def deal(self, seed: int) -> None:
        """Split the pictures by this seed from now on."""
        self._seed = seed
        if self._index is not None:
            self._take(self._index)

    def folders(self) -> tuple[Path, ...]:
        """Return the folders the pictures come from."""
        return self._folders

    def overview(self) -> PictureOverview:
        """Return the tables of what was found."""
        return self._overview

    def message(self) -> str:
        """Return what is said while there is nothing to show."""
        return self._state.text()

    def is_complete(self) -> bool:
        return self._index is not None

    @Slot(object)
    def receive(self, event: Event) -> None:
        match event:
            case Progress():
                self._state.show_progress(event)
            case JobEnded(status="finished"):
                self._look_at(event.result)
            case JobEnded(status="stopped"):
                self._refuse("The scan was stopped", "Nothing was changed.")
            case JobEnded():
                self._refuse("These pictures cannot be used yet", f"{event.what} {event.hint}")

    def _look_at(self, result: dict[str, Any] | None) -> None:
        assert result is not None
        index = arrange(read_scanned(Path(result["scanned"])))
        try:
            require_classes(index)
        except StudioError as error:
            self._refuse("These pictures cannot be used yet", str(error))
            return
        self._take(index)

    def _take(self, index: DatasetIndex) -> None:
        try:
            parts = split(index, self._seed)
        except StudioError as error:
            self._index = None
            self.completeness_changed.emit()
            self._refuse("These pictures cannot be used yet", str(error))
            return
        if index is not self._index:
            self._index = index
            self._overview.show_index(index)
        self._layers.setCurrentWidget(self._overview)
        self.completeness_changed.emit()
        self.dealt.emit(index, parts)

    @Slot(object, object)
    def _show_first_look(self, _folders: object, paths: tuple[str, ...]) -> None:
        self._first_look.show_pictures(paths)

    def _refuse(self, title: str, sentence: str) -> None:
        self._first_look.show_pictures(())
        self._state.say(title, sentence.strip(), "Choose another folder …")

    @Slot()
    def _choose_other(self) -> None:
        chosen = QFileDialog.getExistingDirectory(
            self, "Choose a folder of pictures", str(remembered.folder("pictures", Path.home()))
        )
        if chosen:
            remembered.remember_folder("pictures", Path(chosen).parent)
            self._folders = (Path(chosen),)
            self.begin()


def first_pictures(folders: Sequence[Path]) -> Iterator[str]:
    """Yield picture files to look at while the scan is still reading, a few of every folder."""
    for folder in folders:
        for where, names, files in os.walk(folder):
            names[:] = sorted(name for name in names if not is_ignored(name))
            pictures = sorted(name for name in files if Path(name).suffix.lower() in SUFFIXES and not is_ignored(name))
            yield from (str(Path(where) / name) for name in pictures[:FIRST_LOOK_A_FOLDER])
