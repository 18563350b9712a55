"""Telling where the classes are written, what is left out and how deep pictures are read, by mouse and keyboard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QLineEdit, QPushButton, QWidget

from tests.factories import draw
from tests.gui.data_sets import classes_of, opened
from tlstudio.core.dataset import DatasetIndex
from tlstudio.core.layout import propose_exclusions
from tlstudio.gui.dataset_edits import DatasetEdits
from tlstudio.gui.widgets.layout_setup import LayoutSetup

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def shown(qtbot) -> Callable[[DatasetEdits], LayoutSetup]:
    def show(edits: DatasetEdits) -> LayoutSetup:
        widget = LayoutSetup(edits)
        qtbot.addWidget(widget)
        widget.resize(900, 1200)
        edits.setParent(widget)  # so that it says nothing any more when the widget is gone
        edits.changed.connect(lambda index: widget.show_index(index, ()))
        widget.show_index(edits.index, propose_exclusions(edits.scanned))
        widget.show()
        return widget

    return show


def button(parent: QWidget, text: str) -> QPushButton:
    return next(
        found
        for found in parent.findChildren(QPushButton)
        if found.isVisible() and found.text().replace("&", "").startswith(text)
    )


def has_button(parent: QWidget, text: str) -> bool:
    return any(found.isVisible() and found.text() == text for found in parent.findChildren(QPushButton))


def press(qtbot, edits: DatasetEdits, where: QPushButton) -> DatasetIndex:
    with qtbot.waitSignal(edits.changed) as heard:
        QTest.mouseClick(where, LEFT)
    (index,) = heard.args
    return index


def flat(folder: Path) -> Path:
    folder.mkdir()
    for shape in ("disc", "square"):
        for number in range(4):
            draw(shape, number).save(folder / f"{shape}_{number}.png")
    return folder


def test_classes_in_names_are_proposed_tried_and_used(qtbot, shown, tmp_path):
    edits = opened(qtbot, flat(tmp_path / "flat"))
    setup = shown(edits)
    assert setup.kind("names").isChecked(), "no folder is a class, and the names show one"
    qtbot.waitUntil(lambda: "8 of 8 pictures" in setup.names.message())
    assert ("disc_0.png", "disc") in [row[:2] for row in setup.names.rows()]
    index = press(qtbot, edits, button(setup.names, "Use this expression"))
    assert index.class_counts() == {"disc": 4, "square": 4}
    edits.history().undo()
    qtbot.waitUntil(lambda: edits.index is not None and not edits.index.images)


def test_an_expression_is_judged_while_it_is_typed(qtbot, shown, tmp_path):
    setup = shown(opened(qtbot, flat(tmp_path / "flat")))
    line = next(found for found in setup.names.findChildren(QLineEdit) if found.isVisible())
    use = button(setup.names, "Use this expression")

    def typed(pattern: str, said: str) -> None:
        line.setFocus()
        line.selectAll()
        QTest.keyClicks(line, pattern)
        qtbot.waitUntil(lambda: said in setup.names.message())

    typed("(?P<class>[a-z", "not a valid expression")
    assert not use.isEnabled() and setup.names.rows() == []
    typed("[a-z]+", "which piece of a name is the class")
    assert not use.isEnabled()
    typed("(?P<class>[0-9]+)_", "none of 8 pictures")
    assert not use.isEnabled()
    typed(r"_(?P<class>\d)", "8 of 8 pictures: 0 (2), 1 (2), 2 (2), 3 (2).")
    assert use.isEnabled()


def test_classes_from_a_table_with_its_guesses_corrected(qtbot, shown, tmp_path):
    folder = flat(tmp_path / "flat")
    rows = [f"disc_{n}.png;round;{'even' if n % 2 == 0 else 'odd'};p{n}" for n in range(4)]
    rows += [f"square_{n}.png;angular;{'even' if n % 2 == 0 else 'odd'};p{n}" for n in range(3)]
    (folder / "labels.csv").write_text("\n".join(["file;kind;parity;patient", *rows, "gone.png;round;odd;p9"]))
    edits = opened(qtbot, folder)
    setup = shown(edits)
    assert setup.kind("table").isChecked()
    qtbot.waitUntil(lambda: "7 pictures have a class" in setup.table.message())
    assert "1 picture would be set aside" in setup.table.message()
    assert "1 row names no file" in setup.table.message()
    assert setup.table.column("class_column").currentText().startswith("kind")
    assert setup.table.column("group_column").currentText().startswith("patient")
    choose(setup.table.column("class_column"), "parity")
    qtbot.waitUntil(button(setup.table, "Use this table").isEnabled)
    index = press(qtbot, edits, button(setup.table, "Use this table"))
    assert index.class_counts() == {"even": 4, "odd": 3}
    QTest.mouseClick(setup.kind("folders"), LEFT)
    qtbot.waitUntil(lambda: edits.setup.layout.kind == "folders")


def choose(box: QComboBox, text: str) -> None:
    """Choose an entry by keyboard."""
    box.setFocus()
    while box.currentText() != text:
        before = box.currentIndex()
        QTest.keyClick(box, Qt.Key.Key_Down)
        assert box.currentIndex() != before, text


def test_a_damaged_table_is_refused_in_words(qtbot, shown, tmp_path):
    folder = flat(tmp_path / "flat")
    (folder / "labels.csv").write_bytes(b"\0\1\2\3" * 400)
    setup = shown(opened(qtbot, folder))
    qtbot.waitUntil(lambda: "not a table" in setup.table.message())
    assert not button(setup.table, "Use this table").isEnabled()


def test_the_level_of_the_class_folders_can_be_told(qtbot, shown, tmp_path):
    for site in ("north", "south"):
        for shape in ("disc", "square"):
            (tmp_path / "sites" / site / shape).mkdir(parents=True)
            for number in range(3):
                draw(shape, number + 10 * (site == "south")).save(tmp_path / "sites" / site / shape / f"{number}.png")
    edits = opened(qtbot, tmp_path / "sites")
    setup = shown(edits)
    assert edits.index is not None and edits.index.classes == ("north", "south")
    choose(setup.folders.level(), "level 2: disc, square")
    qtbot.waitUntil(lambda: edits.index is not None and edits.index.classes == ("disc", "square"))


def test_masks_are_left_out_by_a_proposal_or_a_typed_pattern_and_taken_in_again(qtbot, shown, tmp_path):
    folder = tmp_path / "tiles"
    for shape in ("disc", "square"):
        (folder / shape / "Imgs").mkdir(parents=True)
        for number in range(3):
            picture = draw(shape, number)
            picture.save(folder / shape / "Imgs" / f"{number}.jpg")
            picture.convert("L").point(lambda value: 255 * (value > 128)).save(
                folder / shape / "Imgs" / f"{number}.png"
            )
    edits = opened(qtbot, folder)
    setup = shown(edits)
    index = press(qtbot, edits, button(setup.exclusions, "Leave out *.png"))
    assert index.class_counts() == {"disc": 3, "square": 3}
    assert {Path(image.path).suffix for image in index.images} == {".jpg"}
    qtbot.waitUntil(lambda: has_button(setup.exclusions, "Take in again"))
    index = press(qtbot, edits, button(setup.exclusions, "Take in again"))
    assert index.class_counts() == {"disc": 6, "square": 6}
    line = next(found for found in setup.exclusions.findChildren(QLineEdit) if found.isVisible())
    line.setFocus()
    QTest.keyClicks(line, "nothing*")
    assert setup.exclusions.message() == "No picture is hit by this pattern."
    line.selectAll()
    QTest.keyClicks(line, "1.*")
    assert setup.exclusions.message() == "Hits 4 pictures: 1.jpg, 1.png, 1.jpg …"
    with qtbot.waitSignal(edits.changed):
        QTest.keyClick(line, Qt.Key.Key_Return)
    assert edits.setup.exclude == ("1.*",)
    assert len(classes_of(edits)) == 4


def test_the_range_of_deep_pictures_is_chosen_by_hand_and_set_back(qtbot, shown, tmp_path):
    for shape, level in (("dim", 400), ("bright", 3000)):
        (tmp_path / "deep" / shape).mkdir(parents=True)
        for number in range(3):
            values = np.random.default_rng(level + number).normal(level, 60, (40, 40)).clip(0, 4095)
            Image.fromarray(values.astype(np.uint16)).save(tmp_path / "deep" / shape / f"{number}.tif")
    edits = opened(qtbot, tmp_path / "deep")
    setup = shown(edits)
    assert "6 pictures have more than 8 bits" in setup.reading.message()
    low, high = setup.reading.findChildren(QDoubleSpinBox)
    use = button(setup.reading, "Read them like this")
    assert not use.isEnabled()
    for box, value in ((low, "500"), (high, "300")):
        box.setFocus()
        box.selectAll()
        QTest.keyClicks(box, value)
        QTest.keyClick(box, Qt.Key.Key_Return)
    assert not use.isEnabled(), "white below black"
    high.selectAll()
    QTest.keyClicks(high, "2000")
    QTest.keyClick(high, Qt.Key.Key_Return)
    index = press(qtbot, edits, use)
    assert (index.reading.low, index.reading.high) == (500, 2000)
    edits.history().undo()
    qtbot.waitUntil(lambda: edits.index is not None and edits.index.reading.low != 500)
    assert edits.setup.reading.low is None


def test_a_dropped_table_is_offered_and_decides_nothing(qtbot, shown, tmp_path):
    folder = flat(tmp_path / "flat")
    table = tmp_path / "elsewhere.csv"
    table.write_text("file,kind\n" + "\n".join(f"disc_{n}.png,{'a' if n % 2 else 'b'}" for n in range(4)))
    edits = opened(qtbot, folder)
    setup = shown(edits)
    setup.offer_table(table)
    qtbot.waitUntil(lambda: "4 pictures have a class" in setup.table.message())
    assert edits.setup.layout.kind == "folders"
    index = press(qtbot, edits, button(setup.table, "Use this table"))
    assert index.class_counts() == {"a": 2, "b": 2}
