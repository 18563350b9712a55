"""The results page: what is measured, what a click on a cell shows, and what happens when nothing can be shown."""

from __future__ import annotations

import math

import pytest
from PIL import Image
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor, QGuiApplication
from PySide6.QtWidgets import QHeaderView, QLabel, QPushButton, QTableView, QTabWidget

from tests.factories import draw
from tests.gui.run_files import CLASSES, evaluation, run_folder
from tlstudio.core.durable import write_json
from tlstudio.core.events import JobEnded, Progress, RunEnded
from tlstudio.core.jobs import Evaluate
from tlstudio.core.results import ClassScore, Evaluation, Prediction
from tlstudio.gui import theme
from tlstudio.gui.pages.evaluate_page import ResultsPage
from tlstudio.gui.widgets.class_table import ClassTable
from tlstudio.gui.widgets.confusion_view import ConfusionView
from tlstudio.gui.widgets.figure import Figure
from tlstudio.gui.widgets.image_grid import ImageGrid
from tlstudio.gui.widgets.image_viewer import ImageViewer, PictureView
from tlstudio.gui.widgets.probability_bars import ProbabilityBars


@pytest.fixture
def pictures(tmp_path):
    """Six pictures; the last is gone, the first lies on its side but for its EXIF note."""
    paths = []
    for number in range(6):
        path = tmp_path / f"{number}.jpg"
        if number == 0:
            note = Image.Exif()
            note[0x0112] = 6
            Image.new("RGB", (40, 20), "red").save(path, exif=note)
        elif number < 5:
            draw("disc", number).save(path)
        paths.append(str(path))
    return paths


@pytest.fixture
def page(qtbot):
    page = ResultsPage()
    qtbot.addWidget(page)
    page.resize(1200, 800)
    page.show()
    return page


@pytest.fixture
def shown(page, qtbot, tmp_path, pictures):
    """A page that shows the stored evaluation of a run."""
    run = run_folder(tmp_path / "run")
    write_json(run.evaluation_file, evaluation(pictures))
    with qtbot.assertNotEmitted(page.job_requested):
        page.set_run(run)
        qtbot.waitUntil(page.findChild(ConfusionView).isVisible)
    return page


def visible_texts(page) -> str:
    return "\n".join(label.text() for label in page.findChildren(QLabel) if label.isVisible())


def names(page) -> list[str]:
    return [prediction.path.rpartition("/")[2] for prediction in page.findChild(ImageGrid).pictures()]


def matrix(page) -> QTableView:
    return next(t for t in page.findChildren(QTableView) if t.accessibleName().startswith("Confusion matrix"))


def click_cell(qtbot, page, row: int, column: int) -> None:
    table = matrix(page)
    centre = table.visualRect(table.model().index(row, column)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=centre)


def test_without_a_run_or_a_model_it_says_what_to_do(page, qtbot, tmp_path):
    assert "Train a classifier first" in visible_texts(page)
    page.set_run(run_folder(tmp_path / "stopped", trained=False))
    assert "no model yet" in visible_texts(page)
    with qtbot.waitSignal(page.page_requested) as asked:
        action = next(b for b in page.findChildren(QPushButton) if b.isVisible())
        qtbot.mouseClick(action, Qt.MouseButton.LeftButton)
    assert asked.args == ["start"]


def test_run_is_judged_once_and_then_read(page, qtbot, tmp_path, pictures):
    run = run_folder(tmp_path / "run")
    with qtbot.waitSignal(page.job_requested) as asked:
        page.set_run(run)
    assert asked.args == [Evaluate(run=str(run.path))]
    page.receive(Progress(what="Looking at pictures", done=3, total=6, seconds_left=30.0))
    assert "Looking at pictures: 3 of 6, about 30 seconds left" in visible_texts(page)
    write_json(run.evaluation_file, evaluation(pictures))
    page.receive(JobEnded(status="finished"))
    qtbot.waitUntil(page.findChild(ConfusionView).isVisible)


def test_judging_can_be_cancelled_and_tried_again(page, qtbot, tmp_path):
    page.set_run(run_folder(tmp_path / "run"))
    with qtbot.waitSignal(page.stop_requested):
        cancel = next(b for b in page.findChildren(QPushButton) if b.text() == "Cancel")
        qtbot.mouseClick(cancel, Qt.MouseButton.LeftButton)
    page.receive(JobEnded(status="stopped"))
    with qtbot.waitSignal(page.job_requested):
        again = next(b for b in page.findChildren(QPushButton) if b.text() == "Try again")
        qtbot.mouseClick(again, Qt.MouseButton.LeftButton)
    page.receive(JobEnded(status="failed", what="The disk is full.", hint="Free 2 GB."))
    assert "The disk is full. The model itself is unharmed. Free 2 GB." in visible_texts(page)


