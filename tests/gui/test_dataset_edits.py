"""Decisions about a data set: in force, on the disk, undone, and there again the next time."""

from __future__ import annotations

import json

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from tests.factories import class_folders, draw
from tests.gui.data_sets import classes_of, opened
from tlstudio.core.dataset_setup import DatasetSetup, setup_file
from tlstudio.core.look import look
from tlstudio.core.split import split
from tlstudio.gui.dataset_edits import DatasetEdits, with_classes_renamed

CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def edits(qtbot, two_classes):
    return opened(qtbot, two_classes)


def picture(edits, name: str) -> str:
    return next(file.path for file in edits.scanned.files if file.path.endswith(name))


def test_a_relabelled_picture_is_of_that_class_and_its_file_stays(qtbot, edits, two_classes):
    before = sorted(path.relative_to(two_classes) for path in two_classes.rglob("*"))
    with qtbot.waitSignal(edits.changed):
        edits.relabel([picture(edits, "disc_000.png")], "square")
    assert classes_of(edits)["disc_000.png"] == "square"
    assert edits.index.class_counts() == {"disc": 5, "square": 7}
    assert sorted(path.relative_to(two_classes) for path in two_classes.rglob("*")) == before


def test_every_change_is_on_the_disk_at_once(edits, two_classes):
    path = picture(edits, "disc_000.png")
    edits.relabel([path], "square")
    assert json.loads(setup_file((two_classes,)).read_text().splitlines()[0])["relabelled"] == {path: "square"}
    edits.history().undo()
    assert json.loads(setup_file((two_classes,)).read_text().splitlines()[0])["relabelled"] == {}


def test_keys_undo_and_redo(qtbot, edits):
    window = QWidget()
    qtbot.addWidget(window)
    edits.add_undo_to(window)
    window.show()
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    with qtbot.waitSignal(edits.changed):
        edits.set_aside([picture(edits, "disc_000.png")])
    assert "disc_000.png" not in classes_of(edits)
    assert edits.history().undoText() == "Set 1 picture aside"
    with qtbot.waitSignal(edits.changed):
        qtbot.keyClick(window, Qt.Key.Key_Z, CONTROL)
    assert classes_of(edits)["disc_000.png"] == "disc"
    with qtbot.waitSignal(edits.changed):
        qtbot.keyClick(window, Qt.Key.Key_Z, CONTROL | SHIFT)
    assert "disc_000.png" not in classes_of(edits)


def test_decisions_survive_a_crash_and_another_scan(qtbot, edits, two_classes):
    edits.relabel([picture(edits, "disc_000.png")], "square")
    edits.leave_out(["disc"])
    draw("square", 99).save(two_classes / "square" / "new.png")
    again = opened(qtbot, two_classes)
    assert again.decisions() == 2
    assert set(classes_of(again)) == {"disc_000.png", "new.png", *(f"square_{n:03}.png" for n in range(6))}


def test_another_scan_of_the_same_folders_keeps_the_history(qtbot, edits, two_classes):
    edits.leave_out(["disc"])
    with qtbot.waitSignal(edits.changed):
        edits.open((two_classes,), look((two_classes,)))
    assert edits.index.classes == ("square",)
    with qtbot.waitSignal(edits.changed):
        edits.history().undo()
    assert edits.index.classes == ("disc", "square")


def test_quick_decisions_end_with_the_last_one(qtbot, edits):
    said = []
    edits.changed.connect(said.append)
    for name in ("first", "second", "third"):
        edits.relabel([picture(edits, "disc_000.png")], name)
    qtbot.waitUntil(lambda: not edits.is_busy())
    assert edits.index.classes == ("disc", "square", "third")
    assert said[-1] is edits.index


def test_the_same_decision_twice_is_one(edits):
    edits.leave_out(["disc"])
    edits.leave_out(["disc"])
    assert edits.history().count() == 1


