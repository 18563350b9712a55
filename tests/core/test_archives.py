"""Zip archives: what is in a good one comes out, and nothing comes out of a bad one."""

from __future__ import annotations

import copy
import io
import os
import random
import shutil
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from tests.factories import class_folders
from tlstudio.core.archives import is_archive, unpack
from tlstudio.core.dataset import scan
from tlstudio.core.errors import StudioError
from tlstudio.core.events import Progress, Stopped


def archive(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return path


def refused(path: Path, home: Path, words: str) -> None:
    """Check that the archive is refused in these words and that nothing of it is left anywhere."""
    with pytest.raises(StudioError, match=words):
        unpack(path)
    assert [found for found in home.rglob("*") if found.is_file()] == []
    assert sorted(path.parent.iterdir()) == sorted({path, home} & set(path.parent.iterdir()))


def test_an_archive_is_unpacked_once_and_scanned(tmp_path, home):
    pictures = class_folders(tmp_path / "insects")
    packed = Path(shutil.make_archive(str(tmp_path / "my insects"), "zip", tmp_path, "insects"))
    before = packed.read_bytes()
    events: list[Progress] = []
    folder = unpack(packed, events.append)
    assert events[-1].done == events[-1].total == sum(f.stat().st_size for f in pictures.rglob("*.png"))
    assert {f.relative_to(folder / "insects"): f.read_bytes() for f in folder.rglob("*.png")} == {
        f.relative_to(pictures): f.read_bytes() for f in pictures.rglob("*.png")
    }
    assert folder.is_relative_to(home) and packed.read_bytes() == before
    first = next(folder.rglob("*.png"))
    again = Path(shutil.copy(packed, tmp_path / "copy.zip"))
    made_ns = first.stat().st_mtime_ns
    assert unpack(packed) == folder and first.stat().st_mtime_ns == made_ns
    assert unpack(again).name.endswith("-copy")
    index = scan([packed])
    assert index.class_counts() == {"disc": 6, "square": 6} and index.folders == (str(packed),)
    assert not list((home / "unpacked").glob(".*"))


def test_names_as_other_systems_write_them(tmp_path):
    folder = unpack(
        archive(tmp_path / "w.zip", {"set\\käfer\\1.png": b"1", "set/käfer/葉.png": b"2", "set/leer/": b""})
    )
    assert (folder / "set" / "käfer" / "1.png").read_bytes() == b"1"
    assert (folder / "set" / "käfer" / "葉.png").read_bytes() == b"2"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../evil.png", "leads out of"), ("a/../../evil.png", "leads out of"), ("/etc/evil.png", "leads out of"),
        ("C:\\evil.png", "leads out of"), ("..\\evil.png", "leads out of"), ("c:evil.png", "leads out of"),
        ("n" * 300 + ".png", "too long"), ("d/" * 600 + "1.png", "too long"),
    ],
)  # fmt: skip
def test_names_that_are_not_trusted(tmp_path, home, name, words):
    refused(archive(tmp_path / "evil.zip", {"a/1.png": b"x", name: b"y"}), home, words)


def test_a_name_with_an_end_inside(tmp_path, home):
    packed = archive(tmp_path / "nul.zip", {"a/XX.png": b"x"})
    packed.write_bytes(packed.read_bytes().replace(b"a/XX.png", b"a/X\0.png"))
    refused(packed, home, "no file can have")


def test_links_and_devices(tmp_path, home):
    for number, kind in enumerate((stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR)):
        entry = zipfile.ZipInfo("a/link.png")
        entry.create_system, entry.external_attr = 3, (kind | 0o777) << 16
        path = tmp_path / f"{number}" / "link.zip"
        path.parent.mkdir()
        with zipfile.ZipFile(path, "w") as file:
            file.writestr(entry, "/etc/passwd")
        refused(path, home, "a link or a device")


def test_what_grows_too_much(tmp_path, home, monkeypatch):
    monkeypatch.setattr("tlstudio.core.archives.RATIO_COUNTS_FROM_BYTES", 2**20)
    refused(archive(tmp_path / "bomb.zip", {"a/1.bmp": bytes(2**22)}), home, "times its size")
    monkeypatch.undo()
    monkeypatch.setattr("tlstudio.core.archives.MAX_TOTAL_BYTES", 1000)
    monkeypatch.setenv("TLSTUDIO_HOME", str(home))
    refused(archive(tmp_path / "bomb.zip", {"a/1.bmp": random.Random(0).randbytes(2000)}), home, "would grow to")