def test_run_chosen_while_another_is_judged_waits_its_turn(page, qtbot, tmp_path):
    first, second = run_folder(tmp_path / "first"), run_folder(tmp_path / "second")
    page.set_run(first)
    with qtbot.assertNotEmitted(page.job_requested):
        page.set_run(second)
    with qtbot.waitSignal(page.job_requested) as asked:
        page.receive(JobEnded(status="finished"))
    assert asked.args == [Evaluate(run=str(second.path))]


def test_damaged_evaluation_is_said(page, qtbot, tmp_path):
    run = run_folder(tmp_path / "run")
    run.evaluation_file.write_text("{")
    page.set_run(run)
    qtbot.waitUntil(lambda: "The results cannot be shown" in visible_texts(page))


def test_accuracy_with_its_interval_and_what_it_was_measured_on(shown):
    figure = shown.findChild(Figure)
    assert figure.value() == "50.0 %"
    assert figure.caption() == "Accuracy (18.8-81.2) on 6 val pictures"
    assert "also taught the model" not in visible_texts(shown)


def test_both_accuracies_are_said_where_groups_were_kept_together(page, qtbot, tmp_path, pictures):
    ended = RunEnded(status="finished", val_accuracy=0.88, random_accuracy=0.9512, grouped_accuracy=0.88)
    run = run_folder(tmp_path / "grouped", (ended,))
    write_json(run.evaluation_file, evaluation(pictures))
    page.set_run(run)
    sentence = (
        "A split that tears groups apart would have claimed 95.1 %; this one, which keeps them together, shows 88.0 %."
    )
    qtbot.waitUntil(lambda: any(label.text() == sentence and label.isVisible() for label in page.findChildren(QLabel)))


def test_a_damaged_log_does_not_hide_the_evaluation(page, qtbot, tmp_path, pictures):
    run = run_folder(tmp_path / "damaged")
    run.events_file.write_bytes(b"{nonsense\n")
    write_json(run.evaluation_file, evaluation(pictures))
    page.set_run(run)
    qtbot.waitUntil(lambda: any(figure.isVisible() for figure in page.findChildren(Figure)))
    assert not any("tears groups apart" in label.text() for label in page.findChildren(QLabel))


def test_pictures_seen_in_training_are_a_warning(page, qtbot, tmp_path, pictures):
    run = run_folder(tmp_path / "run")
    plain = evaluation(pictures)
    write_json(
        run.evaluation_file,
        Evaluation(**{name: getattr(plain, name) for name in plain.__struct_fields__} | {"seen_in_training": 2}),
    )
    page.set_run(run)
    qtbot.waitUntil(page.findChild(ConfusionView).isVisible)
    assert "2 of these pictures also taught the model" in visible_texts(page)


def test_most_confident_mistakes_come_first(shown):
    # Cells in order: break-break .5, break-crack .7, crack-crack .6, crack-free .9, free-break .8, free-free .55
    assert names(shown) == ["3.jpg", "4.jpg", "1.jpg"]
    assert "3 mistakes, the most confident first" in visible_texts(shown)
    model = shown.findChild(ImageGrid).model()
    assert model.index(0, 0).data() == "true: crack\ngiven: free 90.0 %"


def test_click_on_a_cell_shows_its_pictures(shown, qtbot):
    click_cell(qtbot, shown, 2, 0)
    assert names(shown) == ["4.jpg"]
    assert "1 picture of “free” given “break”" in visible_texts(shown)
    click_cell(qtbot, shown, 0, 0)
    assert names(shown) == ["0.jpg"]
    back = next(b for b in shown.findChildren(QPushButton) if b.text() == "Show the mistakes")
    qtbot.mouseClick(back, Qt.MouseButton.LeftButton)
    assert names(shown) == ["3.jpg", "4.jpg", "1.jpg"]


def test_matrix_is_used_by_keyboard(shown, qtbot):
    table = matrix(shown)
    table.setFocus()
    table.setCurrentIndex(table.model().index(0, 0))
    qtbot.keyClick(table, Qt.Key.Key_Down)
    qtbot.keyClick(table, Qt.Key.Key_Right)
    qtbot.keyClick(table, Qt.Key.Key_Right)
    qtbot.keyClick(table, Qt.Key.Key_Return)
    assert names(shown) == ["3.jpg"]
    spoken = table.model().index(1, 2).data(Qt.ItemDataRole.AccessibleTextRole)
    assert spoken == "1 picture of “crack” given “free”, 50.0 % of that class"


