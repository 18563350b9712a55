"""Trainings whose disk fills up, whose pictures vanish for a while or for good, compared with undisturbed ones."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.core.test_decode_pass import HEIC, MISBEHAVING
from tests.engine.conftest import train_job
from tests.engine.full_disk_runs import result_of
from tests.factories import class_folders
from tlstudio.core.cache_folder import clear
from tlstudio.core.events import BatchEnded, EpochEnded, Event, Notice, RunStarted, Waiting, ignore, never
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine.checkpoint import newest_state
from tlstudio.engine.predict import predict
from tlstudio.engine.run_log import RunLog
from tlstudio.engine.setup import set_up
from tlstudio.engine.train import train
from tlstudio.engine.waiting import Waiter

REPOSITORY = Path(__file__).resolve().parents[2]
IN_A_SPACE_OF_ITS_OWN = ["unshare", "--user", "--map-root-user", "--mount"]


def may_mount() -> bool:
    command = [*IN_A_SPACE_OF_ITS_OWN, "mount", "-t", "tmpfs", "none", "/mnt"]
    return bool(shutil.which("unshare")) and subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("drawn") / "pictures", {"disc": 8, "square": 8})


@pytest.fixture
def pictures(drawn: Path) -> Iterator[Path]:
    """The folder of all runs here. It is put back as it was."""
    contents = {path: path.read_bytes() for path in drawn.rglob("*.png")}
    yield drawn
    if not drawn.exists():
        away(drawn).rename(drawn)
    for path, content in contents.items():
        path.write_bytes(content)


def away(pictures: Path) -> Path:
    return pictures.with_name("away")


@pytest.fixture(scope="module")
def plan(drawn: Path, weights_file: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that has not begun, of the regime `fine-tune`. Tests copy it."""
    folder = tmp_path_factory.mktemp("runs") / "plan"
    return set_up(train_job(drawn, folder, weights_file, regime="fine-tune", epochs=2, threads=1), ignore, never)


@pytest.fixture(scope="module")
def whole(plan: RunFolder) -> dict[str, str]:
    """What the run comes to if nothing happens to it."""
    run = copy_of(plan, plan.path.parent)
    assert train(run, ignore, never).status == "finished"
    return result_of(run.path)


def copy_of(plan: RunFolder, folder: Path) -> RunFolder:
    run = RunFolder(folder / "run")
    shutil.copytree(plan.path, run.path)
    return run


