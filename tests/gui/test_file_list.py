"""Every file with its status: filtered, sorted, copied, saved as a table, and fast with many."""

from __future__ import annotations

import csv
import time

import pytest
from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QComboBox, QFileDialog, QLabel, QLineEdit, QPushButton

from tests.gui.data_sets import opened
from tlstudio.core.dataset import DatasetIndex, ImageRecord
from tlstudio.core.problem import Problem
from tlstudio.core.spreadsheet import files_csv
from tlstudio.gui.widgets.file_list import FileList

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def folder(two_classes):
    (two_classes / "disc" / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (two_classes / "disc" / "notes.txt").write_text("no picture")
    return two_classes


@pytest.fixture
def listing(qtbot, folder):
    return shown(qtbot, opened(qtbot, folder).index)


def shown(qtbot, index):
    listing = FileList()
    qtbot.addWidget(listing)
    listing.resize(900, 500)
    listing.show()
    listing.show_index(index)
    qtbot.waitUntil(lambda: listing.rows().rowCount() > 0)
    return listing


def names(listing) -> list[str]:
    model = listing.table().model()
    return [model.index(row, 2).data() for row in range(model.rowCount())]


def box(listing, name: str) -> QComboBox:
    return next(found for found in listing.findChildren(QComboBox) if found.accessibleName() == name)


def click_title(qtbot, listing, column: int) -> None:
    header = listing.table().horizontalHeader()
    place = header.rect().center()
    place.setX(header.sectionViewportPosition(column) + 20)
    qtbot.mouseClick(header.viewport(), LEFT, pos=place)


def test_every_file_has_one_line(listing, folder):
    assert sorted(names(listing)) == sorted(path.name for path in folder.rglob("*") if path.is_file())
    assert any(label.text() == "14 files" for label in listing.findChildren(QLabel))


def test_filters_by_status_reason_and_text(qtbot, listing):
    box(listing, "Status").setCurrentText("Set aside")
    assert sorted(names(listing)) == ["broken.jpg", "notes.txt"]
    reasons = box(listing, "Reason")
    listing.show_code("not-a-picture")
    assert names(listing) == ["notes.txt"]
    assert reasons.currentText() == "not a picture"
    reasons.setCurrentIndex(0)
    qtbot.keyClicks(listing.findChild(QLineEdit), "BROKEN")
    assert names(listing) == ["broken.jpg"]


def test_titles_sort_both_ways(qtbot, listing):
    click_title(qtbot, listing, 2)
    assert names(listing) == sorted(names(listing))
    click_title(qtbot, listing, 2)
    assert names(listing) == sorted(names(listing), reverse=True)


def test_rows_are_copied(qtbot, listing, folder):
    box(listing, "Status").setCurrentText("Set aside")
    listing.table().selectAll()
    qtbot.keyClick(listing.table(), Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    lines = [line.split("\t") for line in QGuiApplication.clipboard().text().splitlines()]
    assert [(line[0], line[2], line[3]) for line in lines] == [
        ("Set aside", "broken.jpg", str(folder / "disc")),
        ("Set aside", "notes.txt", str(folder / "disc")),
    ]


def test_the_list_is_saved_as_a_table(qtbot, listing, tmp_path, monkeypatch):
    QApplication.instance().setAttribute(Qt.ApplicationAttribute.AA_DontUseNativeDialogs)

    def answer() -> None:
        dialog = QApplication.activeModalWidget()
        assert isinstance(dialog, QFileDialog)
        dialog.findChild(QLineEdit).setText(str(tmp_path / "list.csv"))
        dialog.accept()

    box(listing, "Status").setCurrentText("Set aside")
    QTimer.singleShot(0, answer)
    qtbot.mouseClick(next(b for b in listing.findChildren(QPushButton) if b.text() == "Save as CSV …"), LEFT)
    with (tmp_path / "list.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["status"], row["path"].rpartition("/")[2]) for row in rows] == [
        ("set-aside", "broken.jpg"),
        ("set-aside", "notes.txt"),
    ]
    assert any("2 lines were saved" in label.text() for label in listing.findChildren(QLabel))


def test_no_cell_is_a_formula():
    index = DatasetIndex(
        ("x",), (), (), (Problem("=1+1.jpg", "unreadable", "+1"), Problem("-x\n.jpg", "unreadable", "@a")), 0.0
    )
    rows = list(csv.reader(files_csv(index.files()).splitlines(keepends=True)))
    assert rows == [
        ["path", "status", "code", "message"],
        ["./-x\n.jpg", "set-aside", "unreadable", "'@a"],
        ["./=1+1.jpg", "set-aside", "unreadable", "'+1"],
    ]


def test_a_folders_problem_is_said_above_the_files(qtbot, tmp_path):
    images = (ImageRecord(str(tmp_path / "a.png"), 0, None, "", 1, 1),)
    problems = (Problem(str(tmp_path / "empty"), "empty-class", "This class has no picture."),)
    listing = shown(qtbot, DatasetIndex(("x",), ("a",), images, problems, 0.0))
    assert names(listing) == ["a.png"]
    assert any(label.text() == "empty: This class has no picture." for label in listing.findChildren(QLabel))


def test_names_are_shown_letter_by_letter(qtbot):
    images = (ImageRecord("/<b>bold</b>.png", 0, None, "", 1, 1),)
    listing = shown(qtbot, DatasetIndex(("x",), ("a",), images, (), 0.0))
    tooltip = listing.table().model().index(0, 2).data(Qt.ItemDataRole.ToolTipRole)
    assert tooltip == "<qt>b&gt;.png</qt>"


def test_a_hundred_thousand_files_are_filtered_and_sorted_at_once(qtbot):
    images = tuple(ImageRecord(f"/c{n % 1000:03}/{n:06}.jpg", n % 1000, None, "", 8, 8) for n in range(100_000))
    listing = shown(qtbot, DatasetIndex(("/",), tuple(f"c{n:03}" for n in range(1000)), images, (), 0.0))
    began = time.process_time()
    click_title(qtbot, listing, 2)
    listing.findChild(QLineEdit).setText("/c007/")
    assert time.process_time() - began < 2
    assert names(listing) == [f"{n:06}.jpg" for n in range(7, 100_000, 1000)]
