"""The file of unexpected errors, and windows that did not close."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from tlstudio.core import unexpected
from tlstudio.core.paths import crash_log, open_windows_dir

WINDOW = """
import faulthandler, sys
from tlstudio.core import unexpected
with unexpected.open_window() as last_words:
    faulthandler.enable(last_words)
    print("open", flush=True)
    sys.stdin.readline()
    if sys.argv[1] == "crash":
        faulthandler._sigsegv()
"""


def a_window(how: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WINDOW, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "open\n"
    return process


def end(process: subprocess.Popen[str]) -> int:
    process.communicate("\n", timeout=30)
    return process.returncode


def test_what_is_noted_is_unseen_until_it_is_seen():
    assert unexpected.unseen() == ""
    unexpected.note("first trouble")
    assert time.strftime("%Y-%m-%d") in unexpected.unseen() and "first trouble" in unexpected.unseen()
    unexpected.mark_seen()
    assert unexpected.unseen() == ""
    unexpected.note("second trouble")
    assert "second trouble" in unexpected.unseen() and "first trouble" not in unexpected.unseen()
    assert "first trouble" in unexpected.noted()
    crash_log().write_text("another file\n", encoding="utf-8")
    assert unexpected.unseen() == "another file"


def test_of_a_very_long_file_the_end_is_read():
    crash_log().write_text("a" * unexpected.SHOWN_BYTES + "the end", encoding="utf-8")
    assert len(unexpected.noted()) == unexpected.SHOWN_BYTES and unexpected.noted().endswith("the end")


def test_a_window_that_closes_leaves_nothing():
    process = a_window("close")
    assert not unexpected.note_dead_windows(), "a window that is open is not dead"
    assert end(process) == 0
    assert not unexpected.note_dead_windows()
    assert not list(open_windows_dir().iterdir()) and not crash_log().exists()


def test_a_window_that_is_killed_is_noticed_once():
    process = a_window("kill")
    process.send_signal(signal.SIGKILL)
    end(process)
    assert unexpected.note_dead_windows()
    assert "ended without closing" in unexpected.unseen()
    assert not unexpected.note_dead_windows() and not list(open_windows_dir().iterdir())


def test_a_crash_leaves_where_it_happened():
    assert end(a_window("crash")) != 0
    assert unexpected.note_dead_windows()
    assert "Segmentation fault" in unexpected.unseen() and "most recent call first" in unexpected.unseen()


def test_a_disk_that_refuses_does_not_keep_a_window_from_opening(home):
    home.mkdir()
    (home / "open-windows").write_text("in the way", encoding="utf-8")
    with unexpected.open_window() as last_words:
        assert last_words is None
    assert not unexpected.note_dead_windows()
