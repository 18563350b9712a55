"""Classes and parts found in the names of folders and files, in the layouts that people have."""

from __future__ import annotations

import time

import pytest

from tlstudio.core.errors import StudioError
from tlstudio.core.layout import (
    FolderLayout,
    excluder,
    part_of,
    propose_exclusions,
    propose_pattern,
    read_names,
    told_by_name,
)
from tlstudio.core.look import Scanned
from tlstudio.core.picture_facts import PictureFacts, ScannedFile


def understood(folders: dict[str, int], class_level: int | None = None) -> dict[str, tuple[str, str | None]]:
    """Return (class, part) of every folder; its code where there is no class."""
    layout = FolderLayout(folders.items(), class_level)
    told = {folder: layout.told(folder) for folder in folders}
    return {folder: (tells.class_name or tells.code, tells.part) for folder, tells in told.items()}


def test_the_names_of_parts():
    for name in ("train", "Training", "train_set", "trainset", "Train Images", "TRAIN-data", "images_train",
                 "train2017", "seg_train"):  # fmt: skip
        assert part_of(name) == "train", name
    for name in ("val", "valid", "Validation", "validation set", "dev", "eval", "val_images"):
        assert part_of(name) == "val", name
    for name in ("test", "testing", "Test-Set", "holdout", "hold_out", "testData"):
        assert part_of(name) == "test", name
    for name in ("trains", "trainer", "ant", "", "value", "testis", "set", "images", "train1", "oval"):
        assert part_of(name) is None, name


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        ({"cat": 3, "dog": 2}, {"cat": ("cat", None), "dog": ("dog", None)}),
        ({"cat/s1": 3, "cat/s2": 1, "dog/s1": 2}, {"cat/s1": ("cat", None), "dog/s1": ("dog", None)}),
        ({"set/cat": 3, "set/dog": 2}, {"set/cat": ("cat", None)}),
        ({"a/b/cat": 3, "a/b/dog": 2, "": 1}, {"a/b/dog": ("dog", None), "": ("outside-class", None)}),
        ({"train/cat": 3, "train/dog": 2, "dev/cat": 1}, {"train/cat": ("cat", "train"), "dev/cat": ("cat", "val")}),
        ({"x/Train Images/cat": 3, "x/Test Images/cat": 2}, {"x/Test Images/cat": ("cat", "test")}),
        ({"seg_train/seg_train/sea": 3, "seg_train/seg_train/ice": 3, "seg_test/seg_test/sea": 1,
          "seg_test/seg_test/ice": 1}, {"seg_test/seg_test/ice": ("ice", "test")}),
        ({"cat/train": 3, "cat/test": 1, "dog/train": 3, "dog/test": 1},
         {"cat/test": ("cat", "test"), "dog/train": ("dog", "train")}),
        ({"MT_Blowhole/Imgs": 4, "MT_Break/Imgs": 5}, {"MT_Blowhole/Imgs": ("MT_Blowhole", None)}),
        ({"train": 5, "car": 4, "bus": 3}, {"train": ("train", None), "car": ("car", None)}),
        ({"train/a": 5, "car/a": 4, "bus/a": 3}, {"train/a": ("train", None), "car/a": ("car", None)}),
        ({"train/cat": 2, "val/cat": 1, "sketches/x": 2}, {"sketches/x": ("outside-parts", None)}),
        ({"": 7}, {"": ("outside-class", None)}),
        ({"train": 7, "test": 5}, {"train": ("outside-class", None), "test": ("outside-class", None)}),
        ({"disc": 3}, {"disc": ("disc", None)}),
        ({"disc/2024": 3}, {"disc/2024": ("disc", None)}),
        ({"train/disc": 3, "train/ring": 3}, {"train/disc": ("disc", "train")}),
        ({"cafe\u0301": 1, "x": 1}, {"cafe\u0301": ("caf\u00e9", None)}),
    ],
)  # fmt: skip
def test_folders(folders, expected):
    found = understood(folders)
    assert {folder: found[folder] for folder in expected} == expected


