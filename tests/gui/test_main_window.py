"""The frame: pages, jobs, closing. The engine is a real process throughout."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from PySide6.QtCore import Qt, QTimer
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QMessageBox, QPlainTextEdit, QPushButton, QToolButton

from tests.factories import class_folders
from tests.gui.drops import drop
from tests.gui.run_files import fine_tune_events, run_folder
from tlstudio.app import loses_none
from tlstudio.core.dataset import scan
from tlstudio.core.durable import write_json
from tlstudio.core.events import RunEnded, encode_event
from tlstudio.core.jobs import Resume, Train
from tlstudio.core.paths import crash_log, runs_dir
from tlstudio.core.problem_report import versions_text
from tlstudio.core.run_history import RunNotes, write_notes
from tlstudio.core.runfolder import RunFolder
from tlstudio.gui.dialogs import AboutDialog
from tlstudio.gui.engine_thread import WORKER_COMMAND, EnginePool
from tlstudio.gui.main_window import NEEDS_MODEL, PAGES, MainWindow
from tlstudio.gui.widgets.drop_zone import DropZone
from tlstudio.gui.widgets.offer import Offer
from tlstudio.gui.widgets.one_line import OneLine
from tlstudio.gui.widgets.record_table import RecordTable
from tlstudio.gui.widgets.state_panel import StatePanel

WAIT_MS = 60_000
LEFT = Qt.MouseButton.LeftButton
TRAINING = """
say(event="run_started", run="r", regime="head", backbone="b", device="CPU", classes=["a", "b"],
    train_images=8, val_images=2, stages=["head", "fine-tune"], time_s=0.0)
