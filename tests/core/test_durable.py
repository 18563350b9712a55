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

from tlstudio.core.durable import read_json, sha256_of, write_bytes, write_json
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