def test_a_level_can_be_chosen():
    folders = {"2023/cat": 2, "2024/cat": 1, "2024/dog": 4}
    assert set(understood(folders).values()) == {("2023", None), ("2024", None)}
    assert set(understood(folders, 2).values()) == {("cat", None), ("dog", None)}
    assert understood({"train/ants": 2, "val/ants": 1}, 2)["val/ants"] == ("ants", "val")
    assert understood({"train": 2, "val": 1}, 1)["val"] == ("val", None)
    assert understood({"a": 1, "b/c": 1}, 2)["a"] == ("outside-class", None)


def test_where_a_picture_lies_below_its_class():
    def home(folders: dict[str, int], folder: str) -> str:
        return FolderLayout(folders.items()).told(folder).home

    assert home({"train/cat/s1": 2, "val/cat/s1": 1, "val/dog": 1}, "train/cat/s1") == "cat/s1"
    assert home({"cat/Imgs": 2, "dog/Imgs": 2}, "cat/Imgs") == "cat", "a step that all classes share tells nothing"
    assert home({"cat/Imgs/s1": 2, "dog/Imgs/s2": 2}, "dog/Imgs/s2") == "dog/s2"
    assert home({"cat/train/s1": 2, "cat/test/s2": 2, "dog/train/s": 1}, "cat/test/s2") == "cat/s2"


def test_empty_classes_lie_beside_the_others():
    assert FolderLayout({"a": 2, "b": 1, "words": 0, "a/notes": 0}.items()).empty_classes == ["words"]
    assert FolderLayout({"train/a": 2, "val/b": 0, "val/a": 1, "train/b": 1}.items()).empty_classes == ["val/b"]


def test_exclusion_patterns():
    excluded = excluder(["*_mask.*", "*/masks/*", "*.PNG", "b[1].jpg", "top/*.tif"])
    for place in ("a/1_mask.jpg", "masks/1.jpg", "x/Masks/deep/1.jpg", "a/1.png", "b[1].jpg", "top/1.tif"):
        assert excluded(place), place
    for place in ("a/mask.jpg", "unmasks/1.jpg", "a/1.jpg", "b1.jpg", "other/top/1.tif", "a_mask.d/1.jpg"):
        assert not excluded(place), place
    assert not excluder([])("a/1.png")


def test_what_an_expression_finds():
    pattern = r"(?P<part>train|test)/(?P<class>[a-z]+)_(?P<group>p\d+)_\d+\.jpg"
    found = read_names(pattern, ["train/cat_p7_001.jpg", "x/test/dog_p1_2.jpg", "cat.jpg"])
    assert found[0][1:] == ("cat", "train", "p7") and found[1][1:] == ("dog", "test", "p1")
    assert found[2][1:] == ("", "", "")
    assert told_by_name(found[1])[:3] == ("dog", "test", "p1")
    assert told_by_name(found[2]).code == "no-label"
    [strange] = read_names("(?P<part>.)-(?P<class>.)", ["q-a"])
    assert told_by_name(strange).code == "no-part" and "“q”" in told_by_name(strange).message


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(?P<class>", "not a valid expression"),
        ("abc", "which piece of a name is the class"),
        ("(?P<klasse>.)", "“klasse”"),
        ("(?P<class>a)" + "b" * 500, "longer than 500"),
        ("*", "not a valid expression"),
    ],
)
def test_expressions_that_cannot_be_used(pattern, words):
    with pytest.raises(StudioError, match=words):
        read_names(pattern, ["a"])


