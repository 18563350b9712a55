"""Where everything begins: drop pictures, or go on with what was done before."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
from PySide6.QtCore import QSize, Qt, Signal, Slot
from PySide6.QtWidgets import (
    QApplication,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.errors import StudioError
from tlstudio.core.paths import data_dir, runs_dir
from tlstudio.core.runfolder import RunFolder, runs_in
from tlstudio.core.sample_pictures import draw_sample_pictures
from tlstudio.gui import remembered, theme, words
from tlstudio.gui.background import Background
from tlstudio.gui.pages.page import Page
from tlstudio.gui.widgets.drop_zone import DropZone, folders_and_archives, tables
from tlstudio.gui.widgets.thumbnails import ThumbnailStrip

CARDS = 8
CARD_COLUMNS = 2
CARD_THUMBNAILS = 6
CARD_THUMBNAIL_PX = 48


class RecentRun(msgspec.Struct, frozen=True):
    """What a card says about a run."""

    run: RunFolder
    pictures: str
    outcome: str
    paths: tuple[str, ...]


class StartPage(Page):
    """The drop zone, other ways to choose a folder, and the recent runs."""

    folders_chosen = Signal(object)
    """A tuple of folders, or of one archive, that the user wants to teach from."""
    table_chosen = Signal(object, str)
    """(a tuple of folders, a table that may tell the classes of the pictures in them)."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._zone = DropZone()
        self._zone.dropped.connect(self._take)
        self._message = QLabel()
        self._message.setTextFormat(Qt.TextFormat.PlainText)
        self._message.setWordWrap(True)
        self._choose = QPushButton("&Choose folder …")
        self._choose.setProperty("primary", True)
        self._choose.clicked.connect(self.choose_folder)
        self._samples = QPushButton("&Try with sample pictures")
        self._samples.setAccessibleDescription("Draws a small set of pictures of leaves to play with.")
        self._samples.clicked.connect(self._draw_samples)
        self._background = Background(self)
        self._background.done.connect(self._show_result)
        self._recent_title = QLabel("Recent runs")
        self._recent_title.setProperty("role", "section")
        self._cards: list[_RunCard] = []
        self._grid = QGridLayout()
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(theme.SPACE)
        for column in range(CARD_COLUMNS):
            self._grid.setColumnStretch(column, 1)
        self._lay_out()
        self.say("")
        self._show_recent([])

    def refresh(self) -> None:
        """Read the recent runs again."""
        self._background.start("recent", lambda: recent_runs(runs_dir()))

    def say(self, sentence: str) -> None:
        """Show a sentence below the drop zone, or none."""
        self._message.setText(sentence)
        self._message.setVisible(bool(sentence))

    def message(self) -> str:
        """Return the sentence below the drop zone."""
        return self._message.text()

    @Slot(object)
    def _take(self, paths: Sequence[Path]) -> None:
        folders, found = folders_and_archives(paths), tables(paths)
        if not folders and not found:
            self.say(
                "That is a file. Drop the folder that holds your pictures, with one folder inside it for each class: "
                "the folder's name tells the class."
            )
            return
        if len(folders) > 1 and any(path.is_file() for path in folders):
            self.say("Drop one zip archive at a time, and nothing beside it.")
            return
        self.say("")
        if found:
            self.table_chosen.emit(folders or (found[0].parent,), str(found[0]))
        else:
            self.folders_chosen.emit(folders)

    @Slot()
    def choose_folder(self) -> None:
        """Let the user choose a folder in the system's window."""
        chosen = QFileDialog.getExistingDirectory(
            self, "Choose a folder of pictures", str(remembered.folder("pictures", Path.home()))
        )
        if chosen:
            remembered.remember_folder("pictures", Path(chosen).parent)
            self._take((Path(chosen),))

    @Slot()
    def _draw_samples(self) -> None:
        self._samples.setEnabled(False)
        self.say("Drawing the sample pictures …")
        folder = data_dir() / "samples"
        self._background.start("samples", lambda: sample_folder(folder))

    @Slot(object, object)
    def _show_result(self, key: object, result: object) -> None:
        if key == "samples":
            self._samples.setEnabled(True)
            self.say("")
        match result:
            case StudioError():
                self.say(str(result))
            case Path():
                self.folders_chosen.emit((result,))
            case list():
                self._show_recent(result)

    def _show_recent(self, recent: list[RecentRun]) -> None:
        for card in self._cards:
            self._grid.removeWidget(card)
            card.deleteLater()
        self._cards = [_RunCard(facts) for facts in recent]
        for position, card in enumerate(self._cards):
            card.chosen.connect(self.run_chosen)
            self._grid.addWidget(card, position // CARD_COLUMNS, position % CARD_COLUMNS)
        self._recent.setVisible(bool(recent))
        self._recent_title.setVisible(bool(recent))
        self._zone.set_compact(bool(recent))

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.setSpacing(theme.SPACE_INSIDE)
        buttons.addStretch()
        buttons.addWidget(self._samples)
        buttons.addWidget(self._choose)
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, theme.SPACE_INSIDE, 0)
        column.addLayout(self._grid)
        column.addStretch()
        self._recent = QScrollArea()
        self._recent.setWidgetResizable(True)
        self._recent.setWidget(inside)
        self._recent.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.SPACE_PAGE, theme.SPACE_PAGE, theme.SPACE_PAGE, theme.SPACE_PAGE)
        layout.setSpacing(theme.SPACE)
        layout.addWidget(self._zone, 3)
        layout.addWidget(self._message)
        layout.addLayout(buttons)
        layout.addWidget(self._recent_title)
        layout.addWidget(self._recent, 4)


