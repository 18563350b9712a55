"""What the app remembers to save time: how much it takes, what goes first, and that losing it costs only time."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from tlstudio.core import cache_folder
from tlstudio.core.cache_folder import clear, features_file, make_room, note, size_bytes, take_note


class Remark(msgspec.Struct, frozen=True):
    text: str


def put(key: str, size: int, used_at: int) -> Path:
    path = features_file(key)
    path.write_bytes(b"\0" * size)
    os.utime(path, (used_at, used_at))
    return path


def test_size_and_clearing(home):
    assert size_bytes() == 0 and clear() == 0
    files = [put("one", 1000, 1), put("two", 500, 2)]
    take_note("remark", Remark("seen"))
    mine = home / "cache" / "features" / "mine.txt"
    mine.write_text("not the app's")
    assert size_bytes() >= 1500
    assert clear() >= 1500
    assert size_bytes() == 0 and not any(file.exists() for file in files)
    assert note("remark", Remark) is None
    assert mine.exists(), "nothing is deleted that the app did not make"


def test_the_longest_unused_goes_first(monkeypatch):
    monkeypatch.setattr(cache_folder, "MAX_BYTES", 1000)
    old, journal = put("old", 400, 1), put("old.sqlite-journal", 10, 1)
    new, newest = put("new", 400, 2), put("newest", 400, 3)
    make_room(keep=newest)
    assert not old.exists() and not journal.exists()
    assert new.exists() and newest.exists()


def test_what_is_in_use_stays(monkeypatch):
    monkeypatch.setattr(cache_folder, "MAX_BYTES", 300)
    in_use, other = put("old", 400, 1), put("new", 400, 2)
    make_room(keep=in_use)
    assert in_use.exists() and not other.exists()


def test_a_note_is_read_back():
    take_note("remark", Remark("seen"))
    assert note("remark", Remark) == Remark("seen")
    assert note("other", Remark) is None


@pytest.mark.parametrize("content", ["{", '{"text": 3}', "[]"])
def test_a_damaged_note_is_none(home, content):
    take_note("remark", Remark("seen"))
    (home / "cache" / "notes" / "remark.json").write_text(content)
    assert note("remark", Remark) is None


def test_a_disk_that_refuses_costs_only_the_note(home):
    home.mkdir()
    (home / "cache").write_text("a file where the folder should be")
    take_note("remark", Remark("seen"))
    assert note("remark", Remark) is None
    assert size_bytes() == 0
