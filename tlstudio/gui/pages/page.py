"""What the main window asks of every page."""

from __future__ import annotations

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QWidget

from tlstudio.core.events import Event
from tlstudio.core.runfolder import RunFolder


class Page(QWidget):
    """One page of the window. Calls come down, signals go up; pages never know each other.

    A page that needs work done emits `job_requested` with a `core.jobs.Job`; the main window runs it in an engine
    process and hands every event of it, `JobEnded` last, to the page's `receive`. At most one job a page at a time.
    """

    job_requested = Signal(object)
    """A core.jobs.Job to run; its events come back through `receive`."""
    stop_requested = Signal()
    """The user wants this page's job to end early."""
    run_chosen = Signal(object)
    """A RunFolder the user wants to see in all pages."""
    run_gone = Signal(str)
    """The folder of a run, which is no longer there."""
    page_requested = Signal(str)
    """The user wants to go to the page of that name: start, pictures, train, results, try, export, runs."""

    @Slot(object)
    def receive(self, event: Event) -> None:
        """Take one event of this page's job."""

    def set_held(self, held: bool) -> None:
        """Know, before `set_run`, whether another window or command is training that run: nothing may be written."""

    def set_trained(self, run: RunFolder | None) -> None:
        """Know which run this very window trains, also while its engine is still getting ready."""

    def set_run(self, run: RunFolder | None) -> None:
        """Show this run from now on, or the empty state."""
