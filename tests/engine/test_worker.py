"""The engine process, spoken to as the window does: one line in, lines out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.engine.conftest import train_job
from tests.factories import class_folders
from tlstudio.core.events import EpochEnded, Event, JobEnded, decode_event
from tlstudio.core.jobs import Job, Measure, Scan
from tlstudio.core.look import read_scanned

COMMAND = [sys.executable, "-m", "tlstudio", "--engine-worker"]


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        yield process
        if process.poll() is None:
            process.kill()


def send(process: subprocess.Popen[bytes], job: Job) -> None:
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(job) + b"\n")
    process.stdin.flush()


def answers(process: subprocess.Popen[bytes]) -> Iterator[Event]:
    assert process.stdout is not None
    for line in process.stdout:
        yield decode_event(line)


def test_a_scan(worker: subprocess.Popen[bytes], tmp_path: Path) -> None:
    send(worker, Scan(folders=(str(class_folders(tmp_path / "pictures")),)))
    *_, last = answers(worker)
    assert isinstance(last, JobEnded) and last.status == "finished"
    assert last.result is not None
    assert len(read_scanned(Path(last.result["scanned"])).files) == 12
    assert worker.wait(20) == 0


def test_a_measurement(worker: subprocess.Popen[bytes]) -> None:
    send(worker, Measure(backbones=("squeezenet1_1",), device="cpu"))
    *_, last = answers(worker)
    assert isinstance(last, JobEnded) and last.result is not None
    assert last.result["images_per_second"]["squeezenet1_1"] > 0 and "CPU" in last.result["device"]


def test_stop_ends_a_training_early(
    worker: subprocess.Popen[bytes], drawn_pictures: Path, weights_file: Path, tmp_path: Path
) -> None:
    send(worker, train_job(drawn_pictures, tmp_path / "run", weights_file, regime="fine-tune", epochs=500))
    events: list[Event] = []
    for event in answers(worker):
        events.append(event)
        if isinstance(event, EpochEnded) and event.stage == "fine-tune":
            assert worker.stdin is not None
            worker.stdin.write(b"stop\n")
            worker.stdin.flush()
    last = events[-1]
    assert isinstance(last, JobEnded) and last.status == "stopped" and last.result is not None
    assert last.result["val_accuracy"] is not None
    assert sum(isinstance(event, EpochEnded) for event in events) < 20


def test_an_engine_nobody_wants_goes_away(worker: subprocess.Popen[bytes]) -> None:
    assert worker.stdin is not None
    worker.stdin.close()
    assert worker.wait(30) == 0


def test_an_engine_whose_window_dies_ends(
    worker: subprocess.Popen[bytes], drawn_pictures: Path, weights_file: Path, tmp_path: Path
) -> None:
    send(worker, train_job(drawn_pictures, tmp_path / "run", weights_file, regime="fine-tune", epochs=500))
    for event in answers(worker):
        if isinstance(event, EpochEnded):
            break
    assert worker.stdin is not None
    worker.stdin.close()
    *_, last = answers(worker)
    assert isinstance(last, JobEnded) and last.status == "stopped"
    assert worker.wait(30) == 0
