"""The pictures of a data set in the order and selection the user asks for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from os.path import basename  # a Path for each of many thousands takes its time
from typing import Literal

import msgspec
from PySide6.QtCore import QModelIndex, QObject, QPersistentModelIndex, Qt
from PySide6.QtGui import QKeyEvent

from tlstudio.core.dataset import DatasetIndex, Status
from tlstudio.core.look import Scanned
from tlstudio.core.picture_facts import PictureFacts
from tlstudio.gui import words
from tlstudio.gui.widgets.grid_view import NOWHERE, PictureRows

SortBy = Literal["class", "name", "size", "brightness", "sharpness"]
Shown = Literal["", "used", "noted", "set-aside", "relabelled"]
OF_CHOSEN_CHANNELS = 4
"""A picture with more channels than that looks different with every choice of them."""


class DatasetPicture(msgspec.Struct, frozen=True, gc=False):
    """One picture of a data set with its status; one that is set aside has no class."""

    path: str
    name: str
    """The file's name."""
    class_name: str
    status: Status = "used"
    message: str = ""
    facts: PictureFacts | None = None
    relabelled: bool = False

    def sentence(self) -> str:
        """Return its class, size and what there is to know, for the user to read."""
        parts = [f"“{self.class_name}”" if self.class_name else "Set aside"]
        if self.relabelled:
            parts.append("decided by you")
        if self.facts is not None:
            parts.append(f"{self.facts.width_px:,} × {self.facts.height_px:,} pixels")
        return ", ".join(parts) + "." + (f" {self.message}" if self.message else "")


def content_of(facts: PictureFacts | None) -> str:
    """Return the SHA-256 under which a thumbnail may be kept; "" where it depends on how the picture is read."""
    if facts is None or facts.low is not None or facts.channels > OF_CHOSEN_CHANNELS:
        return ""
    return facts.sha256


def dataset_pictures(index: DatasetIndex, scanned: Scanned | None, relabelled: Collection[str]) -> list[DatasetPicture]:
    """Return every picture that is used or set aside, by class and then by file, what is set aside last.

    `scanned` knows the facts of those that are not in the index, `relabelled` has the paths the user decided about.
    Safe on any thread.
    """
    facts = {file.path: file.facts for file in scanned.files} if scanned is not None else {}
    images = {image.path: image for image in index.images}
    found = []
    for file in index.files():
        image = images.get(file.path)
        if image is not None:
            known, name = image.facts, index.classes[image.class_index]
        elif file.status == "set-aside":
            known, name = facts.get(file.path), ""
        else:
            continue
        decided = file.path in relabelled
        found.append(DatasetPicture(file.path, basename(file.path), name, file.status, file.message, known, decided))  # noqa: PTH119
    return sorted(found, key=lambda picture: (not picture.class_name, picture.class_name))


class DatasetRows(PictureRows):
    """Pictures filtered and sorted."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._pictures: list[DatasetPicture] = []
        self._order: list[DatasetPicture] = []
        self._by_path: dict[str, int] = {}
        self._classes: frozenset[str] = frozenset()
        self._shown: Shown = ""
        self._text = ""
        self._only: frozenset[str] | None = None
        self._sort_by: SortBy = "class"
        self._descending = False

    def replace(self, pictures: Iterable[DatasetPicture]) -> None:
        """Show these pictures instead, filtered and sorted as before."""
        self._pictures = list(pictures)
        self._order_anew()

    def filter(
        self,
        classes: Collection[str] = (),
        shown: Shown = "",
        text: str = "",
        only: Collection[str] | None = None,
    ) -> None:
        """Show pictures of these classes (none: all), this status and with this text in the name; or only these."""
        self._classes, self._shown, self._text = frozenset(classes), shown, text.casefold()
        self._only = None if only is None else frozenset(only)
        self._order_anew()

    def sort_by(self, key: SortBy, descending: bool) -> None:
        """Put the pictures in this order; what is unknown of a picture puts it last."""
        self._sort_by, self._descending = key, descending
        self._order_anew()

    def pictures(self) -> list[DatasetPicture]:
        """Return what is shown, in order."""
        return self._order

    def total(self) -> int:
        """Return how many pictures there are without any filter."""
        return len(self._pictures)

    def row_of(self, path: str) -> int | None:
        """Return where a picture is shown."""
        return self._by_path.get(path)

    def rowCount(self, parent: QModelIndex | QPersistentModelIndex = NOWHERE) -> int:
        return 0 if parent.isValid() else len(self._order)

    def path(self, row: int) -> str:
        return self._order[row].path

    def content(self, row: int) -> str:
        return content_of(self._order[row].facts)

    def caption(self, row: int) -> str:
        picture = self._order[row]
        about = picture.class_name or picture.message
        if self._sort_by in _FIGURES and picture.facts is not None:
            about = f"{_FIGURES[self._sort_by](picture.facts)} · {about}"
        return f"{picture.name}\n{about}"

    def spoken(self, row: int) -> str:
        picture = self._order[row]
        return f"{picture.name}. {picture.sentence()}"

    def marks(self, row: int) -> tuple[str, ...]:
        picture = self._order[row]
        return ("pencil",) * picture.relabelled + ("info",) * (picture.status == "noted")

    def is_faded(self, row: int) -> bool:
        return self._order[row].status == "set-aside"

    def _order_anew(self) -> None:
        kept = [picture for picture in self._pictures if self._fits(picture)] if self._filters() else self._pictures
        figures = self._sort_by in _FIGURES
        known = [picture for picture in kept if picture.facts is not None] if figures else list(kept)
        unknown = [picture for picture in kept if picture.facts is None] if figures else []
        if self._sort_by in _KEYS:
            known.sort(key=_KEYS[self._sort_by])
        if self._descending:
            known.reverse()
        self.beginResetModel()
        self._order = known + unknown
        self._by_path = {picture.path: row for row, picture in enumerate(self._order)}
        self.endResetModel()

    def _filters(self) -> bool:
        return bool(self._classes or self._shown or self._text or self._only is not None)

    def _fits(self, picture: DatasetPicture) -> bool:
        if self._only is not None and picture.path not in self._only:
            return False
        if self._classes and picture.class_name not in self._classes:
            return False
        if self._shown == "relabelled":
            if not picture.relabelled:
                return False
        elif self._shown and picture.status != self._shown:
            return False
        return not self._text or self._text in picture.name.casefold()


def digit_of(event: QKeyEvent) -> int | None:
    """Return the digit that was pressed alone."""
    plain = not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
    return int(event.text()) if plain and event.text() in _DIGITS else None


def _known(picture: DatasetPicture) -> PictureFacts:
    assert picture.facts is not None
    return picture.facts


_DIGITS = frozenset("123456789")
# By class is how pictures come.
_KEYS: dict[SortBy, Callable[[DatasetPicture], str | float]] = {
    "name": lambda picture: picture.name.casefold(),
    "size": lambda picture: _known(picture).width_px * _known(picture).height_px,
    "brightness": lambda picture: _known(picture).brightness,
    "sharpness": lambda picture: _known(picture).sharpness,
}
_FIGURES: dict[SortBy, Callable[[PictureFacts], str]] = {
    "size": lambda facts: f"{facts.width_px:,} × {facts.height_px:,}",
    "brightness": lambda facts: words.percent(facts.brightness),
    "sharpness": lambda facts: words.small_number(facts.sharpness),
}
