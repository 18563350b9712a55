"""By how much an event loop is late."""

from __future__ import annotations

import time

from PySide6.QtCore import QObject, Qt, QTimer, Slot

INTERVAL_S = 0.005


class Lateness(QObject):
    """Counts by how much a 5 ms timer fires late."""

    def __init__(self) -> None:
        super().__init__()
        self.late_ms: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._fired)
        self._timer.start(int(INTERVAL_S * 1000))

    @Slot()
    def _fired(self) -> None:
        now = time.perf_counter()
        self.late_ms.append(max(0.0, now - self._last - INTERVAL_S) * 1000)
        self._last = now
