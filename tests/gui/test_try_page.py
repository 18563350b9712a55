"""The try page: pictures come in by drop, paste and choice; answers and tables come out."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, QObject, QPoint, QPointF, Qt, QUrl, Slot
from PySide6.QtGui import QDesktopServices, QDragEnterEvent, QDragLeaveEvent, QDropEvent, QGuiApplication, QImage
from PySide6.QtWidgets import QApplication, QFileDialog, QLabel, QPushButton

from tests.factories import draw
from tests.gui.run_files import choose, run_folder
from tlstudio.core.events import JobEnded, Progress
from tlstudio.core.jobs import Predict
from tlstudio.gui.pages.try_page import TryPage
from tlstudio.gui.widgets.image_grid import ImageGrid
from tlstudio.gui.widgets.image_viewer import PictureView
from tlstudio.gui.widgets.probability_bars import ProbabilityBars
from tlstudio.gui.widgets.state_panel import StatePanel


@pytest.fixture
def pictures(tmp_path):
    paths = [tmp_path / "in" / f"{number}.png" for number in range(3)]
    paths[0].parent.mkdir()
    for number, path in enumerate(paths):
        draw("square", number).save(path)
    return [str(path) for path in paths]


@pytest.fixture
def page(qtbot, tmp_path):
    page = TryPage()
    qtbot.addWidget(page)
    page.resize(1200, 800)
    page.set_run(run_folder(tmp_path / "run"))
    page.show()
    return page


def visible_texts(page) -> str:
    return "\n".join(label.text() for label in page.findChildren(QLabel) if label.isVisible())


def button(page, text: str) -> QPushButton:
    return next(b for b in page.findChildren(QPushButton) if b.text() == text and b.isVisible())


def drop(target, paths) -> bool:
    """Drag files over a widget and let go; return whether it took them."""
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(path) for path in paths])
    where, copy, left, none = QPoint(50, 50), Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier
    enter = QDragEnterEvent(where, copy, mime, left, none.NoModifier)
    enter.ignore()
    QApplication.sendEvent(target, enter)
    if not enter.isAccepted():
        return False
    QApplication.sendEvent(target, QDropEvent(QPointF(where), copy, mime, left, none.NoModifier))
    return True


def answers(paths, csv=None, skipped=(), images=None) -> JobEnded:
    rows = [{"path": path, "class": "crack", "probability": 0.7, "probabilities": [0.1, 0.7, 0.2]} for path in paths]
    result = {"images": images or len(rows), "skipped": list(skipped), "rows": rows, "csv": csv}
    return JobEnded(status="finished", result=result)


def test_without_a_model_nothing_is_taken(qtbot, tmp_path, pictures):
    page = TryPage()
    qtbot.addWidget(page)
    page.show()
    assert "Nothing to try yet" in visible_texts(page)
    assert not drop(page, pictures)
    page.set_run(run_folder(tmp_path / "stopped", trained=False))
    assert "no model to try" in visible_texts(page)


def test_dropped_pictures_are_asked_about_and_shown(page, qtbot, pictures):
    before = [hashlib.sha256(Path(path).read_bytes()).digest() for path in pictures]
    with qtbot.waitSignal(page.job_requested) as asked:
        assert drop(page, pictures)
    assert asked.args == [Predict(run=str(page._run.path), paths=tuple(pictures))]
    page.receive(Progress(what="Looking at pictures", done=1, total=3, seconds_left=20.0))
    assert "Looking at pictures: 1 of 3, about 20 seconds left" in visible_texts(page)
    assert not drop(page, pictures)
    page.receive(answers(pictures))
    assert "3 pictures answered." in visible_texts(page)
    assert [p.path for p in page.findChild(ImageGrid).pictures()] == pictures
    assert page.findChild(ImageGrid).model().index(0, 0).data() == "crack 70.0 %"
    assert page.findChild(ProbabilityBars).rows() == [("crack", 0.7), ("free", 0.2), ("break", 0.1)]
    assert page.findChild(ProbabilityBars).accessibleName() == "crack 70.0 %; free 20.0 %; break 10.0 %"
    qtbot.waitUntil(page.findChild(PictureView).has_picture)
    assert before == [hashlib.sha256(Path(path).read_bytes()).digest() for path in pictures]


def test_moving_in_the_grid_shows_that_picture(page, qtbot, pictures):
    drop(page, pictures)
    page.receive(answers(pictures))
    grid = page.findChild(ImageGrid)
    grid.setFocus()
    qtbot.keyClick(grid, Qt.Key.Key_Right)
    assert pictures[1] in visible_texts(page)


def test_skipped_files_are_named_with_their_reason(page, pictures):
    drop(page, pictures)
    skipped = [
        {"path": f"/a/{n}.txt", "code": "not-a-picture", "message": "This is not a picture file."} for n in range(5)
    ]
    page.receive(answers(pictures[:1], skipped=skipped))
    said = visible_texts(page)
    assert "1 picture answered. Set aside: 0.txt (This is not a picture file); " in said
    assert "and 2 more." in said


def test_failure_leaves_the_page_usable(page, qtbot, pictures):
    drop(page, pictures)
    page.receive(JobEnded(status="failed", what="The model file is damaged.", hint="Train again."))
    assert "The model file is damaged. Your pictures are untouched. Train again." in visible_texts(page)
    with qtbot.waitSignal(page.job_requested):
        drop(page, pictures)


def test_copied_files_and_copied_pixels_are_pasted(page, qtbot, pictures):
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(path) for path in pictures])
    QGuiApplication.clipboard().setMimeData(mime)
    page.activateWindow()
    with qtbot.waitSignal(page.job_requested) as asked:
        qtbot.mouseClick(button(page, "Paste"), Qt.MouseButton.LeftButton)
    assert asked.args[0].paths == tuple(pictures)
    page.receive(answers(pictures))
    pixels = QImage(30, 20, QImage.Format.Format_RGB32)
    pixels.fill(Qt.GlobalColor.darkGreen)
    QGuiApplication.clipboard().setImage(pixels)
    with qtbot.waitSignal(page.job_requested) as asked:
        qtbot.mouseClick(button(page, "Paste"), Qt.MouseButton.LeftButton)
    assert QImage(asked.args[0].paths[0]).pixelColor(5, 5) == QImage(pixels).pixelColor(5, 5)
    page.receive(answers(asked.args[0].paths))
    QGuiApplication.clipboard().setText("no picture")
    qtbot.mouseClick(button(page, "Paste"), Qt.MouseButton.LeftButton)
    assert "no picture on the clipboard" in visible_texts(page)


def test_chosen_pictures_are_asked_about(page, qtbot, pictures):
    qtbot.mouseClick(button(page, "Choose pictures …"), Qt.MouseButton.LeftButton)
    with qtbot.waitSignal(page.job_requested) as asked:
        choose(page.findChild(QFileDialog), pictures[1])
    assert asked.args[0].paths == (pictures[1],)


class OpenedFolders(QObject):
    """Stands where the desktop's file manager would."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []

    @Slot(QUrl)
    def take(self, url: QUrl) -> None:
        self.opened.append(url.toLocalFile())


