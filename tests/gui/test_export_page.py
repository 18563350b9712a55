"""The export page: what it asks for, and how it speaks of the result."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QObject, Qt, QUrl, Slot
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QFileDialog, QLabel, QLineEdit, QPushButton, QRadioButton

from tests.gui.run_files import choose, run_folder
from tlstudio.core.events import JobEnded, Progress
from tlstudio.core.jobs import Export
from tlstudio.core.results import Parity
from tlstudio.gui.pages.export_page import ExportPage, parity_in_words


@pytest.fixture
def run(tmp_path):
    return run_folder(tmp_path / "run")


@pytest.fixture
def page(qtbot, run):
    page = ExportPage()
    qtbot.addWidget(page)
    page.resize(1024, 700)
    page.set_run(run)
    page.show()
    return page


def visible_texts(page) -> str:
    return "\n".join(label.text() for label in page.findChildren(QLabel) if label.isVisible())


def button(page, text: str) -> QPushButton:
    return next(b for b in page.findChildren(QPushButton) if b.text() == text and b.isVisible())


def exported(path: Path, kind: str = "onnx") -> JobEnded:
    parity = {"images": 153, "top1_agreement": 1.0, "max_probability_difference": 1.23e-6}
    return JobEnded(
        status="finished", result={"path": str(path), "format": kind, "sha256": "ab" * 32, "parity": parity}
    )


def test_nothing_to_export_is_said(qtbot, tmp_path):
    page = ExportPage()
    qtbot.addWidget(page)
    page.show()
    assert "Nothing to export yet" in visible_texts(page)
    page.set_run(run_folder(tmp_path / "stopped", trained=False))
    assert "no model to export" in visible_texts(page)
    with qtbot.waitSignal(page.page_requested) as asked:
        qtbot.mouseClick(button(page, "Go to Start"), Qt.MouseButton.LeftButton)
    assert asked.args == ["start"]


def test_onnx_into_the_run_is_the_default(page, qtbot, run):
    with qtbot.waitSignal(page.job_requested) as asked:
        qtbot.mouseClick(button(page, "Export"), Qt.MouseButton.LeftButton)
    assert asked.args == [Export(run=str(run.path), format="onnx", to=str(run.exports_dir))]
    assert not button(page, "Export").isEnabled()
    page.receive(Progress(what="Comparing the answers", done=32, total=153))
    assert "Comparing the answers: 32 of 153" in visible_texts(page)
    with qtbot.waitSignal(page.stop_requested):
        qtbot.mouseClick(button(page, "Cancel"), Qt.MouseButton.LeftButton)
    page.receive(JobEnded(status="stopped"))
    assert "The export was stopped" in visible_texts(page)
    assert button(page, "Export").isEnabled()


def test_format_and_folder_are_the_users_choice(page, qtbot, run, tmp_path):
    radio = next(b for b in page.findChildren(QRadioButton) if "safetensors" in b.text())
    radio.setFocus()
    qtbot.keyClick(radio, Qt.Key.Key_Space)
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    qtbot.mouseClick(button(page, "Choose …"), Qt.MouseButton.LeftButton)
    choose(page.findChild(QFileDialog), chosen)
    with qtbot.waitSignal(page.job_requested) as asked:
        qtbot.mouseClick(button(page, "Export"), Qt.MouseButton.LeftButton)
    assert asked.args == [Export(run=str(run.path), format="safetensors", to=str(chosen))]


def test_export_without_a_folder_is_refused(page, qtbot):
    line = page.findChild(QLineEdit)
    line.setFocus()
    line.selectAll()
    qtbot.keyClick(line, Qt.Key.Key_Delete)
    with qtbot.assertNotEmitted(page.job_requested):
        qtbot.mouseClick(button(page, "Export"), Qt.MouseButton.LeftButton)
    assert "There is no folder to export to" in visible_texts(page)


class OpenedFolders(QObject):
    """Stands where the desktop's file manager would."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []

    @Slot(QUrl)
    def take(self, url: QUrl) -> None:
        self.opened.append(url.toLocalFile())


def test_result_is_told_in_words_and_its_folder_opened_and_remembered(page, qtbot, run, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "predict.py").touch()
    qtbot.mouseClick(button(page, "Export"), Qt.MouseButton.LeftButton)
    page.receive(exported(out / "model.onnx"))
    said = visible_texts(page)
    assert "On 153 pictures the file gave the same class every time" in said
    assert "probabilities differ by at most 0.0000012." in said
    assert f"File: {out / 'model.onnx'}\nSHA-256: {'ab' * 32}" in said
    assert "python predict.py" in said
    qtbot.mouseClick(button(page, "Copy the command"), Qt.MouseButton.LeftButton)
    assert QGuiApplication.clipboard().text() == f'cd "{out}" && python predict.py'
    folders = OpenedFolders()
    QDesktopServices.setUrlHandler("file", folders, "take")
    try:
        qtbot.mouseClick(button(page, "Open folder"), Qt.MouseButton.LeftButton)
    finally:
        QDesktopServices.unsetUrlHandler("file")
    assert folders.opened == [str(out)]
    again = ExportPage()
    qtbot.addWidget(again)
    again.set_run(run)
    assert again.findChild(QLineEdit).text() == str(out)


def test_without_a_sample_script_none_is_promised(page, qtbot, tmp_path):
    qtbot.mouseClick(button(page, "Export"), Qt.MouseButton.LeftButton)
    page.receive(exported(tmp_path / "model.safetensors", "safetensors"))
    assert "predict.py" not in visible_texts(page)


def test_refusal_of_the_engine_is_shown(page, qtbot):
    qtbot.mouseClick(button(page, "Export"), Qt.MouseButton.LeftButton)
    page.receive(JobEnded(status="failed", what="“model.onnx” already exists.", hint="Choose another folder."))
    assert "“model.onnx” already exists. The run itself is unharmed. Choose another folder." in visible_texts(page)


@pytest.mark.parametrize(
    ("images", "agreement", "difference", "sentence"),
    [
        (
            1,
            1.0,
            0.0,
            "On 1 picture the file gave the same class every time; the probabilities are the same to the last digit.",
        ),
        (
            200,
            0.995,
            0.0021,
            "Warning: On 200 pictures the file gave the same class only 199 times (99.5 %); "
            "probabilities differ by at most 0.0021.",
        ),
    ],
)
def test_parity_in_words(images, agreement, difference, sentence):
    measured = Parity(images=images, top1_agreement=agreement, max_probability_difference=difference)
    assert parity_in_words(measured) == sentence
