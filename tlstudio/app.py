"""Opens the window: first the window, then everything that takes time."""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import sys
import traceback
from types import TracebackType

from PySide6.QtCore import QObject, QSocketNotifier, QThreadPool, QTimer, Signal, Slot
from PySide6.QtWidgets import QApplication

from tlstudio import __version__
from tlstudio.core import unexpected
from tlstudio.gui import theme
from tlstudio.gui.dialogs import show_unexpected
from tlstudio.gui.main_window import APP_TITLE, MainWindow, saved_scheme

POOL_PATIENCE_MS = 5000


def main(argv: list[str]) -> int:
    """Show the window until it is closed; return the exit code."""
    if loses_none():
        print(
            "The installed PySide6 does not work with this version of Python and would end the app after a while. "
            "Install a version of PySide6-Essentials below 6.12, or Python 3.12 or newer.",
            file=sys.stderr,
        )
        return 1
    if not has_screen():
        print(
            "There is no screen here, so the window cannot open. The command line does the same work: "
            "`tlstudio --help` lists its verbs.",
            file=sys.stderr,
        )
        return 1
    app = QApplication([sys.argv[0], *argv])
    app.setApplicationName("tlstudio")
    app.setApplicationDisplayName(APP_TITLE)
    app.setApplicationVersion(__version__)
    theme.apply(app, saved_scheme())
    app.setWindowIcon(theme.icon("app"))
    reporter = _BugReporter(app)
    sys.excepthook = reporter.hook
    endings = _Endings(app)
    died = unexpected.note_dead_windows()
    with unexpected.open_window() as last_words:
        if last_words is not None:
            faulthandler.enable(last_words)
        window = MainWindow()
        endings.asked.connect(window.close_now)
        window.start_page.tell_unexpected(died)
        window.show()
        QTimer.singleShot(0, window.warm_up)
        code = app.exec()
        window.close_now()
        QThreadPool.globalInstance().clear()
        QThreadPool.globalInstance().waitForDone(POOL_PATIENCE_MS)
        faulthandler.disable()
    sys.excepthook = sys.__excepthook__
    return code


def has_screen() -> bool:
    """Return whether Qt can show a window; where it cannot, it would end the process instead of saying so."""
    if sys.platform != "linux":
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))


def loses_none() -> bool:
    """Return whether calls into Qt that return nothing each lose a reference to None, which ends Python in the end."""
    probe = QObject()
    before = sys.getrefcount(None)
    for _ in range(100):
        probe.setObjectName("probe")
    return before - sys.getrefcount(None) > 50


class _BugReporter(QObject):
    """Writes down exceptions nobody caught, from any thread, and tells the user once at a time."""

    _raised = Signal(str)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._raised.connect(self._tell)

    def hook(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Take the place of sys.excepthook."""
        text = "".join(traceback.format_exception(kind, error, trace))
        unexpected.note(text)
        print(text, file=sys.stderr)
        self._raised.emit(kind.__name__)

    @Slot(str)
    def _tell(self, summary: str) -> None:
        if QApplication.activeModalWidget() is None:
            show_unexpected(QApplication.activeWindow(), summary)


class _Endings(QObject):
    """Hears the system, the session's end or Ctrl-C ask the program to end; nobody is there to answer questions."""

    asked = Signal()

    def __init__(self, app: QApplication) -> None:
        super().__init__(app)
        # Python runs its handlers between bytecodes only; the socket wakes Qt's loop so that there are some.
        self._read, self._write = socket.socketpair()
        self._read.setblocking(False)
        self._write.setblocking(False)
        signal.set_wakeup_fd(self._write.fileno())
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _heard)
        self._notifier = QSocketNotifier(self._read.fileno(), QSocketNotifier.Type.Read, self)
        self._notifier.activated.connect(self._end)
        app.commitDataRequest.connect(self._end)

    @Slot()
    def _end(self) -> None:
        self._notifier.setEnabled(False)
        self.asked.emit()
        # Not at once: the session's manager wants its answer before.
        QTimer.singleShot(0, QApplication.quit)


def _heard(number: int, frame: object) -> None:
    """The socket tells the window; there is nothing left to do here."""
