"""Everything the user decides about a data set, undone as easily as done. No other way leads to a set-up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from PySide6.QtCore import QObject, Qt, Signal, Slot
from PySide6.QtGui import QKeySequence, QUndoCommand, QUndoStack
from PySide6.QtWidgets import QWidget

from tlstudio.core.dataset import DatasetIndex, arrange, require_classes, shown_classes
from tlstudio.core.dataset_setup import (
    ASIDE,
    DatasetSetup,
    load_setup,
    relabel,
    rename_class,
    save_setup,
)
from tlstudio.core.errors import StudioError
from tlstudio.core.look import Scanned
from tlstudio.core.split import Split, split
from tlstudio.gui import words
from tlstudio.gui.background import Background


class Dealt(msgspec.Struct, frozen=True):
    """The pictures as they are set up, and which of them teach and judge, or why they cannot be used so."""

    index: DatasetIndex
    parts: Split | None
    problem: str = ""


class DatasetEdits(QObject):
    """The set-up of one data set with its history.

    `open` it with what a scan found; from then on `changed` brings the pictures as they are set up, first for what was
    decided the last time and again after every `change`, undo and redo. Each decision is on the disk when `change`
    returns, so it survives a crash and another scan. Pictures are arranged off the window's thread; decisions that come
    faster than that are arranged together.
    """

    changed = Signal(object)
    """The DatasetIndex that follows from the set-up; `index` and `setup` are those already."""
    failed = Signal(str, str)
    """(what happened and what is safe, one next step): a set-up that cannot be read, kept or applied."""
    busy_changed = Signal(bool)
    """Whether pictures are being arranged, so that `index` is not the set-up's yet."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._folders: tuple[Path, ...] = ()
        self._scanned: Scanned | None = None
        self._setup = DatasetSetup()
        self._seed = 0
        self._dealt: Dealt | None = None
        self._busy = False
        self._history = QUndoStack(self)
        self._background = Background(self)
        self._background.done.connect(self._take_arranged)

    def open(self, folders: Sequence[Path], scanned: Scanned) -> None:
        """Begin with what was found, set up as it was decided the last time; the same folders keep their history.

        A damaged record of decisions is kept beside the new one and `failed` tells of it.
        """
        self._background.forget()
        self._busy = False
        self._scanned = scanned
        if tuple(folders) != self._folders:
            self._folders = tuple(folders)
            self._dealt = None
            self._history.clear()
            self._setup = self._load()
        self._arrange()

    def is_open(self) -> bool:
        """Return whether `open` was called, so that `scanned` can be asked for."""
        return self._scanned is not None

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folders whose set-up this is."""
        return self._folders

    @property
    def scanned(self) -> Scanned:
        """Every file that was found. Only after `open`."""
        assert self._scanned is not None
        return self._scanned

    @property
    def setup(self) -> DatasetSetup:
        """What is decided now."""
        return self._setup

    @property
    def index(self) -> DatasetIndex | None:
        """The pictures as last arranged; None before the first `changed`."""
        return self._dealt.index if self._dealt else None

    @property
    def parts(self) -> Split | None:
        """Which of the pictures teach and judge; None before the first `changed` and where there is a `problem`."""
        return self._dealt.parts if self._dealt else None

    @property
    def problem(self) -> str:
        """Why no classifier can be trained with the pictures as they are set up, or ""."""
        return self._dealt.problem if self._dealt else ""

    def deal(self, seed: int) -> None:
        """Split the pictures by this seed from now on."""
        self._seed = seed
        if self.index is not None:
            self._arrange(self.index)

    def is_busy(self) -> bool:
        """Return whether pictures are being arranged."""
        return self._busy

    def change(self, setup: DatasetSetup, text: str) -> None:
        """Decide so from now on. `text` says what was done, as "Leave out “bees”"; nothing happens without a change."""
        if setup != self._setup:
            self._history.push(_Edit(self, self._setup, setup, text))

    def start_afresh(self) -> None:
        """Take everything back that was decided; this can be undone too."""
        self.change(DatasetSetup(), "Start afresh")

    def relabel(self, paths: Sequence[str], class_name: str) -> None:
        """Make these pictures of that class, be it one that exists or a new one."""
        self.change(relabel(self._setup, paths, class_name), f"Relabel {words.pictures(len(paths))} as “{class_name}”")

    def set_aside(self, paths: Sequence[str]) -> None:
        """Let these pictures neither teach nor judge."""
        self.change(relabel(self._setup, paths, ASIDE), f"Set {words.pictures(len(paths))} aside")

    def take_back(self, paths: Sequence[str]) -> None:
        """Give these pictures the class again that their folder, table or name says."""
        gone = set(paths)
        kept = {path: name for path, name in self._setup.relabelled.items() if path not in gone}
        self.change(msgspec.structs.replace(self._setup, relabelled=kept), f"Take {words.pictures(len(paths))} back")

    def rename_classes(self, names: Sequence[str], name: str) -> None:
        """Give classes, by the names the user sees, another name; several become one, as with one that exists."""
        text = f"Rename {shown_classes(names)} to “{name}”" if len(names) == 1 else f"Merge {shown_classes(names)}"
        self.change(with_classes_renamed(self._setup, names, name), text)

    def leave_out(self, names: Sequence[str]) -> None:
        """Let these classes take no part."""
        left_out = tuple(sorted({*self._setup.left_out, *names}))
        self.change(msgspec.structs.replace(self._setup, left_out=left_out), f"Leave out {shown_classes(names)}")

    def take_in(self, names: Sequence[str]) -> None:
        """Let classes that were left out take part again."""
        left_out = tuple(name for name in self._setup.left_out if name not in names)
        self.change(msgspec.structs.replace(self._setup, left_out=left_out), f"Take in {shown_classes(names)}")

    def history(self) -> QUndoStack:
        """Return what can be undone and done again."""
        return self._history

    def add_undo_to(self, widget: QWidget) -> None:
        """Let Ctrl+Z and Ctrl+Shift+Z, or the system's own keys, undo and redo while this widget's window is active."""
        for action, keys in (
            (self._history.createUndoAction(widget, "&Undo"), QKeySequence.StandardKey.Undo),
            (self._history.createRedoAction(widget, "&Redo"), QKeySequence.StandardKey.Redo),
        ):
            action.setShortcuts(QKeySequence.keyBindings(keys))
            action.setShortcutContext(Qt.ShortcutContext.WindowShortcut)
            widget.addAction(action)

    def decisions(self) -> int:
        """Return how many things are decided otherwise than by default: a relabelled picture counts as one."""
        setup, default = self._setup, DatasetSetup()
        single: int = sum(getattr(setup, name) != getattr(default, name) for name in ("layout", "groupings", "reading"))
        return single + sum(len(part) for part in (setup.exclude, setup.renamed, setup.left_out, setup.relabelled))

    def _decide(self, setup: DatasetSetup) -> None:
        self._setup = setup
        try:
            save_setup(self._folders, setup)
        except StudioError as error:
            self.failed.emit(
                f"This is in force here, but it could not be kept for the next time. {error.what}", error.hint
            )
        self._arrange()

    def _load(self) -> DatasetSetup:
        try:
            setup, damaged = load_setup(self._folders)
        except StudioError as error:
            self.failed.emit(error.what, error.hint)
            return DatasetSetup()
        if damaged:
            self.failed.emit(*_told(setup is not None, [_kept_aside(file) for file in damaged]))
        return setup or DatasetSetup()

    def _arrange(self, known: DatasetIndex | None = None) -> None:
        """Arrange the pictures, or only split those of a `known` index, if nothing else is under way."""
        if self._busy:
            return
        self._set_busy(True)
        scanned, setup, seed = self.scanned, self._setup, self._seed
        self._background.start((scanned, setup, seed), lambda: dealt(known or arrange(scanned, setup), seed))

    @Slot(object, object)
    def _take_arranged(self, key: tuple[Scanned, DatasetSetup, int], found: Dealt | StudioError) -> None:
        self._set_busy(False)
        scanned, setup, seed = key
        if scanned is not self._scanned or setup is not self._setup or seed != self._seed:
            self._arrange()
        elif isinstance(found, StudioError):
            self.failed.emit(found.what, found.hint)
        else:
            self._dealt = found
            self.changed.emit(found.index)

    def _set_busy(self, busy: bool) -> None:
        if busy != self._busy:
            self._busy = busy
            self.busy_changed.emit(busy)


class _Edit(QUndoCommand):
    def __init__(self, edits: DatasetEdits, before: DatasetSetup, after: DatasetSetup, text: str) -> None:
        super().__init__(text)
        self._edits, self._before, self._after = edits, before, after

    def redo(self) -> None:
        self._edits._decide(self._after)

    def undo(self) -> None:
        self._edits._decide(self._before)


def _kept_aside(file: Path) -> Path:
    """Give a damaged record another name, and return it; where that is refused it keeps its own."""
    copies = (file.with_suffix(f".damaged-{number}") for number in range(1, 1_000_000))
    aside = next(copy for copy in copies if not copy.exists())
    try:
        return file.rename(aside)
    except OSError:
        return file


def _told(has_one_before: bool, kept: Sequence[Path]) -> tuple[str, str]:
    """Return what happened and what is safe, and one next step."""
    place = f"The damaged record is {kept[0]}."
    if has_one_before:
        return (
            "The record of your last decision about these pictures is damaged, so what you had decided before it "
            "counts again. Your pictures are untouched.",
            f"Look it over and repeat the last decision. {place}",
        )
    return (
        "What you decided about these pictures before cannot be read. Your pictures are untouched.",
        f"Decide again what is shown as found. {place}",
    )


def dealt(index: DatasetIndex, seed: int) -> Dealt:
    """Return the pictures with their split by this seed, if they can be used. Safe on any thread."""
    try:
        require_classes(index)
        return Dealt(index, split(index, seed))
    except StudioError as error:
        return Dealt(index, None, str(error))


def with_classes_renamed(setup: DatasetSetup, names: Sequence[str], name: str) -> DatasetSetup:
    """Return the set-up in which classes, by the names the user sees, bear another one, relabelled pictures included.

    The result takes part if one of them did. A folder may bear each of the names too, so they are all noted.
    """
    found = [
        *(before for before, after in setup.renamed.items() if after in names),
        *(seen for seen in names if seen not in setup.renamed),
    ]
    changed = rename_class(setup, found, name)
    left_out = {seen for seen in setup.left_out if seen not in names}
    if all(seen in setup.left_out for seen in names):
        left_out.add(name)
    return msgspec.structs.replace(
        changed,
        renamed={before: after for before, after in changed.renamed.items() if before != after},
        relabelled={path: name if given in names else given for path, given in setup.relabelled.items()},
        left_out=tuple(sorted(left_out)),
    )
