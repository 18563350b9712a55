"""Pictures that are the same picture, side by side: in two classes, on both sides of a split, or merely twice."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import PurePath
from typing import Literal

import msgspec
from PySide6.QtCore import QRect, QSize, Qt, Signal, Slot
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QApplication,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.dataset import DatasetIndex, ImageRecord
from tlstudio.core.look import Scanned
from tlstudio.gui import theme, words
from tlstudio.gui.background import Background
from tlstudio.gui.dataset_edits import DatasetEdits
from tlstudio.gui.layouts import remove_all
from tlstudio.gui.widgets.dataset_rows import DatasetPicture, content_of
from tlstudio.gui.widgets.dataset_viewer import DatasetViewer
from tlstudio.gui.widgets.sentence import Sentence
from tlstudio.gui.widgets.state_panel import StatePanel
from tlstudio.gui.widgets.thumbnails import Thumbnails

Kind = Literal["conflict", "leak", "copy", "near-copy"]
KINDS: dict[Kind, str] = {
    "conflict": "In more than one class",
    "leak": "On both sides of your split",
    "copy": "The very same picture twice",
    "near-copy": "Nearly the same picture",
}
THUMBNAIL_PX = 112
SHOWN_A_GROUP = 12
GROUPS_A_PAGE = 20
CLASSES_OFFERED = 4


class CopyGroup(msgspec.Struct, frozen=True):
    """Pictures that show the same, in the order of the data set, and what is most worth knowing about it."""

    kind: Kind
    images: tuple[ImageRecord, ...]
    exact: bool
    """Whether all of them are the same to the pixel."""


def copy_groups(index: DatasetIndex, near: Iterable[tuple[str, str]] = ()) -> list[CopyGroup]:
    """Return the groups of two pictures or more, conflicts first. `near` has pairs of paths of copies with changes."""
    by_path = {image.path: image for image in index.images}
    order = {path: position for position, path in enumerate(by_path)}
    root = {path: path for path in by_path}

    def first(path: str) -> str:
        while root[path] != path:
            root[path] = root[root[path]]
            path = root[path]
        return path

    def join(one: str, other: str) -> None:
        root[first(other)] = first(one)

    seen: dict[str, str] = {}
    for image in index.images:
        for key in {image.sha256, _pixels(image)}:
            join(seen.setdefault(key, image.path), image.path)
    for one, other in near:
        if one in by_path and other in by_path:
            join(one, other)
    members: defaultdict[str, list[str]] = defaultdict(list)
    for path in by_path:
        members[first(path)].append(path)
    groups = [
        _group(tuple(by_path[path] for path in sorted(paths, key=order.__getitem__)))
        for paths in members.values()
        if len(paths) > 1
    ]
    kinds = list(KINDS)
    return sorted(groups, key=lambda group: kinds.index(group.kind))


class CopiesView(QWidget):
    """Shows the groups of a DatasetIndex, a page at a time. With `edits` conflicts and leaks can be settled."""

    def __init__(self, edits: DatasetEdits | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._edits = edits
        self._index: DatasetIndex | None = None
        self._groups: list[CopyGroup] = []
        self._shown: list[CopyGroup] = []
        self._page = 0
        self._background = Background(self)
        self._background.done.connect(self._take_groups)
        self._summary = Sentence("lead")
        self._kind = QComboBox()
        self._kind.setAccessibleName("Which copies")
        self._kind.currentIndexChanged.connect(self._choose_kind)
        self._previous = QPushButton("Previous")
        self._previous.clicked.connect(self._go_back)
        self._next = QPushButton("Next")
        self._next.clicked.connect(self._go_on)
        self._where = QLabel()
        self._where.setProperty("role", "muted")
        self._cards = QWidget()
        self._column = QVBoxLayout(self._cards)
        self._column.setContentsMargins(0, 0, theme.SPACE_INSIDE, 0)
        self._column.setSpacing(theme.SPACE_INSIDE)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setWidget(self._cards)
        self._nothing = StatePanel()
        top = QHBoxLayout()
        top.addWidget(self._summary, 1)
        top.addWidget(self._kind)
        bottom = QHBoxLayout()
        bottom.addWidget(self._where, 1)
        bottom.addWidget(self._previous)
        bottom.addWidget(self._next)
        groups = QWidget()
        layout = QVBoxLayout(groups)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE_INSIDE)
        layout.addLayout(top)
        layout.addWidget(self._scroll, 1)
        layout.addLayout(bottom)
        self._layers = QStackedLayout(self)
        self._layers.addWidget(self._nothing)
        self._layers.addWidget(groups)

    def show_index(self, index: DatasetIndex) -> None:
        """Look for copies among these pictures."""
        self._index = index
        scanned = self._edits.scanned if self._edits is not None and self._edits.is_open() else None
        self._background.forget()
        self._background.start(index, partial(_find_groups, index, scanned))

    def groups(self) -> list[CopyGroup]:
        """Return all groups."""
        return self._groups

    @Slot(object, object)
    def _take_groups(self, _index: object, groups: list[CopyGroup]) -> None:
        self._groups = groups
        counts = Counter(group.kind for group in groups)
        chosen = self._kind.currentData()
        self._kind.blockSignals(True)
        self._kind.clear()
        self._kind.addItem(f"All ({len(groups):,})", "")
        for kind, title in KINDS.items():
            if counts[kind]:
                self._kind.addItem(f"{title} ({counts[kind]:,})", kind)
        self._kind.setCurrentIndex(max(0, self._kind.findData(chosen)))
        self._kind.blockSignals(False)
        self._summary.setText(summary_sentence(groups))
        self._nothing.say("No copies", "No picture was found twice. There is nothing to decide here.")
        self._layers.setCurrentIndex(1 if groups else 0)
        self._show_page(self._page)

    @Slot()
    def _choose_kind(self) -> None:
        self._show_page(0)
        self._scroll.verticalScrollBar().setValue(0)

    @Slot()
    def _go_back(self) -> None:
        self._show_page(self._page - 1)

    @Slot()
    def _go_on(self) -> None:
        self._show_page(self._page + 1)

    def _show_page(self, page: int) -> None:
        kind = self._kind.currentData()
        self._shown = [group for group in self._groups if not kind or group.kind == kind]
        last = max(0, (len(self._shown) - 1) // GROUPS_A_PAGE)
        self._page = min(page, last)
        begin = self._page * GROUPS_A_PAGE
        in_view = self._shown[begin : begin + GROUPS_A_PAGE]
        remove_all(self._column)
        for group in in_view:
            self._column.addWidget(self._card(group))
        self._column.addStretch(1)
        self._where.setText(f"Groups {begin + 1:,} to {begin + len(in_view):,} of {len(self._shown):,}")
        self._previous.setEnabled(self._page > 0)
        self._next.setEnabled(self._page < last)

    def _card(self, group: CopyGroup) -> QWidget:
        assert self._index is not None
        card = GroupCard(group, self._index, self._edits)
        card.picture_opened.connect(self._open)
        return card

    @Slot(object, int)
    def _open(self, pictures: list[DatasetPicture], position: int) -> None:
        assert self._index is not None
        DatasetViewer(pictures, position, self._index.reading, self._edits, self).open()


class GroupCard(QFrame):
    """One group: what is the matter, the pictures with their class and part, and what can be done about it."""

    picture_opened = Signal(object, int)
    """(the group's pictures as a list of DatasetPicture, which of them)."""

    def __init__(self, group: CopyGroup, index: DatasetIndex, edits: DatasetEdits | None) -> None:
        super().__init__()
        self.setProperty("role", "card")
        self._edits = edits
        self._paths = tuple(image.path for image in group.images)
        self._index, self._images = index, group.images
        sentence = Sentence()
        sentence.setText(group_sentence(group, index.classes))
        self._pictures = _SideBySide(group.images[:SHOWN_A_GROUP], index)
        self._pictures.opened.connect(self._open)
        self._choices: list[tuple[QPushButton, tuple[str, ...], str]] = []
        row = QHBoxLayout()
        if edits is not None:
            for text, paths, class_name in _choices(group, index.classes):
                button = QPushButton(text.replace("&", "&&"))
                button.setAutoDefault(False)
                button.clicked.connect(self._decide)
                self._choices.append((button, paths, class_name))
                row.addWidget(button)
        row.addStretch(1)
        layout = QVBoxLayout(self)
        layout.addWidget(sentence)
        layout.addWidget(self._pictures)
        if self._choices:
            layout.addLayout(row)

    @Slot()
    def _decide(self) -> None:
        assert self._edits is not None
        paths, class_name = next((p, name) for button, p, name in self._choices if button is self.sender())
        if class_name:
            self._edits.relabel(paths, class_name)
        else:
            self._edits.set_aside(paths)

    @Slot(int)
    def _open(self, position: int) -> None:
        relabelled = self._edits.setup.relabelled if self._edits is not None else {}
        pictures = [
            DatasetPicture(
                image.path,
                PurePath(image.path).name,
                self._index.classes[image.class_index],
                facts=image.facts,
                relabelled=image.path in relabelled,
            )
            for image in self._images
        ]
        self.picture_opened.emit(pictures, position)


class _SideBySide(QWidget):
    """Thumbnails in lines, with class, part and name below each."""

    opened = Signal(int)

    def __init__(self, images: Sequence[ImageRecord], index: DatasetIndex) -> None:
        super().__init__()
        self._images = images
        self._classes = index.classes
        self._thumbnails = Thumbnails(THUMBNAIL_PX, self)
        self._thumbnails.set_look(THUMBNAIL_PX, self.devicePixelRatioF(), index.reading)
        self._thumbnails.arrived.connect(self.update)
        policy = self.sizePolicy()
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName("; ".join(f"{PurePath(image.path).name}, {self._about(image)}" for image in images))

    def hasHeightForWidth(self) -> bool:
        return True

    def heightForWidth(self, width: int) -> int:
        columns = max(1, width // self._cell().width())
        return -(-len(self._images) // columns) * self._cell().height()

    def sizeHint(self) -> QSize:
        return QSize(3 * self._cell().width(), self.heightForWidth(3 * self._cell().width()))

    def paintEvent(self, event: QPaintEvent) -> None:
        tokens, painter = theme.current(), QPainter(self)
        metrics = painter.fontMetrics()
        middle = Qt.AlignmentFlag.AlignHCenter
        for position, image in enumerate(self._images):
            place = self._place(position)
            thumbnail = self._thumbnails.get(image.path)
            if thumbnail is not None:
                painter.drawPixmap(place.left() + (place.width() - THUMBNAIL_PX) // 2, place.top(), thumbnail)
            line = QRect(place.left(), place.top() + THUMBNAIL_PX, place.width() - theme.SPACE_INSIDE, metrics.height())
            for text, colour in ((self._about(image), tokens.text), (PurePath(image.path).name, tokens.muted)):
                painter.setPen(QColor(colour))
                painter.drawText(line, middle, metrics.elidedText(text, Qt.TextElideMode.ElideMiddle, line.width()))
                line.translate(0, metrics.height())
        self._thumbnails.want([(image.path, content_of(image.facts)) for image in self._images])

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        for position in range(len(self._images)):
            if self._place(position).contains(event.position().toPoint()):
                self.opened.emit(position)

    def _about(self, image: ImageRecord) -> str:
        name = self._classes[image.class_index]
        return f"{name} ({image.part})" if image.part else name

    def _cell(self) -> QSize:
        return QSize(THUMBNAIL_PX + 40, THUMBNAIL_PX + 2 * self.fontMetrics().height() + theme.SPACE_INSIDE)

    def _place(self, position: int) -> QRect:
        cell = self._cell()
        row, column = divmod(position, max(1, self.width() // cell.width()))
        return QRect(column * cell.width(), row * cell.height(), cell.width(), cell.height())


def summary_sentence(groups: Sequence[CopyGroup]) -> str:
    """Return one sentence on what was found, what needs a decision first."""
    counts = Counter(group.kind for group in groups)
    open_questions = counts["conflict"] + counts["leak"]
    pictures = words.pictures(sum(len(group.images) for group in groups))
    if open_questions == len(groups):
        what = "this needs a decision" if open_questions == 1 else f"all {len(groups):,} groups need a decision"
        return f"{pictures} are copies of others; {what}."
    if open_questions:
        verb = "needs" if open_questions == 1 else "need"
        return f"{pictures} are copies of others; {open_questions:,} of the {len(groups):,} groups {verb} a decision."
    return f"{pictures} are copies of others. Copies stay together on one side of a split: nothing needs a decision."


def group_sentence(group: CopyGroup, classes: Sequence[str]) -> str:
    """Return what is the matter with a group, and what follows from it."""
    same = "the same picture" if group.exact else "nearly the same picture"
    count = f"These {len(group.images)} files show {same}"
    names = " and ".join(f"“{name}”" for name in sorted({classes[image.class_index] for image in group.images}))
    match group.kind:
        case "conflict":
            return f"{count}, but lie in {names}: a classifier cannot learn both. Which class is it?"
        case "leak":
            parts = " and ".join(sorted({image.part or "" for image in group.images}))
            return (
                f"{count} and lie in {parts}. A classifier that is judged on pictures it has learned from "
                "seems better than it is."
            )
    return f"{count}. They always stay on one side of a split; you can leave it at that."


def _choices(group: CopyGroup, classes: Sequence[str]) -> list[tuple[str, tuple[str, ...], str]]:
    """Return what can be decided: (text, paths, class or "" for set aside)."""
    paths = tuple(image.path for image in group.images)
    if group.kind == "conflict":
        counts = Counter(classes[image.class_index] for image in group.images)
        named = [(f"All are “{name}”", paths, name) for name, _ in counts.most_common(CLASSES_OFFERED)]
        return [*named, ("Set all aside", paths, "")]
    if group.kind == "leak":
        taught = tuple(image.path for image in group.images if image.part == "train")
        if taught:
            return [("Set those in train aside", taught, "")]
    if len(paths) > 1 and group.exact:
        return [("Keep only the first", paths[1:], "")]
    return []


def _group(images: tuple[ImageRecord, ...]) -> CopyGroup:
    exact = len({_pixels(image) for image in images}) == 1
    kind: Kind = "copy" if exact else "near-copy"
    if len({image.class_index for image in images}) > 1:
        kind = "conflict"
    elif len({image.part for image in images}) > 1:
        kind = "leak"
    return CopyGroup(kind, images, exact)


def _pixels(image: ImageRecord) -> str:
    return image.facts.pixels if image.facts is not None else image.sha256


def _find_groups(index: DatasetIndex, scanned: Scanned | None) -> list[CopyGroup]:
    near = [(scanned.files[a].path, scanned.files[b].path) for a, b in scanned.near] if scanned is not None else []
    return copy_groups(index, near)


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    view = CopiesView()
    examples = tuple(ImageRecord(f"{number}.png", number % 2, None, str(number // 3), 64, 64) for number in range(12))
    view.show_index(DatasetIndex(("drawn",), ("ants", "bees"), examples, (), 0.1))
    view.resize(800, 600)
    view.show()
    app.exec()
