"""Dropped folders of every layout, and everything that can be wrong with them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec
import pytest

from tests.factories import class_folders, draw, part_folders
from tlstudio.core.dataset import DatasetIndex, scan, shown_classes
from tlstudio.core.errors import StudioError
from tlstudio.core.events import Progress, Stopped


def problems(index: DatasetIndex) -> list[tuple[str, str]]:
    """Return (file or folder name, code) of all problems, sorted."""
    return sorted((Path(problem.path).name, problem.code) for problem in index.problems)


def parts_of_classes(index: DatasetIndex) -> dict[tuple[str | None, str], int]:
    found: dict[tuple[str | None, str], int] = {}
    for image in index.images:
        key = (image.part, index.classes[image.class_index])
        found[key] = found.get(key, 0) + 1
    return found


def test_a_folder_a_class(two_classes):
    index = scan([two_classes])
    assert index.classes == ("disc", "square")
    assert index.class_counts() == {"disc": 6, "square": 6}
    assert index.part_counts() == {} and index.problems == ()
    first = index.images[0]
    assert Path(first.path) == two_classes / "disc" / "disc_000.png"
    assert (first.width_px, first.height_px, first.part) == (48, 48, None)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("train", "val"), {"train": 6, "val": 4}),
        (("train", "validation", "test"), {"train": 6, "val": 4, "test": 2}),
        (("Train", "valid"), {"train": 6, "val": 4}),
        (("training", "testing"), {"train": 6, "test": 4}),
    ],
)
def test_parts_under_their_usual_names(tmp_path, names, expected):
    root = part_folders(tmp_path / "p", dict(zip(names, (3, 2, 1), strict=False)))
    index = scan([root])
    assert index.part_counts() == expected
    assert index.classes == ("disc", "square")
    assert index.problems == ()


def test_parts_dropped_as_several_folders(three_parts):
    index = scan([three_parts / "train", three_parts / "val"])
    assert parts_of_classes(index) == {
        ("train", "disc"): 6, ("train", "square"): 6, ("val", "disc"): 3, ("val", "square"): 3,
    }  # fmt: skip


def test_class_folders_dropped_one_by_one(tmp_path):
    first = class_folders(tmp_path / "a", {"disc": 2})
    second = class_folders(tmp_path / "b", {"square": 3, "cross": 1})
    index = scan([second / "square", first / "disc", second / "cross"])
    assert index.class_counts() == {"cross": 1, "disc": 2, "square": 3}


def test_two_dropped_folders_of_one_name_are_one_class(tmp_path):
    first = class_folders(tmp_path / "monday", {"disc": 2})
    second = class_folders(tmp_path / "friday", {"disc": 3, "square": 1}, first_seed=50)
    index = scan([first / "disc", second / "disc", second / "square"])
    assert index.class_counts() == {"disc": 5, "square": 1}


def test_nested_folders_belong_to_the_class_above(two_classes):
    deep = two_classes / "disc" / "2024" / "june"
    deep.mkdir(parents=True)
    draw("disc", 90).save(deep / "late.png")
    assert scan([two_classes]).class_counts() == {"disc": 7, "square": 6}


def test_a_folder_beside_the_parts_is_named(three_parts):
    class_folders(three_parts / "sketches", {"disc": 1})
    index = scan([three_parts])
    assert problems(index) == [("sketches", "outside-parts")]
    assert len(index.images) == 22


def test_loose_pictures_are_named(two_classes):
    draw("disc", 91).save(two_classes / "loose.png")
    (two_classes / "readme.txt").write_text("about these pictures")
    index = scan([two_classes])
    assert problems(index) == [("loose.png", "outside-class")]


def test_the_system_s_own_files_are_no_classes_and_no_problems(two_classes):
    for junk in (".git", "__MACOSX", "@eaDir", ".ipynb_checkpoints"):
        (two_classes / junk).mkdir()
        draw("disc", 92).save(two_classes / junk / "x.png")
    for junk in ("Thumbs.db", ".DS_Store", "._disc_000.png", "desktop.ini"):
        (two_classes / "disc" / junk).write_bytes(b"junk")
    index = scan([two_classes])
    assert index.class_counts() == {"disc": 6, "square": 6} and index.problems == ()


def test_files_that_cannot_be_used_are_set_aside_and_named(two_classes):
    disc = two_classes / "disc"
    (disc / "notes.txt").write_text("text")
    (disc / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    (disc / "phone.heic").write_bytes(b"\x00\x00\x00\x18ftypheic")
    (disc / "empty.png").touch()
    (disc / "nowhere.png").symlink_to(disc / "gone.png")
    before = sorted(disc.iterdir())
    index = scan([two_classes])
    assert problems(index) == [
        ("broken.jpg", "unreadable"), ("empty.png", "empty-file"), ("notes.txt", "not-a-picture"),
        ("nowhere.png", "no-access"), ("phone.heic", "unsupported"),
    ]  # fmt: skip
    assert index.class_counts() == {"disc": 6, "square": 6}
    assert sorted(disc.iterdir()) == before


def test_classes_without_pictures_are_left_out_and_named(two_classes):
    (two_classes / "nothing").mkdir()
    (two_classes / "words").mkdir()
    (two_classes / "words" / "notes.txt").write_text("text")
    index = scan([two_classes])
    assert index.classes == ("disc", "square")
    assert problems(index) == [("notes.txt", "not-a-picture"), ("nothing", "empty-folder"), ("words", "empty-class")]


def test_one_class_is_refused_unless_one_is_enough(tmp_path):
    root = class_folders(tmp_path / "p", ["disc"])
    with pytest.raises(StudioError, match=r"All 6 pictures in .* are of one class, “disc”") as caught:
        scan([root])
    assert "second class" in caught.value.hint
    assert scan([root], min_classes=1).classes == ("disc",)


def test_no_pictures_at_all(tmp_path):
    with pytest.raises(StudioError, match="No usable picture was found"):
        scan([tmp_path])


def test_a_file_is_no_folder(two_classes):
    with pytest.raises(StudioError, match="is not a folder"):
        scan([two_classes / "disc" / "disc_000.png"])


def test_copies_conflicts_and_leaks(three_parts):
    train, val = three_parts / "train", three_parts / "val"
    shutil.copy(train / "disc" / "disc_000.png", train / "disc" / "z_copy.png")
    shutil.copy(train / "disc" / "disc_001.png", train / "square" / "z_conflict.png")
    shutil.copy(train / "square" / "square_002.png", val / "square" / "z_leak.png")
    index = scan([three_parts])
    assert problems(index) == [("z_conflict.png", "label-conflict"), ("z_copy.png", "copy"), ("z_leak.png", "leak")]
    assert len(index.images) == 25


def test_links_that_lead_back_are_read_once(two_classes):
    (two_classes / "disc" / "again").symlink_to(two_classes / "disc", target_is_directory=True)
    (two_classes / "disc" / "ping").symlink_to(two_classes / "disc" / "pong")
    (two_classes / "disc" / "pong").symlink_to(two_classes / "disc" / "ping")
    index = scan([two_classes])
    assert index.class_counts()["disc"] == 6
    assert problems(index) == [("ping", "no-access"), ("pong", "no-access")]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_among_the_pictures(two_classes):
    os.mkfifo(two_classes / "disc" / "pipe.png")
    assert problems(scan([two_classes])) == [("pipe.png", "not-a-file")]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may open every folder")
def test_a_folder_that_may_not_be_opened_is_named(two_classes):
    locked = two_classes / "disc" / "locked"
    locked.mkdir(mode=0o000)
    try:
        assert problems(scan([two_classes])) == [("locked", "no-access")]
    finally:
        locked.chmod(0o700)


def test_names_that_are_not_text_are_named_and_survive_storing(two_classes):
    folder = os.fsencode(two_classes / "disc")
    try:
        with open(folder + b"/caf\xe9.png", "wb") as file:  # noqa: PTH123 - the name is bytes
            file.write((two_classes / "disc" / "disc_000.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    index = scan([two_classes])
    assert problems(index) == [("caf\ufffd.png", "name-not-text")]
    assert msgspec.json.decode(msgspec.json.encode(index), type=DatasetIndex) == index


@pytest.mark.parametrize("name", ["<b>bold.png", "two\nlines.png", "\u202egnp.exe.png", "bee 🐝.png", "=1+1.png"])
def test_odd_names_are_ordinary(two_classes, name):
    draw("disc", 93).save(two_classes / "disc" / name, "PNG")
    index = scan([two_classes])
    assert index.class_counts()["disc"] == 7 and index.problems == ()
    assert msgspec.json.decode(msgspec.json.encode(index), type=DatasetIndex) == index


def test_progress_and_stopping(two_classes):
    events: list[Progress] = []
    scan([two_classes], emit=events.append)
    assert events[-1].done == events[-1].total == 12
    with pytest.raises(Stopped):
        scan([two_classes], should_stop=lambda: True)


def test_class_names_in_a_sentence():
    assert shown_classes(["a", "b"]) == "“a”, “b”"
    assert shown_classes(["a", "b", "c", "d", "e"]) == "“a”, “b”, “c” and 2 more"


def test_the_first_reason_is_said_where_nothing_can_be_used(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "x.jpg").write_bytes(b"no picture")
    with pytest.raises(StudioError, match=r"found in .* 1 were set aside, the first for this: The picture is damaged"):
        scan([tmp_path])