def test_an_expression_that_would_run_for_ever_is_stopped(monkeypatch):
    monkeypatch.setattr("tlstudio.core.layout.PATTERN_SECONDS", 0.3)
    started = time.process_time()
    with pytest.raises(StudioError, match="takes too long"):
        read_names(r"(?P<class>(?:(.+)\2?)+)+[0-9]$", ["x" * 1000 + "b" * 1000] * 20)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["cat_{}.jpg", "dog_{}.jpg"], {"cat", "dog"}),
        (["cat.{}.jpg", "dog.{}.jpg"], {"cat", "dog"}),
        (["american_bulldog_{}.jpg", "Abyssinian_{}.jpg"], {"american_bulldog", "Abyssinian"}),
        (["healthy leaf ({}).png", "rust ({}).png"], {"healthy leaf", "rust"}),
        (["{}_cat.jpg", "{}_dog.jpg"], {"cat", "dog"}),
        (["ant_{}_left.png", "bee_{}_right.png"], {"ant", "bee"}),
        (["train/cat{}.jpg", "train/dog{}.jpg"], {"cat", "dog"}),
    ],
)
def test_an_expression_is_proposed_where_names_show_classes(names, classes):
    places = [name.format(f"{number:03}") for name in names for number in range(1, 31)]
    pattern = propose_pattern(places)
    assert pattern
    found = read_names(pattern, places)
    assert {one.class_name for one in found} == classes
    for name, wanted in zip(names, sorted(classes, key=lambda c: [c in n for n in names].index(True)), strict=True):
        assert {one.class_name for one in found if one.place in {name.format(f"{k:03}") for k in range(31)}} == {wanted}


@pytest.mark.parametrize("names", [["IMG_{}.jpg"], ["IMG_{}.jpg", "DSC{}.jpg"], ["{}.jpg"], ["a{}b{}.png"]])
def test_no_expression_where_names_show_none(names):
    assert propose_pattern([name.format(number, number) for name in names for number in range(1000, 1040)]) == ""
    assert propose_pattern([]) == ""


def scanned(*places: str) -> Scanned:
    facts = PictureFacts("x", "x", 8, 8, 9, "PNG", 0.5, 0.1)
    return Scanned(("d",), tuple(ScannedFile(f"/d/{place}", place, facts) for place in places), (), (), 0.0)


def proposed(*places: str) -> dict[str, int]:
    return {exclusion.pattern: exclusion.count for exclusion in propose_exclusions(scanned(*places))}


def test_masks_are_proposed_to_be_left_out():
    numbers = range(5)
    tiles = [f"MT_Break/Imgs/{number}.{suffix}" for number in numbers for suffix in ("jpg", "png")]
    assert proposed(*tiles) == {"*.png": 5}
    assert proposed(*tiles, "MT_Break/Imgs/alone.png", "MT_Break/Imgs/b.png") == {}, "two in seven have no twin"
    assert proposed(*[f"a/{n}{e}.png" for n in numbers for e in ("", "_mask")]) == {"*_mask.*": 5}
    assert proposed(*[f"a/{n}{e}" for n in numbers for e in (".jpg", "_GT.png")]) == {"*_gt.*": 5}
    assert proposed(*[f"{f}/a/{n}.png" for n in numbers for f in ("images", "Ground_Truth")]) == {"*/ground_truth/*": 5}
    assert proposed(*[f"masks/{n}.png" for n in numbers]) == {}, "something must be left"
    assert proposed(*[f"{c}/{n}.jpg" for n in numbers for c in ("with_mask", "without_mask")]) == {}
    [exclusion] = propose_exclusions(scanned(*tiles))
    assert "5 PNG files" in exclusion.sentence and "masks" in exclusion.sentence
    assert propose_exclusions(scanned(*tiles), ["*.png"]) == ()


def test_every_kind_of_masks_is_proposed():
    places = [f"a/{n}{e}" for n in range(5) for e in (".jpg", "_mask.png")]
    places += [f"masks/{n}_mask.png" for n in range(3)]
    assert proposed(*places) == {"*_mask.*": 8, "*/masks/*": 3}
