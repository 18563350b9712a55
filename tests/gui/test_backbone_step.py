"""Comparing backbones on the user's pictures, and choosing from what came out."""

from __future__ import annotations

import msgspec
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QProgressBar, QPushButton

from tlstudio.core.backbones import backbone
from tlstudio.core.events import JobEnded, Progress
from tlstudio.core.results import RankRow
from tlstudio.gui.widgets.backbone_ranking import verdict
from tlstudio.gui.widgets.record_table import RecordTable
from tlstudio.gui.wizard.backbone_step import BackboneStep

LEFT = Qt.MouseButton.LeftButton
LARGE = RankRow("resnet50", "IMAGENET1K_V1", 0.961, (0.924, 0.981), 25.0, 9.8, 612.4, 94.1)
QUICK = RankRow("mobilenet_v2", "IMAGENET1K_V1", 0.952, (0.912, 0.974), 4.14, 59.0, 1210.0, 8.9)
WORSE = RankRow("squeezenet1_1", "IMAGENET1K_V1", 0.902, (0.852, 0.934), 3.0, 80.0, 110.0, 2.9)


@pytest.fixture
def step(qtbot):
    step = BackboneStep()
    qtbot.addWidget(step)
    step.resize(912, 500)
    step.show()
    return step


def button(step: BackboneStep, text: str) -> QPushButton:
    return next(found for found in step.findChildren(QPushButton) if found.text().replace("&", "") == text)


def compare(qtbot, step: BackboneStep) -> None:
    with qtbot.waitSignal(step.comparison_requested):
        QTest.mouseClick(button(step, "Compare on your pictures"), LEFT)


def compared(qtbot, step: BackboneStep, *rows: RankRow) -> RecordTable:
    compare(qtbot, step)
    step.receive(JobEnded(status="finished", result={"rows": msgspec.to_builtins(rows)}))
    table = step.findChild(RecordTable)
    assert table is not None and table.isVisible()
    return table


def test_a_comparison_shows_how_far_it_is_and_can_be_cancelled(qtbot, step):
    compare(qtbot, step)
    assert not button(step, "Compare on your pictures").isEnabled()
    step.receive(Progress(what="Showing the pictures to MobileNetV2", done=40, total=195, seconds_left=31.0))
    bar = step.findChild(QProgressBar)
    assert bar.isVisible() and (bar.value(), bar.maximum()) == (40, 195)
    assert any("about 30 seconds left" in label.text() for label in step.findChildren(QLabel))
    with qtbot.waitSignal(step.stop_requested):
        QTest.mouseClick(button(step, "Cancel"), LEFT)
    step.receive(JobEnded(status="stopped"))
    assert step.message() == "The comparison was stopped."
    assert not bar.isVisible() and button(step, "Compare on your pictures").isEnabled()


def test_the_figures_are_shown_best_first(qtbot, step):
    table = compared(qtbot, step, LARGE, QUICK)
    assert table.texts() == [
        ("ResNet-50", "96.1 % (92.4-98.1)", "25.0 s", "612 MB", "94.1 MB"),
        ("MobileNetV2", "95.2 % (91.2-97.4)", "4.1 s", "1,210 MB", "8.9 MB"),
    ]


def test_a_row_is_chosen_by_click_and_by_enter_and_follows_the_cards(qtbot, step):
    table = compared(qtbot, step, LARGE, QUICK)
    where = table.visualRect(table.model().index(0, 0)).center()
    with qtbot.waitSignal(step.chosen) as chosen:
        QTest.mouseClick(table.viewport(), LEFT, pos=where)
    assert chosen.args[0].name == "resnet50" and step.spec().name == "resnet50"
    table.setFocus()
    QTest.keyClick(table, Qt.Key.Key_Down)
    with qtbot.waitSignal(step.chosen):
        QTest.keyClick(table, Qt.Key.Key_Return)
    assert step.spec().name == "mobilenet_v2"
    step.choose("resnet50")
    assert [index.row() for index in table.selectionModel().selectedRows()] == [0]
    step.choose("alexnet")
    assert not table.selectionModel().hasSelection()


def test_the_result_stays_when_the_step_is_left(qtbot, step):
    table = compared(qtbot, step, LARGE, QUICK)
    step.hide()
    step.show()
    assert table.isVisible() and len(table.texts()) == 2


def test_a_failed_comparison_says_why_and_keeps_the_last_one(qtbot, step):
    table = compared(qtbot, step, LARGE, QUICK)
    compare(qtbot, step)
    step.receive(JobEnded(status="failed", what="The disk is full.", hint="Free 2 GB."))
    assert step.message() == "The disk is full. Free 2 GB."
    assert len(table.texts()) == 2


@pytest.mark.parametrize(
    ("rows", "said", "unsaid"),
    [
        ((LARGE, QUICK, WORSE), ("ResNet-50 does best", "MobileNetV2 is as good", "6.0 times"), ("SqueezeNet",)),
        ((LARGE, WORSE), ("ResNet-50 does best",), ("as good",)),
        ((QUICK, WORSE), ("MobileNetV2 does best",), ("as good",)),
        ((QUICK,), ("Only MobileNetV2 is on this computer",), ("best",)),
    ],
)
def test_the_sentence_weighs_accuracy_against_time(rows, said, unsaid):
    sentence = verdict(rows)
    assert all(words in sentence for words in said)
    assert not any(words in sentence for words in unsaid)


def test_every_backbone_has_a_title_to_compare_by(qtbot, step):
    table = compared(qtbot, step, *(msgspec.structs.replace(LARGE, backbone=name) for name in ("vit_b_16", "swin_t")))
    assert [texts[0] for texts in table.texts()] == [backbone("vit_b_16").title, backbone("swin_t").title]
