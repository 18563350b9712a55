"""Keeping the computer awake, as a program in place of the system's own is told, and noticing that it slept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tlstudio.core.errors import StudioError
from tlstudio.engine.awake import SleepWatch, kept_awake, seconds_asleep
from tlstudio.engine.devices import require_working

REPOSITORY = Path(__file__).resolve().parents[2]
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="another system keeps itself awake in another way")


@pytest.fixture
def inhibitor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a program in the place of systemd's own and return a FIFO: what it says there ends when it has ended."""
    said = tmp_path / "said"
    os.mkfifo(said)
    program = tmp_path / "bin" / "systemd-inhibit"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec 3>"{said}"\necho "$@" >&3\nexec cat\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    return said


@needs_linux
def test_sleep_is_held_off_for_as_long_as_it_is_asked_for(inhibitor: Path) -> None:
    with kept_awake():
        said = os.open(inhibitor, os.O_RDONLY)
        assert b"--what=idle:sleep" in os.read(said, 1000)
        os.set_blocking(said, False)
        with pytest.raises(BlockingIOError):  # it is still there
            os.read(said, 1)
    assert os.read(said, 1) == b""
    os.close(said)


@needs_linux
def test_sleep_is_possible_again_when_the_process_was_killed(inhibitor: Path) -> None:
    code = "from tlstudio.engine.awake import kept_awake\nwith kept_awake(): input()"
    child = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stdin=subprocess.PIPE)
    with inhibitor.open() as said:
        assert said.readline()
        child.kill()
        assert said.read() == ""
    child.communicate()


@needs_linux
def test_a_system_without_such_a_program_trains_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with kept_awake():
        pass


def test_only_a_long_sleep_is_noticed_and_once() -> None:
    clock = iter([1000.0, 1000.0, 1030.0, 1091.0, 1091.0])
    watch = SleepWatch(lambda: next(clock))
    assert [watch.gap() for _ in range(4)] == [0, 0, 61, 0]


def test_the_clock_stands_while_the_computer_is_awake() -> None:
    watch = SleepWatch()
    assert watch.gap() == 0
    assert abs(seconds_asleep() - seconds_asleep()) < 1


def test_a_processor_that_answers_nothing_is_lost() -> None:
    require_working(torch.device("cpu"))
    with pytest.raises(StudioError) as caught:
        require_working(torch.device("meta"))  # computes nothing, as a graphics card that is gone
    assert caught.value.cause == "device-lost"
