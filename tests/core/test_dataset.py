"""Dropped folders of every layout, and everything that can be wrong with them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from tests.factories import class_folders, draw, part_folders
from tlstudio.core.dataset import (
    DatasetIndex,
    FileStatus,
    arrange,
    propose_groups,
    require_classes,
    scan,
    shown_classes,
)
from tlstudio.core.dataset_setup import ASIDE, DatasetSetup, Layout, relabel, rename_class
from tlstudio.core.errors import StudioError
from tlstudio.core.events import Event, Progress, ScanChanged, Stopped
from tlstudio.core.images import Reading
from tlstudio.core.look import Scanned, look, read_scanned, write_scanned
from tlstudio.core.picture_facts import PictureFacts, ScannedFile
from tlstudio.core.problem import Problem


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
    second = class_folders(tmp_path / "b", {"square": 3, "cross": 4})
    index = scan([second / "square", first / "disc", second / "cross"])
    assert index.class_counts() == {"cross": 4, "disc": 2, "square": 3}


def test_two_dropped_folders_of_one_name_are_one_class(tmp_path):
    first = class_folders(tmp_path / "monday", {"disc": 2})
    second = class_folders(tmp_path / "friday", {"disc": 3, "square": 2}, first_seed=50)
    index = scan([first / "disc", second / "disc", second / "square"])
    assert index.class_counts() == {"disc": 5, "square": 2}


def test_nested_folders_belong_to_the_class_above(two_classes):
    deep = two_classes / "disc" / "2024" / "june"
    deep.mkdir(parents=True)
    draw("disc", 90).save(deep / "late.png")
    assert scan([two_classes]).class_counts() == {"disc": 7, "square": 6}


def test_a_folder_beside_the_parts_is_named(three_parts):
    class_folders(three_parts / "sketches", {"disc": 1})
    index = scan([three_parts])
    assert problems(index) == [("disc_000.png", "outside-parts")] and "“disc”" in index.problems[0].message
    assert len(index.images) == 22


def test_loose_pictures_are_named(two_classes):
    draw("disc", 91).save(two_classes / "loose.png")
    (two_classes / "readme.txt").write_text("about these pictures")
    index = scan([two_classes])
    assert problems(index) == [("loose.png", "outside-class"), ("readme.txt", "not-a-picture")]


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
    (disc / "drawing.psd").write_bytes(b"8BPS\x00\x01")
    (disc / "empty.png").touch()
    (disc / "nowhere.png").symlink_to(disc / "gone.png")
    before = sorted(disc.iterdir())
    index = scan([two_classes])
    assert problems(index) == [
        ("broken.jpg", "unreadable"), ("drawing.psd", "unsupported"), ("empty.png", "empty-file"),
        ("notes.txt", "not-a-picture"), ("nowhere.png", "no-access"),
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
        assert problems(scan([two_classes])) == [("locked", "locked-folder")]
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


def test_progress_is_told_while_it_is_read(two_classes):
    (two_classes / "disc" / "notes.txt").write_text("text")
    events: list[Event] = []
    scanned = look([two_classes], emit=events.append)
    told = [event for event in events if isinstance(event, ScanChanged)]
    assert (told[-1].done, told[-1].total, told[-1].set_aside) == (13, 13, 1)
    assert told[-1].folders == {"disc": 6, "square": 6}
    assert told[-1].recent and set(told[-1].recent) <= {file.path for file in scanned.files if file.facts}
    assert [event.done for event in told] == sorted(event.done for event in told)
    progress = [event for event in events if isinstance(event, Progress) and event.what == "Reading pictures"]
    assert progress[-1].done == progress[-1].total == 13
    events.clear()
    scan([two_classes], emit=events.append)
    assert events and all(isinstance(event, Progress) for event in events)


def test_a_stop_at_any_time_and_nothing_is_read_twice(two_classes, home):
    for patience in range(4):
        asked = iter([False] * patience)
        with pytest.raises(Stopped):
            look([two_classes], should_stop=lambda asked=asked: next(asked, True))
    first = look([two_classes])
    again = look([two_classes])
    assert again.files == first.files
    assert msgspec.structs.replace(first, seconds=0.0) == msgspec.structs.replace(
        read_scanned(write_scanned(first)), seconds=0.0
    )


def test_a_folder_that_is_suddenly_gone_is_told_and_what_was_read_is_remembered(two_classes, tmp_path):
    away = tmp_path / "away"
    events: list[Event] = []

    def unplug(event: Event) -> None:
        events.append(event)
        if isinstance(event, ScanChanged) and event.total and two_classes.exists():
            two_classes.rename(away)

    with pytest.raises(StudioError, match="is suddenly gone") as caught:
        look([two_classes], emit=unplug)
    assert "remembered" in caught.value.what and "again" in caught.value.hint
    away.rename(two_classes)
    assert len(scan([two_classes]).images) == 12


def test_class_names_in_a_sentence():
    assert shown_classes(["a", "b"]) == "“a”, “b”"
    assert shown_classes(["a", "b", "c", "d", "e"]) == "“a”, “b”, “c” and 2 more"


def test_the_first_reason_is_said_where_nothing_can_be_used(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "x.jpg").write_bytes(b"no picture")
    with pytest.raises(StudioError, match=r"found in .* 1 were set aside, the first for this: The picture is damaged"):
        scan([tmp_path])


# --- what the user's decisions make of it ----------------------------------------------------------------------------


def picture(place: str, content: str = "", **facts: object) -> ScannedFile:
    """Return a picture as a look finds it; equal `content` means the same bytes."""
    content = content or place
    known = {"pixels": content, "width_px": 8, "height_px": 8, "size_bytes": 9, "format": "PNG", "brightness": 0.5,
             "sharpness": 0.1}  # fmt: skip
    return ScannedFile(f"/data/{place}", place, PictureFacts(content, **(known | facts)))


def found(*files: ScannedFile, near: tuple[tuple[int, int], ...] = ()) -> Scanned:
    return Scanned(("/data",), files, (), near, 0.0)


def statuses(index: DatasetIndex) -> dict[str, str]:
    """Return status and code of every file by name, and check that each has exactly one."""
    files = index.files()
    assert len({file.path for file in files}) == len(files)
    return {Path(file.path).name: f"{file.status} {file.code}".strip() for file in files}


def classes_of(index: DatasetIndex) -> dict[str, str]:
    return {Path(image.path).name: index.classes[image.class_index] for image in index.images}


PLAIN = found(*(picture(f"{name}/{name}{number}.png") for name in ("ant", "bee", "fly") for number in (1, 2)))


def test_every_file_has_exactly_one_status(two_classes):
    disc = two_classes / "disc"
    shutil.copy(disc / "disc_000.png", disc / "z_copy.png")
    (disc / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    (disc / "Thumbs.db").write_bytes(b"x")
    (two_classes / ".hidden").mkdir()
    draw("disc", 92).save(two_classes / ".hidden" / "x.png")
    draw("disc", 93).save(disc / "a_mask.png")
    (disc / "again").symlink_to(two_classes, target_is_directory=True)
    index = scan([two_classes], DatasetSetup(exclude=("*_mask.*",)))
    expected = {f"{name}_{number:03}.png": "used" for name in ("disc", "square") for number in range(6)}
    assert statuses(index) == expected | {
        "z_copy.png": "noted copy", "broken.jpg": "set-aside unreadable", "Thumbs.db": "ignored system-file",
        "x.png": "ignored system-file", "a_mask.png": "ignored excluded", "again": "ignored link",
    }  # fmt: skip
    assert all(file.message for file in index.files() if file.status != "used")
    assert len(index.set_aside()) == 1


def test_renamed_merged_and_left_out_classes():
    setup = rename_class(DatasetSetup(), ["ant", "fly"], "insect")
    assert arrange(PLAIN, setup).class_counts() == {"bee": 2, "insect": 4}
    left = arrange(PLAIN, msgspec.structs.replace(setup, left_out=("insect",)))
    assert left.classes == ("bee",) and statuses(left)["fly1.png"] == "ignored class-left-out"


def test_relabelled_pictures_and_those_set_aside():
    setup = relabel(DatasetSetup(renamed={"ant": "bug"}), ["/data/bee/bee1.png"], "wasp")
    setup = relabel(setup, ["/data/ant/ant2.png"], ASIDE)
    index = arrange(PLAIN, setup)
    assert classes_of(index) == {"ant1.png": "bug", "bee1.png": "wasp", "bee2.png": "bee", "fly1.png": "fly",
                                 "fly2.png": "fly"}  # fmt: skip
    assert statuses(index)["ant2.png"] == "set-aside by-user"
    loose = arrange(found(*PLAIN.files, picture("loose.png")), relabel(setup, ["/data/loose.png"], "bee"))
    assert classes_of(loose)["loose.png"] == "bee"


def test_a_table_tells_classes_parts_and_groups(tmp_path):
    table = tmp_path / "labels.csv"
    rows = "".join(f"{n},{'a' if n % 2 else 'b'},{'train' if n < 6 else 'val'},p{n // 4}\n" for n in range(8))
    table.write_text("file,class,part,patient\n" + rows + "99,a,val,p9\n")
    files = [picture(f"{number}.png") for number in range(9)]
    files.append(ScannedFile(str(table), "labels.csv", None, "not-a-picture", "This is not a picture file."))
    setup = DatasetSetup(layout=Layout(kind="table", table=str(table)), groupings=("labels",))
    index = arrange(found(*files), setup)
    assert index.class_counts() == {"a": 4, "b": 4} and index.part_counts() == {"train": 6, "val": 2}
    assert len({image.kept_with for image in index.images}) == 2
    files_found = statuses(index)
    assert files_found["labels.csv"] == "ignored labels-table" and files_found["8.png"] == "set-aside no-label"
    assert sorted(problem.code for problem in index.problems) == ["leak", "leak", "no-file", "no-label"]
    assert files_found["6.png"] == "noted leak", "patient p1 is in train and in val"


def test_names_of_files_tell_classes():
    setup = DatasetSetup(layout=Layout(kind="names", pattern=r"(?P<class>[a-z]+)(?P<group>\d)"))
    index = arrange(found(*(picture(f"all/{f.path[-8:]}") for f in PLAIN.files), picture("all/7.png")), setup)
    assert index.class_counts() == {"ant": 2, "bee": 2, "fly": 2}
    assert statuses(index)["7.png"] == "set-aside no-label"
    with pytest.raises(StudioError, match="not a valid expression"):
        arrange(PLAIN, DatasetSetup(layout=Layout(kind="names", pattern="(")))


def test_same_pixels_in_other_bytes_and_near_copies():
    files = [
        picture("train/ant/1.png"), picture("train/ant/2.jpg", pixels="train/ant/1.png"),
        picture("train/ant/3.png"), picture("train/ant/4.png"), picture("train/bee/5.png"), picture("val/bee/6.png"),
    ]  # fmt: skip
    index = arrange(found(*files, near=((0, 2), (0, 4), (4, 5))))
    assert statuses(index) == {
        "1.png": "used", "2.jpg": "noted copy", "3.png": "noted near-copy", "4.png": "used",
        "5.png": "noted label-conflict", "6.png": "noted leak",
    }  # fmt: skip
    together = {Path(image.path).name: image.kept_with for image in index.images}
    assert len({together[name] for name in ("1.png", "2.jpg", "3.png", "5.png", "6.png")}) == 1
    assert together["4.png"] != together["1.png"]
    alone = arrange(found(*files, near=((0, 2), (0, 4), (4, 5))), DatasetSetup(groupings=()))
    assert len({image.kept_with for image in alone.images}) == 5, "only exact copies stay together then"
    assert statuses(alone)["6.png"] == "noted leak", "it is told all the same"


def test_the_gravest_is_said_of_a_picture():
    files = [picture("ant/1.png", "x"), picture("bee/2.png", "y"), picture("bee/3.png", "y", note="first-frame")]
    index = arrange(found(*files, near=((0, 2),)))
    assert statuses(index)["3.png"] == "noted label-conflict"
    assert [problem.code for problem in index.problems] == ["label-conflict", "first-frame"]


def test_groups_are_proposed_by_what_lies_below_the_class():
    parts = [f"{part}/{name}" for part in ("train", "val") for name in ("ant", "bee")]
    files = [picture(f"{place}/s{number % 3}/{number}.png") for place in parts for number in range(6)]
    kinds = {proposal.kind: proposal for proposal in propose_groups(found(*files))}
    assert kinds["folders"].groups == 6 and kinds["folders"].images == 24, "a specimen may lie in both parts"


def test_deep_pictures_share_one_range_without_outliers():
    usual = [picture(f"ant/{number}.tif", low=100.0 + number, high=4000.0 + number) for number in range(20)]
    flat = picture("bee/plain.png")
    assert arrange(found(*usual, flat)).reading == Reading(low=100.0, high=4019.0)
    hot = picture("bee/hot.tif", low=0.0, high=65535.0)
    assert arrange(found(*usual, flat, hot)).reading == Reading(low=0.0, high=4019.0)
    assert arrange(found(usual[0], flat, hot)).reading == Reading(low=0.0, high=65535.0), "two show no outlier"
    chosen = DatasetSetup(reading=Reading(high=900.0, framing="fit"))
    assert arrange(found(*usual, flat), chosen).reading == Reading(low=100.0, high=900.0, framing="fit")
    assert arrange(found(flat)).reading == Reading()
    assert arrange(found(picture("a/1.tif", low=7.0, high=7.0))).reading == Reading(low=7.0, high=8.0)


def test_a_picture_without_the_chosen_channel_is_set_aside():
    scanned = found(picture("a/five.tif", channels=5), picture("a/seven.tif", channels=7), picture("b/colour.png"))
    index = arrange(scanned, DatasetSetup(reading=Reading(channels=(5,))))
    assert [(Path(one.path).name, one.code) for one in index.set_aside()] == [("five.tif", "no-channel")]
    assert statuses(arrange(scanned, DatasetSetup(reading=Reading(channels=(4,))))) == statuses(arrange(scanned))


def test_why_a_folder_cannot_be_used_is_said():
    def refusal(*files: ScannedFile, **setup: object) -> str:
        with pytest.raises(StudioError) as caught:
            require_classes(arrange(found(*files), DatasetSetup(**setup)))
        return str(caught.value)

    flat = [picture(f"{number}.png") for number in range(3)]
    assert refusal(*flat) == (
        "3 pictures in “/data” lie in no folder of a class, so nothing tells what they show. "
        "Give their classes by folders, by a table or by the names of the files."
    )
    assert "No usable picture" in refusal()
    only_train = [picture("train/ant/1.png"), picture("train/ant/2.png")]
    assert "one class, “ant”, all of them for train" in refusal(*only_train)
    single = [picture("ant/1.png"), picture("ant/2.png"), picture("bee/3.png")]
    assert "too few pictures of “bee”" in refusal(*single) and "leave the class out" in refusal(*single)
    assert "Every class in “/data” is left out" in refusal(*single, left_out=("ant", "bee"))
    assert "Your patterns leave no picture" in refusal(*single, exclude=("*",))
    assert "finds no class" in refusal(*flat, layout=Layout(kind="names", pattern="(?P<class>x)"))


@pytest.mark.parametrize(("make", "words"), [("nothing", "exists"), ("locked", "may not open")])
def test_folders_that_cannot_be_opened(tmp_path, make, words):
    folder = tmp_path / "pictures"
    if make == "locked":
        if not hasattr(os, "geteuid") or os.geteuid() == 0:
            pytest.skip("root may open every folder")
        folder.mkdir(mode=0o000)
    with pytest.raises(StudioError, match=words):
        look([folder])


def test_files_of_one_unreadable_name_are_all_counted():
    problem = Problem("/data/caf\ufffd.png", "name-not-text", "The name has bytes that are not text.")
    index = DatasetIndex(("/data",), (), (), (problem, problem), 0.0)
    assert index.files() == [FileStatus(problem.path, "set-aside", problem.code, problem.message)] * 2


def test_near_copies_are_found_once_and_remembered(tmp_path, home):
    grain = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    picture = Image.fromarray(grain).resize((320, 240), Image.Resampling.BICUBIC)
    root = class_folders(tmp_path / "pictures")
    picture.save(root / "disc" / "first.png")
    picture.resize((200, 150)).save(root / "disc" / "smaller.jpg")
    first = look([root])
    names = {Path(first.files[position].path).name for pair in first.near for position in pair}
    assert {"first.png", "smaller.jpg"} <= names
    (note,) = (home / "cache" / "notes").glob("near-*.json")
    assert look([root]).near == first.near
    note.write_text('{"pairs": []}')
    assert look([root]).near == ()
