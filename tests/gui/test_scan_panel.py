"""What is seen while the folders are looked at."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QPushButton

from tests.factories import class_folders
from tlstudio.core.events import ScanChanged
from tlstudio.gui.widgets.scan_panel import ScanPanel, names_of


def test_counts_pace_and_newest_pictures_are_shown_and_cancel_is_heard_once(qtbot, tmp_path):
    folder = class_folders(tmp_path / "pictures", {"disc": 3, "square": 3})
    panel = ScanPanel()
    qtbot.addWidget(panel)
    panel.show()
    panel.begin("pictures")
    paths = tuple(str(path) for path in sorted(folder.rglob("*.png")))
    panel.show_scan(
        ScanChanged(
            done=1200, total=3000, set_aside=2, files_per_second=310.4, seconds_left=65.0,
            folders={"square": 500, "disc": 698}, recent=paths[:3],
        )
    )  # fmt: skip
    texts = [label.text() for label in panel.findChildren(QLabel)]
    assert "310 files a second: 1,200 of 3,000, about a minute left" in texts
    assert any(text.startswith("2 files cannot be used") for text in texts)
    assert list(panel.counts()) == ["disc", "square"], "rows keep their places while they grow"
    qtbot.waitUntil(lambda: panel.newest_count() == 3)
    cancel = next(found for found in panel.findChildren(QPushButton))
    with qtbot.waitSignal(panel.cancelled):
        QTest.mouseClick(cancel, Qt.MouseButton.LeftButton)
    assert not cancel.isEnabled()
    panel.begin("others")
    assert panel.newest_count() == 0 and not panel.counts()


def test_many_dropped_folders_are_named_in_short():
    assert names_of(["a", "b", "c"]) == "a, b, c"
    assert names_of(["a", "b", "c", "d"]) == "a, b and 2 more"