say(event="stage_started", stage="fine-tune", index=1, epochs=4, sentence="Everything learns gently.")
say(event="batch_ended", stage="fine-tune", epoch=3, batch=0, batches=4, loss=0.5, images_per_second=9.0)
sys.stdin.readline()
say(event="run_ended", status="stopped")
say(event="job_ended", status="stopped")
"""


def make_window(qtbot, command: tuple[str, ...] = WORKER_COMMAND) -> MainWindow:
    window = MainWindow(EnginePool(command))
    qtbot.addWidget(window, before_close_func=MainWindow.close_now)
    window.show()
    return window


@pytest.fixture
def window(qtbot):
    return make_window(qtbot)


def rail(window: MainWindow, title: str) -> QToolButton:
    return next(found for found in window.findChildren(QToolButton) if found.text() == title)


def interrupted_run(tmp_path: Path) -> RunFolder:
    """A run whose training was cut off before it had a model."""
    run = run_folder(runs_dir() / "Leaves", fine_tune_events()[:5], trained=False)
    write_json(run.dataset_file, scan([class_folders(tmp_path / "leaves")]))
    return run


def dying(tmp_path: Path, times: int, how: str) -> str:
    """Return the lines of an engine that notes its job and ends badly so many times, and trains after that."""
    jobs = str(tmp_path / "jobs")
    return f"open({jobs!r}, 'a').write(job)\nif len(open({jobs!r}).readlines()) <= {times}:\n    {how}\n{TRAINING}"


def jobs_of(tmp_path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (tmp_path / "jobs").read_text(encoding="utf-8").splitlines()]


def visible_button(window: MainWindow, text: str) -> QPushButton:
    return next(found for found in window.findChildren(QPushButton) if found.text() == text and found.isVisible())


def start_training(qtbot, window: MainWindow) -> None:
    window._train(Train(folders=("x",), run=str(runs_dir() / "Leaves")))
    qtbot.waitUntil(lambda: window.windowTitle().startswith("75 %"), timeout=WAIT_MS)


def answer(text: str) -> list[str]:
    """Press the button of that name in the next message box; return, later, what the box said."""
    said: list[str] = []

    def press() -> None:
        box = QApplication.activeModalWidget()
        assert isinstance(box, QMessageBox)
        said.append(f"{box.text()} {box.informativeText()}")
        button = next(found for found in box.buttons() if found.text().replace("&", "") == text)
        QTest.mouseClick(button, LEFT)

    QTimer.singleShot(0, press)
    return said


def test_pages_that_cannot_be_used_say_why(window):
    assert window.page_name() == "start"
    assert [rail(window, title).isEnabled() for _, title, _ in PAGES] == [True, *[False] * 5, True]
    assert rail(window, "Export").toolTip() == NEEDS_MODEL
    QTest.mouseClick(rail(window, "Export"), LEFT)
    assert window.page_name() == "start"


def test_the_rail_works_by_mouse_and_by_keyboard(window):
    QTest.mouseClick(rail(window, "Runs"), LEFT)
    assert window.page_name() == "runs"
    rail(window, "Start").setFocus()
    QTest.keyClick(rail(window, "Start"), Qt.Key.Key_Space)
    assert window.page_name() == "start"


def test_a_dropped_folder_opens_the_wizard_and_is_scanned_by_the_engine(qtbot, window, two_classes):
    zone = window.findChild(DropZone)
    assert zone is not None
    assert drop(zone, [two_classes])
    wizard = window.wizard
    assert wizard is not None
    qtbot.waitUntil(wizard.next_button.isEnabled, timeout=WAIT_MS)
    assert wizard.pictures.classes.texts() == [("disc", 6), ("square", 6)]
    wizard.reject()


def test_training_shows_its_page_and_its_share_in_the_title(qtbot, worker_that):
    window = make_window(qtbot, worker_that(TRAINING))
    start_training(qtbot, window)
    assert window.page_name() == "train"
    assert window.windowTitle() == "75 % – Leaves – Transfer Learning Studio"
    cancel = next(found for found in window.statusBar().findChildren(QPushButton) if found.text() == "Cancel")
    assert cancel.isVisible()
    QTest.mouseClick(cancel, LEFT)
    qtbot.waitUntil(lambda: not window.windowTitle().startswith("75 %"), timeout=WAIT_MS)
    qtbot.waitUntil(lambda: not cancel.isVisible(), timeout=WAIT_MS)


def header(window: MainWindow) -> list[str]:
    return [line.text() for line in window.findChildren(OneLine)[:2]]


def test_the_header_names_the_run_of_the_page_in_view(qtbot, worker_that, tmp_path):
    other = run_folder(runs_dir() / "Moths", fine_tune_events(), trained=False)
    window = make_window(qtbot, worker_that(TRAINING))
    start_training(qtbot, window)
    assert header(window) == ["Leaves", "The training is running."]
    window.set_run(other)
    assert header(window) == ["Leaves", "The training is running."], "the training stays in view"
    QTest.mouseClick(rail(window, "Pictures"), LEFT)
    assert header(window) == ["Moths", "0 pictures in 3 classes"]
    assert window.windowTitle().startswith("75 % – Leaves – "), "the share is that of the training"
    window.pages["runs"].run_chosen.emit(other)
    assert window.page_name() == "pictures", "the page of the training would show another run than the one chosen"


def test_keys_go_to_the_page_that_a_button_leads_to(qtbot, window):
    for name in ("a", "b", "c"):
        write_notes(run_folder(runs_dir() / name, fine_tune_events()[:3], trained=False), RunNotes(tags=("field",)))
    window.show_page("start")
    qtbot.waitUntil(lambda: "Show all runs" in [b.text() for b in window.findChildren(QPushButton) if b.isVisible()])
    show_all = visible_button(window, "Show all runs")
    show_all.setFocus()
    QTest.keyClick(show_all, Qt.Key.Key_Space)
    table = window.pages["runs"].findChild(RecordTable)
    qtbot.waitUntil(lambda: table.isVisible())
    assert table.hasFocus()


def test_only_one_training_at_a_time(qtbot, worker_that, two_classes):
    window = make_window(qtbot, worker_that(TRAINING))
    start_training(qtbot, window)
    window.open_wizard([two_classes])
    assert window.wizard is None
    assert "A training is running" in window.start_page.message()


def test_closing_while_training_asks_and_can_be_taken_back(qtbot, worker_that):
    window = make_window(qtbot, worker_that(TRAINING))
    start_training(qtbot, window)
    said = answer("Keep training")
    assert not window.close()
    assert window.isVisible()
    assert said == [
        "A training is running. If you close now, it pauses and nothing is lost: the next start offers to go on from "
        "exactly there."
    ]
    answer("Pause and close")
    assert window.close()
    assert not window.isVisible()


def test_closing_while_nothing_important_runs_does_not_ask(qtbot, window, two_classes):
    window.open_wizard([two_classes])
    assert window.close()


def test_escape_keeps_the_training(qtbot, worker_that):
    window = make_window(qtbot, worker_that(TRAINING))
    start_training(qtbot, window)
    QTimer.singleShot(0, lambda: QTest.keyClick(QApplication.activeModalWidget(), Qt.Key.Key_Escape))
    assert not window.close()
    assert window.isVisible()


def test_an_engine_that_dies_before_anything_was_set_up_can_be_tried_again(qtbot, worker_that, tmp_path):
    window = make_window(qtbot, worker_that(dying(tmp_path, 1, "sys.exit(9)")))
    window._train(Train(folders=("x",), run=str(runs_dir() / "Leaves")))
    qtbot.waitUntil(lambda: not window._jobs.jobs(), timeout=WAIT_MS)
    assert window.page_name() == "train"
    assert "The engine stopped unexpectedly." in window.train_page.sentence()
    assert "Train: the engine process ended" in crash_log().read_text(encoding="utf-8")
    QTest.mouseClick(visible_button(window, "Try again"), LEFT)
    qtbot.waitUntil(lambda: window.windowTitle().startswith("75 %"), timeout=WAIT_MS)
    first, second = jobs_of(tmp_path)
    assert first == second


def test_a_training_goes_on_by_itself_three_times_and_then_asks(qtbot, worker_that, tmp_path):
    run = interrupted_run(tmp_path)
    lines = dying(tmp_path, 4, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    window = make_window(qtbot, worker_that(lines))
    window._train(Resume(run=str(run.path)))
    page = window.train_page
    qtbot.waitUntil(lambda: "Now it waits for you" in page.explanation(), timeout=WAIT_MS)
    assert [(job["verb"], job["run"]) for job in jobs_of(tmp_path)] == [("resume", str(run.path))] * 4
    assert page.sentence().startswith("The system ended the engine, perhaps because the memory was full.")
    assert "What was saved can be gone on with." in page.sentence()
    QTest.mouseClick(visible_button(window, "Go on training"), LEFT)
    assert page.hasFocus(), "a second press on a key does nothing"
    qtbot.waitUntil(lambda: window.windowTitle().startswith("75 %"), timeout=WAIT_MS)
    assert page.explanation() == ""


def test_a_lost_device_needs_a_new_process_and_may_be_done_without(qtbot, worker_that, tmp_path):
    run = interrupted_run(tmp_path)
    write_json(run.plan_file, msgspec.structs.replace(run.plan(), device="cuda"))
    lost = 'status="paused", cause="device-lost", what="The graphics card is gone.")'
    ends = f'say(event="run_ended", {lost}; say(event="job_ended", {lost}; sys.exit()'
    window = make_window(qtbot, worker_that(dying(tmp_path, 4, ends)))
    window._train(Resume(run=str(run.path)))
    qtbot.waitUntil(lambda: "Now it waits for you" in window.train_page.explanation(), timeout=WAIT_MS)
    assert len(jobs_of(tmp_path)) == 4
    QTest.mouseClick(visible_button(window, "Train on the processor"), LEFT)
    qtbot.waitUntil(lambda: window.windowTitle().startswith("75 %"), timeout=WAIT_MS)
    assert jobs_of(tmp_path)[-1]["device"] == "cpu"


def test_a_training_that_was_stopped_does_not_go_on_by_itself(qtbot, worker_that, tmp_path):
    run = interrupted_run(tmp_path)
    window = make_window(
        qtbot, worker_that('say(event="progress", what="On", done=0, total=0)\nsys.stdin.readline()\n')
    )
    window._train(Resume(run=str(run.path)))
    qtbot.waitUntil(lambda: window._job_line.text() == "On …", timeout=WAIT_MS)
    QTest.mouseClick(visible_button(window, "Stop"), LEFT)
    qtbot.waitUntil(lambda: not window._jobs.jobs(), timeout=WAIT_MS)
    assert window.train_page.explanation() == ""
    assert window.train_page.sentence().startswith("Stopped.")


def test_waiting_shows_in_the_title_and_in_the_status_line(qtbot, worker_that, tmp_path):
    waits = 'say(event="waiting", cause="pictures-gone", what="The folder is gone.", hint="Connect it again.")\n'
    goes_on = 'say(event="progress", what="Reading", done=1, total=4)\n'
    back = tmp_path / "back"
    until_back = f"import os, time\nwhile not os.path.exists({str(back)!r}):\n    time.sleep(0.01)\n"
    lines = f"{waits}{until_back}{goes_on}sys.stdin.readline()"
    window = make_window(qtbot, worker_that(lines))
    window._train(Train(folders=("x",), run=str(runs_dir() / "Leaves")))
    qtbot.waitUntil(lambda: window.windowTitle().startswith("Waiting – "), timeout=WAIT_MS)
    assert window._job_line.text() == "Training is waiting"
    assert header(window) == ["Leaves", "The training is waiting."]
    assert window.train_page.sentence() == "The folder is gone. Connect it again."
    assert visible_button(window, "Stop").isEnabled()
    back.touch()
    qtbot.waitUntil(lambda: window.windowTitle().startswith("0 % – "), timeout=WAIT_MS)
    assert window._job_line.text() == "Reading: 1 of 4"
    assert window.train_page.sentence().startswith("Getting ready.")


def test_a_run_that_is_trained_elsewhere_is_shown_until_it_is_free(qtbot, window, tmp_path):
    run = interrupted_run(tmp_path)
    window._held.setInterval(20)
    with run.held():
        window.set_run(run)
        assert "being trained by another window or command" in window.train_page.sentence()
        window.show_page("train")
        assert not [found for found in window.train_page.findChildren(QPushButton) if "Go on" in found.text()
                    and found.isVisible()]  # fmt: skip
        assert not window._jobs.jobs(), "nothing is judged while somebody else writes to the run"
        window.show_page("results")
        assert "trained elsewhere" in window.pages["results"].findChild(StatePanel).text()
        run.events_file.write_bytes(b"".join(encode_event(event) for event in fine_tune_events()))
    qtbot.waitUntil(lambda: window.train_page.sentence().startswith("Finished."))
    assert not window._held.isActive()


def test_a_training_left_by_closing_is_offered_at_the_next_start(qtbot, worker_that, tmp_path):
    run = interrupted_run(tmp_path)
    begins = 'say(event="progress", what="On", done=0, total=0)\nsys.stdin.readline()\n'
    ended = encode_event(RunEnded(status="stopped", val_accuracy=0.9)).decode()
    stops = f"open({str(run.events_file)!r}, 'a').write({ended!r})\nsay(event='job_ended', status='stopped')\n"
    first = make_window(qtbot, worker_that(begins + stops))
    first._train(Resume(run=str(run.path)))
    qtbot.waitUntil(lambda: first._job_line.text() == "On …", timeout=WAIT_MS)
    answer("Pause and close")
    assert first.close()
    second = make_window(qtbot, worker_that(TRAINING))
    qtbot.waitUntil(lambda: any(offer.isVisible() for offer in second.start_page.findChildren(Offer)), timeout=WAIT_MS)
    QTest.mouseClick(visible_button(second, "Continue"), LEFT)
    qtbot.waitUntil(lambda: second.windowTitle().startswith("75 % – Leaves"), timeout=WAIT_MS)
    second.show_page("start")
    third = make_window(qtbot, worker_that(TRAINING))
    with qtbot.waitSignal(third.start_page._background.done):
        third.start_page.refresh()
    assert not third.start_page.findChildren(Offer), "it is gone on with"


def test_size_and_colours_are_remembered(qtbot, qapp):
    first = make_window(qtbot)
    first.resize(1024, 740)  # the offscreen screen takes no more
    dark = next(action for action in first.schemes.actions() if action.data() == "dark")
    dark.trigger()
    first.close()
    second = make_window(qtbot)
    assert (second.width(), second.height()) == (1024, 740)
    chosen = second.schemes.checkedAction()
    assert chosen is not None
    assert chosen.data() == "dark"
    second.schemes.actions()[1].trigger()


def test_about_copies_versions_without_loading_the_engine(qtbot):
    about = AboutDialog()
    about.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(about)
    about.open()
    copy = next(found for found in about.findChildren(QPushButton) if "Copy" in found.text())
    QTest.mouseClick(copy, LEFT)
    assert QApplication.clipboard().text() == versions_text()
    shown = about.findChild(QPlainTextEdit)
    assert shown is not None
    assert "torch " in shown.toPlainText()


def test_calls_into_qt_keep_none_alive():
    assert not loses_none()


def start_python(lines: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", lines], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_opening_the_window_imports_nothing_heavy():
    lines = (
        "import sys, tlstudio.app\n"
        "heavy = {'torch', 'torchvision', 'sklearn', 'onnx', 'onnxruntime'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    process = start_python(lines)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_the_app_with_exit_code_0(number):
    # The window announces itself once its event loop runs.
    lines = (
        "import sys\n"
        "import tlstudio.app as app\n"
        "warm_up = app.MainWindow.warm_up\n"
        "def announced(window):\n"
        "    warm_up(window)\n"
        "    print('running', flush=True)\n"
        "app.MainWindow.warm_up = announced\n"
        "sys.exit(app.main([]))\n"
    )
    process = start_python(lines)
    assert process.stdout is not None
    assert process.stdout.readline() == b"running\n"
    process.send_signal(number)
    _, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints
    assert not crash_log().exists()
