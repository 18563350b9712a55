"""Where no window can open, a plain sentence says so."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SCREENS = {"DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a screen")
def test_without_a_screen_the_command_says_so():
    environment = {name: value for name, value in os.environ.items() if name not in SCREENS}
    command = [sys.executable, "-m", "tlstudio"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1
    assert "no screen" in ran.stderr and "Traceback" not in ran.stderr and ran.stdout == ""
