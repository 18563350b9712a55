"""Where everything begins: drop pictures, or go on with what was done before."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import cast

import msgspec
from PySide6.QtCore import QSize, Qt, QTimer, Signal, Slot
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

from tlstudio.core import unexpected
from tlstudio.core.errors import StudioError
from tlstudio.core.interrupted import Interrupted, interrupted_runs
from tlstudio.core.jobs import Resume
from tlstudio.core.paths import data_dir, runs_dir
from tlstudio.core.run_history import Trashed, restore, shown_name, trash
from tlstudio.core.runfolder import RunFolder, runs_in
from tlstudio.core.sample_pictures import draw_sample_pictures
from tlstudio.gui import remembered, theme, words
from tlstudio.gui.background import Background
from tlstudio.gui.dialogs import ErrorsDialog
from tlstudio.gui.pages.page import Page
from tlstudio.gui.widgets.drop_zone import DropZone, folders_and_archives, tables
from tlstudio.gui.widgets.offer import Offer
from tlstudio.gui.widgets.one_line import OneLine
from tlstudio.gui.widgets.thumbnails import ThumbnailStrip

CARDS = 8
CARD_COLUMNS = 2
CARD_THUMBNAILS = 6
CARD_THUMBNAIL_PX = 48
OFFERED_RUNS = 2
AGAIN_MS = 2000
"""How often the page looks whether a run that is trained elsewhere is free again."""
CONTINUE, SHOW_RESULT, DISCARD = "Continue", "Show result so far", "Discard"
SHOW_RUNS = "Show all runs"
SHOW_ERRORS = "Show what happened"


class RecentRun(msgspec.Struct, frozen=True):
    """What a card says about a run."""

    run: RunFolder
    name: str
    pictures: str
    outcome: str
    paths: tuple[str, ...]
    is_held: bool
    """It is being trained, by this window or elsewhere."""

    @property
    def shown(self) -> tuple[str, ...]:
        """All that the card says."""
        return (str(self.run.path), self.name, self.pictures, self.outcome)


class StartPage(Page):
    """The drop zone, other ways to choose a folder, and the recent runs."""

    folders_chosen = Signal(object)
    """A tuple of folders, or of one archive, that the user wants to teach from."""
    table_chosen = Signal(object, str)
    """(a tuple of folders, a table that may tell the classes of the pictures in them)."""
    resume_requested = Signal(object)
    """The core.jobs.Resume of an interrupted run."""
    report_requested = Signal()
    """The user wants to report a problem."""

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
        self._offers = QVBoxLayout()
        self._offers.setSpacing(theme.SPACE_INSIDE)
        self._crash: Offer | None = None
        self._interrupted: list[Offer] = []
        self._trained: Path | None = None
        self._discarded: Trashed | None = None
        self._undo = QPushButton("&Undo")
        self._undo.setAccessibleDescription("Takes the run out of the trash again.")
        self._undo.clicked.connect(self._restore_discarded)
        self._recent_title = QLabel("Recent runs")
        self._recent_title.setProperty("role", "section")
        self._cards: list[_RunCard] = []
        self._reading = self._read_again = False
        self._carded: list[tuple[str, ...]] = []
        self._offered: list[tuple[str, str]] = []
        self._again = QTimer(self)
        self._again.setSingleShot(True)
        self._again.setInterval(AGAIN_MS)
        self._again.timeout.connect(self._look_again)
        self._grid = QGridLayout()
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(theme.SPACE)
        for column in range(CARD_COLUMNS):
            self._grid.setColumnStretch(column, 1)
        self._lay_out()
        self.say("")
        self._show_recent([])

    def refresh(self) -> None:
        """Read again which runs there are, and which of them were interrupted."""
        if self._reading:  # two at once would take each other's question, whether a run is held, for holding it
            self._read_again = True
            return
        self._reading = True
        self._background.start("runs", lambda: (recent_runs(runs_dir()), interrupted_runs(runs_dir())))

    def set_trained(self, run: RunFolder | None) -> None:
        """Never offer a run that this very window trains."""
        self._trained = run.path if run else None
        self.refresh()

    def say(self, sentence: str) -> None:
        """Show a sentence below the drop zone, or none."""
        self._message.setText(sentence)
        self._message.setVisible(bool(sentence))
        self._undo.hide()

    def tell_unexpected(self, ended: bool) -> None:
        """Offer to show what the user has not seen of unexpected errors; `ended`: a window ended without closing."""
        if not unexpected.unseen():
            return
        sentence = "The app ended unexpectedly last time." if ended else "Something unexpected happened last time."
        self._crash = Offer(f"{sentence} Your pictures and runs are safe.", (SHOW_ERRORS, "Dismiss"))
        self._crash.chosen.connect(self._answer_crash)
        self._offers.insertWidget(0, self._crash)
        self._order_focus()

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
        if key == "runs":
            self._reading, again, self._read_again = False, self._read_again, False
            if again:
                self.refresh()
        match result:
            case StudioError():
                self.say(str(result))
                if key == "discard":
                    self._offered = []
                    self.refresh()
            case Path():
                self.folders_chosen.emit((result,))
            case Trashed():
                self.say(f"“{result.name}” was moved to the trash.")
                self._discarded = result
                self._undo.show()
                self._undo.setFocus()
                self.run_gone.emit(result.came_from)
                self.refresh()
            case RunFolder():
                self.say("")
                self.refresh()
            case tuple():
                self._show_recent(result[0])
                self._show_interrupted(result[1])

    @Slot()
    def _look_again(self) -> None:
        if self.isVisible():
            self.refresh()

    def _show_interrupted(self, found: list[Interrupted]) -> None:
        found = [interrupted for interrupted in found if interrupted.run.path != self._trained]
        offered = [(str(interrupted.run.path), interruption(interrupted)) for interrupted in found]
        if offered == self._offered:
            return
        self._offered = offered
        for offer in self._interrupted:
            _take_away(offer)
        self._interrupted = []
        for interrupted in found[:OFFERED_RUNS]:
            has_model = interrupted.run.model_file.is_file()
            offer = Offer(interruption(interrupted), (CONTINUE, *((SHOW_RESULT,) if has_model else ()), DISCARD))
            offer.setProperty("run", str(interrupted.run.path))
            offer.chosen.connect(self._answer_interrupted)
            self._interrupted.append(offer)
        if len(found) > OFFERED_RUNS:
            more = len(found) - OFFERED_RUNS
            offer = Offer(f"{more:,} more training{' was' if more == 1 else 's were'} interrupted.", (SHOW_RUNS,))
            offer.chosen.connect(self._show_runs)
            self._interrupted.append(offer)
        for offer in self._interrupted:
            self._offers.addWidget(offer)
        self._order_focus()

    def _order_focus(self) -> None:
        """Let Tab go through the page from top to bottom, whatever was added last."""
        offers = ([self._crash] if self._crash else []) + self._interrupted
        buttons = [button for offer in offers for button in offer.findChildren(QPushButton)]
        for one, next_one in pairwise((*buttons, self._zone, self._undo, self._samples, self._choose, *self._cards)):
            QWidget.setTabOrder(one, next_one)

    @Slot(str)
    def _answer_interrupted(self, answer: str) -> None:
        run = RunFolder(Path(self.sender().property("run")))
        if answer == CONTINUE:
            self.resume_requested.emit(Resume(run=str(run.path)))
        elif answer == SHOW_RESULT:
            self.run_chosen.emit(run)
        else:
            cast(QWidget, self.sender()).setEnabled(False)  # a second press would find nothing to move
            self._background.start("discard", lambda: trash(run))

    @Slot()
    def _restore_discarded(self) -> None:
        discarded, self._discarded = self._discarded, None
        self._undo.hide()
        if discarded is not None:
            self._background.start("restore", lambda: restore(discarded))

    @Slot()
    def _show_runs(self) -> None:
        self.page_requested.emit("runs")

    @Slot(str)
    def _answer_crash(self, answer: str) -> None:
        assert self._crash is not None
        if answer == SHOW_ERRORS:
            dialog = ErrorsDialog(unexpected.unseen(), self)
            dialog.report_requested.connect(self.report_requested)
            dialog.open()
        unexpected.mark_seen()
        _take_away(self._crash)
        self._crash = None

    def _show_recent(self, recent: list[RecentRun]) -> None:
        if any(facts.is_held and facts.run.path != self._trained for facts in recent):
            self._again.start()  # the engine of a window that died holds its run for some seconds more
        carded = [facts.shown for facts in recent]
        if self._cards and carded == self._carded:
            return
        self._carded = carded
        for card in self._cards:
            self._grid.removeWidget(card)
            card.deleteLater()
        self._cards = [_RunCard(facts) for facts in recent]
        for position, card in enumerate(self._cards):
            card.chosen.connect(self.run_chosen)
            self._grid.addWidget(card, position // CARD_COLUMNS, position % CARD_COLUMNS)
        self._order_focus()
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
        said = QHBoxLayout()
        said.setSpacing(theme.SPACE_INSIDE)
        said.addWidget(self._message, 1)
        said.addWidget(self._undo)
        layout.addLayout(self._offers)
        layout.addWidget(self._zone, 3)
        layout.addLayout(said)
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
        self.setAccessibleName(f"Run {facts.name}: {facts.outcome}")
        self.clicked.connect(self._choose)
        name = OneLine("section")
        name.setText(facts.name)
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


def _take_away(offer: Offer) -> None:
    offer.hide()
    offer.deleteLater()


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
        is_held = run.is_held()
        if is_held:
            outcome = "It is being trained now"
        elif ended is not None and ended.val_accuracy is not None:
            outcome = f"Val accuracy {words.accuracy(ended.val_accuracy, ended.val_interval)}"
        elif ended is not None and ended.status == "failed":
            outcome = "The training ended with a problem"
        else:
            outcome = "The training was not finished" if started else "The training did not begin"
        found.append(
            RecentRun(
                run,
                shown_name(run),
                f"{words.pictures(len(index.images))} in {len(index.classes)} classes",
                outcome,
                tuple(image.path for image in index.images[::step][:CARD_THUMBNAILS]),
                is_held,
            )
        )
    return found


def interruption(found: Interrupted) -> str:
    """Return in words which training was interrupted, how, and how far it is."""
    if found.ended is None:
        how = f"The training of “{found.name}” was interrupted."
    elif found.ended.status == "stopped":
        how = f"The training of “{found.name}” was paused when the window was closed."
    else:
        how = f"The training of “{found.name}” is paused. {found.ended.what}"
    if found.epoch is None:
        return f"{how} It had only just begun."
    stage, epoch = words.stage(found.epoch.stage), found.epoch
    return f"{how} Stage “{stage}”, epoch {epoch.epoch} of {epoch.epochs}, is done and safe."


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