def test_too_many_files_and_a_full_disk(tmp_path, home, monkeypatch):
    packed = archive(tmp_path / "a.zip", {f"a/{number}.png": b"x" for number in range(20)})
    with monkeypatch.context() as patch:
        patch.setattr("tlstudio.core.archives.MAX_FILES", 10)
        refused(packed, home, "more than 10")
    with monkeypatch.context() as patch:
        patch.setattr("tlstudio.core.archives.FREE_DISK_KEPT_BYTES", 2**80)
        refused(packed, home, "does not fit on the disk")


def test_a_size_that_lies(tmp_path, home):
    """Both headers say 10 bytes; the content has 100,000."""
    packed = archive(tmp_path / "lie.zip", {"a/1.png": bytes(100_000)})
    lied = packed.read_bytes().replace(struct.pack("<I", 100_000), struct.pack("<I", 10))
    packed.write_bytes(lied)
    refused(packed, home, "damaged")


def test_passwords_damage_and_other_files(tmp_path, home):
    packed = archive(tmp_path / "a.zip", {"a/1.png": random.Random(0).randbytes(5000)})
    good = packed.read_bytes()
    locked = bytearray(good)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[good.index(signature) + offset] |= 1
    for content, words in (
        (bytes(locked), "password"),
        (good[:3000] + b"#" + good[3001:], "damaged"),
        (good[:-30], "damaged"),
        (b"no archive", "damaged"),
        (b"", "damaged"),
    ):
        packed.write_bytes(content)
        refused(packed, home, words)
    refused(archive(tmp_path / "a.zip", {"empty/": b""}), home, "is empty")
    refused(archive(tmp_path / "a.zip", {"a/1.png": b"", "a/1.png/2.png": b""}), home, "two files of one name")


def test_any_change_of_an_archive_ends_in_words(tmp_path, home):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(3):
            file.writestr(f"a/{number}.png", random.Random(number).randbytes(300))
    good, rng = out.getvalue(), random.Random(7)
    packed = tmp_path / "changed.zip"
    for _ in range(150):
        changed = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        packed.write_bytes(changed[: rng.choice([len(changed), len(changed), rng.randrange(len(changed))])])
        try:
            folder = unpack(packed)
        except StudioError:
            continue
        assert all(f.is_file() and f.is_relative_to(folder) for f in folder.rglob("*.png"))
    assert not list((home / "unpacked").glob(".*"))


def test_stopping_leaves_nothing(tmp_path, home):
    packed = archive(tmp_path / "a.zip", {f"a/{number}.png": b"x" * 100 for number in range(20)})
    for patience in (0, 1, 5):
        asked = iter([False] * patience)
        with pytest.raises(Stopped):
            unpack(packed, should_stop=lambda asked=asked: next(asked, True))
        assert list((home / "unpacked").iterdir()) == []


def test_what_was_left_long_ago_is_removed(tmp_path, home):
    left = home / "unpacked" / ".0123-abc"
    left.mkdir(parents=True)
    (left / "1.png").write_bytes(b"x")
    os.utime(left, (1e9, 1e9))
    unpack(archive(tmp_path / "a.zip", {"a/1.png": b"x"}))
    assert not left.exists()


def test_only_zip_files_are_archives(tmp_path):
    (tmp_path / "folder.zip").mkdir()
    assert not is_archive(tmp_path / "folder.zip") and not is_archive(tmp_path / "gone.zip")
    assert is_archive(archive(tmp_path / "A.ZIP", {"a": b""}))


def test_entries_that_share_their_bytes_are_counted_against_the_archive_itself(tmp_path, home, monkeypatch):
    monkeypatch.setattr("tlstudio.core.archives.RATIO_COUNTS_FROM_BYTES", 2**20)
    packed = archive(tmp_path / "overlap.zip", {"a/0.bmp": random.Random(0).randbytes(2**16)})
    with zipfile.ZipFile(packed, "a") as file:
        entry = file.infolist()[0]
        for number in range(1, 500):
            again = copy.copy(entry)
            again.filename = again.orig_filename = f"a/{number}.bmp"
            file.filelist.append(again)
        file.comment = b"written again"
    refused(packed, home, "times its size")