def test_folder_becomes_a_table(page, qtbot, pictures, tmp_path):
    source, target = Path(pictures[0]).parent, tmp_path / "tables" / "answers.csv"
    target.parent.mkdir()
    qtbot.mouseClick(button(page, "Folder to CSV …"), Qt.MouseButton.LeftButton)
    chooser = page.findChild(QFileDialog)
    choose(chooser, source)
    qtbot.waitUntil(lambda: len(page.findChildren(QFileDialog)) == 1 and page.findChild(QFileDialog) is not chooser)
    with qtbot.waitSignal(page.job_requested) as asked:
        choose(page.findChild(QFileDialog), target)
    assert asked.args == [Predict(run=str(page._run.path), paths=(str(source),), csv=str(target))]
    with qtbot.waitSignal(page.stop_requested):
        qtbot.mouseClick(button(page, "Cancel"), Qt.MouseButton.LeftButton)
    page.receive(answers(pictures, csv=str(target), images=1500))
    assert f"The answers for 1,500 pictures are in {target}. The first 3 are shown." in visible_texts(page)
    folders = OpenedFolders()
    QDesktopServices.setUrlHandler("file", folders, "take")
    try:
        qtbot.mouseClick(button(page, "Open folder"), Qt.MouseButton.LeftButton)
    finally:
        QDesktopServices.unsetUrlHandler("file")
    assert folders.opened == [str(target.parent)]


def test_answers_of_a_run_no_longer_shown_are_dropped(page, pictures, tmp_path):
    drop(page, pictures)
    page.set_run(run_folder(tmp_path / "other"))
    page.receive(answers(pictures))
    assert not page.findChild(ImageGrid).pictures()
    assert button(page, "Paste").isEnabled()


def test_a_drag_lights_up_where_it_would_land(page, pictures):
    area = next(panel for panel in page.findChildren(StatePanel) if panel.isVisible())
    ground = area.grab().toImage().pixelColor(20, 20)
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(path) for path in pictures])
    copy, left, none = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QApplication.sendEvent(page, QDragEnterEvent(QPoint(50, 50), copy, mime, left, none))
    assert area.grab().toImage().pixelColor(20, 20) != ground
    QApplication.sendEvent(page, QDragLeaveEvent())
    assert area.grab().toImage().pixelColor(20, 20) == ground
    drop(page, pictures)
    assert area.grab().toImage().pixelColor(20, 20) == ground
