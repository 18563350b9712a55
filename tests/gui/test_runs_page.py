"""The runs page: every run in the app's folder, and the way back into it."""

from __future__ import annotations

import os

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QFileDialog, QLabel, QPushButton

from tests.gui.run_files import choose, fine_tune_events, run_folder
from tlstudio.core.paths import runs_dir
from tlstudio.gui.pages.runs_page import RunsPage, _when
from tlstudio.gui.widgets.record_table import RecordTable


@pytest.fixture
def page(qtbot):
    page = RunsPage()
    qtbot.addWidget(page)
    page.resize(1024, 700)
    return page


def button(page, text: str) -> QPushButton:
    return next(b for b in page.findChildren(QPushButton) if b.text() == text)


def visible_texts(page) -> str:
    return "\n".join(label.text() for label in page.findChildren(QLabel) if label.isVisible())


def show_runs(page, qtbot, count: int) -> RecordTable:
    page.show()
    table = page.findChild(RecordTable)
    qtbot.waitUntil(lambda: len(table.texts()) == count)
    return table


def three_runs() -> None:
    """Write a finished run, one cut off, and one whose plan cannot be read; the later the newer."""
    run_folder(runs_dir() / "done", fine_tune_events())
    run_folder(runs_dir() / "cut", fine_tune_events()[:4], trained=False)
    damaged = run_folder(runs_dir() / "damaged")
    damaged.plan_file.write_text("{")
    for age, name in enumerate(("damaged", "cut", "done")):
        os.utime(runs_dir() / name / "plan.json", (1_700_000_000 - age, 1_700_000_000 - age))


def test_no_runs_lead_to_start(page, qtbot):
    page.show()
    assert "No runs yet" in visible_texts(page)
    assert not button(page, "Open run").isVisible()
    with qtbot.waitSignal(page.page_requested) as asked:
        qtbot.mouseClick(button(page, "Go to Start"), Qt.MouseButton.LeftButton)
    assert asked.args == ["start"]


def test_every_run_is_listed_with_what_is_known(page, qtbot):
    three_runs()
    table = show_runs(page, qtbot, 3)
    when = _when(1_700_000_000)
    assert table.texts() == [
        ("damaged", "–", "damaged", when, "–", "–", "–", "–"),
        ("cut", "–", "interrupted", when, "MobileNetV2", "Fine-tune", "3", "1,353"),
        ("done", "94.1 % (90.2-96.8)", "finished", when, "MobileNetV2", "Fine-tune", "3", "1,353"),
    ]


def test_enter_and_double_click_open_a_run_however_it_is_sorted(page, qtbot):
    three_runs()
    table = show_runs(page, qtbot, 3)
    header = table.horizontalHeader()
    where = QPoint(header.sectionViewportPosition(1) + 5, header.height() // 2)
    qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=where)
    assert table.texts()[0][0] == "done"
    table.setFocus()
    table.setCurrentIndex(table.model().index(0, 0))
    with qtbot.waitSignal(page.run_chosen) as chosen:
        qtbot.keyClick(table, Qt.Key.Key_Return)
    assert chosen.args[0].path == runs_dir() / "done"
    centre = table.visualRect(table.model().index(2, 0)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=centre)
    with qtbot.waitSignal(page.run_chosen) as chosen:
        qtbot.mouseDClick(table.viewport(), Qt.MouseButton.LeftButton, pos=centre)
    assert chosen.args[0].path.name == table.texts()[2][0]
    with qtbot.waitSignal(page.run_chosen) as chosen:
        qtbot.mouseClick(button(page, "Open run"), Qt.MouseButton.LeftButton)
    assert chosen.args[0].path.name == table.texts()[2][0]


def test_runs_are_read_again_when_the_page_is_shown(page, qtbot):
    page.show()
    page.hide()
    three_runs()
    show_runs(page, qtbot, 3)


@pytest.mark.parametrize("is_run", [True, False])
def test_another_folder_is_opened_if_it_is_a_run(page, qtbot, tmp_path, is_run):
    elsewhere = tmp_path / "usb" / "run"
    if is_run:
        run_folder(elsewhere, fine_tune_events())
    else:
        elsewhere.mkdir(parents=True)
    page.show()
    qtbot.mouseClick(button(page, "Open another run folder …"), Qt.MouseButton.LeftButton)
    dialog = page.findChild(QFileDialog)
    if is_run:
        with qtbot.waitSignal(page.run_chosen) as chosen:
            choose(dialog, elsewhere)
        assert chosen.args[0].path == elsewhere
    else:
        with qtbot.assertNotEmitted(page.run_chosen):
            choose(dialog, elsewhere)
        assert "is not a run folder" in visible_texts(page)
