"""The runs page: every run in the app's folder, the way back into it, what is written about it, and the trash."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt, QThreadPool
from PySide6.QtWidgets import (
    QApplication,
    QComboBox,
    QFileDialog,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
)

from tests.core.test_golden_runs import GOLDEN, STAGES, VERSIONS
from tests.gui.run_files import choose, evaluation, fine_tune_events, run_folder
from tests.gui.test_storage_dialog import answer
from tlstudio.core.dataset import scan
from tlstudio.core.durable import write_json
from tlstudio.core.errors import StudioError
from tlstudio.core.jobs import Evaluate
from tlstudio.core.paths import runs_dir
from tlstudio.core.run_history import RunNotes, notes_of, trash, trashed, write_notes
from tlstudio.core.runfolder import RunFolder
from tlstudio.gui import words
from tlstudio.gui.main_window import APP_TITLE, MainWindow
from tlstudio.gui.pages.evaluate_page import ResultsPage
from tlstudio.gui.pages.runs_page import FILTER_PX, RunsPage
from tlstudio.gui.trash_dialog import TrashDialog
from tlstudio.gui.widgets.curves_together import CurvesTogether
from tlstudio.gui.widgets.offer import Offer
from tlstudio.gui.widgets.record_table import WIDEST_PX, RecordTable
from tlstudio.gui.widgets.run_comparison import RunComparison


@pytest.fixture
def page(qtbot):
    page = RunsPage()
    qtbot.addWidget(page)
    page.resize(1024, 700)
    return page


@pytest.fixture
def window(qtbot):
    window = MainWindow()
    qtbot.addWidget(window, before_close_func=MainWindow.close_now)
    window.show()
    return window


def button(page, text: str) -> QPushButton:
    return next(b for b in page.findChildren(QPushButton) if b.text() == text)


def press(qtbot, page, text: str) -> None:
    qtbot.mouseClick(button(page, text), Qt.MouseButton.LeftButton)


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


def names(table: RecordTable) -> list[str]:
    return [row[0] for row in table.texts()]


def select(table: RecordTable, qtbot, *wanted: str) -> None:
    """Click on runs, with Ctrl from the second on."""
    table.setFocus()
    for number, name in enumerate(wanted):
        centre = table.visualRect(table.model().index(names(table).index(name), 0)).center()
        modifier = Qt.KeyboardModifier.ControlModifier if number else Qt.KeyboardModifier.NoModifier
        qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, modifier, centre)


def test_no_runs_lead_to_start(page, qtbot):
    page.show()
    assert "No runs yet" in visible_texts(page)
    assert not button(page, "Open run").isVisible()
    with qtbot.waitSignal(page.page_requested) as asked:
        press(qtbot, page, "Go to Start")
    assert asked.args == ["start"]


def test_every_run_is_listed_with_what_is_known(page, qtbot):
    three_runs()
    write_notes(RunFolder(runs_dir() / "done"), RunNotes("Leaves <b>", ("field", "checked")))
    table = show_runs(page, qtbot, 3)
    when = words.moment(1_700_000_000)
    assert table.texts() == [
        ("damaged", "–", "damaged", when, "–", "–", "–", "–", "–"),
        ("cut", "–", "interrupted", when, "MobileNetV2", "Fine-tune", "3", "1,353", "–"),
        ("Leaves <b>", "94.1 % (90.2-96.8)", "finished", when, "MobileNetV2", "Fine-tune", "3", "1,353",
         "field, checked"),
    ]  # fmt: skip


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
    assert chosen.args[0].path.name == table.texts()[2][0] == "cut"
    with qtbot.waitSignal(page.run_chosen) as chosen:
        press(qtbot, page, "Open run")
    assert chosen.args[0].path.name == "cut"


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
    press(qtbot, page, "Open another run folder …")
    dialog = page.findChild(QFileDialog)
    if is_run:
        with qtbot.waitSignal(page.run_chosen) as chosen:
            choose(dialog, elsewhere)
        assert chosen.args[0].path == elsewhere
    else:
        with qtbot.assertNotEmitted(page.run_chosen):
            choose(dialog, elsewhere)
        assert "is not a run folder" in visible_texts(page)


@pytest.mark.parametrize(("plan", "words"), [('{"version": 99}', "newer version"), ("{", "is damaged")])
def test_a_run_that_cannot_be_opened_says_why(page, qtbot, plan, words):
    three_runs()
    (runs_dir() / "damaged" / "plan.json").write_text(plan)
    table = show_runs(page, qtbot, 3)
    select(table, qtbot, "damaged")
    with qtbot.assertNotEmitted(page.run_chosen):
        press(qtbot, page, "Open run")
    assert words in visible_texts(page)


def test_keys_and_buttons_act_on_the_selected_run_not_on_the_one_touched_last(page, qtbot):
    three_runs()
    table = show_runs(page, qtbot, 3)
    select(table, qtbot, "done", "cut", "cut")
    assert table.selected_rows() == [2] and table.currentIndex().row() == 1
    with qtbot.waitSignal(page.run_chosen) as chosen:
        press(qtbot, page, "Open run")
    assert chosen.args[0].path.name == "done"
    table.setFocus()
    qtbot.keyClick(table, Qt.Key.Key_F2)
    editor = QApplication.focusWidget()
    assert isinstance(editor, QLineEdit) and editor.text() == "done"


def test_a_second_press_on_delete_changes_nothing(page, qtbot):
    three_runs()
    table = show_runs(page, qtbot, 3)
    select(table, qtbot, "done")
    for _ in range(2):
        qtbot.keyClick(table, Qt.Key.Key_Delete)
    QThreadPool.globalInstance().waitForDone()
    qtbot.waitUntil(lambda: len(table.texts()) == 2)
    assert "Moved “done” to the trash." in visible_texts(page) and button(page, "Undo").isVisible()


def test_a_run_that_this_window_is_about_to_train_stays(page, qtbot):
    three_runs()
    page.set_trained(RunFolder(runs_dir() / "cut"))
    table = show_runs(page, qtbot, 3)
    assert table.texts()[1][2] == "being trained now"
    select(table, qtbot, "done", "cut")
    qtbot.keyClick(table, Qt.Key.Key_Delete)
    assert "This window is training" in visible_texts(page)
    page.set_trained(None)
    qtbot.waitUntil(lambda: table.texts()[1][2] == "interrupted")
    assert trashed() == []
    qtbot.keyClick(table, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: len(trashed()) == 2)


def test_the_table_keeps_the_focus_when_a_button_has_done_its_work(window, qtbot):
    three_runs()
    window.show_page("runs")
    page = window.pages["runs"]
    table = show_runs(page, qtbot, 3)
    select(table, qtbot, "done", "damaged")
    for work, said in (("Compare", "is damaged"), ("Move to the trash", "Moved 2 runs")):
        button(page, work).setFocus()
        qtbot.keyClick(button(page, work), Qt.Key.Key_Space)
        qtbot.waitUntil(lambda said=said: said in visible_texts(page))
        assert table.hasFocus()
    button(page, "Undo").setFocus()
    qtbot.keyClick(button(page, "Undo"), Qt.Key.Key_Space)
    assert table.hasFocus()
    qtbot.waitUntil(lambda: len(table.texts()) == 3)


def test_names_of_hundreds_of_letters_leave_room_for_the_rest(window, qtbot):
    three_runs()
    run = RunFolder(runs_dir() / "done")
    write_notes(run, RunNotes("L" * 300, ("t" * 200,)))
    write_notes(RunFolder(runs_dir() / "cut"), RunNotes("C" * 300))
    window.resize(1024, 700)
    window.show_page("runs")
    page = window.pages["runs"]
    table = show_runs(page, qtbot, 3)
    assert table.columnWidth(0) <= WIDEST_PX
    assert page.findChild(QComboBox).width() <= FILTER_PX
    select(table, qtbot, "L" * 300)
    qtbot.keyClick(table, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: "to the trash" in visible_texts(page))
    press(qtbot, page, "Undo")
    qtbot.waitUntil(lambda: len(table.texts()) == 3)
    window.set_run(run)
    for name in ("start", "train", "runs"):
        window.show_page(name)
        assert "L" * 300 in visible_texts(window)
        qtbot.waitUntil(lambda: bool(window.findChildren(Offer)))
    assert window.minimumSizeHint().width() <= 1024 and window.width() == 1024


def test_the_header_and_the_recent_runs_show_the_name_that_the_user_gave(window, qtbot):
    three_runs()
    window.set_run(RunFolder(runs_dir() / "done"))
    window.show_page("runs")
    table = show_runs(window.pages["runs"], qtbot, 3)
    select(table, qtbot, "done")
    qtbot.keyClick(table, Qt.Key.Key_F2)
    editor = QApplication.focusWidget()
    qtbot.keyClicks(editor, "Leaves <b>")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: window.windowTitle() == f"Leaves <b> – {APP_TITLE}")
    window.show_page("start")
    qtbot.waitUntil(lambda: visible_texts(window).count("Leaves <b>") == 2)


def test_f2_gives_another_name_and_leaves_the_folder(page, qtbot):
    three_runs()
    table = show_runs(page, qtbot, 3)
    select(table, qtbot, "done")
    qtbot.keyClick(table, Qt.Key.Key_F2)
    editor = QApplication.focusWidget()
    assert isinstance(editor, QLineEdit) and editor.text() == "done"
    qtbot.keyClicks(editor, "Leaves of May")
    qtbot.keyClick(editor, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: "Leaves of May" in names(table))
    assert notes_of(RunFolder(runs_dir() / "done")).name == "Leaves of May"
    assert table.selected_rows() == [2], "the same run stays selected"


def test_tags_and_note_are_kept_when_the_user_goes_on(page, qtbot):
    three_runs()
    table = show_runs(page, qtbot, 3)
    assert not page.findChild(QPlainTextEdit).isVisible()
    select(table, qtbot, "done")
    tags = next(line for line in page.findChildren(QLineEdit) if line.accessibleName() == "Tags")
    tags.setFocus()
    qtbot.keyClicks(tags, "field 2026, checked")
    qtbot.keyClick(tags, Qt.Key.Key_Tab)
    note = page.findChild(QPlainTextEdit)
    assert note.hasFocus()
    qtbot.keyClicks(note, "Good light.")
    select(table, qtbot, "cut")
    assert note.toPlainText() == "" and tags.text() == ""
    assert notes_of(RunFolder(runs_dir() / "done")) == RunNotes("", ("field 2026", "checked"), "Good light.")
    assert notes_of(RunFolder(runs_dir() / "cut")) == RunNotes()
    qtbot.waitUntil(lambda: table.texts()[2][-1] == "field 2026, checked")
    select(table, qtbot, "done")
    assert note.toPlainText() == "Good light." and tags.text() == "field 2026, checked"


def test_what_is_being_typed_survives_a_new_reading_of_the_runs(page, qtbot):
    three_runs()
    table = show_runs(page, qtbot, 3)
    select(table, qtbot, "done")
    note = page.findChild(QPlainTextEdit)
    note.setFocus()
    qtbot.keyClicks(note, "half a sen")
    run_folder(runs_dir() / "new", fine_tune_events())
    page.refresh()
    qtbot.waitUntil(lambda: len(table.texts()) == 4)
    qtbot.keyClicks(note, "tence")
    assert note.toPlainText() == "half a sentence"
    page.hide()
    assert notes_of(RunFolder(runs_dir() / "done")).note == "half a sentence"


def test_runs_are_filtered_by_words_and_tag(page, qtbot):
    three_runs()
    write_notes(RunFolder(runs_dir() / "done"), RunNotes("", ("field",), "Good light"))
    write_notes(RunFolder(runs_dir() / "cut"), RunNotes("", ("field", "old")))
    table = show_runs(page, qtbot, 3)
    line = next(one for one in page.findChildren(QLineEdit) if one.accessibleName() == "Filter the runs")
    qtbot.keyClicks(line, "LIGHT mobile")
    assert names(table) == ["done"]
    line.clear()
    tag = page.findChild(QComboBox)
    assert [tag.itemText(n) for n in range(tag.count())] == ["All tags", "field", "old"]
    tag.setFocus()
    qtbot.keyClick(tag, Qt.Key.Key_Down)
    assert names(table) == ["cut", "done"]
    qtbot.keyClicks(line, "nowhere")
    assert "No run fits" in visible_texts(page)
    press(qtbot, page, "Show all runs")
    assert names(table) == ["damaged", "cut", "done"]


def test_delete_moves_to_the_trash_and_ctrl_z_brings_back(page, qtbot):
    three_runs()
    table = show_runs(page, qtbot, 3)
    select(table, qtbot, "done", "damaged")
    qtbot.keyClick(table, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: names(table) == ["cut"])
    assert "Moved 2 runs to the trash." in visible_texts(page) and len(trashed()) == 2
    select(table, qtbot, "cut")
    qtbot.keyClick(table, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: table.texts() == [])
    assert "No runs yet" in visible_texts(page) and "Moved “cut” to the trash." in visible_texts(page)
    press(qtbot, page, "Undo")
    qtbot.waitUntil(lambda: names(table) == ["cut"])
    table.setFocus()
    qtbot.keyClick(table, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(lambda: sorted(names(table)) == ["cut", "damaged", "done"])
    assert trashed() == [] and (runs_dir() / "done" / "model.safetensors").read_bytes() == b"weights"


def test_a_run_that_is_being_trained_stays_and_the_reason_is_said(page, qtbot):
    three_runs()
    with RunFolder(runs_dir() / "cut").held():
        table = show_runs(page, qtbot, 3)
        assert table.texts()[1][2] == "being trained now"
        select(table, qtbot, "cut")
        press(qtbot, page, "Move to the trash")
        qtbot.waitUntil(lambda: "is being trained already" in visible_texts(page))
    assert trashed() == [] and not button(page, "Undo").isVisible()


def test_the_open_run_leaves_the_other_pages_when_it_goes(window, qtbot):
    three_runs()
    window.set_run(RunFolder(runs_dir() / "done"))
    window.show_page("runs")
    table = show_runs(window.pages["runs"], qtbot, 3)
    select(table, qtbot, "cut")
    qtbot.keyClick(table, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: len(table.texts()) == 2)
    assert "done" in window.windowTitle()
    select(table, qtbot, "done")
    qtbot.keyClick(table, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: window.windowTitle() == APP_TITLE)


def test_a_run_discarded_at_the_start_leaves_the_other_pages(window, qtbot, two_classes):
    run = run_folder(runs_dir() / "cut", fine_tune_events()[:5])
    write_json(run.dataset_file, scan([two_classes]))
    window.set_run(run)
    window.show_page("start")
    qtbot.waitUntil(lambda: bool(window.findChildren(Offer)))
    for _ in range(2):
        press(qtbot, window.findChild(Offer), "Discard")
    qtbot.waitUntil(lambda: window.windowTitle() == APP_TITLE)
    assert window.start_page.message() == "“cut” was moved to the trash."
    qtbot.waitUntil(lambda: button(window.start_page, "&Undo").isVisible())
    assert button(window.start_page, "&Undo").hasFocus() and len(trashed()) == 1


def test_order_and_widths_are_remembered(qtbot):
    three_runs()
    first = RunsPage()
    qtbot.addWidget(first)
    first.resize(1200, 700)
    table = show_runs(first, qtbot, 3)
    table.sortByColumn(0, Qt.SortOrder.DescendingOrder)
    table.setColumnWidth(0, 321)
    first.hide()
    second = RunsPage()
    qtbot.addWidget(second)
    second.resize(1200, 700)
    table = show_runs(second, qtbot, 3)
    assert table.columnWidth(0) == 321 and names(table) == ["done", "damaged", "cut"]


def test_the_trash_gives_back_and_empties_only_after_a_question(page, qtbot):
    three_runs()
    trash(RunFolder(runs_dir() / "cut"))
    table = show_runs(page, qtbot, 2)
    select(table, qtbot, "done")
    qtbot.keyClick(table, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: len(table.texts()) == 1)
    press(qtbot, page, "Trash …")
    dialog = page.findChild(TrashDialog)
    inside = dialog.findChild(RecordTable)
    qtbot.waitUntil(lambda: names(inside) == ["done", "cut"])
    select(inside, qtbot, "cut")
    for _ in range(2):
        press(qtbot, dialog, "&Put back")
    qtbot.waitUntil(lambda: names(inside) == ["done"] and len(table.texts()) == 2)
    answer("Keep")
    press(qtbot, dialog, "&Empty the trash: 1 MB")
    assert len(trashed()) == 1
    answer("Delete 1 run")
    press(qtbot, dialog, "&Empty the trash: 1 MB")
    qtbot.waitUntil(lambda: names(inside) == [])
    assert trashed() == []
    assert not button(page, "Undo").isVisible() and "Moved" not in visible_texts(page)
    assert not button(dialog, "The trash is empty").isEnabled()


def test_two_to_six_runs_are_compared(page, qtbot):
    for version in VERSIONS:
        for regime in STAGES:
            shutil.copytree(GOLDEN / version / regime, runs_dir() / f"{version} {regime}")
    table = show_runs(page, qtbot, 2 * len(VERSIONS))
    select(table, qtbot, "version-3 head")
    assert not button(page, "Compare").isEnabled()
    select(table, qtbot, "version-3 head", "version-3 fine-tune")
    press(qtbot, page, "Compare")
    comparison = page.findChild(RunComparison)
    qtbot.waitUntil(comparison.isVisible)
    said = visible_texts(comparison)
    assert "Comparing 2 runs" in said
    assert "Of 4 pictures that judged both" in said and "right on the very same ones" in said
    assert "Way of training\nNew head\nFine-tune" in said or "Way of training\nFine-tune\nNew head" in said
    assert "The pictures and their split are alike." in said and "100.0 % (51.0-100.0)" in said
    assert len(comparison.findChildren(CurvesTogether)) == 1
    qtbot.keyClick(comparison, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: table.isVisible())
    table.selectAll()
    press(qtbot, page, "Compare")
    qtbot.waitUntil(comparison.isVisible)
    assert "Comparing 6 runs" in visible_texts(comparison)
    assert "cannot be compared picture by picture" in visible_texts(comparison)


def test_results_of_a_model_that_has_learned_on_are_not_shown_as_its_own(qtbot):
    run = run_folder(runs_dir() / "leaves", fine_tune_events())
    run.keep(run.evaluation_file, evaluation([f"{n}.png" for n in range(6)]))
    assert run.is_judged()
    judged = run.evaluation_file.stat().st_mtime_ns
    os.utime(run.model_file, ns=(judged, judged + 1))
    assert not run.is_judged()
    page = ResultsPage()
    qtbot.addWidget(page)
    with qtbot.waitSignal(page.job_requested) as asked:
        page.set_run(run)
    assert asked.args == [Evaluate(run=str(run.path))]


def test_a_damaged_run_is_not_compared_and_the_list_stays(page, qtbot):
    three_runs()
    table = show_runs(page, qtbot, 3)
    select(table, qtbot, "done", "damaged")
    press(qtbot, page, "Compare")
    qtbot.waitUntil(lambda: "is damaged" in visible_texts(page))
    assert table.isVisible()


@pytest.mark.parametrize("regime", list(STAGES))
@pytest.mark.parametrize("version", VERSIONS)
def test_every_page_shows_a_run_of_an_older_version(qtbot, version, regime):
    run = runs_dir() / f"{version} {regime}"
    shutil.copytree(GOLDEN / version / regime, run)
    window = MainWindow()
    qtbot.addWidget(window)
    window.show()
    window.set_run(RunFolder(run))
    for name in ("pictures", "train", "results", "runs"):
        window.show_page(name)
    said = visible_texts(window)
    assert Path(run).name in said and "16 pictures in 2 classes" in said and "damaged" not in said
    window.close_now()


def test_a_trash_that_cannot_be_listed_is_said_and_offers_nothing(qtbot):
    dialog = TrashDialog()
    qtbot.addWidget(dialog)
    dialog._take("list", StudioError("The trash cannot be read.", "Check the disk."))
    assert "The trash cannot be read. Check the disk." in [label.text() for label in dialog.findChildren(QLabel)]
    assert dialog.findChild(RecordTable).texts() == []
