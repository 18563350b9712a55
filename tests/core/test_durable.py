"""A save that fails leaves what was there; a save that returns is complete."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import pytest

from tlstudio.core.durable import (
    generation_before,
    read_generation,
    read_json,
    sealed_twice,
    sha256_of,
    unsealed_twice,
    write_all,
    write_bytes,
    write_generation,
    write_json,
)
from tlstudio.core.errors import StudioError


class Note(msgspec.Struct, frozen=True):
    text: str
    numbers: tuple[int, ...] = ()


def test_written_bytes_are_read_back(tmp_path):
    path = tmp_path / "new" / "folders" / "file.bin"
    write_bytes(path, b"first")
    write_bytes(path, b"second")
    assert path.read_bytes() == b"second"
    assert [child.name for child in path.parent.iterdir()] == ["file.bin"]


def test_records_are_stored_as_plain_json(tmp_path):
    note = Note("naïve 🐝", (1, 2))
    write_json(tmp_path / "note.json", note)
    assert read_json(tmp_path / "note.json", Note) == note
    assert msgspec.json.decode((tmp_path / "note.json").read_bytes()) == {"text": "naïve 🐝", "numbers": [1, 2]}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits")
def test_saved_files_have_the_permissions_of_any_new_file(tmp_path):
    (tmp_path / "ordinary").touch()
    write_bytes(tmp_path / "saved", b"x")
    assert (tmp_path / "saved").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


@pytest.mark.parametrize("function", ["fsync", "replace", "fdopen"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EDQUOT])
def test_a_fault_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch, function, code):
    path = tmp_path / "note.json"
    write_json(path, Note("old"))

    def fail(*arguments: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail)
        with pytest.raises(StudioError) as caught:
            write_json(path, Note("new"))
    assert "“note.json” could not be saved" in caught.value.what and os.strerror(code) in caught.value.what
    assert "untouched" in caught.value.hint
    assert read_json(path, Note) == Note("old")
    assert [child.name for child in tmp_path.iterdir() if child.is_file()] == ["note.json"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no handle for folders")
def test_network_shares_that_cannot_sync_a_folder_are_good_enough(tmp_path, monkeypatch):
    sync_file = os.fsync

    def sync(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        sync_file(handle)

    monkeypatch.setattr(os, "fsync", sync)
    write_bytes(tmp_path / "file", b"saved")
    assert (tmp_path / "file").read_bytes() == b"saved"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the limits of Linux")
def test_a_real_disk_limit_leaves_the_old_file(tmp_path):
    write_bytes(tmp_path / "file", b"old")
    program = """
        import resource, signal, sys
        from pathlib import Path
        from tlstudio.core.durable import write_bytes
        from tlstudio.core.errors import StudioError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_bytes(Path(sys.argv[1]), bytes(100_000))
        except StudioError as refused:
            print(refused.what)
    """
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "file")],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert "could not be saved" in answer.stdout
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [child.name for child in tmp_path.iterdir() if child.is_file()] == ["file"]


@pytest.mark.parametrize("content", [b"", b"{", b'{"text": 3}', b"\xff\xfe", b"[]"])
def test_damaged_files_are_named(tmp_path, content):
    path = tmp_path / "note.json"
    path.write_bytes(content)
    with pytest.raises(StudioError, match=r"note.json is damaged or was written by another version"):
        read_json(path, Note)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(StudioError, match="could not be read"):
        read_json(tmp_path / "missing.json", Note)


def test_hash_of_a_file(tmp_path):
    (tmp_path / "file").write_bytes(b"abc" * 1_000_000)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(b"abc" * 1_000_000).hexdigest()


def test_what_cannot_be_read_back_is_not_said_to_be_saved(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_bytes(path, b"old")
    sync_file = os.fsync

    def lose(handle: int) -> None:
        """Sync, as a share does that kept only a part."""
        os.truncate(handle, 2)
        sync_file(handle)

    monkeypatch.setattr(os, "fsync", lose)
    with pytest.raises(StudioError, match="cannot be read back"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert [child.name for child in tmp_path.iterdir() if child.is_file()] == ["file"]


@pytest.mark.parametrize(("code", "saved"), [(5, True), (32, True), (33, True), (None, False)])
def test_a_file_that_others_hold_open_on_windows_is_tried_again(tmp_path, monkeypatch, code, saved):
    path = tmp_path / "file"
    write_bytes(path, b"old")
    replace, refusals = os.replace, []

    def held(*arguments: object) -> None:
        if len(refusals) < 3:
            refusals.append(OSError(errno.EACCES, "held"))
            if code is not None:
                refusals[-1].winerror = code
            raise refusals[-1]
        replace(*arguments)

    monkeypatch.setattr(os, "replace", held)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    if saved:
        write_bytes(path, b"new")
    else:
        with pytest.raises(StudioError):
            write_bytes(path, b"new")
    assert (path.read_bytes(), len(refusals)) == ((b"new", 3) if saved else (b"old", 1))


def test_a_held_file_is_given_up_after_some_seconds(tmp_path, monkeypatch):
    error, clock = OSError(errno.EACCES, "held"), iter(range(1000))
    error.winerror = 32
    monkeypatch.setattr(os, "replace", lambda *arguments: (_ for _ in ()).throw(error))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    with pytest.raises(StudioError, match="held"):
        write_bytes(tmp_path / "file", b"new")
    assert 3 < next(clock) < 20


def test_all_files_or_none(tmp_path):
    (tmp_path / "there").write_bytes(b"old")
    (tmp_path / "in the way").mkdir()
    wanted = {tmp_path / name: b"new" for name in ("first", "there", "second")}
    with pytest.raises(StudioError, match="in the way"):
        write_all({**wanted, tmp_path / "in the way": b"new"})
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "home") == ["in the way", "there"]
    write_all(wanted)
    assert all(path.read_bytes() == b"new" for path in wanted)


def test_damage_to_one_of_two_copies_loses_nothing():
    line = b'{"name": "value"}'
    content = sealed_twice(line)
    for bit in range(len(content) * 8):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        assert unsealed_twice(bytes(damaged)) == line
    damaged = bytearray(content)
    damaged[3] ^= 1
    damaged[-3] ^= 1
    assert unsealed_twice(bytes(damaged)) is None
    assert not any(unsealed_twice(content[:length]) for length in range(len(content)))


def test_of_a_damaged_record_the_one_before_is_read(tmp_path):
    path = tmp_path / "note.json"
    assert read_generation(path, Note) == (None, [])
    write_generation(path, Note("first"))
    write_generation(path, Note("second"))
    write_generation(path, Note("second"))
    assert read_generation(path, Note) == (Note("second"), [])
    path.write_bytes(path.read_bytes()[:-9])
    assert read_generation(path, Note) == (Note("first"), [path])
    write_generation(path, Note("third"))
    path.unlink()
    assert read_generation(path, Note) == (Note("first"), []), "a damaged record never takes the place of a whole one"
    generation_before(path).write_bytes(b"{")
    assert read_generation(path, Note) == (None, [generation_before(path)])
