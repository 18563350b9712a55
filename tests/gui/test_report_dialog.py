"""A problem report is read before it is saved."""

from __future__ import annotations

import zipfile

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QFileDialog, QLabel, QListWidget, QPlainTextEdit, QPushButton

from tests.gui.run_files import choose, fine_tune_events, run_folder
from tlstudio.core import unexpected
from tlstudio.core.paths import runs_dir
from tlstudio.gui.report_dialog import ReportDialog

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def dialog(qtbot):
    unexpected.note("<b>trouble</b> in “Nuthatch”")
    run_folder(runs_dir() / "Nuthatch", fine_tune_events())
    dialog = ReportDialog(None)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(dialog)
    dialog.open()
    qtbot.waitUntil(lambda: dialog.findChild(QListWidget).count() > 0)
    return dialog


def button(dialog: ReportDialog, text: str) -> QPushButton:
    return next(found for found in dialog.findChildren(QPushButton) if text in found.text().replace("&", ""))


def test_every_file_can_be_read_as_plain_text(dialog):
    names, text = dialog.findChild(QListWidget), dialog.findChild(QPlainTextEdit)
    titles = [names.item(row).text() for row in range(names.count())]
    assert titles == ["read me.txt", "versions.txt", "settings.json", "errors.txt", "plan.json", "events.jsonl"]
    shown = {}
    names.setFocus()
    for title in titles:
        shown[title] = text.toPlainText()
        QTest.keyClick(names, Qt.Key.Key_Down)
    assert "<b>trouble</b> in “run 1”" in shown["errors.txt"]
    assert '"class 1", "class 2", "class 3"' in shown["events.jsonl"]
    assert text.isReadOnly()


def test_the_archive_holds_what_was_shown(dialog, qtbot, tmp_path):
    target = tmp_path / "for the lab.zip"
    QTest.mouseClick(button(dialog, "Save as …"), LEFT)
    choose(dialog.findChild(QFileDialog), target)
    qtbot.waitUntil(lambda: any("Saved as" in label.text() for label in dialog.findChildren(QLabel)))
    with zipfile.ZipFile(target) as packed:
        assert packed.read("events.jsonl").decode() == dict(dialog._parts)["events.jsonl"]


def test_a_folder_that_is_not_there_is_said(dialog, qtbot, tmp_path):
    (tmp_path / "a file").touch()
    dialog._write(str(tmp_path / "a file" / "report.zip"))
    qtbot.waitUntil(lambda: any("could not be saved" in label.text() for label in dialog.findChildren(QLabel)))
    assert button(dialog, "Save as …").isEnabled()