def test_matrix_shows_counts_shaded_by_row(shown):
    model = matrix(shown).model()
    assert [[model.index(i, j).data() for j in range(3)] for i in range(3)] == [
        ["1", "1", "0"],
        ["0", "1", "1"],
        ["1", "0", "1"],
    ]
    ground = [model.index(0, j).data(Qt.ItemDataRole.BackgroundRole) for j in range(3)]
    assert ground[2] != ground[0] != ground[1]
    for row in range(3):
        for column in range(3):
            index = model.index(row, column)
            ink, paper = index.data(Qt.ItemDataRole.ForegroundRole), index.data(Qt.ItemDataRole.BackgroundRole)
            assert contrast(ink, paper) >= 4.5
    assert isinstance(matrix(shown).horizontalHeader(), QHeaderView)
    assert model.headerData(1, Qt.Orientation.Horizontal) == CLASSES[1]


def contrast(first: QColor, second: QColor) -> float:
    def luminance(colour: QColor) -> float:
        parts = [colour.redF(), colour.greenF(), colour.blueF()]
        red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_many_classes_become_a_list_of_the_worst_pairs(qtbot):
    count = 31
    classes = tuple(f"c{number:02}" for number in range(count))
    confusion = [[10 if i == j else 0 for j in range(count)] for i in range(count)]
    confusion[4][7], confusion[2][30] = 5, 10
    view = ConfusionView()
    qtbot.addWidget(view)
    view.resize(600, 400)
    view.show()
    view.show_evaluation(
        Evaluation(
            part="val", images=325, accuracy=310 / 325, accuracy_interval=(0.9, 0.97), balanced_accuracy=0.95,
            macro_f1=0.95, nll=0.2, ece=0.01, classes=classes, confusion=tuple(map(tuple, confusion)),
            per_class=tuple(ClassScore(class_=c, precision=1, recall=1, f1=1, support=10) for c in classes),
        )
    )  # fmt: skip
    pairs = next(t for t in view.findChildren(QTableView) if t.isVisible())
    assert pairs.texts() == [("c02", "c30", "10", "50.0 %"), ("c04", "c07", "5", "33.3 %")]
    with qtbot.waitSignal(view.cell_chosen) as chosen:
        centre = pairs.visualRect(pairs.model().index(1, 0)).center()
        qtbot.mouseClick(pairs.viewport(), Qt.MouseButton.LeftButton, pos=centre)
    assert chosen.args == [4, 7]


