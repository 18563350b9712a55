"""Every file below a folder is listed once, whatever else lies there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tlstudio.core.listing import files_below, is_ignored, list_files
from tlstudio.core.problem import Problem


def listed(folder: Path) -> dict[str, str]:
    """Return the code of every file, by place."""
    problems: list[Problem] = []
    files = list(list_files(folder, problems))
    assert len({file.path for file in files}) == len(files)
    return {file.place: file.code for file in files}


def write(root: Path, *places: str) -> Path:
    for place in places:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(b"12345")
    return root


def test_places_sizes_and_times(tmp_path):
    root = write(tmp_path, "b/2.png", "b/1.png", "a/deep/er/3.png", "4.png")
    found = list(list_files(root, [], "dropped/"))
    assert [file.place for file in found] == [
        "dropped/4.png", "dropped/a/deep/er/3.png", "dropped/b/1.png", "dropped/b/2.png",
    ]  # fmt: skip
    for file in found:
        facts = os.stat(file.path)  # noqa: PTH116 - as plain as can be
        assert (file.size_bytes, file.mtime_ns) == (facts.st_size, facts.st_mtime_ns)
        assert file.path == str(root / file.place.removeprefix("dropped/"))


def test_the_system_s_own_files_are_listed_as_such(tmp_path):
    own = ["Thumbs.db", ".DS_Store", "._1.png", "desktop.ini", ".git/objects/1.png", "a/@eaDir/1.png/thumb.jpg",
           "__MACOSX/a/1.png", ".ipynb_checkpoints/1.png", "~$table.xlsx"]  # fmt: skip
    root = write(tmp_path, "a/1.png", *own)
    assert listed(root) == dict.fromkeys(own, "system-file") | {"a/1.png": ""}
    assert [path.name for path in files_below(root, [])] == ["1.png"]
    assert is_ignored(".hidden") and is_ignored("THUMBS.DB") and not is_ignored("thumbs")


def test_links_are_followed_once_and_a_folder_keeps_its_own_place(tmp_path):
    root = write(tmp_path / "pictures", "z/1.png")
    outside = write(tmp_path / "elsewhere", "2.png")
    (root / "a").symlink_to(root / "z", target_is_directory=True)
    (root / "z" / "up").symlink_to(root, target_is_directory=True)
    (root / "more").symlink_to(outside, target_is_directory=True)
    (root / "z" / "3.png").symlink_to(outside / "2.png")
    assert listed(root) == {"z/1.png": "", "z/3.png": "", "more/2.png": "", "a": "link", "z/up": "link"}


def test_what_is_no_file(tmp_path):
    root = write(tmp_path, "a/1.png")
    (root / "a" / "ping").symlink_to("pong")
    (root / "a" / "pong").symlink_to("ping")
    (root / "a" / "nowhere.png").symlink_to("gone.png")
    expected = {"a/1.png": "", "a/ping": "no-access", "a/pong": "no-access", "a/nowhere.png": "no-access"}
    if hasattr(os, "mkfifo"):
        os.mkfifo(root / "a" / "pipe.png")
        (root / "a" / "null.png").symlink_to(os.devnull)
        expected |= {"a/pipe.png": "not-a-file", "a/null.png": "not-a-file"}
    assert listed(root) == expected


def test_names_that_are_not_text(tmp_path):
    folder = os.fsencode(write(tmp_path, "a/1.png") / "a")
    try:
        for name in (b"caf\xe9.png", b"caf\xe8.png"):
            with open(folder + b"/" + name, "wb"):  # noqa: PTH123 - the name is bytes
                pass
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    found = [file for file in list_files(tmp_path, []) if file.code]
    assert [(file.place, file.code) for file in found] == [("a/caf\ufffd.png", "name-not-text")] * 2


def test_empty_folders_and_a_folder_that_vanishes(tmp_path):
    root = write(tmp_path, "a/1.png", "b/2.png")
    (root / "nothing").mkdir()
    problems: list[Problem] = []
    found = []
    for file in list_files(root, problems):
        found.append(file.place)
        if file.place == "a/1.png":
            (root / "b" / "2.png").unlink()
            (root / "b").rmdir()
    assert found == ["a/1.png"]
    assert [(Path(problem.path).name, problem.code) for problem in problems] == [
        ("b", "locked-folder"), ("nothing", "empty-folder"),
    ]  # fmt: skip


def test_the_folder_itself_must_be_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        list(list_files(tmp_path / "gone", []))
    problems: list[Problem] = []
    assert list(files_below(tmp_path / "gone", problems)) == [] and problems[0].code == "locked-folder"
