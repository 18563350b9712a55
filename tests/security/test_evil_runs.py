"""Folders that pretend to be runs: refused in words by the commands, shown as plain text by the window."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QAbstractTableModel, Qt
from PySide6.QtWidgets import QAbstractItemView, QApplication, QLabel, QMessageBox, QWidget

from tests.gui.run_files import evaluation, fine_tune_events, run_folder, started
from tests.security.conftest import tampered_copy
from tlstudio.core.durable import sealed
from tlstudio.core.events import Notice, encode_event
from tlstudio.core.paths import runs_dir
from tlstudio.core.runfolder import RunFolder
from tlstudio.gui.main_window import MainWindow

EVIL_NAME = '<img src="x"><b>class & co'
NESTED = b'{"version": 1, "more": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"


def changed(**values: object) -> Callable[[bytes], bytes]:
    """Return what changes top-level values of a record."""
    return lambda content: json.dumps(json.loads(content) | values).encode()


def changed_stage(**values: object) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        plan = json.loads(content)
        plan["stages"] = [stage | values for stage in plan["stages"]]
        return json.dumps(plan).encode()

    return change


def changed_images(**values: object) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        index = json.loads(content)
        index["images"] = [image | values for image in index["images"]]
        return json.dumps(index).encode()

    return change


def instead(content: bytes) -> Callable[[bytes], bytes]:
    return lambda _: content


RECORDS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "plan: another type": ("plan.json", changed(batch_size="many")),
    "plan: nested": ("plan.json", instead(NESTED)),
    "plan: a batch of billions": ("plan.json", changed(batch_size=10**12)),
    "plan: a batch of nothing": ("plan.json", changed(batch_size=0)),
    "plan: threads by the million": ("plan.json", changed(threads=10**6)),
    "plan: a seed below zero": ("plan.json", changed(seed=-1)),
    "plan: passes of nothing": ("plan.json", changed(execution={"micro_batch": 0})),
    "plan: views without end": ("plan.json", changed_stage(views=10**9)),
    "plan: epochs without end": ("plan.json", changed_stage(epochs=10**18)),
    "plan: rates divided by nothing": ("plan.json", changed_stage(body_lr_span=0)),
    "plan: a newer version": ("plan.json", changed(version=99)),
    "plan: 5000 digits": ("plan.json", lambda content: content.replace(b'"seed": 0', b'"seed": ' + b"9" * 5000)),
    "data set: a class that is none": ("dataset.json", changed_images(class_index=7)),
    "data set: a class below zero": ("dataset.json", changed_images(class_index=-1)),
    "data set: nested": ("dataset.json", instead(NESTED)),
    "data set: the classes of another model": ("dataset.json", changed(classes=["../../x", EVIL_NAME])),
    "data set: files of the system": ("dataset.json", changed_images(path="/dev/zero")),
    "data set: places outside": ("dataset.json", changed_images(path="../../../../etc/passwd")),
    "split: pictures that are none": ("split.json", changed(val=[10**9])),
    "split: from the end": ("split.json", changed(val=[-1])),
    "split: nothing to judge": ("split.json", changed(val=[])),
    "split: not UTF-8": ("split.json", instead(b'{"train": "\xff\xfe"}')),
}  # fmt: skip


@pytest.mark.parametrize("name", RECORDS)
def test_evil_records_are_refused(name: str, head_run: RunFolder, tmp_path: Path, refused):
    run = tampered_copy(head_run, tmp_path / "run")
    file, change = RECORDS[name]
    path = run.path / file
    path.write_bytes(change(path.read_bytes()))
    refused("evaluate", run.path)


@pytest.mark.parametrize(
    "line",
    [
        b'{"event": "notice", "code": "x", "what": ' + b"[" * 200_000 + b"\n",
        b"x" * 10_000_000 + b"\n",
        b'{"event": "epoch_ended"}\n',
        b'{"event": "run_ended", "status": "exploded"}\n',
    ],
    ids=["nested", "ten million letters", "nothing in it", "no such end"],
)
def test_evil_logs_are_refused(line: bytes, head_run: RunFolder, tmp_path: Path, refused):
    run = tampered_copy(head_run, tmp_path / "run")
    run.events_file.write_bytes(line + run.events_file.read_bytes())
    assert "log" in refused("resume", run.path)


def gone_on_with(head_run: RunFolder, folder: Path) -> RunFolder:
    """Return a run that was interrupted, so that going on with it writes."""
    run = tampered_copy(head_run, folder)
    lines = run.events_file.read_bytes().splitlines(keepends=True)
    run.events_file.write_bytes(b"".join(line for line in lines if b"run_ended" not in line))
    return run


def test_links_never_lead_the_app_to_files_of_the_user(head_run: RunFolder, tmp_path: Path, refused):
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("thesis.docx", "00000001.json", "weights.safetensors"):
        (mine / name).write_bytes(b"years of work")
    run = gone_on_with(head_run, tmp_path / "run")
    if run.checkpoints_dir.exists():
        run.checkpoints_dir.rename(tmp_path / "taken away")
    run.checkpoints_dir.symlink_to(mine)
    assert "a link in the place of “checkpoints”" in refused("resume", run.path)
    run.checkpoints_dir.unlink()
    run.events_file.unlink()
    run.events_file.symlink_to(mine / "thesis.docx")
    refused("resume", run.path)
    assert {path.read_bytes() for path in mine.iterdir()} == {b"years of work"} and len(list(mine.iterdir())) == 3


def test_a_saved_state_that_points_outside_is_passed_over(head_run: RunFolder, tmp_path: Path, capsys):
    from tlstudio.cli import main

    run = gone_on_with(head_run, tmp_path / "run")
    run.checkpoints_dir.mkdir(exist_ok=True)
    files = {"network": {"name": "../../../../etc/passwd", "sha256": "0" * 64}}
    record = {
        "generation": 9, "stage": 10**9, "counters": {}, "log_bytes": 10**15, "log_sha256": "", "files": files,
        "kept": {"words": EVIL_NAME, "temperature": 1, "epoch": None, "head": {}},
    }  # fmt: skip
    (run.checkpoints_dir / "00000009.json").write_bytes(sealed(json.dumps(record).encode()))
    (run.checkpoints_dir / "notes of mine.txt").write_text("kept")
    assert main(["resume", str(run.path)]) == 0
    assert "Traceback" not in capsys.readouterr().err
    assert run.summary()[1].status == "finished"
    assert (run.checkpoints_dir / "notes of mine.txt").read_text() == "kept"


# --- the window ------------------------------------------------------------------------------------------------------


def rich_texts() -> Iterator[tuple[str, str]]:
    """Yield every text of the app that Qt would take for mark-up, apart from tooltips that we escaped."""
    for widget in QApplication.allWidgets():
        if isinstance(widget, QLabel | QMessageBox) and widget.textFormat() != Qt.TextFormat.PlainText:
            yield type(widget).__name__, widget.text()
        yield "tooltip", widget.toolTip()
        if isinstance(widget, QAbstractItemView) and widget.model() is not None:
            yield from _tooltips_of(widget)


def _tooltips_of(view: QAbstractItemView) -> Iterator[tuple[str, str]]:
    model = view.model()
    columns = range(model.columnCount() if isinstance(model, QAbstractTableModel) else 1)
    for row in range(min(50, model.rowCount())):
        for column in columns:
            yield "tooltip of a cell", str(model.index(row, column).data(Qt.ItemDataRole.ToolTipRole) or "")
    for column in columns:
        title = model.headerData(column, Qt.Orientation.Horizontal, Qt.ItemDataRole.ToolTipRole)
        yield "tooltip of a title", str(title or "")


def assert_nothing_is_markup() -> None:
    found = [(kind, text.removeprefix("<qt>").removesuffix("</qt>").replace("<br>", "")) for kind, text in rich_texts()]
    assert not [(kind, text) for kind, text in found if re.search("<[a-z/!?]", text, re.IGNORECASE)]


def evil_events() -> list[Any]:
    events = fine_tune_events()
    notice = Notice(code=EVIL_NAME, what=EVIL_NAME, hint=EVIL_NAME)
    return [started((EVIL_NAME, EVIL_NAME)), *events[1:-1], notice, events[-1]]


EVIL_RUNS: dict[str, Callable[[RunFolder], object]] = {
    EVIL_NAME: lambda run: run.events_file.write_bytes(b"".join(map(encode_event, evil_events()))),
    "\u202efdp.exe": lambda run: None,
    "plan": lambda run: run.plan_file.write_bytes(NESTED),
    "data set": lambda run: run.dataset_file.write_bytes(NESTED),
    "log": lambda run: run.events_file.write_bytes(b"x" * 10_000_000 + b"\n"),
    "log with a page of numbers": lambda run: run.events_file.write_bytes(
        run.events_file.read_bytes().replace(b'"epochs":3', b'"epochs":999999999999999999')
    ),
    "judged": lambda run: run.evaluation_file.write_bytes(
        run.evaluation_file.read_bytes().replace(b'"class": "break"', json.dumps({"class": EVIL_NAME}).encode()[1:-1])
    ),
    "judged by a table that does not fit": lambda run: run.evaluation_file.write_bytes(
        changed(confusion=[[1, 2], [3]])(run.evaluation_file.read_bytes())
    ),
    "judged, nested": lambda run: run.evaluation_file.write_bytes(NESTED),
    "notes": lambda run: run.notes_file.write_bytes(
        json.dumps({"name": EVIL_NAME, "note": EVIL_NAME * 1000, "tags": [EVIL_NAME]}).encode()
    ),
    "notes, nested": lambda run: run.notes_file.write_bytes(NESTED),
}  # fmt: skip


def evil_run(name: str, two_classes: Path) -> RunFolder:
    run = run_folder(runs_dir() / name, fine_tune_events())
    run.keep(run.evaluation_file, evaluation([str(path) for path in sorted(two_classes.rglob("*.png"))[:6]]))
    run.manifest.file.unlink(missing_ok=True)
    EVIL_RUNS[name](run)
    return run


def test_the_window_shows_evil_runs_as_plain_text(qtbot, two_classes: Path):
    runs = [evil_run(name, two_classes) for name in EVIL_RUNS]
    window = MainWindow()
    qtbot.addWidget(window)
    window.show()
    for run in runs:
        window.set_run(run)
        for name in window.pages:
            window.show_page(name)
            QApplication.processEvents()
        assert_nothing_is_markup()
    window.show_page("runs")
    qtbot.waitUntil(lambda: any(view.model().rowCount() >= len(runs) for view in runs_views(window)), timeout=20_000)
    assert_nothing_is_markup()
    window.close_now()
    qtbot.waitUntil(lambda: not window.isVisible())


def runs_views(window: MainWindow) -> list[QAbstractItemView]:
    page: QWidget = window.pages["runs"]
    return [view for view in page.findChildren(QAbstractItemView) if view.model() is not None]


def test_the_check_for_markup_finds_some(qtbot):
    for made in (QLabel(EVIL_NAME), QMessageBox(text=EVIL_NAME), QWidget(toolTip=EVIL_NAME)):
        qtbot.addWidget(made)
        with pytest.raises(AssertionError):
            assert_nothing_is_markup()
        made.deleteLater()
        qtbot.waitUntil(lambda made=made: made not in QApplication.allWidgets())
    assert_nothing_is_markup()
