"""The list of classes: counts, and renaming, merging and leaving out by hand."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QApplication, QInputDialog, QLineEdit, QPushButton

from tests.factories import class_folders
from tests.gui.data_sets import opened
from tlstudio.gui.widgets.class_list import ClassList

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def edits(qtbot, tmp_path):
    return opened(qtbot, class_folders(tmp_path / "pictures", {"disc": 6, "square": 3, "cross": 2}))


@pytest.fixture
def classes(qtbot, edits):
    classes = ClassList(edits)
    qtbot.addWidget(classes)
    edits.changed.connect(classes.show_index)
    classes.show_index(edits.index)
    classes.resize(700, 400)
    classes.show()
    return classes


def click(qtbot, classes, row: int, modifier=Qt.KeyboardModifier.NoModifier) -> None:
    table = classes.table()
    place = table.visualRect(table.model().index(row, 0)).center()
    qtbot.mouseClick(table.viewport(), LEFT, modifier, place)


def press(qtbot, classes, text: str) -> None:
    button = next(found for found in classes.findChildren(QPushButton) if found.text() == text)
    assert button.isEnabled()
    qtbot.mouseClick(button, LEFT)


def type_name(qtbot, classes, name: str) -> None:
    line = classes.table().findChild(QLineEdit)
    line.selectAll()
    qtbot.keyClicks(line, name)
    qtbot.keyClick(line, Qt.Key.Key_Return)


def test_classes_with_their_counts(classes):
    assert classes.texts() == [("cross", 2), ("disc", 6), ("square", 3)]


def test_f2_renames_and_undo_brings_the_name_back(qtbot, classes, edits):
    click(qtbot, classes, 1)
    qtbot.keyClick(classes.table(), Qt.Key.Key_F2)
    with qtbot.waitSignal(edits.changed):
        type_name(qtbot, classes, "ring")
    assert classes.texts() == [("cross", 2), ("ring", 6), ("square", 3)]
    with qtbot.waitSignal(edits.changed):
        edits.history().undo()
    assert classes.texts() == [("cross", 2), ("disc", 6), ("square", 3)]


def test_a_double_click_renames_to_a_class_that_exists_and_both_are_one(qtbot, classes, edits):
    table = classes.table()
    place = table.visualRect(table.model().index(0, 0)).center()
    qtbot.mouseClick(table.viewport(), LEFT, pos=place)
    qtbot.mouseDClick(table.viewport(), LEFT, pos=place)
    with qtbot.waitSignal(edits.changed):
        type_name(qtbot, classes, "square")
    assert classes.texts() == [("disc", 6), ("square", 5)]


def test_an_empty_name_is_no_name(qtbot, classes, edits):
    click(qtbot, classes, 1)
    press(qtbot, classes, "Rename")
    type_name(qtbot, classes, "  ")
    assert classes.texts() == [("cross", 2), ("disc", 6), ("square", 3)]
    assert edits.history().count() == 0


def test_two_classes_are_merged(qtbot, classes, edits):
    def agree() -> None:
        dialog = QApplication.activeModalWidget()
        assert isinstance(dialog, QInputDialog)
        assert dialog.textValue() == "cross"
        dialog.setTextValue("angular")
        dialog.accept()

    click(qtbot, classes, 0)
    click(qtbot, classes, 2, Qt.KeyboardModifier.ControlModifier)
    QTimer.singleShot(0, agree)
    with qtbot.waitSignal(edits.changed):
        press(qtbot, classes, "Merge …")
    assert classes.texts() == [("angular", 5), ("disc", 6)]


def test_a_class_is_left_out_and_taken_in(qtbot, classes, edits):
    click(qtbot, classes, 0)
    with qtbot.waitSignal(edits.changed):
        press(qtbot, classes, "Leave out")
    assert edits.index.class_counts() == {"disc": 6, "square": 3}
    assert classes.texts() == [("cross", 0), ("disc", 6), ("square", 3)]
    assert classes.chosen() == ["cross"]
    with qtbot.waitSignal(edits.changed):
        press(qtbot, classes, "Take in")
    assert classes.texts() == [("cross", 2), ("disc", 6), ("square", 3)]


def test_without_edits_names_cannot_be_changed(qtbot, edits):
    classes = ClassList()
    qtbot.addWidget(classes)
    classes.show_index(edits.index)
    classes.show()
    click(qtbot, classes, 1)
    qtbot.keyClick(classes.table(), Qt.Key.Key_F2)
    assert classes.table().findChild(QLineEdit) is None
    assert not any(button.isVisible() for button in classes.findChildren(QPushButton))
