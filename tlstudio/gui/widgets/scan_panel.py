"""A look at the dropped folders while it goes on: how far it is, what it finds, and the newest pictures."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from itertools import islice

from PySide6.QtCore import QRectF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QColor, QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import QApplication, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from tlstudio.core.events import Progress, ScanChanged
from tlstudio.gui import theme
from tlstudio.gui.widgets.job_progress import JobProgress
from tlstudio.gui.widgets.sentence import Sentence
from tlstudio.gui.widgets.thumbnails import DETAIL, PictureLoader, paint_strip

COLUMN_PX = 720
NEWEST = 9
NEWEST_PX = 72
MOST_FOLDERS = 10
ROW_PX = 24
NAME_PX = 220
COUNT_PX = 80
BAR_PX = 8


class ScanPanel(QWidget):
    """Shows ScanChanged events; what was read so far is kept when the user cancels."""

    cancelled = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = Sentence("title")
        self._sentence = Sentence("lead")
        self._progress = JobProgress()
        self._progress.cancelled.connect(self.cancelled)
        self._aside = Sentence("muted")
        self._counts = _FolderCounts()
        self._newest = _Newest()
        column = QWidget()
        column.setFixedWidth(COLUMN_PX)
        inner = QVBoxLayout(column)
        inner.setSpacing(theme.SPACE)
        for widget in (self._title, self._sentence, self._progress, self._newest, self._counts, self._aside):
            inner.addWidget(widget)
        row = QHBoxLayout()
        row.addStretch(1)
        row.addWidget(column)
        row.addStretch(1)
        layout = QVBoxLayout(self)
        layout.addStretch(1)
        layout.addLayout(row)
        layout.addStretch(2)

    def begin(self, names: str) -> None:
        """Show that the look at these folders has begun."""
        self._title.setText(f"Looking at “{names}”")
        self._sentence.setText("Every picture is opened once and left as it is.")
        self._progress.begin("Listing the files")
        self._aside.setText("")
        self._counts.show_counts({})
        self._newest.forget()

    def show_progress(self, event: Progress) -> None:
        """Show what is done besides reading pictures."""
        self._progress.show_progress(event)

    def show_scan(self, event: ScanChanged) -> None:
        """Show how far the look is and what it has found."""
        what = f"{event.files_per_second:,.0f} files a second" if event.files_per_second >= 1 else "Reading pictures"
        self._progress.show_progress(
            Progress(what=what, done=event.done, total=event.total, seconds_left=event.seconds_left)
        )
        self._counts.show_counts(event.folders)
        self._newest.show_newest(event.recent)
        files = "One file" if event.set_aside == 1 else f"{event.set_aside:,} files"
        self._aside.setText(f"{files} cannot be used; you will see why." if event.set_aside else "")

    def counts(self) -> Mapping[str, int]:
        """Return the pictures counted so far in each folder."""
        return self._counts.counts

    def newest_count(self) -> int:
        """Return how many of the newest pictures are shown."""
        return self._newest.count()


class _FolderCounts(QWidget):
    """A bar a folder, by name."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.counts: Mapping[str, int] = {}
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Pictures found in each folder")

    def show_counts(self, counts: Mapping[str, int]) -> None:
        # Rows keep their places while they grow.
        self.counts = dict(sorted(counts.items()))
        self.setAccessibleDescription(", ".join(f"{name}: {count}" for name, count in self.counts.items()))
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(COLUMN_PX, ROW_PX * (MOST_FOLDERS + 1))

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        tokens = theme.current()
        most = max(self.counts.values(), default=1)
        middle_left = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        for number, (name, count) in enumerate(islice(self.counts.items(), MOST_FOLDERS)):
            line = QRectF(0, number * ROW_PX, self.width(), ROW_PX)
            painter.setPen(QColor(tokens.text))
            shown = painter.fontMetrics().elidedText(name, Qt.TextElideMode.ElideMiddle, NAME_PX - theme.SPACE)
            painter.drawText(QRectF(0, line.top(), NAME_PX, ROW_PX), middle_left, shown)
            count_place = QRectF(self.width() - COUNT_PX, line.top(), COUNT_PX, ROW_PX)
            painter.drawText(count_place, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, f"{count:,}")
            room = self.width() - NAME_PX - COUNT_PX
            bar = QRectF(NAME_PX, line.center().y() - BAR_PX / 2, room * count / most, BAR_PX)
            painter.fillRect(bar, QColor(tokens.train))
        more = len(self.counts) - MOST_FOLDERS
        if more > 0:
            painter.setPen(QColor(tokens.muted))
            place = QRectF(0, MOST_FOLDERS * ROW_PX, self.width(), ROW_PX)
            painter.drawText(place, middle_left, f"and {more:,} more folder{'' if more == 1 else 's'}")


class _Newest(QWidget):
    """The pictures that came last, the newest on the left."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._images: deque[QImage] = deque(maxlen=NEWEST)
        self._waiting: set[str] = set()
        self._loader = PictureLoader(DETAIL * NEWEST_PX, self)
        self._loader.loaded.connect(self._keep)
        self.setFixedHeight(NEWEST_PX)

    def show_newest(self, paths: tuple[str, ...]) -> None:
        if not self._waiting:  # pictures that come faster than they can be shown are left out
            self._waiting = set(paths)
            for path in paths:
                self._loader.request(path)

    def count(self) -> int:
        return len(self._images)

    def forget(self) -> None:
        self._loader.forget()
        self._waiting.clear()
        self._images.clear()
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        paint_strip(QPainter(self), QRectF(self.rect()), NEWEST_PX, list(self._images))

    @Slot(str, object)
    def _keep(self, path: str, image: QImage | str) -> None:
        self._waiting.discard(path)
        if isinstance(image, QImage):
            self._images.appendleft(image)
            self.update()


def names_of(names: list[str]) -> str:
    """Return the names of dropped folders for a title: of many, the first two and a count."""
    return ", ".join(names) if len(names) <= 3 else f"{names[0]}, {names[1]} and {len(names) - 2} more"


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    panel = ScanPanel()
    panel.begin("insects")
    panel.show_scan(
        ScanChanged(
            done=12_345, total=32_000, set_aside=3, files_per_second=310.0, seconds_left=63.0,
            folders={"bees": 8_020, "ants": 3_900, "wasps": 425},
        )
    )  # fmt: skip
    panel.resize(1000, 600)
    panel.show()
    app.exec()
