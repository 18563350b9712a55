"""The whole way through the real window, with real engine processes and a user's hands only."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLineEdit, QPushButton, QSpinBox, QTableView, QWidget

from tests.factories import class_folders
from tests.gui.drops import drop
from tlstudio.core.events import EpochEnded, RunEnded
from tlstudio.core.paths import runs_dir
from tlstudio.core.runfolder import RunFolder
from tlstudio.gui.main_window import MainWindow
from tlstudio.gui.pages.evaluate_page import ResultsPage
from tlstudio.gui.widgets.confusion_view import ConfusionView
from tlstudio.gui.widgets.curves import Curves
from tlstudio.gui.widgets.drop_zone import DropZone
from tlstudio.gui.widgets.image_grid import ImageGrid

ROOT = Path(__file__).resolve().parents[2]
WAIT_MS = 120_000
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def window(qtbot) -> Iterator[MainWindow]:
    made = MainWindow()
    made.show()
    yield made
    made.close_now()
    qtbot.waitUntil(lambda: not made.isVisible())


def button(parent: QWidget, text: str) -> QPushButton:
    """The visible button whose text begins so."""
    return next(
        found
        for found in parent.findChildren(QPushButton)
        if found.isVisible() and found.text().replace("&", "").startswith(text)
    )


def offers(parent: QWidget, text: str) -> bool:
    """Return whether there is such a button to be pressed."""
    try:
        return button(parent, text).isEnabled()
    except StopIteration:
        return False


# 192.0.2.1 is set aside for documentation: nobody has it, and without a network there is no way to it either.
IS_CUT_OFF = """
import errno, socket, sys
try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)
except OSError as error:
    sys.exit(error.errno != errno.ENETUNREACH)
