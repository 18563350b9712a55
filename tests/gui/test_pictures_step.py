"""Setting up real folders in the wizard's first step, with real scans, by mouse and keyboard."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QDialog, QFileDialog, QLineEdit, QPushButton, QToolButton, QVBoxLayout, QWidget

from tests.factories import class_folders, draw
from tlstudio.core.dataset_setup import DatasetSetup, load_setup
from tlstudio.core.durable import read_json
from tlstudio.core.events import JobEnded
from tlstudio.core.jobs import Scan
from tlstudio.core.look import look, write_scanned
from tlstudio.gui.widgets.dataset_viewer import DatasetViewer
from tlstudio.gui.wizard.pictures_step import PicturesStep

LEFT = Qt.MouseButton.LeftButton
WAIT_MS = 30_000


@pytest.fixture
def opened(qtbot) -> Iterator[Callable[..., PicturesStep]]:
    """Open the step on folders; the scan runs here, in this process."""

    def begin(*folders: Path, table: str = "") -> PicturesStep:
        step = PicturesStep(folders, table)
        qtbot.addWidget(step)
        step.resize(1050, 640)
        step.show()

        def scan(job: Scan) -> None:
            scanned = look([Path(folder) for folder in job.folders])
            step.receive(JobEnded(status="finished", result={"scanned": str(write_scanned(scanned))}))

        step.job_requested.connect(scan)
        step.begin()
        qtbot.waitUntil(lambda: step.edits.index is not None and not step.edits.is_busy(), timeout=WAIT_MS)
        return step

    yield begin


def button(parent: QWidget, text: str) -> QPushButton:
    return next(b for b in parent.findChildren(QPushButton) if b.isVisible() and b.text().replace("&", "") == text)


def has_button(parent: QWidget, text: str) -> bool:
    return any(found.isVisible() and found.text() == text for found in parent.findChildren(QPushButton))


def settle(qtbot, step: PicturesStep) -> None:
    qtbot.waitUntil(lambda: not step.edits.is_busy(), timeout=WAIT_MS)


def tiles(folder: Path) -> Path:
    """Pictures in a published layout: class/Imgs/*.jpg with *.png masks beside."""
    for shape in ("disc", "square"):
        (folder / shape / "Imgs").mkdir(parents=True)
        for number in range(6):
            picture = draw(shape, number)
            picture.save(folder / shape / "Imgs" / f"{number}.jpg")
            picture.convert("L").point(lambda value: 255 * (value > 128)).save(
                folder / shape / "Imgs" / f"{number}.png"
            )
    return folder


def test_masks_beside_pictures_are_left_out_by_one_click(qtbot, opened, tmp_path):
    step = opened(tiles(tmp_path / "tiles"))
    qtbot.waitUntil(lambda: [finding.deed for finding in step.found()] == ["exclude"])
    assert step.message() == "24 pictures in 2 classes."
    assert step.has_open_question()
    qtbot.waitUntil(lambda: has_button(step, "Leave them out"))
    with qtbot.waitSignal(step.dealt) as heard:
        QTest.mouseClick(button(step, "Leave them out"), LEFT)
    index, parts = heard.args
    assert {Path(image.path).suffix for image in index.images} == {".jpg"}
    assert step.message() == "12 pictures in 2 classes." and len(parts.train) + len(parts.val) == 12
    qtbot.waitUntil(lambda: not step.has_open_question())
    with qtbot.waitSignal(step.dealt):
        QTest.keyClick(step, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert step.setup() == DatasetSetup()


def test_what_was_decided_is_taken_up_again_and_can_be_dropped(qtbot, opened, tmp_path):
    folder = tiles(tmp_path / "tiles")
    first = opened(folder)
    first.edits.change(DatasetSetup(exclude=("*.png",), left_out=()), "Leave out *.png")
    settle(qtbot, first)
    first.close()
    again = opened(folder)
    assert again.message() == "12 pictures in 2 classes."
    qtbot.waitUntil(lambda: "Your 1 decision of last time is used." in [f.sentence for f in again.found()])
    qtbot.waitUntil(lambda: has_button(again, "Start afresh"))
    with qtbot.waitSignal(again.dealt):
        QTest.mouseClick(button(again, "Start afresh"), LEFT)
    assert again.message() == "24 pictures in 2 classes."
    assert load_setup([folder]) == (DatasetSetup(), [])


def test_a_flat_folder_leads_to_the_set_up_and_from_there_on(qtbot, opened, tmp_path):
    (tmp_path / "flat").mkdir()
    for shape in ("disc", "square"):
        for number in range(5):
            draw(shape, number).save(tmp_path / "flat" / f"{shape}_{number}.png")
    step = opened(tmp_path / "flat")
    assert not step.is_complete() and "cannot be used yet" in step.message()
    assert step.tabs.currentWidget() is step.layout_setup
    assert not step.tabs.isTabEnabled(step.tabs.indexOf(step.grid))
    use = button(step.layout_setup, "Use this expression")
    qtbot.waitUntil(use.isEnabled)
    with qtbot.waitSignal(step.dealt):
        QTest.mouseClick(use, LEFT)
    assert step.is_complete() and step.message() == "10 pictures in 2 classes."
    assert step.tabs.isTabEnabled(step.tabs.indexOf(step.grid))


def test_a_class_of_one_is_refused_until_it_is_left_out(qtbot, opened, tmp_path):
    step = opened(class_folders(tmp_path / "few", {"disc": 5, "square": 5, "cross": 1}))
    qtbot.waitUntil(lambda: "leave out" in [finding.deed for finding in step.found()])
    qtbot.waitUntil(
        lambda: any(b.text() == "Leave the class out" and b.isVisible() for b in step.findChildren(QPushButton))
    )
    with qtbot.waitSignal(step.dealt) as heard:
        QTest.mouseClick(button(step, "Leave the class out"), LEFT)
    assert heard.args[0].classes == ("disc", "square")
    assert step.is_complete()


def test_an_empty_folder_is_refused_in_words(qtbot, tmp_path):
    (tmp_path / "empty").mkdir()
    step = PicturesStep((tmp_path / "empty",))
    qtbot.addWidget(step)
    step.show()

    def scan(job: Scan) -> None:
        scanned = look([Path(folder) for folder in job.folders])
        step.receive(JobEnded(status="finished", result={"scanned": str(write_scanned(scanned))}))

    step.job_requested.connect(scan)
    step.begin()
    qtbot.waitUntil(lambda: "cannot be used yet" in step.message(), timeout=WAIT_MS)
    assert not step.is_complete()
    assert button(step, "Choose another folder …").isVisible()


def test_an_archive_needs_nothing_more(qtbot, opened, tmp_path):
    class_folders(tmp_path / "shapes")
    archive = Path(shutil.make_archive(str(tmp_path / "shapes"), "zip", tmp_path / "shapes"))
    step = opened(archive)
    assert step.message() == "12 pictures in 2 classes." and step.folders() == (archive,)


def test_a_dropped_table_is_shown_and_used_only_when_the_user_says_so(qtbot, opened, tmp_path):
    folder = class_folders(tmp_path / "pictures")
    table = tmp_path / "labels.csv"
    rows = [f"{path.name},{'even' if int(path.stem[-1]) % 2 == 0 else 'odd'}" for path in folder.rglob("*.png")]
    table.write_text("\n".join(["file,parity", *rows]))
    step = opened(folder, table=str(table))
    assert step.tabs.currentWidget() is step.layout_setup
    assert step.edits.index is not None and step.edits.index.classes == ("disc", "square")
    use = button(step.layout_setup, "Use this table")
    qtbot.waitUntil(use.isEnabled)
    with qtbot.waitSignal(step.dealt) as heard:
        QTest.mouseClick(use, LEFT)
    assert heard.args[0].classes == ("even", "odd")


def test_the_set_up_is_saved_for_the_command_line_and_loaded(qtbot, opened, tmp_path, monkeypatch):
    step = opened(tiles(tmp_path / "tiles"))
    wanted = DatasetSetup(exclude=("*.png",), renamed={"disc": "round"})
    file = tmp_path / "kept.json"
    file.write_bytes(msgspec.json.encode(wanted))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(file), ""))
    more = next(found for found in step.findChildren(QToolButton) if found.accessibleName() == "More about the set-up")
    actions = {action.text().replace("&", ""): action for action in more.menu().actions()}
    with qtbot.waitSignal(step.dealt) as heard:
        actions["Load set-up …"].trigger()
    assert heard.args[0].class_counts() == {"round": 6, "square": 6}
    saved = tmp_path / "saved.json"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(saved), ""))
    actions["Save set-up as a file …"].trigger()
    assert read_json(saved, DatasetSetup) == wanted


def test_cancelling_keeps_the_way_back(qtbot, tmp_path):
    step = PicturesStep((tmp_path,))
    qtbot.addWidget(step)
    step.show()
    asked = []
    step.job_requested.connect(asked.append)
    step.begin()
    with qtbot.waitSignal(step.stop_requested):
        QTest.mouseClick(button(step, "Cancel"), LEFT)
    step.receive(JobEnded(status="stopped"))
    assert "What was read is remembered" in step.message()
    QTest.mouseClick(button(step, "Look again"), LEFT)
    assert len(asked) == 2


def test_enter_ends_what_is_typed_and_opens_pictures_but_never_leaves_the_step(qtbot, opened, tmp_path):
    step = opened(class_folders(tmp_path / "pictures", {"disc": 4, "cross": 4}))
    dialog, on = QDialog(), QPushButton("Next")
    qtbot.addWidget(dialog)
    on.setDefault(True)
    QVBoxLayout(dialog).addWidget(step)
    dialog.layout().addWidget(on)
    dialog.show()
    pressed = []
    on.clicked.connect(pressed.append)
    step.tabs.setCurrentWidget(step.layout_setup)
    line = next(
        found
        for found in step.layout_setup.findChildren(QLineEdit)
        if found.accessibleName() == "Pattern of files to leave out"
    )
    qtbot.keyClicks(line, "*_000*")
    qtbot.keyClick(line, Qt.Key.Key_Return)
    assert step.setup().exclude == ("*_000*",)
    settle(qtbot, step)
    step.look_at([image.path for image in step.edits.index.images])
    settle(qtbot, step)
    view = step.grid.view()
    qtbot.waitUntil(lambda: len(step.grid.pictures()) > 0)
    view.setCurrentIndex(view.model().index(0, 0))
    qtbot.keyClick(view, Qt.Key.Key_Return)
    viewer = step.grid.findChild(DatasetViewer)
    assert viewer is not None
    viewer.close()
    assert not pressed


def test_undo_during_another_look_does_not_bring_the_old_pictures_back(qtbot, opened, tmp_path):
    step = opened(class_folders(tmp_path / "pictures", {"disc": 4, "cross": 4, "square": 4}))
    step.edits.leave_out(["square"])
    settle(qtbot, step)
    step.job_requested.disconnect()
    step.begin()
    step.edits.history().undo()
    settle(qtbot, step)
    assert step.edits.index.classes == ("cross", "disc", "square")
    assert not step.tabs.isVisible() and not step.is_complete()
