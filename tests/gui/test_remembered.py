"""What the user chose last comes back; a settings file that is damaged or evil costs that and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtCore import QByteArray, QSettings

from tlstudio.core.paths import settings_file
from tlstudio.gui import remembered
from tlstudio.gui.main_window import MainWindow, saved_scheme

ROOT = Path(__file__).resolve().parents[2]


def test_everything_comes_back(tmp_path):
    remembered.remember_folder("tables", tmp_path)
    remembered.remember_number("minutes", 7)
    remembered.remember_choice("scheme", "dark")
    remembered.remember_arrangement("table", QByteArray(b"\0\xff"))
    assert remembered.folder("tables", Path("/")) == tmp_path
    assert remembered.number("minutes", 1) == 7
    assert saved_scheme() == "dark"
    assert remembered.arrangement("table") == QByteArray(b"\0\xff")


def test_a_folder_that_is_gone_is_not_offered(tmp_path):
    remembered.remember_folder("tables", tmp_path / "gone")
    assert remembered.folder("tables", tmp_path) == tmp_path


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"\0" * 1000, b"[" * 100_000, b'{"folders": 3}', b'{"arrangements": {"window state": "!"}}',
        json.dumps({"numbers": {"minutes": 2**60}, "choices": {"scheme": "<b>red</b>"},
                    "folders": {"tables": "/\0/" + "x" * 5000},
                    "arrangements": {"window geometry": "AdnQywADAAD//w==", "window state": "AAAA/w=="}}).encode(),
    ],
)  # fmt: skip
def test_damaged_settings_are_the_default_ones(content, tmp_path, qtbot):
    settings_file().write_bytes(content)
    assert remembered.folder("tables", tmp_path) == tmp_path
    assert remembered.number("minutes", 5) == 5
    assert saved_scheme() == "system"
    window = MainWindow()
    qtbot.addWidget(window)
    assert window.width() >= window.minimumWidth()
    remembered.remember_choice("scheme", "light")
    assert saved_scheme() == "light"


class _Evil:
    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self):
        return os.open, (str(self.witness), os.O_CREAT)


READ_BY_QT = "from PySide6.QtCore import QSettings; QSettings({!r}, QSettings.Format.IniFormat).value('window/x')"
READ_BY_US = "from tlstudio.app import saved_scheme; print(saved_scheme())"


def test_settings_with_an_object_in_them_run_nothing(tmp_path, home):
    """Qt's own settings would rebuild the object, and with it run what the file asks for."""
    witness = tmp_path / "witness"
    old = QSettings(str(tmp_path / "evil.ini"), QSettings.Format.IniFormat)
    old.setValue("window/scheme", _Evil(witness))
    old.sync()
    content = (tmp_path / "evil.ini").read_bytes()
    for name in ("settings.ini", settings_file().name):
        (home / name).write_bytes(content)
    for program in (READ_BY_QT.format(str(tmp_path / "evil.ini")), READ_BY_US):
        witness.unlink(missing_ok=True)
        ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
        assert witness.exists() == (program != READ_BY_US), "the trap works, and nothing of ours steps into it"
    assert ran.stdout == "system\n"
