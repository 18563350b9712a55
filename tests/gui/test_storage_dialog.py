"""What the app keeps to save time: how much, and gone after a question."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QMessageBox, QPushButton

from tests.gui.run_files import fine_tune_events, run_folder
from tlstudio.core import cache_folder
from tlstudio.core.paths import runs_dir
from tlstudio.gui.pages.runs_page import RunsPage
from tlstudio.gui.storage_dialog import StorageDialog
from tlstudio.gui.words import disk_size

LEFT = Qt.MouseButton.LeftButton
KEPT_BYTES = 3_400_000


def button(parent, text: str) -> QPushButton:
    return next(found for found in parent.findChildren(QPushButton) if found.text().replace("&", "") == text)


def texts(parent) -> str:
    return "\n".join(label.text() for label in parent.findChildren(QLabel))


@pytest.fixture
def features():
    """A file of features in the cache."""
    file = cache_folder.features_file("mobilenet_v2-0")
    file.write_bytes(b"0" * KEPT_BYTES)
    return file


@pytest.fixture
def dialog(qtbot):
    """The dialog as the user comes to it."""
    page = RunsPage()
    qtbot.addWidget(page)
    page.show()
    QTest.mouseClick(button(page, "Storage …"), LEFT)
    dialog = page.findChild(StorageDialog)
    qtbot.waitUntil(lambda: "MB" in texts(dialog))
    yield dialog
    dialog.close()


def answer(wanted: str) -> None:
    """Press a button of the question as soon as it is asked."""

    def press() -> None:
        box = QApplication.activeModalWidget()
        assert isinstance(box, QMessageBox)
        QTest.mouseClick(button(box, wanted), LEFT)

    QTimer.singleShot(0, press)


def test_the_size_is_shown_and_cleared_after_a_question(qtbot, features, dialog):
    run = run_folder(runs_dir() / "leaves", fine_tune_events())
    answer("Clear 4 MB")
    QTest.mouseClick(button(dialog, "Clear 4 MB"), LEFT)
    qtbot.waitUntil(lambda: "Cleared 4 MB." in texts(dialog))
    qtbot.waitUntil(lambda: "0 MB" in texts(dialog).splitlines())
    assert not features.exists()
    assert not button(dialog, "Clear 0 MB").isEnabled()
    assert run.model_file.exists() and run.events_file.exists()


def test_nothing_is_cleared_if_the_user_keeps_it(features, dialog):
    answer("Keep")
    QTest.mouseClick(button(dialog, "Clear 4 MB"), LEFT)
    assert features.stat().st_size == KEPT_BYTES
    assert button(dialog, "Clear 4 MB").isEnabled()


def test_an_empty_cache_offers_nothing_to_clear(dialog):
    assert not button(dialog, "Clear 0 MB").isEnabled()


def test_what_the_system_refuses_is_said(qtbot, features, dialog):
    # A folder in the place of a file: it cannot be deleted as one, on any system and for any user.
    features.unlink()
    (features / "inside").mkdir(parents=True)
    answer("Clear 4 MB")
    QTest.mouseClick(button(dialog, "Clear 4 MB"), LEFT)
    qtbot.waitUntil(lambda: "cannot be used" in texts(dialog))
    assert (features / "inside").is_dir()


def test_sizes_are_spoken_in_round_numbers():
    assert [disk_size(count) for count in (0, 1, 999_999_999, 1_240_000_000)] == ["0 MB", "1 MB", "1,000 MB", "1.2 GB"]