class _RunCard(QPushButton):
    """One run: its name, some of its pictures and how good it became."""

    chosen = Signal(object)

    def __init__(self, facts: RecentRun, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._run = facts.run
        self.setProperty("role", "card")
        self.setAccessibleName(f"Run {facts.run.path.name}: {facts.outcome}")
        self.clicked.connect(self._choose)
        name = QLabel(facts.run.path.name)
        name.setProperty("role", "section")
        pictures = QLabel(facts.pictures)
        pictures.setProperty("role", "muted")
        outcome = QLabel(facts.outcome)
        strip = ThumbnailStrip(CARD_THUMBNAIL_PX, CARD_THUMBNAILS)
        strip.show_pictures(facts.paths)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.SPACE, theme.SPACE - 4, theme.SPACE, theme.SPACE - 4)
        layout.setSpacing(theme.SPACE_TIGHT)
        for widget in (name, pictures, strip, outcome):
            widget.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            if isinstance(widget, QLabel):
                widget.setTextFormat(Qt.TextFormat.PlainText)
            layout.addWidget(widget)

    def sizeHint(self) -> QSize:
        return self._needed()

    def minimumSizeHint(self) -> QSize:
        return self._needed()

    def _needed(self) -> QSize:
        layout = self.layout()
        assert layout is not None
        return layout.sizeHint()

    @Slot()
    def _choose(self) -> None:
        self.chosen.emit(self._run)


def recent_runs(folder: Path) -> list[RecentRun]:
    """Return what the cards say about the newest runs in a folder; a run that cannot be read is left out."""
    found = []
    for run in runs_in(folder)[:CARDS]:
        try:
            index = run.dataset()
            started, ended = run.summary()
        except StudioError:
            continue
        step = max(1, len(index.images) // CARD_THUMBNAILS)
        if ended is not None and ended.val_accuracy is not None:
            outcome = f"Val accuracy {words.accuracy(ended.val_accuracy, ended.val_interval)}"
        elif ended is not None and ended.status == "failed":
            outcome = "The training ended with a problem"
        else:
            outcome = "The training was not finished" if started else "The training did not begin"
        found.append(
            RecentRun(
                run,
                f"{words.pictures(len(index.images))} in {len(index.classes)} classes",
                outcome,
                tuple(image.path for image in index.images[::step][:CARD_THUMBNAILS]),
            )
        )
    return found


def sample_folder(folder: Path) -> Path:
    """Return the folder of sample pictures, drawn in one piece if it is not there yet.

    Raises StudioError if the disk refuses.
    """
    if folder.is_dir():
        return folder
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
            drawn = Path(unfinished) / folder.name
            draw_sample_pictures(drawn)
            drawn.replace(folder)
    except OSError as error:
        raise StudioError(
            f"The sample pictures could not be saved: {error.strerror or error}.", "Free some space and try again."
        ) from error
    return folder


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    page = StartPage()
    page.refresh()
    page.resize(860, 600)
    page.show()
    app.exec()
