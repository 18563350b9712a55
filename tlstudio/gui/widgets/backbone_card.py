"""One backbone, in plain words, as something to choose."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt
from PySide6.QtWidgets import QApplication, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from tlstudio.core.backbones import BACKBONES, BackboneSpec
from tlstudio.core.weights_folder import WeightsFile
from tlstudio.gui import theme

QUICK_GIGA_OPS = 0.5
SLOW_GIGA_OPS = 3.0


class BackboneCard(QPushButton):
    """Shows name, accuracy, speed and whether the weights are here. Checkable, one of a group."""

    def __init__(self, spec: BackboneSpec, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.spec = spec
        self.setCheckable(True)
        self.setAutoDefault(False)
        self.setProperty("role", "card")
        self._name = QLabel(spec.title)
        self._name.setProperty("role", "section")
        self._presence_icon = QLabel()
        self._presence = QLabel()
        self._facts = QLabel()
        self._facts.setProperty("role", "muted")
        self._speed = QLabel()
        self._speed.setProperty("role", "muted")
        below = QHBoxLayout()
        below.setSpacing(theme.SPACE_TIGHT)
        below.addWidget(self._presence_icon)
        below.addWidget(self._presence, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(theme.SPACE - 4, theme.SPACE_INSIDE, theme.SPACE - 4, theme.SPACE_INSIDE)
        layout.setSpacing(2)
        for label in (self._name, self._facts, self._speed):
            layout.addWidget(label)
        layout.addLayout(below)
        for label in self.findChildren(QLabel):
            label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            label.setTextFormat(Qt.TextFormat.PlainText)
        self.show_speed(None)
        self.show_weights(None)

    def show_weights(self, file: WeightsFile | None) -> None:
        """Say what the weights on this computer are good for, or what there is to fetch."""
        tokens = theme.current()
        known = next((known for known in self.spec.weights if file and known.name == file.name), None)
        shown = known or self.spec.weights[0]
        if file and not known:
            self._facts.setText("With weights from a file of yours")
        elif shown.imagenet_top1 is None:
            self._facts.setText("Small weights, part of the app")
        else:
            self._facts.setText(f"{shown.imagenet_top1:.1f} % right on everyday photographs")
        name, colour = ("check", tokens.good) if file else ("download", tokens.muted)
        self._presence_icon.setPixmap(theme.icon_pixmap(name, 16, colour))
        self._presence.setText("On this computer" if file else f"{shown.download_mb:.0f} MB to fetch")
        self._describe()

    def show_speed(self, images_per_second: float | None) -> None:
        """Say how fast it is here, or how heavy it is where nobody measured."""
        self._speed.setText(speed_sentence(self.spec, images_per_second))
        self._describe()

    def sizeHint(self) -> QSize:
        return self._needed()

    def minimumSizeHint(self) -> QSize:
        return self._needed()

    def _needed(self) -> QSize:
        layout = self.layout()
        assert layout is not None
        return layout.sizeHint()

    def _describe(self) -> None:
        self.setAccessibleName(self.spec.title)
        self.setAccessibleDescription(f"{self._facts.text()}. {self._speed.text()}. {self._presence.text()}.")


def speed_sentence(spec: BackboneSpec, images_per_second: float | None) -> str:
    """Return how fast a backbone is, measured or by its number of operations."""
    if images_per_second is not None:
        shown = f"{images_per_second:.0f}" if images_per_second >= 10 else f"{images_per_second:.1f}"
        return f"Reads about {shown} pictures a second here"
    if spec.giga_ops < QUICK_GIGA_OPS:
        return "Quick on any computer"
    if spec.giga_ops < SLOW_GIGA_OPS:
        return "Medium speed"
    return "Slow without a graphics card"


if __name__ == "__main__":
    app = QApplication([])
    theme.apply(app, "system")
    card = BackboneCard(BACKBONES[0])
    card.show()
    app.exec()
