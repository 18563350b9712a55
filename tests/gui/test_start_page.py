"""Dropping, pasting and choosing folders; recent runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PySide6.QtCore import QMimeData, Qt, QUrl
from PySide6.QtGui import QGuiApplication, QKeySequence
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel, QPlainTextEdit, QPushButton

from tests.factories import class_folders
from tests.gui.drops import drop
from tlstudio.core import unexpected
from tlstudio.core.dataset import scan
from tlstudio.core.events import EpochEnded, RunEnded, RunStarted, encode_event
from tlstudio.core.jobs import Resume
from tlstudio.core.paths import data_dir, runs_dir
from tlstudio.core.plan import Augmentation, Plan
from tlstudio.core.run_history import trashed
from tlstudio.core.runfolder import RunFolder
from tlstudio.core.split import split
from tlstudio.gui.dialogs import ErrorsDialog
from tlstudio.gui.pages.start_page import StartPage, recent_runs
from tlstudio.gui.widgets.drop_zone import DropZone
from tlstudio.gui.widgets.offer import Offer

WAIT_MS = 20_000


@pytest.fixture
def page(qtbot):
    page = StartPage()
    qtbot.addWidget(page)
    page.resize(860, 600)
    page.show()
    return page


def zone_of(page: StartPage) -> DropZone:
    zone = page.findChild(DropZone)
    assert zone is not None
    return zone


def button(page: StartPage, text: str) -> QPushButton:
    return next(found for found in page.findChildren(QPushButton) if text in found.text().replace("&", ""))


def a_run(folder, name: str, accuracy: float | None) -> RunFolder:
    index = scan([folder])
    run = RunFolder(runs_dir() / name)
    plan = Plan(
        backbone="resnet18", weights_file="", weights_sha256="", regime="head", head="linear", stages=(),
        augmentation=Augmentation(), batch_size=32, seed=0, device="cpu", threads=1,
    )  # fmt: skip
    run.start(plan, index, split(index, seed=0))
    started = RunStarted(
        run=name, regime="head", backbone="resnet18", device="CPU", classes=index.classes,
        train_images=10, val_images=2, stages=("head",), time_s=0.0,
    )  # fmt: skip
    lines = encode_event(started)
    if accuracy is not None:
        lines += encode_event(RunEnded(status="finished", val_accuracy=accuracy, val_interval=(0.8, 0.97)))
    run.events_file.write_bytes(lines)
    return run


def test_dropped_folders_are_announced_all_at_once(page, qtbot, tmp_path):
    folders = (tmp_path / "discs", tmp_path / "squares")
    for folder in folders:
        folder.mkdir()
    with qtbot.waitSignal(page.folders_chosen) as heard:
        assert drop(zone_of(page), folders)
    assert heard.args == [folders]
    assert page.message() == ""


def test_a_dropped_file_is_explained_and_opens_nothing(page, qtbot, tmp_path):
    file = tmp_path / "picture.png"
    file.write_bytes(b"not even a picture")
    with qtbot.assertNotEmitted(page.folders_chosen):
        assert drop(zone_of(page), [file])
    assert "one folder inside it for each class" in page.message()


def test_an_archive_is_taken_like_a_folder_but_alone(page, qtbot, tmp_path):
    archive = Path(shutil.make_archive(str(tmp_path / "shapes"), "zip", class_folders(tmp_path / "pictures")))
    with qtbot.waitSignal(page.folders_chosen) as heard:
        assert drop(zone_of(page), [archive])
    assert heard.args == [(archive,)]
    with qtbot.assertNotEmitted(page.folders_chosen):
        drop(zone_of(page), [archive, tmp_path / "pictures"])
    assert "one zip archive at a time" in page.message()


def test_a_table_brings_the_folder_it_lies_in(page, qtbot, tmp_path):
    folder = class_folders(tmp_path / "pictures")
    table = folder / "labels.csv"
    table.write_text("file,class\n", encoding="utf-8")
    with qtbot.waitSignal(page.table_chosen) as heard:
        assert drop(zone_of(page), [table])
    assert heard.args == [(folder,), str(table)]
    with qtbot.waitSignal(page.table_chosen) as heard:
        assert drop(zone_of(page), [table, tmp_path])
    assert heard.args == [(tmp_path,), str(table)]


def test_text_dragged_from_elsewhere_is_not_taken(page):
    assert not drop(zone_of(page), [])


def test_folders_can_be_pasted(page, qtbot, tmp_path):
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(tmp_path))])
    QGuiApplication.clipboard().setMimeData(mime)
    zone_of(page).setFocus()
    with qtbot.waitSignal(page.folders_chosen) as heard:
        QTest.keySequence(zone_of(page), QKeySequence(QKeySequence.StandardKey.Paste))
    assert heard.args == [(tmp_path,)]


def test_the_sample_pictures_are_drawn_once(page, qtbot):
    samples = button(page, "sample pictures")
    with qtbot.waitSignal(page.folders_chosen, timeout=WAIT_MS) as heard:
        QTest.mouseClick(samples, Qt.MouseButton.LeftButton)
        assert not samples.isEnabled()
    ((folder,),) = heard.args
    assert folder == data_dir() / "samples"
    assert len(scan([folder]).classes) >= 2
    assert samples.isEnabled()
    made = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with qtbot.waitSignal(page.folders_chosen, timeout=WAIT_MS):
        QTest.mouseClick(samples, Qt.MouseButton.LeftButton)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == made
    assert [path.name for path in data_dir().iterdir() if "samples" in path.name] == ["samples"]


def test_recent_runs_are_cards_that_open_by_keyboard(page, qtbot, tmp_path):
    pictures = class_folders(tmp_path / "pictures")
    run = a_run(pictures, "Leaves", 0.941)
    page.refresh()
    qtbot.waitUntil(lambda: any("Leaves" in found.accessibleName() for found in page.findChildren(QPushButton)))
    card = next(found for found in page.findChildren(QPushButton) if "Leaves" in found.accessibleName())
    assert card.accessibleName() == "Run Leaves: Val accuracy 94.1 % (80.0-97.0)"
    card.setFocus()
    with qtbot.waitSignal(page.run_chosen) as heard:
        QTest.keyClick(card, Qt.Key.Key_Space)
    assert heard.args[0].path == run.path


def test_runs_that_ended_early_or_cannot_be_read_do_no_harm(tmp_path):
    pictures = class_folders(tmp_path / "pictures")
    a_run(pictures, "Cut off", None)
    broken = a_run(pictures, "Broken", 0.9)
    broken.dataset_file.write_text("{", encoding="utf-8")
    (only,) = recent_runs(runs_dir())
    assert only.run.path.name == "Cut off"
    assert only.outcome == "The training was not finished"
    assert only.pictures == "12 pictures in 2 classes"


EPOCH = EpochEnded(
    stage="fine-tune", epoch=2, epochs=5, train_loss=0.1, train_accuracy=1.0, val_loss=None, val_accuracy=None,
    images_per_second=None,
)  # fmt: skip


def offers(qtbot, page: StartPage, count: int) -> list[str]:
    """Read the runs anew; return what is offered once so many offers are there."""
    page.refresh()
    qtbot.waitUntil(lambda: len(sentences(page)) == count, timeout=WAIT_MS)
    return sentences(page)


def labels(page: StartPage) -> list[str]:
    return [label.text() for label in page.findChildren(QLabel)]


def sentences(page: StartPage) -> list[str]:
    return [offer.findChild(QLabel).text() for offer in page.findChildren(Offer) if offer.isVisible()]


def interrupted(folder, name: str, *, model: bool = False) -> RunFolder:
    run = a_run(folder, name, None)
    with run.events_file.open("ab") as log:
        log.write(encode_event(EPOCH))
    if model:
        run.model_file.write_bytes(b"weights")
    return run


def test_an_interrupted_run_is_offered_in_words_and_can_be_continued(page, qtbot, two_classes):
    run = interrupted(two_classes, "leaves")
    assert offers(qtbot, page, 1) == [
        "The training of “leaves” was interrupted. Stage “fine-tune”, epoch 2 of 5, is done and safe."
    ]
    assert not any(found.text() == "Show result so far" for found in page.findChildren(QPushButton))
    with qtbot.waitSignal(page.resume_requested) as asked:
        QTest.mouseClick(button(page, "Continue"), Qt.MouseButton.LeftButton)
    assert asked.args == [Resume(run=str(run.path))]


def test_a_paused_run_says_why_and_shows_its_result_so_far(page, qtbot, two_classes):
    run = interrupted(two_classes, "leaves", model=True)
    with run.events_file.open("ab") as log:
        log.write(encode_event(RunEnded(status="paused", cause="disk-full", what="The disk is full.")))
    assert offers(qtbot, page, 1)[0].startswith("The training of “leaves” is paused. The disk is full.")
    with qtbot.waitSignal(page.run_chosen) as chosen:
        QTest.mouseClick(button(page, "Show result so far"), Qt.MouseButton.LeftButton)
    assert chosen.args[0].path == run.path


def test_a_run_that_another_process_lets_go_of_is_offered_while_the_page_is_in_view(page, qtbot, two_classes):
    run = interrupted(two_classes, "leaves")
    with run.held():
        page.refresh()
        qtbot.waitUntil(lambda: "It is being trained now" in labels(page))
        assert offers(qtbot, page, 0) == []
    offers(qtbot, page, 1)
    assert "The training was not finished" in labels(page)
    offer = page.findChild(Offer)
    with qtbot.waitSignal(page._background.done):
        page.refresh()
    assert page.findChild(Offer) is offer and offer.isVisible(), "what has not changed keeps the focus"


def test_a_discarded_run_goes_to_the_trash_and_comes_back(page, qtbot, two_classes):
    run = interrupted(two_classes, "leaves")
    offers(qtbot, page, 1)
    QTest.mouseClick(button(page, "Discard"), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: sentences(page) == [], timeout=WAIT_MS)
    assert page.message() == "“leaves” was moved to the trash."
    assert not run.path.exists() and len(trashed()) == 1
    QTest.mouseClick(button(page, "Undo"), Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(sentences(page)) == 1, timeout=WAIT_MS)
    assert run.plan_file.is_file() and not trashed()
    assert not button(page, "Undo").isVisible() and page.message() == ""


def test_what_this_window_trains_is_not_offered(page, qtbot, two_classes):
    run = interrupted(two_classes, "leaves")
    offers(qtbot, page, 1)
    page.set_trained(run)
    qtbot.waitUntil(lambda: sentences(page) == [], timeout=WAIT_MS)
    page.set_trained(None)
    qtbot.waitUntil(lambda: len(sentences(page)) == 1, timeout=WAIT_MS)


def test_tab_goes_through_the_page_from_top_to_bottom(page, qtbot, two_classes):
    interrupted(two_classes, "leaves")
    offers(qtbot, page, 1)
    page.activateWindow()
    wanted = [
        button(page, "Continue"),
        button(page, "Discard"),
        zone_of(page),
        button(page, "Try with sample pictures"),
    ]
    wanted[0].setFocus()
    reached = []
    for _ in wanted:
        reached.append(QApplication.focusWidget())
        QTest.keyClick(QApplication.focusWidget(), Qt.Key.Key_Tab)
    assert reached == wanted


def test_of_many_interrupted_runs_the_newest_are_offered(page, qtbot, two_classes):
    for number in range(5):
        interrupted(two_classes, f"run {number}")
    assert offers(qtbot, page, 3)[2] == "3 more trainings were interrupted."
    with qtbot.waitSignal(page.page_requested) as asked:
        QTest.mouseClick(button(page, "Show all runs"), Qt.MouseButton.LeftButton)
    assert asked.args == ["runs"]


def test_unexpected_errors_are_shown_once_and_as_plain_text(page, qtbot):
    page.tell_unexpected(False)
    assert sentences(page) == []
    unexpected.note("<b>trouble</b>")
    page.tell_unexpected(True)
    qtbot.waitUntil(lambda: bool(sentences(page)))
    assert sentences(page) == ["The app ended unexpectedly last time. Your pictures and runs are safe."]
    QTest.mouseClick(button(page, "Show what happened"), Qt.MouseButton.LeftButton)
    dialog = QApplication.activeModalWidget()
    assert isinstance(dialog, ErrorsDialog)
    assert "<b>trouble</b>" in dialog.findChild(QPlainTextEdit).toPlainText()
    with qtbot.waitSignal(page.report_requested):
        report = next(found for found in dialog.findChildren(QPushButton) if "Report" in found.text())
        QTest.mouseClick(report, Qt.MouseButton.LeftButton)
    assert sentences(page) == []
    page.tell_unexpected(True)
    assert page._crash is None, "it was seen"


def test_dismissed_errors_do_not_come_back(page, qtbot):
    unexpected.note("trouble")
    page.tell_unexpected(False)
    qtbot.waitUntil(lambda: bool(sentences(page)))
    assert sentences(page) == ["Something unexpected happened last time. Your pictures and runs are safe."]
    QTest.mouseClick(button(page, "Dismiss"), Qt.MouseButton.LeftButton)
    page.tell_unexpected(False)
    assert page._crash is None and "trouble" in unexpected.noted()