@pytest.mark.skipif(not may_mount(), reason="this system lets nobody mount a small disk to fill")
def test_a_full_disk_is_waited_for(plan: RunFolder, whole: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    done = subprocess.run(
        [*IN_A_SPACE_OF_ITS_OWN, sys.executable, "-m", "tests.engine.full_disk_runs", plan.path, tmp_path / "disk"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    for name in ("room made", "gone on with"):
        ended = found[name]
        assert (ended["status"], ended["result"]) == ("finished", whole), name
        assert ended["waited"] and all("disk-full: Free about" in words for words in ended["waited"])
        assert ended["largest"] <= ended["needed"] < 4 * ended["largest"]
    for name in ("given up", "stopped"):
        assert (found[name]["status"], found[name]["cause"]) == ("paused", "disk-full")
        assert "MB" in found[name]["hint"]
    refused = found["refused"]
    assert (refused["status"], refused["cause"], refused["left"]) == ("paused", "disk-full", False)
    assert "MB" in refused["what"]


@pytest.mark.skipif(os.name == "nt", reason="this system sets no limit to the size of a file")
def test_a_line_that_was_half_written_is_cut_off_and_written_again(tmp_path: Path) -> None:
    import resource

    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    events = [Notice(code="n", what=f"What happened as number {number}.") for number in range(4)]
    sizes: list[int] = []

    def make_room(seconds: float) -> None:
        sizes.append(file.stat().st_size)
        resource.setrlimit(resource.RLIMIT_FSIZE, most)

    plain, file = tmp_path / "plain.jsonl", tmp_path / "log.jsonl"
    for path, waiter in ((plain, None), (file, Waiter(limit_s=60, sleep=make_room))):
        log = RunLog(path, waiter=waiter)
        log.append(events[0])
        if path == file:
            resource.setrlimit(resource.RLIMIT_FSIZE, (log.length + 20, most[1]))
        for event in events[1:]:
            log.append(event)
        assert log.length == path.stat().st_size
        log.close()
    assert sizes[0] == plain.read_bytes().index(b"\n") + 1
    assert file.read_bytes() == plain.read_bytes()


def test_pictures_that_are_gone_for_a_while_are_waited_for(
    plan: RunFolder, whole: dict[str, str], pictures: Path, tmp_path: Path
) -> None:
    waited: list[Waiting] = []

    def emit(event: Event) -> None:
        match event:
            case Waiting():
                waited.append(event)
                away(pictures).rename(pictures)
            case RunStarted() | BatchEnded(epoch=2, batch=1):  # before the first picture; when no copy is left
                clear()
                pictures.rename(away(pictures))

    run = copy_of(plan, tmp_path)
    assert train(run, emit, never).status == "finished"
    assert [event.cause for event in waited] == ["pictures-gone"] * 2
    assert str(pictures / "disc") in waited[0].what
    assert result_of(run.path) == whole


def test_a_stop_and_an_end_of_patience_leave_a_run_to_go_on_with(
    plan: RunFolder,
    whole: dict[str, str],
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waited: list[Event] = []

    def emit(event: Event) -> None:
        if isinstance(event, Waiting):
            waited.append(event)
        elif isinstance(event, BatchEnded) and pictures.exists():
            clear()
            pictures.rename(away(pictures))

    run = copy_of(plan, tmp_path)
    assert train(run, emit, lambda: bool(waited)).status == "stopped"
    monkeypatch.setattr("tlstudio.engine.train.LIMIT_S", 1.0)
    ended = train(run, emit, never)
    assert (ended.status, ended.cause) == ("paused", "pictures-gone")
    assert str(pictures) in ended.what
    away(pictures).rename(pictures)
    assert train(run, ignore, never).status == "finished"
    assert result_of(run.path) == whole


def test_pictures_that_are_lost_are_left_out_for_good(plan: RunFolder, pictures: Path, tmp_path: Path) -> None:
    lost = [pictures / "disc" / "disc_003.png", pictures / "square" / "square_007.png"]
    contents = [path.read_bytes() for path in lost]
    lost[0].unlink()
    lost[1].write_bytes(contents[1][:100])
    seen: list[Event] = []
    run = copy_of(plan, tmp_path / "without")
    assert train(run, seen.append, never).status == "finished"
    (notice,) = [event for event in seen if isinstance(event, Notice) and event.code == "pictures-lost"]
    assert ": 2;" in notice.what and str(lost[0]) in notice.what
    state, _ = newest_state(run.checkpoints_dir)
    index = run.dataset()
    assert state and {index.images[position].path for position in state.checkpoint.left_out} == set(map(str, lost))

    again, paused = copy_of(plan, tmp_path / "again"), []
    clear()
    train(again, paused.append, lambda: any(isinstance(e, EpochEnded) and e.stage == "fine-tune" for e in paused))
    for path, content in zip(lost, contents, strict=True):
        path.write_bytes(content)
    assert train(again, ignore, never).status == "finished"
    assert result_of(again.path) == result_of(run.path)


def test_a_class_that_is_lost_ends_the_run_in_words(plan: RunFolder, pictures: Path, tmp_path: Path) -> None:
    for path in (pictures / "disc").iterdir():
        path.write_bytes(b"no picture")
    ended = train(copy_of(plan, tmp_path), ignore, never)
    assert ended.status == "failed" and "“disc” has no picture" in ended.what


@pytest.mark.skipif(os.name == "nt", reason="uses the C library by its name here")
def test_a_picture_that_kills_decoders_is_skipped_by_a_prediction(
    head_run: RunFolder, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "pillow_heif.py").write_text(MISBEHAVING.format(deed="ctypes.string_at(0)"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "evil"))
    (tmp_path / "evil.heic").write_bytes(HEIC)
    result = predict(head_run, [pictures, tmp_path / "evil.heic"], None, ignore, never)
    assert result["images"] == 16
    assert [problem["code"] for problem in result["skipped"]] == ["decoder-crashed"]