def test_class_table_sorts_by_value_and_copies(shown, qtbot):
    table = shown.findChild(ClassTable)
    header = table.horizontalHeader()
    where = QPoint(header.sectionViewportPosition(1) + 10, header.height() // 2)
    qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=where)
    assert [row[:2] for row in table.texts()] == [("free", "2"), ("break", "4"), ("crack", "10")]
    qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=where)
    assert [row[1] for row in table.texts()] == ["10", "4", "2"]
    table.setFocus()
    table.clearSelection()
    qtbot.keyClick(table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == (
        "Class\tPictures\tFound (recall)\tTrusted (precision)\tBoth (F1)\n"
        "crack\t10\t100.0 %\t75.0 %\t85.7 %\n"
        "break\t4\t25.0 %\t50.0 %\t33.3 %\n"
        "free\t2\t50.0 %\t100.0 %\t66.7 %"
    )
    table.selectRow(1)
    qtbot.keyClick(table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text().splitlines()[1:] == ["break\t4\t25.0 %\t50.0 %\t33.3 %"]


def test_details_explain_the_other_figures(shown):
    tabs = shown.findChild(QTabWidget)
    tabs.setCurrentIndex(1)
    said = visible_texts(shown)
    assert "Balanced accuracy 50.0 %" in said
    assert "NLL) 1.250 nats" in said
    assert f"{math.log(3):.3f} if every answer were a blind guess" in said
    assert "(ECE) 17.5 %" in said


def test_thumbnails_come_upright_and_missing_pictures_have_a_placeholder(shown, qtbot, pictures):
    grid = shown.findChild(ImageGrid)
    click_cell(qtbot, shown, 0, 0)
    qtbot.waitUntil(lambda: grid.thumbnail(pictures[0]) is not None)
    upright = grid.thumbnail(pictures[0]).toImage()
    assert upright.pixelColor(68, 10).red() > 200
    assert upright.pixelColor(10, 68).alpha() == 0
    click_cell(qtbot, shown, 2, 2)
    qtbot.waitUntil(lambda: grid.thumbnail(pictures[5]) is not None)
    assert grid.thumbnail(pictures[5]).size() == grid.thumbnail(pictures[0]).size()


def test_only_pictures_in_view_are_read(qtbot, tmp_path):
    path = tmp_path / "one.png"
    draw("disc", 1).save(path)
    grid = ImageGrid("Many")
    qtbot.addWidget(grid)
    grid.resize(500, 300)
    paths = [f"{tmp_path}/{number}.png" for number in range(20_000)]
    grid.show_pictures([Prediction(path=p, class_="a", probability=1, probabilities=(1, 0)) for p in paths], ("a", "b"))
    grid.show()
    qtbot.waitUntil(lambda: grid.thumbnail(paths[0]) is not None)
    assert grid.thumbnail(paths[200]) is None

    def bottom_is_read() -> bool:
        grid.scrollToBottom()  # again, until all rows have been laid out
        return grid.thumbnail(paths[-1]) is not None

    qtbot.waitUntil(bottom_is_read)
    assert grid.thumbnail(paths[10_000]) is None


def test_enter_opens_a_picture_large_with_its_neighbours(shown, qtbot, pictures):
    grid = shown.findChild(ImageGrid)
    grid.setFocus()
    grid.setCurrentIndex(grid.model().index(0, 0))
    qtbot.keyClick(grid, Qt.Key.Key_Return)
    viewer = shown.findChild(ImageViewer)
    assert viewer.caption() == "Truly “crack”, but given “free” (90.0 %): wrong"
    rows = viewer.findChild(ProbabilityBars).rows()
    assert rows[0] == ("free", 0.9)
    assert dict(rows)["break"] == pytest.approx(0.05)
    qtbot.waitUntil(viewer.findChild(PictureView).has_picture)
    qtbot.keyClick(viewer, Qt.Key.Key_Right)
    assert viewer.caption().startswith("Truly “free”, but given “break”")
    qtbot.keyClick(viewer, Qt.Key.Key_Left)
    qtbot.keyClick(viewer, Qt.Key.Key_Left)
    assert viewer.position() == 0
    qtbot.keyClick(viewer, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: shown.findChild(ImageViewer) is None)


def test_missing_picture_says_why_when_opened(shown, qtbot):
    click_cell(qtbot, shown, 2, 2)
    grid = shown.findChild(ImageGrid)
    centre = grid.visualRect(grid.model().index(0, 0)).center()
    qtbot.mouseClick(grid.viewport(), Qt.MouseButton.LeftButton, pos=centre)
    qtbot.mouseDClick(grid.viewport(), Qt.MouseButton.LeftButton, pos=centre)
    view = shown.findChild(ImageViewer).findChild(PictureView)
    qtbot.waitUntil(lambda: "cannot be opened" in view.message())


def test_run_without_mistakes_shows_what_it_was_least_sure_of(page, qtbot, tmp_path, pictures):
    run = run_folder(tmp_path / "run")
    plain = evaluation(pictures)
    right = tuple(p for p in plain.predictions if p.truth == p.class_)
    write_json(
        run.evaluation_file,
        Evaluation(**{name: getattr(plain, name) for name in plain.__struct_fields__} | {"predictions": right}),
    )
    page.set_run(run)
    qtbot.waitUntil(page.findChild(ConfusionView).isVisible)
    assert "No mistakes" in visible_texts(page)
    assert names(page) == ["0.jpg", "5.jpg", "2.jpg"]


def test_the_confusion_matrix_is_copied_for_a_spreadsheet(shown, qtbot):
    table = next(t for t in shown.findChild(ConfusionView).findChildren(QTableView) if t.isVisible())
    cell = table.visualRect(table.model().index(0, 1)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=cell)
    qtbot.keyClick(table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == ("\tbreak\tcrack\tfree\nbreak\t1\t1\t0\ncrack\t0\t1\t1\nfree\t1\t0\t1")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_chosen_cell_keeps_its_shade_and_gets_a_frame(qapp, shown, qtbot, scheme):
    theme.apply(qapp, scheme)
    table = next(t for t in shown.findChild(ConfusionView).findChildren(QTableView) if t.isVisible())
    place = table.visualRect(table.model().index(0, 1))
    inside, edge = place.topLeft() + QPoint(6, 6), place.topLeft() + QPoint(1, 10)
    before = table.viewport().grab().toImage()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place.center())
    after = table.viewport().grab().toImage()
    assert after.pixelColor(inside) == before.pixelColor(inside)
    assert after.pixelColor(edge).name().upper() == theme.current().text != before.pixelColor(edge).name().upper()
