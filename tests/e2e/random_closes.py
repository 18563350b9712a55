"""Closes the real window at random moments of its work, and looks at what that leaves behind.

`python -m tests.e2e.random_closes COUNT SEED [WORK ...]` closes COUNT windows, each in a process and with a home of its
own, and prints as JSON how many there were of each kind and what was not as it should be.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from tests.factories import class_folders
from tlstudio.core import jobs
from tlstudio.core.events import ignore, never
from tlstudio.core.paths import HOME_VARIABLE, crash_log, runs_dir
from tlstudio.core.runfolder import RunFolder

Work = Literal["scan", "train", "evaluate", "export"]
How = Literal["pause", "terminate", "session"]
ROOT = Path(__file__).resolve().parents[2]
RUN = "shapes"
LONGEST_S: dict[Work, float] = {"scan": 1.5, "train": 4.0, "evaluate": 2.0, "export": 4.0}
"""About how long the work takes, a training from its plan on; it is closed within that time."""
GONE_S = 10.0
TORCH_S_OWN = "torchinductor_"
"""torch makes this empty folder when it is imported, one for all its processes."""


@dataclass(frozen=True)
class Close:
    """One window that is closed so long after its work began; `how` "" lets the work end first."""

    work: Work
    how: How | Literal[""]
    after_s: float


def closes(count: int, seed: int, folder: Path, works: Sequence[Work] = get_args(Work)) -> dict[str, object]:
    """Close so many windows during these works in turn; return how many there were of each kind, and what was wrong."""
    chance = random.Random(seed)
    pictures = class_folders(folder / RUN, {"disc": 14, "square": 14})
    before = _hashes(pictures)
    whole = folder / "whole"
    wrong = _wrong(Close("train", "", 0), pictures, whole)
    wanted = _model_hash(whole)
    kinds: Counter[str] = Counter()
    for number in range(count):
        work = works[number % len(works)]
        close = Close(work, chance.choice(get_args(How)), chance.uniform(0, LONGEST_S[work]))
        home = folder / f"home {number}"
        shutil.copytree(whole, home)
        if work in ("scan", "train"):
            shutil.rmtree(home / "runs")
        if work == "scan":
            shutil.rmtree(home / "cache")
        found = _wrong(close, pictures, home)
        if work == "train" and not found:
            kinds[f"train: {_state(home)}"] += 1
            found = _not_gone_on_with(home, wanted)
        kinds[f"{work}, {close.how}"] += 1
        wrong += [f"{number} {close}: {problem}" for problem in found]
        print(f"{number + 1} of {count}: {close}", *found, file=sys.stderr, flush=True)
        shutil.rmtree(home)
    if _hashes(pictures) != before:
        wrong.append("pictures were touched")
    return {"closes": count, "kinds": dict(sorted(kinds.items())), "wrong": wrong}


def _wrong(close: Close, pictures: Path, home: Path) -> list[str]:
    """Close a window and return what is not as it should be afterwards."""
    temporary = Path(tempfile.mkdtemp(dir=pictures.parent))
    ran = subprocess.run(
        [sys.executable, "-m", "tests.e2e.random_closes", close.work, close.how, str(close.after_s), str(pictures)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
        env=os.environ | {HOME_VARIABLE: str(home), "TMPDIR": str(temporary), "QT_QPA_PLATFORM": "offscreen"},
    )  # fmt: skip
    found = []
    if ran.returncode:
        found.append(f"exit code {ran.returncode}")
    if "Traceback" in ran.stderr or (home / crash_log().name).exists():
        found.append(f"complaints: {ran.stderr[-500:]}")
    if alive := _processes_of(home):
        found.append(f"left behind: {alive}")
    strays = [path for root in (home, pictures) for path in root.rglob("*") if path.suffix in (".tmp", ".part")]
    strays += [path for path in temporary.iterdir() if not path.name.startswith(TORCH_S_OWN)]
    if strays:
        found.append(f"stray files: {[str(path) for path in strays]}")
    if half := [path for path in (home / "out").glob("model.onnx*") if not (home / "out" / "model.json").is_file()]:
        found.append(f"half an export: {half}")
    return found


def _processes_of(home: Path) -> list[str]:
    """Return the commands of processes that work with this home, once all had time to go."""
    deadline = time.monotonic() + GONE_S
    while True:
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if os.fsencode(f"{HOME_VARIABLE}={home}") in (place / "environ").read_bytes().split(b"\0"):
                    found.append((place / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:  # it has gone, or is somebody else's
                continue
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def _state(home: Path) -> str:
    run = RunFolder(home / "runs" / RUN)
    if not run.plan_file.is_file():
        return "not begun"
    ended = run.summary()[1]
    return "in the middle" if ended is None else ended.status


def _not_gone_on_with(home: Path, wanted: str) -> list[str]:
    """Go on with the run that was closed; return in what way it does not end as the undisturbed one did."""
    from tlstudio.engine.perform import perform

    run = RunFolder(home / "runs" / RUN)
    if not run.plan_file.is_file():
        return []
    known = os.environ.get(HOME_VARIABLE)
    os.environ[HOME_VARIABLE] = str(home)
    try:
        ended = perform(jobs.Resume(run=str(run.path)), ignore, never)
    finally:
        os.environ.pop(HOME_VARIABLE)
        os.environ.update({HOME_VARIABLE: known} if known else {})
    if ended.status != "finished":
        return [f"could not be gone on with: {ended.what}"]
    return [] if _model_hash(home) == wanted else ["the model is another one"]


def _model_hash(home: Path) -> str:
    return hashlib.sha256((home / "runs" / RUN / "model.safetensors").read_bytes()).hexdigest()


def _hashes(folder: Path) -> dict[str, tuple[str, int]]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) for path in files}


# --- inside the window's process -------------------------------------------------------------------------------------


def drive(work: Work, how: How | Literal[""], after_s: float, pictures: Path) -> int:
    """Open the window, begin the work with a user's hands, close it; return the app's exit code."""
    from PySide6.QtCore import Qt, QTimer
    from PySide6.QtTest import QTest
    from PySide6.QtWidgets import QApplication, QLineEdit, QMessageBox, QPushButton, QSpinBox, QWidget

    from tests.gui.drops import drop
    from tlstudio import app
    from tlstudio.gui.main_window import MainWindow
    from tlstudio.gui.widgets.drop_zone import DropZone

    left = Qt.MouseButton.LeftButton
    run = RunFolder(runs_dir() / RUN)

    def window() -> MainWindow:
        return next(w for w in QApplication.topLevelWidgets() if isinstance(w, MainWindow))

    def button(parent: QWidget, text: str) -> QPushButton | None:
        buttons = parent.findChildren(QPushButton)
        return next((b for b in buttons if b.isVisible() and b.text().replace("&", "").startswith(text)), None)

    def pressed(found: QPushButton | None) -> bool:
        if found is None or not found.isEnabled():
            return False
        QTest.mouseClick(found, left)
        return True

    def is_up() -> bool:
        return any(isinstance(w, MainWindow) and w.isVisible() for w in QApplication.topLevelWidgets())

    def dropped() -> bool:
        zone = window().findChild(DropZone)
        return zone is not None and drop(zone, [pictures])

    def on() -> bool:
        return pressed(window().wizard.next_button)

    def fine_tuning() -> bool:
        QTest.mouseClick(window().wizard.regime.chart.quarter("fine-tune"), left)
        return True

    def two_epochs() -> bool:
        epochs = window().wizard.options.findChildren(QSpinBox)[0]
        epochs.setFocus()
        epochs.selectAll()
        QTest.keyClicks(epochs, "2")
        return True

    def page(name: str) -> Callable[[], bool]:
        def shown() -> bool:
            window().set_run(run)
            window().show_page(name)
            return window().page_name() == name

        return shown

    def exporting() -> bool:
        line = window().pages["export"].findChild(QLineEdit)
        line.setFocus()
        line.selectAll()
        QTest.keyClicks(line, str(run.path.parents[1] / "out"))
        return pressed(button(window().pages["export"], "Export"))

    def trained() -> bool:
        return run.plan_file.is_file() and run.summary()[1] is not None and not window()._shown_jobs()

    def closed() -> bool:
        match how:
            case "terminate":
                os.kill(os.getpid(), signal.SIGTERM)
            case "session":
                QApplication.instance().commitDataRequest.emit(None)
            case _:
                QTimer.singleShot(0, window().close)
        return True

    def answered() -> bool:
        box = QApplication.activeModalWidget()
        return isinstance(box, QMessageBox) and (pressed(button(box, "Pause")) or pressed(button(box, "Stop")))

    begin: dict[Work, list[Callable[[], bool]]] = {
        "scan": [dropped],
        "train": [dropped, on, on, fine_tuning, on, two_epochs, on, on, run.plan_file.is_file],
        "evaluate": [page("results")],
        "export": [page("export"), exporting],
    }
    steps = [is_up, *begin[work], *([] if how else [trained])]
    due: list[float] = []

    def tick() -> None:
        if steps:
            if steps[0]():
                steps.pop(0)
        elif not due:
            due.append(time.monotonic() + after_s)
        elif time.monotonic() >= due[0] and len(due) == 1:
            due.append(0)
            closed()
        elif len(due) == 2:
            answered()

    if work == "evaluate":
        run.evaluation_file.unlink(missing_ok=True)
    timer = QTimer()
    timer.timeout.connect(tick)
    QTimer.singleShot(0, lambda: timer.start(20))
    return app.main([])


if __name__ == "__main__":
    if sys.argv[1].isdecimal():
        count, seed, *works = sys.argv[1:]
        with tempfile.TemporaryDirectory() as scratch:
            found = closes(int(count), int(seed), Path(scratch), works or get_args(Work))  # type: ignore[arg-type]
        print(json.dumps(found, indent=1))
    else:
        sys.exit(drive(sys.argv[1], sys.argv[2], float(sys.argv[3]), Path(sys.argv[4])))  # type: ignore[arg-type]
