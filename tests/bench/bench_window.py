"""How late the window's event loop is while the engine works: p50, p99 and max of a 5 ms timer, in ms.

    python -m tests.bench.bench_window [--pictures FOLDER] [--weights FILE] [--epochs N]

The real window scans, trains (fine-tuning, live curves in view) and evaluates; an idle window gives the figure to
compare with. Runs in a home of its own.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PySide6.QtCore import Slot
from PySide6.QtWidgets import QApplication

from tests.bench.lateness import Lateness
from tlstudio.core.events import EpochEnded, Event, RunEnded
from tlstudio.core.jobs import Job, Train
from tlstudio.core.paths import HOME_VARIABLE, runs_dir
from tlstudio.core.runfolder import RunFolder
from tlstudio.gui import theme
from tlstudio.gui.main_window import MainWindow

SHARED = Path(__file__).resolve().parents[3] / "shared"


class WindowLateness(Lateness):
    """Lateness while something goes on in the window."""

    def __init__(self) -> None:
        super().__init__()
        self.said: set[type[Event]] = set()

    @Slot(object, object)
    def note(self, job: Job, event: Event) -> None:
        """Remember what the jobs have said."""
        self.said.add(type(event))

    def during(self, name: str, ended: Callable[[], bool], at_most_s: float = 900) -> None:
        """Let the window live until `ended` and print what was counted meanwhile."""
        self.late_ms.clear()
        deadline = time.monotonic() + at_most_s
        while not ended() and time.monotonic() < deadline:
            # One turn of the real event loop, so that the timer sees what a user would feel.
            QApplication.processEvents()
            time.sleep(0.0005)
        p50, p99 = np.percentile(self.late_ms, [50, 99])
        print(
            f"{name:12} p50 {p50:6.2f}  p99 {p99:6.2f}  max {max(self.late_ms):7.2f}  ({len(self.late_ms)} turns)",
            flush=True,
        )


def after(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end


def main() -> None:
    parser = argparse.ArgumentParser(description="Lateness of the window's event loop")
    parser.add_argument("--pictures", type=Path, default=SHARED / "data/ants_bees")
    parser.add_argument("--weights", type=Path, default=SHARED / "weights/mobilenet_v2-imagenet1k.pth")
    parser.add_argument("--epochs", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ[HOME_VARIABLE] = home
        app = QApplication([])
        theme.apply(app, "light")
        window = MainWindow()
        window.show()
        window.warm_up()
        lateness = WindowLateness()
        window._jobs.progressed.connect(lateness.note)
        lateness.during("starting", after(5))
        lateness.during("idle", after(5))
        window.open_wizard([arguments.pictures])
        wizard = window.wizard
        assert wizard is not None
        lateness.during("scan", wizard.pictures.is_complete)
        wizard.reject()
        run = RunFolder(runs_dir() / "bench")
        window._train(  # the wizard's last click, without its questions
            Train(
                folders=(str(arguments.pictures),),
                run=str(run.path),
                backbone="mobilenet_v2",
                weights=str(arguments.weights),
                regime="fine-tune",
                epochs=arguments.epochs,
                threads=max(1, (os.cpu_count() or 2) - 1),
            )
        )
        lateness.during("new head", lambda: EpochEnded in lateness.said)
        lateness.during("fine-tuning", lambda: RunEnded in lateness.said)
        window.show_page("results")
        lateness.during("evaluation", run.evaluation_file.is_file)
        lateness.during("results", after(3))
        window.close_now()


if __name__ == "__main__":
    main()
