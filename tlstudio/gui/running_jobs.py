"""Which jobs run now, and whose they are."""

from __future__ import annotations

import time
from typing import Protocol

from PySide6.QtCore import QObject, Signal, Slot

from tlstudio.core.events import Event
from tlstudio.core.jobs import Advise, Job, Map, Measure, Rank, Scan, Shortcuts
from tlstudio.gui.engine_thread import STOP_PATIENCE_S, EnginePool, EngineThread

LEAVES_NOTHING = (Scan, Measure, Advise, Rank, Shortcuts, Map)
"""Jobs that write nothing: at the end nobody has to wait for them."""


class Owner(Protocol):
    """A QObject that wants work done."""

    def receive(self, event: Event, /) -> None:
        """Take one event of the job; a slot of an object in the window's thread."""


class RunningJobs(QObject):
    """Starts a thread a job and hands its events to the owner. At most one job an owner at a time."""

    changed = Signal()
    """A job began or ended."""
    progressed = Signal(object, object)
    """(job, event) of any job."""

    def __init__(self, pool: EnginePool, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = pool
        self._threads: dict[EngineThread, Owner] = {}
        self._ending = False

    def start(self, job: Job, owner: Owner) -> None:
        """Run the job; its events reach `owner.receive`, the JobEnded last. While everything ends, nothing begins."""
        if self._ending:
            return
        thread = EngineThread(job, self, self._pool)
        self._threads[thread] = owner
        thread.received.connect(owner.receive)
        thread.received.connect(self._relay)
        thread.finished.connect(self._forget)
        thread.start()
        self.changed.emit()

    def stop(self, owner: object) -> None:
        """Ask the owner's job, if there is one, to end early."""
        for thread, holder in self._threads.items():
            if holder is owner:
                thread.request_stop()

    def abandon(self, owner: Owner) -> None:
        """Ask the owner's job to end early; nothing of it reaches the owner any more, who may be gone by then."""
        for thread, holder in self._threads.items():
            if holder is owner:
                thread.received.disconnect(holder.receive)
                thread.request_stop()

    def stop_job(self, job: Job) -> None:
        """Ask this very job to end early."""
        for thread in self._threads:
            if thread.job is job:
                thread.request_stop()

    def jobs(self) -> list[Job]:
        """Return what runs, oldest first."""
        return [thread.job for thread in self._threads]

    def end_all(self, patience_s: float = STOP_PATIENCE_S) -> None:
        """Ask everything to stop, wait together, and end the rest by force."""
        self._ending = True
        deadline = time.monotonic() + patience_s
        for thread in self._threads:
            thread.request_stop()
        for thread in self._threads:
            thread.end(0 if isinstance(thread.job, LEAVES_NOTHING) else deadline - time.monotonic())
        self._pool.shut_down()

    @Slot(object)
    def _relay(self, event: Event) -> None:
        thread = self.sender()
        assert isinstance(thread, EngineThread)
        self.progressed.emit(thread.job, event)

    @Slot()
    def _forget(self) -> None:
        thread = self.sender()
        assert isinstance(thread, EngineThread)
        self._threads.pop(thread)
        thread.deleteLater()
        self.changed.emit()
        if not self._threads and not self._ending:
            self._pool.warm()
