"""The user's decisions about a data set are kept beside the app and never in the folders."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tlstudio.core.dataset_setup import (
    ASIDE,
    DatasetSetup,
    Layout,
    load_setup,
    read_setup,
    relabel,
    rename_class,
    save_setup,
    setup_file,
)
from tlstudio.core.durable import write_json
from tlstudio.core.errors import StudioError
from tlstudio.core.images import Reading

FULL = DatasetSetup(
    Layout("table", 2, "t.csv", ";", "file", "class", "part", "patient", "(?P<class>x)"),
    ("*_mask.*",),
    {"ant": "bee"},
    ("fly",),
    {"/p/1.png": "ant", "/p/2.png": ASIDE},
    ("names", "labels"),
    Reading(1.0, 4095.0, (0, 2, 1), "fit"),
)


def test_decisions_are_found_again_whatever_the_order_of_the_folders(home):
    folders = [Path("/data/b"), Path("/data/a")]
    assert load_setup(folders) == (None, [])
    save_setup(folders, FULL)
    assert load_setup(folders[::-1]) == (FULL, [])
    assert load_setup(folders[:1]) == (None, [])
    assert setup_file(folders).is_relative_to(home)


def test_a_setup_of_an_earlier_or_smaller_kind_opens(tmp_path):
    file = tmp_path / "setup.json"
    write_json(file, {"exclude": ["*.png"]})
    assert read_setup(file) == DatasetSetup(exclude=("*.png",))
    write_json(file, FULL)
    assert read_setup(file) == FULL == msgspec.json.decode(file.read_bytes(), type=DatasetSetup)


def test_decisions_that_an_older_version_kept_are_found(home):
    folders = [Path("/data/a")]
    write_json(setup_file(folders), FULL)
    assert load_setup(folders) == (FULL, [])


def test_of_every_record_each_flipped_bit_is_noticed_and_the_one_before_counts(home):
    folders, before = [Path("/data/a")], DatasetSetup(exclude=("x",))
    save_setup(folders, before)
    save_setup(folders, FULL)
    file = setup_file(folders)
    content = file.read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        file.write_bytes(damaged)
        assert load_setup(folders) == (before, [file])


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"exclude": 7}', b'{"classes": []}', b"[]", b'{"groupings": ["colour"]}']
)
def test_files_that_are_no_set_up(tmp_path, content):
    file = tmp_path / "setup.json"
    file.write_bytes(content)
    with pytest.raises(StudioError, match=r"“setup\.json” does not hold the set-up"):
        read_setup(file)
    with pytest.raises(StudioError, match=r"gone\.json"):
        read_setup(tmp_path / "gone.json")


def test_later_words_count():
    setup = relabel(relabel(DatasetSetup(), ["a", "b"], "ant"), ["b"], ASIDE)
    assert setup.relabelled == {"a": "ant", "b": ASIDE}
    assert rename_class(rename_class(setup, ["x", "y"], "z"), ["y"], "w").renamed == {"x": "z", "y": "w"}
