"""How pictures of more than 8 bits become black to white, and which channels of many are used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import floor, log10

from PySide6.QtCore import QRectF, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QImage, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QApplication,
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from tlstudio.core.images import USUAL_CHANNELS, Reading
from tlstudio.core.picture_facts import ScannedFile
from tlstudio.gui import theme, words
from tlstudio.gui.widgets.sentence import Sentence
from tlstudio.gui.widgets.thumbnails import DETAIL, PictureLoader, paint_strip

PREVIEWED = 6
PREVIEW_PX = 96
CHANGING_MS = 250
MOST = 4_294_967_295.0
MOST_DECIMALS = 9
COLOURS = ("Red", "Green", "Blue")


class ReadingForm(QWidget):
    """Controls for what the pictures have, with some of them before and after. It counts once the user says so."""

    decided = Signal(object)
    """The Reading to use; its framing is that which was shown."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._reading = Reading()
        self._channels = 0
        self._said = Sentence()
        self._automatic = QRadioButton("Auto&matic: one range for all pictures together")
        self._by_hand = QRadioButton("By h&and:")
        self._group = QButtonGroup(self)
        self._low, self._high = QDoubleSpinBox(), QDoubleSpinBox()
        for box, name in ((self._low, "Becomes black"), (self._high, "Becomes white")):
            box.setRange(-MOST, MOST)
            box.setAccessibleName(name)
            box.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
            box.valueChanged.connect(self._wait)
        for button in (self._automatic, self._by_hand):
            self._group.addButton(button)
        self._group.buttonClicked.connect(self._wait)
        self._grey = QCheckBox("One channel, as &grey")
        self._grey.clicked.connect(self._wait)
        self._pickers = tuple(QComboBox() for _ in COLOURS)
        for picker, name in zip(self._pickers, COLOURS, strict=True):
            picker.setAccessibleName(name)
            picker.activated.connect(self._wait)
        self._before, self._after = _Pictures(), _Pictures()
        self._use = QPushButton("Read them &like this")
        self._use.clicked.connect(self._decide)
        self._changing = QTimer(self)
        self._changing.setSingleShot(True)
        self._changing.setInterval(CHANGING_MS)
        self._changing.timeout.connect(self._show_after)
        self._range, self._picking = self._range_part(), self._channels_part()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE_INSIDE)
        for widget in (self._said, self._range, self._picking):
            layout.addWidget(widget)
        previews = QFormLayout()
        previews.addRow("As they are read now", self._before)
        previews.addRow("As chosen here", self._after)
        layout.addLayout(previews)
        layout.addWidget(self._use, 0, Qt.AlignmentFlag.AlignRight)

    def show_files(self, files: Sequence[ScannedFile], wanted: Reading, decided: Reading) -> bool:
        """Show the choice for those files that have one, and return whether there are any.

        `wanted` is what the user said so far, `decided` what is in force with everything found.
        """
        deep = [file for file in files if file.facts and file.facts.low is not None]
        many = [file for file in files if file.facts and file.facts.channels > USUAL_CHANNELS]
        self._range.setVisible(bool(deep))
        self._picking.setVisible(bool(many))
        if not deep and not many:
            return False
        self._reading = wanted
        (self._automatic if wanted.low is None and wanted.high is None else self._by_hand).setChecked(True)
        decimals = decimals_for((decided.high or 0.0) - (decided.low or 0.0))
        for box, value in ((self._low, decided.low), (self._high, decided.high)):
            box.blockSignals(True)
            box.setDecimals(decimals)
            box.setValue(value if value is not None else 0.0)
            box.blockSignals(False)
        self._show_channels(min((file.facts.channels for file in many if file.facts), default=0), wanted.channels)
        self._said.setText(_in_words(deep, many, decided))
        shown = (deep or many)[:: max(1, len(deep or many) // PREVIEWED)][:PREVIEWED]
        paths = [file.path for file in shown]
        self._before.show_pictures(paths, decided)
        self._after.show_pictures(paths, decided)
        self._use.setEnabled(False)
        return True

    def reading(self) -> Reading:
        """Return the reading as chosen here."""
        low = high = None
        if self._by_hand.isChecked():
            low, high = self._low.value(), self._high.value()
        return replace(self._reading, low=low, high=high, channels=self._chosen_channels())

    def message(self) -> str:
        """Return what is said about the pictures."""
        return self._said.text()

    def _chosen_channels(self) -> tuple[int, ...]:
        if not self._channels:
            return self._reading.channels
        chosen = tuple(picker.currentIndex() for picker in self._pickers)
        return chosen[:1] if self._grey.isChecked() else chosen

    def _show_channels(self, count: int, chosen: tuple[int, ...]) -> None:
        if count != self._channels:
            self._channels = count
            for picker in self._pickers:
                picker.clear()
                picker.addItems([f"Channel {number + 1}" for number in range(count)])
        self._grey.setChecked(len(chosen) == 1)
        for picker, number in zip(self._pickers, chosen or range(len(COLOURS)), strict=False):
            picker.setCurrentIndex(number)

    @Slot()
    def _wait(self) -> None:
        for picker in self._pickers[1:]:
            picker.setEnabled(not self._grey.isChecked())
        if self.sender() in (self._low, self._high):
            self._by_hand.setChecked(True)
        self._use.setEnabled(not self._by_hand.isChecked() or self._low.value() < self._high.value())
        self._changing.start()

    @Slot()
    def _show_after(self) -> None:
        if self._use.isEnabled() and self._by_hand.isChecked():
            self._after.show_pictures(self._before.paths(), self.reading())
        elif self._use.isEnabled():
            automatic = replace(self._before.reading(), channels=self._chosen_channels())
            self._after.show_pictures(self._before.paths(), automatic)

    @Slot()
    def _decide(self) -> None:
        self.decided.emit(self.reading())

    def _range_part(self) -> QWidget:
        part = QWidget()
        across = QHBoxLayout()
        across.setSpacing(theme.SPACE_INSIDE)
        across.addWidget(self._by_hand)
        across.addWidget(self._low)
        across.addWidget(QLabel("becomes black,"))
        across.addWidget(self._high)
        across.addWidget(QLabel("becomes white"))
        across.addStretch(1)
        layout = QVBoxLayout(part)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._automatic)
        layout.addLayout(across)
        return part

    def _channels_part(self) -> QWidget:
        part = QWidget()
        layout = QHBoxLayout(part)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(theme.SPACE_INSIDE)
        for picker, name in zip(self._pickers, COLOURS, strict=True):
            layout.addWidget(QLabel(name))
            layout.addWidget(picker)
        layout.addWidget(self._grey)
        layout.addStretch(1)
        return part


class _Pictures(QWidget):
    """A few pictures, read in one way."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._paths: tuple[str, ...] = ()
        self._reading = Reading()
        self._images: dict[str, QImage] = {}
        self._loader = PictureLoader(DETAIL * PREVIEW_PX, self)
        self._loader.loaded.connect(self._keep)
        self.setFixedHeight(PREVIEW_PX)
        self.setMinimumWidth(PREVIEWED * (PREVIEW_PX + theme.SPACE_TIGHT))

    def show_pictures(self, paths: Sequence[str], reading: Reading) -> None:
        """Show these pictures, read in this way; the old ones stay until the new ones have come."""
        self._loader.forget()
        self._paths, self._reading = tuple(paths), reading
        for path in self._paths:
            self._loader.request(path, reading=reading)

    def paths(self) -> tuple[str, ...]:
        """Return the pictures that are shown."""
        return self._paths

    def reading(self) -> Reading:
        """Return how they are read."""
        return self._reading

    def paintEvent(self, event: QPaintEvent) -> None:
        images = [self._images.get(path) for path in self._paths]
        paint_strip(QPainter(self), QRectF(self.rect()), PREVIEW_PX, images)

    @Slot(str, object)
    def _keep(self, path: str, image: QImage | str) -> None:
        if isinstance(image, QImage):
            self._images[path] = image
            self.update()


def decimals_for(span: float) -> int:
    """Return how many decimals tell values apart within a range of that span."""
    return min(MOST_DECIMALS, max(0, 3 - floor(log10(span)))) if span > 0 else 2


def _in_words(deep: Sequence[ScannedFile], many: Sequence[ScannedFile], decided: Reading) -> str:
    sentences = []
    if deep:
        sentences.append(f"{words.pictures(len(deep))} {_have(deep)} more than 8 bits a channel.")
        if decided.low is not None and decided.high is not None:
            sentences.append(f"Values from {decided.low:,.6g} to {decided.high:,.6g} are shown from black to white.")
    if many:
        sentences.append(f"{words.pictures(len(many))} {_have(many)} more than four channels: choose which are used.")
    return " ".join(sentences)


def _have(files: Sequence[ScannedFile]) -> str:
    return "has" if len(files) == 1 else "have"


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    form = ReadingForm()
    form.show()
    app.exec()
