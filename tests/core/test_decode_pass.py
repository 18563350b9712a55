"""Every file is looked at once, by processes that may crash, hang or be killed without anybody else noticing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.factories import draw
from tests.hostile import quarters, saved
from tlstudio.core import decode_worker
from tlstudio.core.decode_pass import inspect_all
from tlstudio.core.events import Stopped
from tlstudio.core.inspection import inspect
from tlstudio.core.listing import ListedFile
from tlstudio.core.picture_cache import SCAN_RECIPE, PictureCache

ROOT = Path(__file__).parents[2]
# Put in front of the studio's path, this replaces the package that opens HEIC files with one that misbehaves.
MISBEHAVING = """
import ctypes, os, time
def register_heif_opener():
    {deed}
"""
HEIC = b"\0\0\0\x18ftypheic" + bytes(64)


def listed(paths: list[Path]) -> list[ListedFile]:
    files = []
    for path in paths:
        facts = path.lstat()
        files.append(ListedFile(str(path), path.name, facts.st_size, facts.st_mtime_ns))
    return files


def children() -> set[int]:
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        found |= {int(pid) for pid in (task / "children").read_text().split()}
    return found


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="processes are counted as Linux tells them"
)


@pytest.fixture
def pictures(tmp_path) -> list[Path]:
    (tmp_path / "pictures").mkdir()
    paths = []
    for number in range(60):
        paths.append(tmp_path / "pictures" / f"{number}.jpg")
        paths[-1].write_bytes(saved(draw("disc", number, side_px=300), "JPEG"))
    return paths


def test_every_file_once_with_what_a_look_tells(pictures, tmp_path, home):
    for name, content in (("half.jpg", pictures[0].read_bytes()[:900]), ("empty.png", b""), ("a.txt", b"text")):
        pictures.append(tmp_path / "pictures" / name)
        pictures[-1].write_bytes(content)
    files = listed(pictures)
    found = list(inspect_all(files))
    assert len(found) == len(files)
    assert {one.path: one for one in found} == {file.path: inspect(file).scanned for file in files}
    with PictureCache() as cache:
        for one in found[:5]:
            if one.facts:
                expected = inspect(next(file for file in files if file.path == one.path))
                assert np.array_equal(cache.copy(one.facts.sha256, SCAN_RECIPE), expected.copy)
                assert cache.thumbnail(one.facts.sha256) == expected.thumbnail


def test_unchanged_files_are_not_opened_again(pictures, home):
    files = listed(pictures)
    first = {one.path: one for one in inspect_all(files)}
    kept = pictures[1].stat()
    pictures[0].write_bytes(saved(quarters(), "JPEG"))
    content = bytearray(pictures[1].read_bytes())
    content[-20:] = bytes(20)
    pictures[1].write_bytes(content)
    os.utime(pictures[1], ns=(kept.st_atime_ns, kept.st_mtime_ns))  # changed, but for those who open it only
    again = {one.path: one for one in inspect_all(listed(pictures))}
    changed = [path for path in again if again[path] != first[path]]
    assert changed == [str(pictures[0])]


@needs_proc
def test_stopping_keeps_what_was_done_and_ends_the_processes(pictures, home):
    before = children()
    files = listed(pictures)
    found: list[str] = []
    asked_s: list[float] = []

    def should_stop() -> bool:
        if len(found) >= 20 and not asked_s:
            asked_s.append(time.monotonic())
        return bool(asked_s)

    with pytest.raises(Stopped):
        for one in inspect_all(files, should_stop):
            found.append(one.path)
    assert time.monotonic() - asked_s[0] < 2
    assert children() <= before
    with PictureCache() as cache:
        known = cache.facts(files)
    assert set(found) <= known.keys()
    assert len(list(inspect_all(files))) == len(files)


@needs_proc
def test_who_stops_listening_leaves_no_process(pictures, home):
    before = children()
    iterator = inspect_all(listed(pictures))
    next(iterator)
    assert children() - before
    iterator.close()
    assert children() <= before


@needs_proc
def test_no_process_outlives_a_killed_parent(pictures, home):
    program = (
        "import sys, os, time; from pathlib import Path\n"
        "from tests.core.test_decode_pass import listed, children\n"
        "from tlstudio.core.decode_pass import inspect_all\n"
        "for one in inspect_all(listed([Path(p) for p in sys.argv[1:]])):\n"
        "    print(*children(), flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, pictures)], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert pids
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, "a decoding process is still there"


@pytest.mark.parametrize(
    ("deed", "code"),
    [
        ("ctypes.string_at(0)", "decoder-crashed"),
        ("os.abort()", "decoder-crashed"),
        ("os._exit(0)", "decoder-crashed"),
        # This library call does not let go of the interpreter, as a decoder that never comes back.
        ("ctypes.PyDLL(None).sleep(600)", "too-slow"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="uses the C library by its name here")
def test_a_decoder_that_ends_its_process_costs_one_file(deed, code, pictures, tmp_path, home, monkeypatch):
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil" / "pillow_heif.py").write_text(MISBEHAVING.format(deed=deed))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "evil"))
    monkeypatch.syspath_prepend(tmp_path / "evil")
    for number in (5, 30):
        (tmp_path / "pictures" / f"evil{number}.heic").write_bytes(HEIC)
        pictures.insert(number, tmp_path / "pictures" / f"evil{number}.heic")
    started = time.monotonic()
    found = {Path(one.path).name: one for one in inspect_all(listed(pictures))}
    assert len(found) == 62
    assert {name for name, one in found.items() if one.code} == {"evil5.heic", "evil30.heic"}
    assert found["evil5.heic"].code == found["evil30.heic"].code == code
    if code == "too-slow":
        assert time.monotonic() - started < 30


def test_large_pictures_wait_for_each_other(tmp_path, home, monkeypatch):
    # Each takes more than half of what all may take together.
    paths = []
    for number in range(3):
        paths.append(tmp_path / f"{number}.png")
        paths[-1].write_bytes(saved(quarters(2600, 2600), "PNG", compress_level=1))
    assert decode_worker.LIGHT_BYTES < 4 * 2600 * 2600
    monkeypatch.setattr("tlstudio.core.decode_pass.HEAVY_BYTES", 40 * 2**20)
    found = list(inspect_all(listed(paths)))
    assert [one.facts.width_px for one in found if one.facts] == [2600] * 3


def test_nothing_to_do(home):
    assert list(inspect_all([])) == []
