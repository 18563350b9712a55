"""The training page: live, replayed, stopped and failed."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QImage, QPainter, QWheelEvent
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QApplication, QFileDialog, QLabel, QProgressBar, QPushButton, QToolButton, QWidget

from tests.gui.run_files import HEAD_STAGE, TUNE_STAGE, batch, choose, epoch, fine_tune_events, run_folder, started
from tlstudio.core.durable import write_json
from tlstudio.core.events import JobEnded, Progress, RunEnded, Waiting, WeightsSaved
from tlstudio.core.jobs import Resume, Train
from tlstudio.gui import remembered, theme
from tlstudio.gui.pages.train_page import TrainPage
from tlstudio.gui.widgets.curves import Curves, GrowingPoints
from tlstudio.gui.widgets.figure import Figure
from tlstudio.gui.widgets.record_table import RecordTable

JOB = Train(folders=("leaves",), run="/runs/leaves")


@pytest.fixture
def page(qtbot):
    page = TrainPage()
    qtbot.addWidget(page)
    page.resize(1024, 700)
    page.show()
    return page


def button(widget: QWidget, text: str):
    return next(b for kind in (QPushButton, QToolButton) for b in widget.findChildren(kind) if b.text() == text)


def texts(page: TrainPage) -> list[str]:
    return [label.text() for label in page.findChildren(QLabel) if label.isVisibleTo(page)]


def curves_of(page: TrainPage) -> dict[str, list]:
    points = page.findChild(Curves).points
    lines = {name: getattr(points, name) for name in vars(points) if isinstance(getattr(points, name), GrowingPoints)}
    return {name: np.column_stack((line.xs, line.ys)).tolist() for name, line in lines.items()}


def test_empty_page_leads_to_start(page, qtbot):
    with qtbot.waitSignal(page.page_requested) as asked:
        qtbot.mouseClick(button(page, "Go to Start"), Qt.MouseButton.LeftButton)
    assert asked.args == ["start"]


def test_replay_of_the_log_equals_the_live_view(page, qtbot, tmp_path):
    page.begin(JOB)
    page.receive(Progress(what="Reading", done=1, total=2, seconds_left=3.0))
    for event in fine_tune_events():
        page.receive(event)
    page.receive(JobEnded(status="finished"))
    page.findChild(Curves).draw()
    replayed = TrainPage()
    qtbot.addWidget(replayed)
    replayed.resize(page.size())
    replayed.show()
    replayed.set_run(run_folder(tmp_path / "run", fine_tune_events()))
    replayed.findChild(Curves).draw()
    assert texts(replayed) == texts(page)
    assert curves_of(replayed) == curves_of(page)
    assert replayed.findChild(RecordTable).texts() == page.findChild(RecordTable).texts()
    page.setFocus()
    replayed.setFocus()
    # Layouts settle when the events behind them have been handled.
    qtbot.waitUntil(lambda: replayed.grab().toImage() == page.grab().toImage())


def test_curves_count_epochs_over_the_stages(page):
    page.begin(JOB)
    for event in fine_tune_events():
        page.receive(event)
    curves = curves_of(page)
    assert curves["val_accuracy"] == [[1, 86], [2, 90], [3, 94], [4, 92]]
    assert curves["train_loss"] == [[1, 0.5], [2, 0.5], [3, 0.25], [4, pytest.approx(1 / 6)]]
    assert curves["batch_loss"] == [[1.5, 0.7], [2.0, 0.65]]
    points = page.findChild(Curves).points
    assert points.champion == (1, 0.6, 86)
    assert points.stages == [("head", 0.0), ("fine-tune", 1.0)]


def test_points_survive_growing():
    points = GrowingPoints()
    for number in range(1000):
        points.append(number, -number)
    assert points.xs.tolist() == list(range(1000))
    assert points.ys.tolist() == [-number for number in range(1000)]


@pytest.mark.parametrize(("kept_epoch", "mark"), [(2, (3, 94)), (3, (4, 92)), (None, (1, 86))])
def test_ring_is_on_the_state_that_was_kept(page, tmp_path, kept_epoch, mark):
    page.set_run(run_folder(tmp_path / "run", fine_tune_events(kept_epoch)))
    curves = page.findChild(Curves)
    assert curves.points.kept == mark
    curves.draw()
    assert [(spot.pos().x(), spot.pos().y()) for spot in curves._ring.points()] == [mark]


def test_figures_speak_like_a_person(page):
    page.begin(JOB)
    for event in (started(), HEAD_STAGE, epoch("head", 1, 0.86, best=True), TUNE_STAGE, batch(2, 0.7)):
        page.receive(event)
    shown = {figure.caption(): figure.value() for figure in page.findChildren(Figure)}
    assert shown == {
        "Epoch, fine-tune": "1 of 3",
        "Val accuracy": "86.0 %",
        "Time left, about": "4 minutes",
        "Pictures a second\non CPU, 2 threads": "100",
    }
    assert page.sentence() == TUNE_STAGE.sentence


def test_finished_run_says_how_good_and_what_was_kept(page, qtbot):
    page.begin(JOB)
    for event in fine_tune_events():
        page.receive(event)
    assert page.sentence() == (
        "Finished. The accuracy is 94.1 % (90.2-96.8) on 153 pictures it never learned from. "
        "Kept: the fine-tuned network."
    )
    assert not button(page, "Stop").isVisible()
    with qtbot.waitSignal(page.page_requested) as asked:
        qtbot.mouseClick(button(page, "See the results"), Qt.MouseButton.LeftButton)
    assert asked.args == ["results"]


def test_run_of_one_stage_explains_its_single_point(page):
    page.begin(JOB)
    for event in (started(["head"]), HEAD_STAGE, epoch("head", 1, 0.86, best=True)):
        page.receive(event)
    assert any("fitted in one go" in text for text in texts(page))
    assert curves_of(page)["val_accuracy"] == [[1, 86]]


def test_stop_asks_once_and_keeps_the_best(page, qtbot):
    page.begin(JOB)
    stop = button(page, "Stop")
    stop.setFocus()
    with qtbot.waitSignal(page.stop_requested):
        qtbot.keyClick(stop, Qt.Key.Key_Space)
    assert not stop.isEnabled()
    assert "best state so far is kept" in page.sentence()
    page.receive(
        RunEnded(status="stopped", val_accuracy=0.9, val_interval=(0.8, 0.95), val_images=50, kept="the new head")
    )
    assert page.sentence().startswith("Stopped, as you asked. The accuracy is 90.0 % (80.0-95.0)")
    page.begin(JOB)
    assert button(page, "Stop").isEnabled()


def test_both_accuracies_are_said_at_the_end_where_groups_were_kept_together(page):
    page.begin(JOB)
    page.receive(RunEnded(status="finished", val_accuracy=0.88, random_accuracy=0.951, grouped_accuracy=0.88))
    assert any("would have claimed 95.1 %" in text and "shows 88.0 %" in text for text in texts(page))


def test_failure_says_what_happened_what_is_safe_and_what_next(page):
    page.begin(JOB)
    page.receive(WeightsSaved(stage="fine-tune", epoch=6))
    page.receive(JobEnded(status="failed", what="The disk is full.", hint="Free 2 GB."))
    assert page.sentence() == (
        "The disk is full. Your last saved state (stage “fine-tune”, epoch 6) is safe. Free 2 GB."
    )
    assert not button(page, "Stop").isVisible()


def test_live_run_stays_in_view(page, tmp_path):
    page.begin(JOB)
    page.receive(started())
    page.receive(HEAD_STAGE)
    page.set_run(run_folder(tmp_path / "other", fine_tune_events()))
    assert page.sentence() == HEAD_STAGE.sentence


def test_run_without_an_end_and_damaged_log_are_said(page, tmp_path):
    page.set_run(run_folder(tmp_path / "cut", fine_tune_events()[:5]))
    assert page.sentence().startswith("This training was cut off")
    damaged = run_folder(tmp_path / "damaged")
    damaged.events_file.write_text("not json\n")
    page.set_run(damaged)
    assert "damaged" in page.sentence()


def test_details_hold_the_epochs_as_text(page, qtbot, tmp_path):
    page.set_run(run_folder(tmp_path / "run", fine_tune_events()))
    table = page.findChild(RecordTable)
    assert not table.isVisible()
    qtbot.mouseClick(button(page, "Details"), Qt.MouseButton.LeftButton)
    assert table.isVisible()
    assert table.texts()[2] == ("fine-tune", "2", "0.2500", "0.3000", "90.0 %", "94.0 %", "yes")
    assert table.accessibleName() == "Epochs of this run"


def test_zoom_stays_until_it_is_reset(page, qtbot, tmp_path):
    page.set_run(run_folder(tmp_path / "run", fine_tune_events()))
    curves = page.findChild(Curves)
    curves.draw()
    whole = curves._accuracy.viewRange()
    viewport = curves._accuracy.viewport()
    middle = QPointF(viewport.rect().center())
    qtbot.waitUntil(lambda: curves._accuracy.getViewBox().width() > 100)
    turn = QWheelEvent(
        middle, viewport.mapToGlobal(middle), QPoint(), QPoint(0, 240), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(viewport, turn)
    zoomed = curves._accuracy.viewRange()
    assert zoomed[0][1] - zoomed[0][0] < whole[0][1] - whole[0][0]
    page.receive(batch(3, 0.6))
    curves.draw()
    assert curves._accuracy.viewRange() == zoomed
    qtbot.mouseClick(button(page, "Reset zoom"), Qt.MouseButton.LeftButton)
    assert curves._accuracy.viewRange() == whole


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_plot_is_saved_and_its_folder_remembered(page, qtbot, tmp_path, ending):
    page.set_run(run_folder(tmp_path / "run", fine_tune_events()))
    target = tmp_path / "plots" / f"curves.{ending}"
    target.parent.mkdir()
    qtbot.mouseClick(button(page, "Save plot …"), Qt.MouseButton.LeftButton)
    choose(page.findChild(QFileDialog), target)
    if ending == "png":
        assert QImage(str(target)).size() == page.findChild(Curves).size()
    else:
        drawing = QImage(page.findChild(Curves).size(), QImage.Format.Format_RGB32)
        drawing.fill(Qt.GlobalColor.white)
        with QPainter(drawing) as painter:
            QSvgRenderer(str(target)).render(painter)
        colours = {drawing.pixelColor(x, y).name() for x in range(drawing.width()) for y in range(drawing.height())}
        assert {theme.current().train.lower(), theme.current().val.lower()} <= colours
    assert remembered.folder("plots", tmp_path) == target.parent


def test_plots_follow_the_scheme(page, qtbot, tmp_path):
    app = QApplication.instance()
    page.set_run(run_folder(tmp_path / "run", fine_tune_events()))
    curves = page.findChild(Curves)
    theme.apply(app, "dark")
    try:
        assert curves._val_loss.opts["pen"].color().name() == theme.DARK.val.lower()
        assert curves._loss.backgroundBrush().color().name() == theme.DARK.surface.lower()
    finally:
        theme.apply(app, "light")
    assert curves._val_loss.opts["pen"].color().name() == theme.LIGHT.val.lower()


def test_epochs_are_numbered_within_their_stage(page, tmp_path):
    page.set_run(run_folder(tmp_path / "run", fine_tune_events()))
    assert page.findChild(Curves)._epoch_ticks() == [(1, "1"), (2, "1"), (3, "2"), (4, "3")]


def test_the_table_takes_the_place_of_curves_it_would_squeeze(page, qtbot, tmp_path):
    page.set_run(run_folder(tmp_path / "run", fine_tune_events()))
    table, curves = page.findChild(RecordTable), page.findChild(Curves)
    page.resize(856, 580)
    qtbot.mouseClick(button(page, "Details"), Qt.MouseButton.LeftButton)
    assert table.isVisible() and not curves.isVisible()
    page.resize(1400, 900)
    qtbot.waitUntil(curves.isVisible)
    assert table.isVisible()
    page.resize(856, 580)
    qtbot.waitUntil(lambda: not curves.isVisible())
    qtbot.mouseClick(button(page, "Details"), Qt.MouseButton.LeftButton)
    assert curves.isVisible() and not table.isVisible()


def test_what_val_pictures_are_for_is_said_where_something_is_chosen(page, tmp_path):
    page.set_run(run_folder(tmp_path / "tuned", fine_tune_events()))
    assert any("they choose nothing" in text for text in texts(page))
    page.set_run(run_folder(tmp_path / "head", [started(("head",)), HEAD_STAGE, epoch("head", 1, 0.86, best=True)]))
    assert not any("they choose nothing" in text for text in texts(page))


def test_a_head_that_was_not_beaten_is_explained(page, tmp_path):
    page.set_run(run_folder(tmp_path / "run", fine_tune_events(kept_epoch=None, kept="the new head")))
    assert any("not clearly better than the new head alone" in text for text in texts(page))


def test_fewer_epochs_than_planned_are_explained(page, tmp_path):
    events = fine_tune_events()
    del events[-2]
    page.set_run(run_folder(tmp_path / "run", events))
    assert any("ended early" in text for text in texts(page))
    page.set_run(run_folder(tmp_path / "whole", fine_tune_events()))
    assert not any("ended early" in text for text in texts(page))


def test_no_line_leads_from_one_stage_to_the_next(page):
    page.begin(JOB)
    for event in fine_tune_events():
        page.receive(event)
    points = page.findChild(Curves).points
    # Epochs end at 1 (the head), then at 2, 3 and 4.
    assert points.joined(points.val_loss.xs)[:3].tolist() == [False, True, True]
    page.findChild(Curves).draw()
    assert page.findChild(Curves)._val_loss.curve.opts["connect"][:3].tolist() == [False, True, True]


def test_stages_are_named_over_their_bands(page):
    page.begin(JOB)
    for event in fine_tune_events():
        page.receive(event)
    curves = page.findChild(Curves)
    curves.draw()
    assert curves.points.stage_middles() == [("head", 0.5), ("fine-tune", 2.5)]
    assert curves._stage_names._tickLevels == [[(0.5, "new head"), (2.5, "fine-tune")]]


def test_the_line_to_beat_runs_from_the_head_to_the_end(page):
    page.begin(JOB)
    for event in fine_tune_events():
        page.receive(event)
    curves = page.findChild(Curves)
    curves.draw()
    for line, value in ((curves._champion_loss, 0.6), (curves._champion_accuracy, 86)):
        xs, ys = line.getData()
        assert (xs.tolist(), ys.tolist()) == ([1, 4], [value, value])
    assert "to beat: the new head alone" in [label.text for _, label in curves._legend.items]


def test_the_legend_covers_no_curve(page, qtbot, tmp_path):
    page.set_run(run_folder(tmp_path / "run", fine_tune_events()))
    curves = page.findChild(Curves)
    curves.draw()
    plot = curves._loss.getPlotItem()
    qtbot.waitUntil(lambda: plot.vb.height() > 0)
    legend = plot.mapRectFromItem(curves._legend, curves._legend.boundingRect())
    assert legend.bottom() <= plot.mapRectFromItem(plot.vb, plot.vb.rect()).top()


def test_a_silent_engine_does_not_look_frozen(page, qtbot):
    page._quiet.setInterval(50)
    bar = page.findChild(QProgressBar)
    page.begin(JOB)
    for event in (started(), HEAD_STAGE, epoch("head", 1, 0.86, best=True), TUNE_STAGE, batch(2, 0.7)):
        page.receive(event)
    assert bar.isVisible() and bar.maximum() > 0
    # The head is half of the run, and half of the first of three epochs is done.
    assert bar.value() / bar.maximum() == pytest.approx(0.5 + 0.5 / 6, abs=0.01)
    qtbot.waitUntil(lambda: bar.maximum() == 0)
    page.receive(Progress(what="Judging the network", done=3, total=4))
    assert (bar.value(), bar.maximum()) == (3, 4) and "Judging the network: 3 of 4" in texts(page)
    qtbot.waitUntil(lambda: "Judging the network …" in texts(page))
    page.receive(JobEnded(status="stopped"))
    assert not bar.isVisible() and not page._quiet.isActive()


def test_nothing_jumps_while_a_run_alternates_between_learning_and_judging(page, qtbot):
    page.begin(JOB)
    page.receive(started())
    curves = page.findChild(Curves)
    qtbot.waitUntil(lambda: "they choose nothing" in "".join(texts(page)) and page.findChild(Figure).isVisible())
    places = set()
    for event in (
        HEAD_STAGE, Progress(what="Showing the pictures to the network", done=1, total=9),
        epoch("head", 1, 0.86, best=True), TUNE_STAGE, batch(2, 0.7), batch(4, 0.65),
        Progress(what="Judging the network", done=1, total=9), epoch("fine-tune", 1, 0.90, best=False, left=120.0),
    ):  # fmt: skip
        page.receive(event)
        page.grab()
        places.add((curves.y(), curves.height()))
    assert len(places) == 1, places


def test_a_training_that_was_cut_off_can_be_gone_on_with(page, qtbot, tmp_path):
    run = run_folder(tmp_path / "cut", fine_tune_events()[:5])
    page.set_run(run)
    go_on = button(page, "Go on training")
    with qtbot.waitSignal(page.resume_requested) as asked:
        qtbot.mouseClick(go_on, Qt.MouseButton.LeftButton)
    assert asked.args == [Resume(run=str(run.path))]
    page.set_run(run_folder(tmp_path / "whole", fine_tune_events()))
    assert not go_on.isVisible()


def test_waiting_is_said_and_what_was_said_before_comes_back(page, qtbot):
    page.begin(JOB)
    for event in (started(), HEAD_STAGE, epoch("head", 1, 0.86, best=True), TUNE_STAGE, batch(2, 0.7)):
        page.receive(event)
    full = Waiting(
        cause="disk-full", what="The disk is full.", hint="Free 300 MB; the training then goes on by itself."
    )
    for _ in range(2):
        page.receive(full)
    bar = page._progress.findChild(QProgressBar)
    assert page.sentence() == "The disk is full. Free 300 MB; the training then goes on by itself."
    assert (bar.minimum(), bar.maximum()) == (0, 0) and "Waiting …" in texts(page)
    assert button(page, "Stop").isEnabled()
    page.receive(batch(4, 0.65))
    assert page.sentence() == TUNE_STAGE.sentence
    assert bar.maximum() > 0
    page.receive(full)
    with qtbot.waitSignal(page.stop_requested):
        qtbot.mouseClick(button(page, "Stop"), Qt.MouseButton.LeftButton)
    page.receive(batch(4, 0.65))
    assert page.sentence().startswith("Stopping")


@pytest.mark.parametrize(
    ("cause", "label", "on_processor"),
    [
        ("disk-full", "Go on training", False),
        ("pictures-gone", "Go on training", False),
        ("out-of-memory", "Go on training", True),
        ("device-lost", "Go on training", True),
        ("diverged", "Go on more gently", False),
    ],
)
def test_a_pause_says_why_and_offers_what_helps(page, qtbot, tmp_path, cause, label, on_processor):
    ended = RunEnded(status="paused", cause=cause, what="This happened.", hint="Do that.")
    run = run_folder(tmp_path / "run", [*fine_tune_events()[:-1], ended])
    write_json(run.plan_file, msgspec.structs.replace(run.plan(), device="cuda"))
    page.set_run(run)
    assert page.sentence() == "This happened. Your pictures are untouched. Do that."
    go_on = button(page, label)
    with qtbot.waitSignal(page.resume_requested) as asked:
        qtbot.mouseClick(go_on, Qt.MouseButton.LeftButton)
    assert asked.args == [Resume(run=str(run.path))]
    processor = button(page, "Train on the processor")
    assert processor.isVisible() == on_processor
    if on_processor:
        with qtbot.waitSignal(page.resume_requested) as asked:
            qtbot.mouseClick(processor, Qt.MouseButton.LeftButton)
        assert asked.args == [Resume(run=str(run.path), device="cpu")]


def test_without_a_graphics_card_there_is_nothing_to_do_without(page, tmp_path):
    ended = RunEnded(status="paused", cause="out-of-memory", what="The memory does not suffice.")
    page.set_run(run_folder(tmp_path / "run", [*fine_tune_events()[:-1], ended]))
    assert button(page, "Go on training").isVisible()
    assert not button(page, "Train on the processor").isVisible()


def test_what_the_engine_refuses_before_the_start_can_be_tried_again(page, qtbot, tmp_path):
    job = Train(folders=("leaves",), run=str(tmp_path / "not there yet"))
    page.begin(job)
    full = "This training needs 300 MB, and 20 MB are free."
    page.receive(JobEnded(status="paused", cause="disk-full", what=full, hint="Free 280 MB."))
    assert page.sentence() == f"{full} Your pictures are untouched. Free 280 MB."
    with qtbot.waitSignal(page.resume_requested) as asked:
        qtbot.mouseClick(button(page, "Try again"), Qt.MouseButton.LeftButton)
    assert asked.args == [job]


def test_a_run_that_is_trained_elsewhere_offers_nothing(page, tmp_path):
    run = run_folder(tmp_path / "run", [*fine_tune_events()[:-1], RunEnded(status="paused", cause="out-of-memory")])
    page.set_held(True)
    page.set_run(run)
    assert "being trained by another window or command" in page.sentence()
    assert not button(page, "Go on training").isVisible()
    assert not button(page, "Train on the processor").isVisible()
    page.set_held(False)
    page.set_run(run)
    assert button(page, "Go on training").isVisible()


def test_what_the_app_did_by_itself_stays_said_until_another_run_is_shown(page, tmp_path):
    run = run_folder(tmp_path / "run", fine_tune_events())
    page.begin(Resume(run=str(run.path)), "It went on by itself.")
    for event in fine_tune_events():
        page.receive(event)
    page.set_run(run)
    assert "It went on by itself." in texts(page)
    page.set_run(run_folder(tmp_path / "other", fine_tune_events()))
    assert page.explanation() == ""