sys.exit(1)
"""
CUT_OFF = ("unshare", "--map-root-user", "--net", sys.executable)


def can_be_cut_off() -> bool:
    """Tell whether this system lets a single program be cut off from the network."""
    if shutil.which(CUT_OFF[0]) is None:
        return False
    return subprocess.run([*CUT_OFF, "-c", IS_CUT_OFF], capture_output=True, check=False).returncode == 0


def test_the_whole_way_needs_no_network():
    if not can_be_cut_off():
        pytest.skip("this system does not let a single program be cut off from the network")
    whole_way = f"{__file__}::{test_from_a_dropped_folder_to_an_exported_model.__name__}"
    ran = subprocess.run(
        [*CUT_OFF, "-m", "pytest", "-q", "-p", "no:cacheprovider", whole_way],
        cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {"TLSTUDIO_IS_CUT_OFF": "1"},
    )  # fmt: skip
    assert ran.returncode == 0 and "1 passed" in ran.stdout, ran.stdout[-3000:]


def test_from_a_dropped_folder_to_an_exported_model(qtbot, window: MainWindow, tmp_path: Path):
    if "TLSTUDIO_IS_CUT_OFF" not in os.environ and can_be_cut_off():
        pytest.skip("this way is gone without a network, in another test")
    pictures = class_folders(tmp_path / "shapes", {"disc": 14, "square": 14})
    zone = window.start_page.findChild(DropZone)
    assert zone is not None and drop(zone, [pictures])

    wizard = window.wizard
    assert wizard is not None
    qtbot.waitUntil(wizard.next_button.isEnabled, timeout=WAIT_MS)
    assert wizard.pictures.classes.texts() == [("disc", 14), ("square", 14)]
    QTest.mouseClick(wizard.next_button, LEFT)
    assert wizard.backbone.spec().name == "mobilenet_v2", "the backbone that comes with the app"
    QTest.mouseClick(wizard.next_button, LEFT)
    QTest.mouseClick(wizard.regime.chart.quarter("fine-tune"), LEFT)
    QTest.mouseClick(wizard.next_button, LEFT)
    epochs = wizard.options.findChildren(QSpinBox)[0]
    epochs.setFocus()
    epochs.selectAll()
    QTest.keyClicks(epochs, "2")
    QTest.mouseClick(wizard.next_button, LEFT)
    QTest.mouseClick(wizard.next_button, LEFT)

    assert window.page_name() == "train"
    run = RunFolder(runs_dir() / "shapes")
    qtbot.waitUntil(lambda: run.summary()[1] is not None, timeout=WAIT_MS)
    ended = run.summary()[1]
    assert isinstance(ended, RunEnded) and ended.status == "finished"
    curves = window.train_page.findChild(Curves)
    assert curves is not None
    epochs_logged = [event for event in run.events() if isinstance(event, EpochEnded)]
    qtbot.waitUntil(lambda: len(curves.points.val_loss.ys) == len(epochs_logged) == 3, timeout=WAIT_MS)
    assert np.allclose(curves.points.val_loss.ys, [event.val_loss for event in epochs_logged])

    qtbot.waitUntil(lambda: offers(window.train_page, "See the results"), timeout=WAIT_MS)
    QTest.mouseClick(button(window.train_page, "See the results"), LEFT)
    assert window.page_name() == "results"
    results = window.pages["results"]
    assert isinstance(results, ResultsPage)
    qtbot.waitUntil(run.evaluation_file.is_file, timeout=WAIT_MS)
    matrix, grid = results.findChild(ConfusionView), results.findChild(ImageGrid)
    assert matrix is not None and grid is not None
    qtbot.waitUntil(matrix.isVisible, timeout=WAIT_MS)
    assert sum(sum(row) for row in matrix_counts(matrix)) == 6
    table = shown_table(matrix)
    with run.predictions_file.open(newline="") as file:
        answers = [(Path(row["path"]).parent.name, row["class"]) for row in csv.DictReader(file)]
    for row, true_class in enumerate(("disc", "square")):
        for column, given_class in enumerate(("disc", "square")):
            cell = table.visualRect(table.model().index(row, column)).center()
            QTest.mouseClick(table.viewport(), LEFT, pos=cell)
            shown = [(p.truth, p.class_) for p in grid.pictures()]
            assert shown == [pair for pair in answers if pair == (true_class, given_class)]

    window.show_page("export")
    export = window.pages["export"]
    line = export.findChild(QLineEdit)
    assert line is not None
    line.setFocus()
    line.selectAll()
    QTest.keyClicks(line, str(tmp_path / "handed over"))
    QTest.mouseClick(button(export, "Export"), LEFT)
    model = tmp_path / "handed over" / "model.onnx"
    qtbot.waitUntil(lambda: (model.parent / "predict.py").is_file(), timeout=WAIT_MS)
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    zeros = np.zeros((1, 224, 224, 3), np.uint8)
    assert session.run(None, {"images": zeros})[0].sum() == pytest.approx(1, abs=1e-5)


def shown_table(matrix: ConfusionView) -> QTableView:
    return next(table for table in matrix.findChildren(QTableView) if table.isVisible())


def matrix_counts(matrix: ConfusionView) -> list[tuple[int, int]]:
    model = shown_table(matrix).model()
    return [tuple(int(model.index(row, column).data()) for column in range(2)) for row in range(model.rowCount())]


def test_stop_keeps_what_was_learnt(qtbot, window: MainWindow, tmp_path: Path):
    pictures = class_folders(tmp_path / "shapes", {"disc": 14, "square": 14})
    zone = window.start_page.findChild(DropZone)
    assert zone is not None and drop(zone, [pictures])
    wizard = window.wizard
    assert wizard is not None
    qtbot.waitUntil(wizard.next_button.isEnabled, timeout=WAIT_MS)
    QTest.mouseClick(wizard.next_button, LEFT)
    QTest.mouseClick(wizard.next_button, LEFT)
    QTest.mouseClick(wizard.regime.chart.quarter("fine-tune"), LEFT)
    for _ in range(3):
        QTest.mouseClick(wizard.next_button, LEFT)
    run = RunFolder(runs_dir() / "shapes")
    qtbot.waitUntil(lambda: any(isinstance(e, EpochEnded) for e in run.events()), timeout=WAIT_MS)
    QTest.mouseClick(button(window.train_page, "Stop"), LEFT)
    qtbot.waitUntil(lambda: run.summary()[1] is not None, timeout=WAIT_MS)
    ended = run.summary()[1]
    assert ended is not None and ended.status == "stopped" and ended.val_accuracy is not None
    assert run.model_file.is_file()
