"""The first step: what is in the dropped folders, and what the user makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec
from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QMenu,
    QStackedLayout,
    QTabWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.backbones import Preprocessing
from tlstudio.core.dataset import DatasetIndex
from tlstudio.core.dataset_setup import DatasetSetup
from tlstudio.core.durable import read_json, write_json
from tlstudio.core.errors import StudioError, refused
from tlstudio.core.events import Event, JobEnded, Progress, ScanChanged
from tlstudio.core.groups import GroupProposal
from tlstudio.core.jobs import Scan
from tlstudio.core.layout import Exclusion, propose_exclusions
from tlstudio.core.look import Scanned, read_scanned
from tlstudio.gui import remembered, theme
from tlstudio.gui.background import Background
from tlstudio.gui.dataset_edits import DatasetEdits
from tlstudio.gui.dialogs import show_problem
from tlstudio.gui.widgets.class_list import ClassList
from tlstudio.gui.widgets.copies_view import CopiesView
from tlstudio.gui.widgets.dataset_grid import DatasetGrid
from tlstudio.gui.widgets.dataset_rows import dataset_pictures
from tlstudio.gui.widgets.dataset_viewer import DatasetViewer
from tlstudio.gui.widgets.file_list import FileList
from tlstudio.gui.widgets.groups_panel import GroupsPanel
from tlstudio.gui.widgets.layout_setup import LayoutSetup
from tlstudio.gui.widgets.network_sees import NetworkSees
from tlstudio.gui.widgets.picture_map import PictureMapPanel
from tlstudio.gui.widgets.picture_overview import summary_sentence
from tlstudio.gui.widgets.scan_panel import ScanPanel, names_of
from tlstudio.gui.widgets.sentence import Sentence
from tlstudio.gui.widgets.shortcuts_panel import ShortcutsPanel
from tlstudio.gui.widgets.state_panel import StatePanel
from tlstudio.gui.wizard.findings import Finding, FindingsList, findings
from tlstudio.gui.wizard.step import Step

CHOOSE_OTHER, LOOK_AGAIN = "Choose another folder …", "Look again"
TAB_TITLES = (
    "Classes", "Look", "Copies", "Groups", "Map", "What the network sees", "Shortcuts", "Set-up", "Files",
)  # fmt: skip
NOT_YET = "These pictures cannot be used yet"
OPENED = "opened"
SETUP_FILTER = "Set-up of a data set (*.json)"


class PicturesStep(Step):
    """Scans, shows what was found from every side, and takes the user's decisions about it."""

    title = "Pictures"
    question = "Are these your pictures?"
    dealt = Signal(object, object)
    """(DatasetIndex, Split): the pictures as they are set up, and which of them teach or judge."""

    def __init__(self, folders: Sequence[Path], table: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._folders = tuple(folders)
        self._table = table
        """A table that was dropped with them, to be looked at first."""
        self._index: DatasetIndex | None = None
        self._looking = False
        self._usable = False
        self._action = ""
        self._recalled = 0
        """How many decisions of an earlier time were taken up."""
        self._exclusions: tuple[Exclusion, ...] = ()
        self._proposed_for: tuple[str, ...] | None = None
        """The patterns in force when `_exclusions` were looked for."""
        self._proposals: tuple[GroupProposal, ...] = ()
        self._framing = ""
        self._background = Background(self)
        self._background.done.connect(self._take_work)
        self.edits = DatasetEdits(self)
        self.edits.changed.connect(self._take)
        self.edits.failed.connect(self._tell_failure)
        self.edits.add_undo_to(self)
        self._scanning = ScanPanel()
        self._scanning.cancelled.connect(self.stop_requested)
        self._state = StatePanel()
        self._state.action_pressed.connect(self._act)
        self._said = Sentence("lead")
        self._findings = FindingsList()
        self._findings.acted.connect(self._act_on)
        self._findings.put_away.connect(self._show_findings)
        self.classes = ClassList(self.edits)
        self.grid = DatasetGrid(self.edits)
        self.copies = CopiesView(self.edits)
        self.groups = GroupsPanel(self.edits)
        self.groups.proposed.connect(self._take_proposals)
        self.map = PictureMapPanel(self.edits)
        self.map.picture_opened.connect(self._open_picture)
        self.map.look_requested.connect(self.look_at)
        self.network = NetworkSees(self.edits)
        self.network.recommended.connect(self._take_framing)
        self.shortcuts = ShortcutsPanel()
        self.shortcuts.found.connect(self._show_findings)
        self.layout_setup = LayoutSetup(self.edits)
        self.files = FileList()
        self.tabs = QTabWidget()
        self.tabs.setDocumentMode(True)
        self._tabs: tuple[QWidget, ...] = (
            self.classes, self.grid, self.copies, self.groups, self.map, self.network, self.shortcuts,
            self.layout_setup, self.files,
        )  # fmt: skip
        for widget, title in zip(self._tabs, TAB_TITLES, strict=True):
            self.tabs.addTab(widget, title)
        self._stale: set[QWidget] = set()
        self.tabs.currentChanged.connect(self._refresh_tab)
        self._layers = QStackedLayout(self)
        for layer in (self._scanning, self._state, self._found()):
            self._layers.addWidget(layer)

    def begin(self) -> None:
        """Scan the folders."""
        self._index, self._usable, self._looking = None, False, True
        self.completeness_changed.emit()
        self._background.forget()
        self._scanning.begin(names_of([folder.name for folder in self._folders]))
        self._layers.setCurrentWidget(self._scanning)
        self.job_requested.emit(Scan(folders=tuple(str(folder) for folder in self._folders)))

    @Slot(int)
    def deal(self, seed: int) -> None:
        """Split the pictures by this seed from now on."""
        self.edits.deal(seed)

    @Slot(object)
    def look_at(self, paths: Sequence[str]) -> None:
        """Show these pictures among each other."""
        self.tabs.setCurrentWidget(self.grid)
        self.grid.show_only(paths)

    def show_preprocessing(self, prepared: Preprocessing) -> None:
        """Show what the chosen network sees."""
        self.network.show_preprocessing(prepared)

    def folders(self) -> tuple[Path, ...]:
        """Return the folders the pictures come from."""
        return self._folders

    def setup(self) -> DatasetSetup:
        """Return what the user decided about them."""
        return self.edits.setup

    def message(self) -> str:
        """Return what is said about the pictures as a whole."""
        return self._said.text() if self._layers.currentIndex() == 2 else self._state.text()

    def found(self) -> tuple[Finding, ...]:
        """Return what is shown as needing a decision."""
        return self._findings.findings()

    def has_open_question(self) -> bool:
        """Return whether it is to be decided yet which files are pictures at all."""
        return any(finding.deed == "exclude" for finding in self._findings.findings())

    def is_complete(self) -> bool:
        return self._usable

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Keep Enter from pressing the wizard's button for the next step: here it ends what is typed, or opens."""
        if event.key() not in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            super().keyPressEvent(event)

    @Slot(object)
    def receive(self, event: Event) -> None:
        match event:
            case ScanChanged():
                self._scanning.show_scan(event)
            case Progress():
                self._scanning.show_progress(event)
            case JobEnded(status="finished"):
                assert event.result is not None
                self._background.start(OPENED, partial(read_scanned, Path(event.result["scanned"])))
            case JobEnded(status="stopped"):
                self._refuse("The look was stopped", "Nothing was changed. What was read is remembered.", LOOK_AGAIN)
            case JobEnded():
                self._refuse(NOT_YET, f"{event.what} {event.hint}".strip(), CHOOSE_OTHER)

    @Slot(object, object)
    def _take_work(self, key: object, result: Scanned | tuple[Exclusion, ...] | StudioError) -> None:
        match result:
            case StudioError():
                self._refuse(NOT_YET, str(result), LOOK_AGAIN)
            case Scanned():
                self._looking = False
                self._proposed_for = None
                self.edits.open(self._folders, result)
                self._recalled = self.edits.decisions() if not self.edits.history().count() else 0
            case _:
                if key == self.edits.setup.exclude:
                    self._exclusions = result
                    self._stale.add(self.layout_setup)
                    self._show_findings()
                    self._refresh_tab()

    @Slot(object)
    def _take(self, index: DatasetIndex) -> None:
        """Show the pictures as they are set up, and whether they can be used so."""
        if self._looking:  # a decision from before the look that goes on
            return
        self._index = index
        problem, parts = self.edits.problem, self.edits.parts
        if problem and not any(file.facts for file in self.edits.scanned.files):
            self._refuse(NOT_YET, problem, CHOOSE_OTHER)
            return
        self._usable = not problem
        self._said.setText(f"{NOT_YET}. {problem}" if problem else summary_sentence(index))
        self._show_reachable(can_show=len(index.classes) > 1)
        self._layers.setCurrentIndex(2)
        self._stale = set(self._tabs)
        if index.images:
            # These two say what needs a decision, also while nobody looks at them.
            for widget in (self.groups, self.network):
                self._refresh(widget)
        self._refresh_tab()
        if self._table:
            self.tabs.setCurrentWidget(self.layout_setup)
            self.layout_setup.offer_table(Path(self._table))
            self._table = ""
        self._look_for_exclusions()
        self._show_findings()
        self.shortcuts.outdate()
        self.completeness_changed.emit()
        if parts is not None:
            self.dealt.emit(index, parts)

    def _look_for_exclusions(self) -> None:
        exclude, scanned = self.edits.setup.exclude, self.edits.scanned
        if exclude != self._proposed_for:
            self._proposed_for, self._exclusions = exclude, ()
            self._background.start(exclude, lambda: propose_exclusions(scanned, exclude))

    def _show_reachable(self, can_show: bool) -> None:
        """Offer what can be seen; where there are no two classes yet, the set-up is what helps."""
        for number, widget in enumerate(self._tabs):
            self.tabs.setTabEnabled(number, can_show or widget in (self.layout_setup, self.files))
        if not can_show and self.tabs.currentWidget() is not self.files:
            self.tabs.setCurrentWidget(self.layout_setup)

    @Slot()
    def _refresh_tab(self) -> None:
        self._refresh(self._tabs[self.tabs.currentIndex()])

    def _refresh(self, widget: QWidget) -> None:
        """Bring a tab up to date; the others wait until somebody looks at them."""
        index = self._index
        if index is None or widget not in self._stale:
            return
        self._stale.discard(widget)
        if widget is self.layout_setup:
            self.layout_setup.show_index(index, self._exclusions)
        elif widget is self.groups:
            self.groups.show_dealt(index, self.edits.parts)
        elif widget is not self.shortcuts:
            assert isinstance(widget, ClassList | DatasetGrid | CopiesView | PictureMapPanel | NetworkSees | FileList)
            widget.show_index(index)

    @Slot()
    def _show_findings(self) -> None:
        if self._index is None:
            return
        shown = findings(
            self._index,
            self.edits.setup,
            [proposed for proposed in self._exclusions if not self._findings.was_put_away(proposed.sentence)],
            self._proposals,
            self.shortcuts.rows() if self.shortcuts.is_known() else (),
            self._framing,
        )
        if self._recalled:
            of_last_time = "decision of last time is" if self._recalled == 1 else "decisions of last time are"
            shown.insert(0, Finding("afresh", f"Your {self._recalled:,} {of_last_time} used.", "Start afresh"))
        self._findings.show_findings(shown)

    @Slot(object)
    def _take_proposals(self, proposals: tuple[GroupProposal, ...]) -> None:
        self._proposals = proposals
        self._show_findings()

    @Slot(str)
    def _take_framing(self, sentence: str) -> None:
        self._framing = sentence
        self._show_findings()

    @Slot(object)
    def _act_on(self, finding: Finding) -> None:
        match finding.deed:
            case "exclude":
                setup = self.edits.setup
                exclude = (*setup.exclude, *finding.names)
                self.edits.change(msgspec.structs.replace(setup, exclude=exclude), f"Leave out {finding.names[0]}")
            case "leave out":
                self.edits.leave_out(finding.names)
            case "afresh":
                self._recalled = 0
                self.edits.start_afresh()
            case "copies":
                self.tabs.setCurrentWidget(self.copies)
            case "groups":
                self.tabs.setCurrentWidget(self.groups)
            case "shortcuts":
                self.tabs.setCurrentWidget(self.shortcuts)
            case "framing":
                self.tabs.setCurrentWidget(self.network)
            case "files":
                self.tabs.setCurrentWidget(self.files)

    @Slot(str)
    def _open_picture(self, path: str) -> None:
        assert self._index is not None
        pictures = [
            picture
            for picture in dataset_pictures(self._index, self.edits.scanned, frozenset(self.edits.setup.relabelled))
            if picture.path == path
        ]
        DatasetViewer(pictures, 0, self._index.reading, self.edits, self).open()

    @Slot(str, str)
    def _tell_failure(self, what: str, hint: str) -> None:
        show_problem(self, what, hint)

    def _refuse(self, title: str, sentence: str, action: str) -> None:
        self._action = action
        self._state.say(title, sentence, action)
        self._layers.setCurrentWidget(self._state)
        self._state.focus_action()  # the button that had it is gone, and the next one in line might be Cancel

    @Slot()
    def _act(self) -> None:
        if self._action == LOOK_AGAIN:
            self.begin()
        else:
            self._choose_other()

    @Slot()
    def _choose_other(self) -> None:
        chosen = QFileDialog.getExistingDirectory(
            self, "Choose a folder of pictures", str(remembered.folder("pictures", Path.home()))
        )
        if chosen:
            remembered.remember_folder("pictures", Path(chosen).parent)
            self._folders = (Path(chosen),)
            self.begin()

    @Slot()
    def _save_setup(self) -> None:
        proposed = remembered.folder("set-ups", Path.home()) / f"{self._folders[0].stem} set-up.json"
        chosen, _ = QFileDialog.getSaveFileName(self, "Save the set-up", str(proposed), SETUP_FILTER)
        if not chosen:
            return
        remembered.remember_folder("set-ups", Path(chosen).parent)
        try:
            write_json(Path(chosen), self.edits.setup)
        except (StudioError, OSError) as error:
            failure = error if isinstance(error, StudioError) else refused(error)
            self._tell_failure(failure.what, failure.hint)

    @Slot()
    def _load_setup(self) -> None:
        folder = str(remembered.folder("set-ups", Path.home()))
        chosen, _ = QFileDialog.getOpenFileName(self, "Load a set-up", folder, SETUP_FILTER)
        if not chosen:
            return
        remembered.remember_folder("set-ups", Path(chosen).parent)
        try:
            self.edits.change(read_json(Path(chosen), DatasetSetup), "Load a set-up")
        except StudioError as error:
            self._tell_failure(error.what, error.hint)

    def _found(self) -> QWidget:
        menu = QMenu(self)
        history = self.edits.history()
        menu.addAction(history.createUndoAction(menu, "&Undo"))
        menu.addAction(history.createRedoAction(menu, "&Redo"))
        menu.addSeparator()
        menu.addAction("&Save set-up as a file …", self._save_setup)
        menu.addAction("&Load set-up …", self._load_setup)
        menu.addAction("Start &afresh", self.edits.start_afresh)
        menu.addSeparator()
        menu.addAction("Look at the folder a&gain", self.begin)
        menu.addAction("&Choose another folder …", self._choose_other)
        more = QToolButton()
        theme.set_icon(more, "menu")
        more.setToolTip("Undo, save or load the set-up, look again")
        more.setAccessibleName("More about the set-up")
        more.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        more.setMenu(menu)
        heading = QHBoxLayout()
        heading.addWidget(self._said, 1)
        heading.addWidget(more, 0, Qt.AlignmentFlag.AlignTop)
        found = QWidget()
        layout = QVBoxLayout(found)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE_INSIDE)
        layout.addLayout(heading)
        layout.addWidget(self._findings)
        layout.addWidget(self.tabs, 1)
        return found
