"""The grid of a data set: what is shown and in which order, by mouse and by keys, and what the user makes of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import QPoint, QRect, Qt, QTimer
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QComboBox, QInputDialog, QLabel, QLineEdit, QMenu, QPushButton, QSlider

from tests.factories import class_folders
from tests.gui.data_sets import classes_of, opened
from tlstudio.core.dataset import DatasetIndex, ImageRecord
from tlstudio.gui.widgets.class_filter import ClassFilter
from tlstudio.gui.widgets.dataset_grid import SHOWN, SORTS, DatasetGrid
from tlstudio.gui.widgets.dataset_viewer import DatasetViewer
from tlstudio.gui.widgets.image_viewer import PictureView

LEFT = Qt.MouseButton.LeftButton
CONTROL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier


@pytest.fixture
def folder(tmp_path):
    """Six discs, three squares and a damaged file; the first disc is the darkest and largest."""
    folder = class_folders(tmp_path / "pictures", {"disc": 6, "square": 3})
    Image.new("RGB", (200, 100), "black").save(folder / "disc" / "disc_000.png")
    (folder / "square" / "broken.png").write_bytes(b"no picture")
    return folder


@pytest.fixture
def edits(qtbot, folder):
    return opened(qtbot, folder)


@pytest.fixture
def grid(qtbot, edits):
    return shown(qtbot, edits)


def shown(qtbot, edits):
    grid = DatasetGrid(edits)
    qtbot.addWidget(grid)
    grid.resize(900, 600)
    edits.changed.connect(grid.show_index)
    edits.add_undo_to(grid)
    with qtbot.waitSignal(grid.refreshed):
        grid.show_index(edits.index)
    grid.show()
    grid.activateWindow()
    qtbot.waitUntil(grid.isActiveWindow)
    grid.view().setFocus()
    return grid


def names(grid) -> list[str]:
    return [picture.name for picture in grid.pictures()]


def centre(grid, row: int) -> QPoint:
    return grid.view().visualRect(grid.view().model().index(row, 0)).center()


def click(qtbot, grid, row: int, modifier=Qt.KeyboardModifier.NoModifier) -> None:
    qtbot.mouseClick(grid.view().viewport(), LEFT, modifier, centre(grid, row))


def chosen(grid) -> list[str]:
    return [Path(path).name for path in grid.chosen_paths()]


def sentence(grid) -> str:
    return "\n".join(label.text() for label in grid.findChildren(QLabel) if label.isVisible())


def button(widget, text: str) -> QPushButton:
    return next(found for found in widget.findChildren(QPushButton) if found.text() == text)


def test_all_pictures_are_shown_by_class_and_set_aside_ones_last_with_their_reason(qtbot, grid):
    assert names(grid) == [
        *(f"disc_{n:03}.png" for n in range(6)), *(f"square_{n:03}.png" for n in range(3)), "broken.png",
    ]  # fmt: skip
    model = grid.view().model()
    assert model.index(0, 0).data() == "disc_000.png\ndisc"
    assert "damaged" in model.index(9, 0).data() or "not a picture" in model.index(9, 0).data()
    assert "10 pictures" in sentence(grid)
    qtbot.waitUntil(lambda: grid.view().thumbnail(grid.pictures()[0].path) is not None)
    dark = grid.view().thumbnail(grid.pictures()[0].path).toImage()
    assert dark.pixelColor(68, 68).name() == "#000000"
    assert dark.pixelColor(68, 10).alpha() == 0  # twice as wide as high


def test_sorting_puts_figures_in_order_and_the_unknown_last(qtbot, grid, edits):
    for title, key in SORTS:
        box = next(found for found in grid.findChildren(QComboBox) if found.accessibleName() == "Sort by")
        box.setCurrentText(f"By {title.lower()}")
        if key == "name":
            assert names(grid) == sorted(names(grid))
    by_name = {Path(image.path).name: image for image in edits.index.images}
    box.setCurrentText("By size")
    assert names(grid)[8:] == ["disc_000.png", "broken.png"]
    box.setCurrentText("By brightness")
    measured = [
        float(np.asarray(Image.open(by_name[name].path).convert("L"), float).mean()) for name in names(grid)[:9]
    ]
    assert names(grid)[0] == "disc_000.png"
    assert measured == pytest.approx(sorted(measured), abs=2)
    assert grid.view().model().index(0, 0).data() == "disc_000.png\n0.0 % · disc"


def test_filters_by_class_status_and_text(qtbot, grid):
    classes = grid.findChild(ClassFilter)
    assert [classes.item(row).text() for row in range(classes.count())] == ["All classes", "disc", "square"]
    qtbot.mouseClick(classes.viewport(), LEFT, pos=classes.visualItemRect(classes.item(2)).center())
    assert names(grid) == [f"square_{n:03}.png" for n in range(3)]
    qtbot.mouseClick(classes.viewport(), LEFT, pos=classes.visualItemRect(classes.item(0)).center())
    status = next(found for found in grid.findChildren(QComboBox) if found.accessibleName() == "Which pictures")
    status.setCurrentIndex([key for _, key in SHOWN].index("set-aside"))
    assert names(grid) == ["broken.png"]
    status.setCurrentIndex(0)
    qtbot.keyClicks(grid.findChild(QLineEdit), "_002")
    assert names(grid) == ["disc_002.png", "square_002.png"]
    assert "2 of 10 pictures" in sentence(grid)
    qtbot.keyClicks(grid.findChild(QLineEdit), "x")
    assert "No picture fits" in sentence(grid)
    qtbot.mouseClick(button(grid, "Show all pictures"), LEFT)
    assert len(names(grid)) == 10


def test_only_some_pictures_until_all_are_asked_for(grid, edits):
    wanted = [image.path for image in edits.index.images if image.path.endswith("_001.png")]
    grid.show_only(wanted)
    assert names(grid) == ["disc_001.png", "square_001.png"]
    grid.show_all()
    assert len(names(grid)) == 10


def test_arrows_shift_home_end_and_select_all(qtbot, grid):
    view = grid.view()
    click(qtbot, grid, 0)
    columns = next(row for row in range(1, 10) if centre(grid, row).y() > centre(grid, 0).y())
    qtbot.keyClick(view, Qt.Key.Key_Right)
    assert chosen(grid) == [names(grid)[1]]
    qtbot.keyClick(view, Qt.Key.Key_Down)
    assert chosen(grid) == [names(grid)[1 + columns]]
    qtbot.keyClick(view, Qt.Key.Key_Left, SHIFT)
    assert chosen(grid) == names(grid)[columns : columns + 2]
    qtbot.keyClick(view, Qt.Key.Key_Up, SHIFT)
    assert chosen(grid) == names(grid)[: columns + 2]
    qtbot.keyClick(view, Qt.Key.Key_End)
    assert chosen(grid) == [names(grid)[-1]]
    qtbot.keyClick(view, Qt.Key.Key_Home, SHIFT)
    assert chosen(grid) == names(grid)
    qtbot.keyClick(view, Qt.Key.Key_Home)
    qtbot.keyClick(view, Qt.Key.Key_A, CONTROL)
    assert chosen(grid) == names(grid)
    assert "10 pictures, 10 chosen" in sentence(grid)
    qtbot.keyClick(view, Qt.Key.Key_C, CONTROL)
    assert QGuiApplication.clipboard().text().splitlines() == list(grid.chosen_paths())


def test_clicks_with_shift_and_control_and_a_rectangle(qtbot, grid):
    click(qtbot, grid, 1)
    click(qtbot, grid, 3, SHIFT)
    assert chosen(grid) == names(grid)[1:4]
    click(qtbot, grid, 2, CONTROL)
    assert chosen(grid) == [names(grid)[1], names(grid)[3]]
    columns = next(row for row in range(1, 10) if centre(grid, row).y() > centre(grid, 0).y())
    band = QRect(centre(grid, 0), centre(grid, columns + 1))
    viewport = grid.view().viewport()
    qtbot.mousePress(viewport, LEFT, pos=band.topLeft())
    qtbot.mouseMove(viewport, band.center())
    qtbot.mouseMove(viewport, band.bottomRight())
    qtbot.mouseRelease(viewport, LEFT, pos=band.bottomRight())
    assert chosen(grid) == [names(grid)[row] for row in (0, 1, columns, columns + 1)]


def test_digits_relabel_and_undo_brings_the_class_back(qtbot, grid, edits):
    click(qtbot, grid, 0)
    click(qtbot, grid, 2, SHIFT)
    with qtbot.waitSignal(grid.refreshed):
        qtbot.keyClick(grid.view(), Qt.Key.Key_2)
    assert {classes_of(edits)[f"disc_{n:03}.png"] for n in range(3)} == {"square"}
    assert sorted(chosen(grid)) == [f"disc_{n:03}.png" for n in range(3)]
    row = names(grid).index("disc_000.png")
    assert "pencil" in grid.view().model().marks(row)
    with qtbot.waitSignal(grid.refreshed):
        qtbot.keyClick(grid, Qt.Key.Key_Z, CONTROL)
    assert classes_of(edits)["disc_000.png"] == "disc"


def test_a_digit_without_a_class_does_nothing(qtbot, grid, edits):
    click(qtbot, grid, 0)
    qtbot.keyClick(grid.view(), Qt.Key.Key_7)
    assert edits.history().count() == 0


def test_in_a_filtered_grid_the_next_picture_is_chosen_when_one_leaves(qtbot, grid, edits):
    classes = grid.findChild(ClassFilter)
    qtbot.mouseClick(classes.viewport(), LEFT, pos=classes.visualItemRect(classes.item(1)).center())
    click(qtbot, grid, 1)
    with qtbot.waitSignal(grid.refreshed):
        qtbot.keyClick(grid.view(), Qt.Key.Key_2)
    assert chosen(grid) == ["disc_002.png"]


def test_the_menu_relabels_sets_aside_and_takes_back(qtbot, grid, edits):
    click(qtbot, grid, 0)
    grid.view().customContextMenuRequested.emit(centre(grid, 0))
    menu = QApplication.activePopupWidget()
    assert isinstance(menu, QMenu)
    texts = {action.text().replace("&", ""): action for action in menu.actions()}
    assert not texts["Back to what the files say"].isEnabled()
    really = texts["Is really"].menu()
    really.aboutToShow.emit()
    assert [action.text() for action in really.actions()] == ["disc\t1", "square\t2", "", "&Another class …"]
    menu.close()
    with qtbot.waitSignal(grid.refreshed):
        qtbot.mouseClick(button(grid, "Set aside"), LEFT)
    assert "disc_000.png" not in classes_of(edits)
    assert names(grid)[-2:] == ["disc_000.png", "broken.png"]
    assert chosen(grid) == ["disc_000.png"]
    with qtbot.waitSignal(grid.refreshed):
        qtbot.mouseClick(button(grid, "Take back"), LEFT)
    assert classes_of(edits)["disc_000.png"] == "disc"


def test_a_new_class_is_written_in(qtbot, grid, edits):
    click(qtbot, grid, 0)

    def write_name() -> None:
        dialog = QApplication.activeModalWidget()
        assert isinstance(dialog, QInputDialog)
        line = dialog.findChild(QLineEdit)
        line.selectAll()
        qtbot.keyClicks(line, "ring & dot")
        qtbot.keyClick(line, Qt.Key.Key_Return)

    menu = button(grid, "Is really").menu()
    menu.popup(grid.mapToGlobal(QPoint(0, 0)))
    other = menu.actions()[-1]
    QTimer.singleShot(0, write_name)
    with qtbot.waitSignal(grid.refreshed):
        qtbot.mouseClick(menu, LEFT, pos=menu.actionGeometry(other).center())
    assert classes_of(edits)["disc_000.png"] == "ring & dot"
    menu.aboutToShow.emit()
    assert [action.data() for action in menu.actions()][:3] == ["disc", "ring & dot", "square"]


def test_enter_opens_a_picture_large_where_it_can_be_relabelled_too(qtbot, grid, edits):
    click(qtbot, grid, 1)
    qtbot.keyClick(grid.view(), Qt.Key.Key_Return)
    viewer = grid.findChild(DatasetViewer)
    assert viewer.caption().startswith("“disc”, 48 × 48 pixels.")
    qtbot.waitUntil(viewer.findChild(PictureView).has_picture)
    qtbot.keyClick(viewer.focusWidget(), Qt.Key.Key_Left)
    assert viewer.caption().startswith("“disc”, 200 × 100 pixels.")
    with qtbot.waitSignal(grid.refreshed):
        qtbot.keyClick(viewer, Qt.Key.Key_2)
    assert viewer.caption().startswith("“square”, decided by you")
    assert classes_of(edits)["disc_000.png"] == "square"
    qtbot.keyClick(viewer, Qt.Key.Key_Right)
    with qtbot.waitSignal(grid.refreshed):
        qtbot.mouseClick(button(viewer, "Set aside"), LEFT)
    assert viewer.caption().startswith("Set aside, decided by you")
    qtbot.keyClick(viewer, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: grid.findChild(DatasetViewer) is None)


def test_zoom_keeps_the_picture_at_the_top_and_reads_anew(qtbot, grid):
    first = grid.pictures()[0].path
    qtbot.waitUntil(lambda: grid.view().thumbnail(first) is not None)
    slider = grid.findChild(QSlider)
    slider.setFocus()
    qtbot.keyClick(slider, Qt.Key.Key_End)
    qtbot.waitUntil(lambda: grid.view().thumbnail(first) is not None and grid.view().thumbnail(first).width() == 256)
    qtbot.keyClick(slider, Qt.Key.Key_Home)
    assert centre(grid, 8).y() == centre(grid, 0).y()  # small enough for one line of nine


def test_without_edits_nothing_can_be_changed(qtbot, edits):
    grid = DatasetGrid()
    qtbot.addWidget(grid)
    with qtbot.waitSignal(grid.refreshed):
        grid.show_index(edits.index)
    grid.show()
    click(qtbot, grid, 0)
    qtbot.keyClick(grid.view(), Qt.Key.Key_2)
    assert edits.history().count() == 0
    assert not button(grid, "Set aside").isVisible()
    grid.view().customContextMenuRequested.emit(centre(grid, 0))
    menu = QApplication.activePopupWidget()
    assert [a.text().replace("&", "") for a in menu.actions()] == ["Open large", "Show in file manager", "Copy path"]
    menu.close()


def test_fifty_thousand_pictures_scroll_and_only_those_in_view_are_read(qtbot, folder):
    real = sorted((folder / "disc").glob("*.png"))
    paths = [*map(str, real[:3]), *(f"{folder}/{number:05}.jpg" for number in range(49_994)), *map(str, real[3:])]
    images = tuple(ImageRecord(path, 0, None, "", 48, 48) for path in paths)
    grid = DatasetGrid()
    qtbot.addWidget(grid)
    grid.resize(900, 600)
    grid.show()
    with qtbot.waitSignal(grid.refreshed):
        grid.show_index(DatasetIndex((str(folder),), ("a", "b"), images, (), 0.1))
    view, last = grid.view(), grid.pictures()[-1].path
    qtbot.waitUntil(lambda: view.thumbnail(grid.pictures()[0].path) is not None)
    assert view.thumbnail(last) is None
    view.setFocus()
    qtbot.keyClick(view, Qt.Key.Key_End)
    qtbot.waitUntil(lambda: view.thumbnail(last) is not None)
    assert view.viewport().rect().contains(centre(grid, 49_999))
    assert view.thumbnail(grid.pictures()[25_000].path) is None
    click(qtbot, grid, 49_998)
    assert grid.chosen_paths() == (paths[-2],)
    click(qtbot, grid, 49_999)
    qtbot.keyClick(view, Qt.Key.Key_PageUp)
    assert 49_900 < view.currentIndex().row() < 49_999
    view.scrollToTop()
    assert centre(grid, 0).y() > 0
