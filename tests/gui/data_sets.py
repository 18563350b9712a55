"""Drawn data sets, scanned for real and opened as the window opens them."""

from __future__ import annotations

from pathlib import Path

from pytestqt.qtbot import QtBot

from tlstudio.core.look import look
from tlstudio.gui.dataset_edits import DatasetEdits


def opened(qtbot: QtBot, folder: Path) -> DatasetEdits:
    """Return the edits of a folder, with its pictures arranged."""
    edits = DatasetEdits()
    with qtbot.waitSignal(edits.changed):
        edits.open((folder,), look((folder,)))
    return edits


def classes_of(edits: DatasetEdits) -> dict[str, str]:
    """Return the class of every picture in use, by the file's name."""
    index = edits.index
    assert index is not None
    return {Path(image.path).name: index.classes[image.class_index] for image in index.images}