def test_a_renamed_class_takes_its_relabelled_pictures_along_and_two_of_one_name_are_one(qtbot, edits):
    edits.relabel([picture(edits, "disc_000.png")], "square")
    with qtbot.waitSignal(edits.changed):
        edits.rename_classes(["square"], "box")
    assert edits.index.class_counts() == {"box": 7, "disc": 5}
    with qtbot.waitSignal(edits.changed):
        edits.rename_classes(["box", "disc"], "all")
    assert edits.index.class_counts() == {"all": 12}
    with qtbot.waitSignal(edits.changed):
        edits.start_afresh()
    assert edits.index.class_counts() == {"disc": 6, "square": 6}
    assert edits.decisions() == 0


def test_a_class_gets_its_first_name_back(qtbot, edits):
    edits.rename_classes(["disc"], "ring")
    with qtbot.waitSignal(edits.changed):
        edits.rename_classes(["ring"], "disc")
    assert edits.index.class_counts() == {"disc": 6, "square": 6}


def test_a_merged_class_takes_part_if_one_of_them_did():
    left_out = DatasetSetup(left_out=("a", "b"))
    assert with_classes_renamed(left_out, ["a", "c"], "c").left_out == ("b",)
    assert with_classes_renamed(left_out, ["a", "b"], "c").left_out == ("c",)


def test_taken_back_pictures_are_what_their_folder_says(qtbot, edits):
    path = picture(edits, "disc_000.png")
    edits.relabel([path], "square")
    with qtbot.waitSignal(edits.changed):
        edits.take_back([path])
    assert classes_of(edits)["disc_000.png"] == "disc"
    assert edits.setup == DatasetSetup()


def test_a_damaged_record_is_said_and_kept(qtbot, two_classes):
    file = setup_file((two_classes,))
    file.parent.mkdir(parents=True)
    file.write_text('{"relabelled": 3}')
    edits = DatasetEdits()
    with qtbot.waitSignal(edits.changed), qtbot.waitSignal(edits.failed) as said:
        edits.open((two_classes,), look((two_classes,)))
    assert "cannot be read" in said.args[0]
    assert edits.index.class_counts() == {"disc": 6, "square": 6}
    edits.leave_out(["disc"])
    kept = [path for path in file.parent.iterdir() if path != file]
    assert [path.read_text() for path in kept] == ['{"relabelled": 3}']
    assert str(kept[0]) in said.args[1]


def test_a_disk_that_refuses_is_said_and_the_decision_holds_here(qtbot, edits, home):
    (home / "datasets").mkdir(parents=True, exist_ok=True)
    (home / "datasets").rmdir()
    (home / "datasets").write_text("in the way")
    with qtbot.waitSignal(edits.changed), qtbot.waitSignal(edits.failed) as said:
        edits.leave_out(["disc"])
    assert "could not be kept" in said.args[0]
    assert edits.index.classes == ("square",)


def test_another_seed_splits_the_same_index_anew_and_says_why_it_cannot(qtbot, tmp_path):
    edits = opened(qtbot, class_folders(tmp_path / "pictures", {"disc": 12, "square": 12}))
    index, first = edits.index, edits.parts
    assert first == split(index, 0) and not edits.problem
    with qtbot.waitSignal(edits.changed):
        edits.deal(7)
    assert edits.index is index and edits.parts == split(index, 7) != first
    with qtbot.waitSignal(edits.changed):
        edits.leave_out(["disc"])
    assert edits.parts is None and "square" in edits.problem
    with qtbot.waitSignal(edits.changed):
        edits.history().undo()
    assert edits.parts == split(edits.index, 7)


@pytest.mark.parametrize("place", [0, 5, -70, -30, -1])
def test_of_a_damaged_record_the_one_before_counts_and_that_is_said(qtbot, edits, two_classes, place):
    edits.relabel([picture(edits, "disc_000.png")], "square")
    edits.leave_out(["disc"])
    file = setup_file((two_classes,))
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)
    again = DatasetEdits()
    with qtbot.waitSignal(again.changed), qtbot.waitSignal(again.failed) as said:
        again.open((two_classes,), look((two_classes,)))
    assert "last decision" in said.args[0] and "repeat" in said.args[1]
    assert again.index.class_counts() == {"disc": 5, "square": 7}
    assert again.setup.left_out == ()
    assert any(path.read_bytes() == content for path in file.parent.iterdir()), "the damaged record is kept"
    again.leave_out(["square"])
    third = opened(qtbot, two_classes)
    assert third.setup.left_out == ("square",)
