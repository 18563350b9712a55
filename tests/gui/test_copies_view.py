"""Copies side by side: which kinds there are, and how conflicts and leaks are settled."""

from __future__ import annotations

import shutil

import msgspec
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QComboBox, QLabel, QPushButton

from tests.factories import part_folders
from tests.gui.data_sets import classes_of, opened
from tlstudio.gui.widgets.copies_view import GROUPS_A_PAGE, CopiesView, GroupCard, copy_groups
from tlstudio.gui.widgets.dataset_viewer import DatasetViewer

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def folder(tmp_path):
    """Discs and squares in train and val; a disc also among the squares, one also in val, one twice."""
    folder = part_folders(tmp_path / "parted", {"train": 6, "val": 3})
    discs = folder / "train" / "disc"
    shutil.copy(discs / "disc_000.png", folder / "train" / "square" / "conflict.png")
    shutil.copy(discs / "disc_001.png", folder / "val" / "disc" / "leak.png")
    shutil.copy(discs / "disc_002.png", discs / "twice.png")
    return folder


@pytest.fixture
def edits(qtbot, folder):
    return opened(qtbot, folder)


@pytest.fixture
def view(qtbot, edits):
    view = CopiesView(edits)
    qtbot.addWidget(view)
    edits.changed.connect(view.show_index)
    view.show_index(edits.index)
    view.resize(800, 700)
    view.show()
    qtbot.waitUntil(lambda: bool(view.groups()))
    return view


def kinds(view) -> list[tuple[str, set[str]]]:
    return [(group.kind, {image.path.rpartition("/")[2] for image in group.images}) for group in view.groups()]


def cards(view) -> list[GroupCard]:
    return [card for card in view.findChildren(GroupCard) if card.isVisible()]


def press(qtbot, card, text: str) -> None:
    qtbot.mouseClick(next(b for b in card.findChildren(QPushButton) if b.text() == text), LEFT)


def test_conflicts_come_first_then_leaks_then_plain_copies(view):
    assert kinds(view) == [
        ("conflict", {"disc_000.png", "conflict.png"}),
        ("leak", {"disc_001.png", "leak.png"}),
        ("copy", {"disc_002.png", "twice.png"}),
    ]
    said = [card.findChild(QLabel).text() for card in cards(view)]
    assert "lie in “disc” and “square”" in said[0]
    assert "lie in train and val" in said[1]
    assert "you can leave it at that" in said[2]
    assert "6 pictures are copies of others; 2 of the 3 groups need a decision." in {
        label.text() for label in view.findChildren(QLabel)
    }


def test_a_conflict_is_settled_by_a_class(qtbot, view, edits):
    with qtbot.waitSignal(edits.changed):
        press(qtbot, cards(view)[0], "All are “disc”")
    assert classes_of(edits)["conflict.png"] == "disc"
    qtbot.waitUntil(lambda: [kind for kind, _ in kinds(view)] == ["leak", "copy", "copy"])


def test_a_conflict_is_settled_by_setting_all_aside(qtbot, view, edits):
    with qtbot.waitSignal(edits.changed):
        press(qtbot, cards(view)[0], "Set all aside")
    assert "conflict.png" not in classes_of(edits)
    assert not any(image.path.endswith("train/disc/disc_000.png") for image in edits.index.images)
    qtbot.waitUntil(lambda: len(view.groups()) == 2)
    with qtbot.waitSignal(edits.changed):
        edits.history().undo()
    qtbot.waitUntil(lambda: len(view.groups()) == 3)


def test_of_a_leak_what_teaches_is_set_aside(qtbot, view, edits):
    with qtbot.waitSignal(edits.changed):
        press(qtbot, cards(view)[1], "Set those in train aside")
    assert "leak.png" in classes_of(edits)
    left = {image.path.rpartition("/")[2] for image in edits.index.images if image.part == "train"}
    assert "disc_001.png" not in left


def test_one_kind_alone_and_a_picture_large(qtbot, view):
    box = view.findChild(QComboBox)
    assert [box.itemText(row) for row in range(box.count())][1] == "In more than one class (1)"
    box.setCurrentIndex(3)
    qtbot.waitUntil(lambda: len(cards(view)) == 1)
    pictures = cards(view)[0].findChild(QLabel).parent().layout().itemAt(1).widget()
    qtbot.mouseDClick(pictures, LEFT, pos=QPoint(40, 40))
    viewer = view.findChild(DatasetViewer)
    assert viewer.windowTitle().endswith("(1 of 2)")
    viewer.close()


def test_near_copies_join_and_many_groups_come_in_pages(qtbot, edits, view):
    by_name = {file.path.rpartition("/")[2]: n for n, file in enumerate(edits.scanned.files) if "/train/" in file.path}
    near = (
        (by_name["square_000.png"], by_name["square_001.png"]),
        (by_name["square_001.png"], by_name["square_002.png"]),
    )
    pairs = [(edits.scanned.files[a].path, edits.scanned.files[b].path) for a, b in near]
    groups = copy_groups(edits.index, pairs)
    assert {image.path.rpartition("/")[2] for image in groups[-1].images} == {f"square_{n:03}.png" for n in range(3)}
    assert (groups[-1].kind, groups[-1].exact) == ("near-copy", False)

    image = edits.index.images[0]
    copies = tuple(
        msgspec.structs.replace(image, path=f"/{n}.png", sha256=f"{n // 2:064}", facts=None)
        for n in range(2 * GROUPS_A_PAGE + 6)
    )
    view.show_index(msgspec.structs.replace(edits.index, images=copies, problems=()))
    qtbot.waitUntil(lambda: len(cards(view)) == GROUPS_A_PAGE)
    press(qtbot, view, "Next")
    qtbot.waitUntil(lambda: len(cards(view)) == 3)
    assert not next(b for b in view.findChildren(QPushButton) if b.text() == "Next").isEnabled()


def test_no_copies_are_said(qtbot, two_classes):
    edits = opened(qtbot, two_classes)
    view = CopiesView(edits)
    qtbot.addWidget(view)
    view.show()
    view.show_index(edits.index)
    qtbot.waitUntil(
        lambda: any(label.text() == "No copies" and label.isVisible() for label in view.findChildren(QLabel))
    )
