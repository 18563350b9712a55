"""Short work that would hold up the window, done on Qt's thread pool."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QObject, QRunnable, QThreadPool, Signal, Slot

from tlstudio.core.errors import StudioError


class _Relay(QObject):
    """Carries results across threads. Each task holds it, so that it outlives a window closed in the meantime."""

    done = Signal(int, object, object)
    generation = 0


class _Task(QRunnable):
    def __init__(self, relay: _Relay, key: object, work: Callable[[], object]) -> None:
        super().__init__()
        self._relay, self._key, self._work, self._generation = relay, key, work, relay.generation

    def run(self) -> None:
        if self._generation != self._relay.generation:
            return
        try:
            result = self._work()
        except StudioError as error:
            result = error
        self._relay.done.emit(self._generation, self._key, result)


class Background(QObject):
    """Calls functions on other threads and hands their results back in the thread of this object."""

    done = Signal(object, object)
    """(key, what the function returned, or the StudioError it raised)."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._relay = _Relay()
        self._relay.done.connect(self._deliver)

    def start(self, key: object, work: Callable[[], object]) -> None:
        """Call `work` on the pool; it must touch neither widgets nor pixmaps."""
        QThreadPool.globalInstance().start(_Task(self._relay, key, work))

    def forget(self) -> None:
        """Drop what has not started, and the results of what has."""
        self._relay.generation += 1

    @Slot(int, object, object)
    def _deliver(self, generation: int, key: object, result: object) -> None:
        if generation == self._relay.generation:
            self.done.emit(key, result)
