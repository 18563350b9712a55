"""What must stay together is joined, what only looks so is not, and the user is told in words."""

from __future__ import annotations

import random
import time

import pytest

from tlstudio.core.dataset import ImageRecord
from tlstudio.core.groups import GroupProposal, grouped, propose
from tlstudio.core.picture_facts import PictureFacts


def records(
    places: list[str],
    contents: list[str] | None = None,
    pixels: list[str] | None = None,
    taken: list[tuple[str, float | None]] | None = None,
) -> list[ImageRecord]:
    """A record a place; the first folder is the class, and all contents differ unless given."""
    classes = sorted({place.split("/")[0] for place in places})
    found = []
    for number, place in enumerate(places):
        content = contents[number] if contents else f"{number:064x}"
        camera, taken_s = taken[number] if taken else ("", None)
        seen = pixels[number] if pixels else content
        facts = PictureFacts(content, seen, 8, 8, 100, "PNG", 0.5, 0.5, camera, taken_s)
        found.append(ImageRecord(f"/in/{place}", classes.index(place.split("/")[0]), None, content, 8, 8, "", facts))
    return found


def sets_of(keys: list[str], places: list[str]) -> set[frozenset[str]]:
    """The groups as sets of places."""
    return {frozenset(place for place, other in zip(places, keys, strict=True) if other == key) for key in keys if key}


def proposed(places: list[str], **known) -> dict[str, GroupProposal]:
    return {proposal.kind: proposal for proposal in propose(records(places, **known), places, [])}


def joined_by_names(names: list[str]) -> set[frozenset[str]]:
    return sets_of(grouped(records(names), names, [], ["names"]), names)


def test_exact_copies_are_always_together_and_nothing_else_is() -> None:
    places = ["a/1.png", "a/2.png", "b/renamed.jpg", "b/4.png", "b/5.png"]
    images = records(places, ["x", "y", "x", "z", "v"], ["p", "q", "p", "q", "r"])
    keys = grouped(images, places, [(0, 4)], [])
    assert sets_of(keys, places) == {frozenset(["a/1.png", "b/renamed.jpg"]), frozenset(["a/2.png", "b/4.png"])}
    assert keys[4] == ""


def test_reasons_add_up_along_chains() -> None:
    places = [f"a/{n}.png" for n in range(6)]
    images = records(places, list("uvwxyz"), list("uuwxyz"))
    keys = grouped(images, places, [(1, 2)], ["near-copies", "labels"], ["", "", "s", "s", "t", ""])
    assert len({*keys[:4]}) == 1 and keys[0]
    assert keys[4:] == ["", ""]
    assert sets_of(grouped(images, places, [(1, 2)], ["labels"], ["", "", "s", "s", "t", ""]), places) == {
        frozenset(places[:2]), frozenset(places[2:4])
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_keys_do_not_depend_on_the_order(seed: int) -> None:
    rng = random.Random(seed)
    places = [f"{c}/s{rng.randrange(8):02}/p{rng.randrange(6):02}_{n}.png" for n in range(60) for c in "ab"]
    near = [(rng.randrange(len(places)), rng.randrange(len(places))) for _ in range(10)]
    contents = [f"{rng.randrange(80):064x}" for _ in places]
    order = rng.sample(range(len(places)), len(places))
    back = {old: new for new, old in enumerate(order)}
    kinds = ["near-copies", "folders", "names"]
    keys = grouped(records(places, contents), places, near, kinds)
    images = records(places, contents)
    moved = grouped(
        [images[i] for i in order], [places[i] for i in order], [(back[a], back[b]) for a, b in near], kinds
    )
    assert [moved[back[i]] for i in range(len(places))] == keys
    for a, b in near:
        assert keys[a] == keys[b]


@pytest.mark.parametrize(
    ("names", "beginning"),
    [
        ([f"a/patient{p:02}_{k:02}.jpg" for p in range(8) for k in range(3)], lambda name: name.rpartition("_")[0]),
        ([f"a/IMG_{p:04}{crop}.png" for p in range(7) for crop in ("", "_crop1", "_crop2")], lambda name: name[:10]),
        ([f"a/specimen-{p}{n}.jpg" for p in "abcdefg" for n in ("", " (2)", " (3)")], lambda name: name[:12]),
        (
            [f"{c}/{c}_tree{p}_{k}.jpg" for c in ("elm", "red_oak") for p in range(6) for k in range(3)],
            lambda name: name.rpartition("_")[0],
        ),
        ([f"a/{p:03}-{k}-{side}.tif" for p in range(9) for k in range(3) for side in "LR"], lambda name: name[:5]),
    ],
)
def test_names_that_begin_alike(names: list[str], beginning) -> None:
    stems = {name: beginning(name.removesuffix(".jpg").removesuffix(".png").removesuffix(".tif")) for name in names}
    wanted = {frozenset(name for name in names if stems[name] == stem) for stem in stems.values()}
    assert joined_by_names(names) == wanted


@pytest.mark.parametrize(
    "names",
    [
        [f"{c}/{c}_{k:03}.jpg" for c in ("elm", "red_oak") for k in range(30)],
        [f"{c}/image_{k:04}.jpg" for c in ("elm", "oak") for k in range(30)],
        [f"{c}/DSC{k:05}.jpg" for c in ("elm", "oak") for k in range(30)],
        [f"{c}/s{s}/{k}.jpg" for c in ("elm", "oak") for s in range(5) for k in range(6)],
        [f"{c}/{k * 7919 % 100003}_{k * 104729 % 1000003:x}.jpg" for c in ("elm", "oak") for k in range(1, 30)],
    ],
)
def test_names_that_only_count_join_nothing(names: list[str]) -> None:
    assert joined_by_names(names) == set()
    assert "names" not in proposed(names)


def test_a_patient_in_two_classes_is_one_but_specimen_1_is_not() -> None:
    places = [f"{c}/patient{p:02}/{k}.png" for c in ("ill", "well") for p in range(3) for k in range(2)]
    assert len(sets_of(grouped(records(places), places, [], ["folders"]), places)) == 3
    places = [f"{c}/specimen {p}/{k}.png" for c in ("elm", "oak") for p in range(3) for k in range(2)]
    assert len(sets_of(grouped(records(places), places, [], ["folders"]), places)) == 6


def test_folders_below_the_class() -> None:
    places = [f"{c}/Imgs/{k}.png" for c in ("elm", "oak") for k in range(4)]
    assert grouped(records(places), places, [], ["folders"]) == [""] * 8, "a folder with all of a class says nothing"
    places = [f"{c}/{k}.png" for c in ("elm", "oak") for k in range(4)]
    assert grouped(records(places), places, [], ["folders"]) == [""] * 8
    places = ["elm/left/1.png", "elm/left/2.png", "elm/right/3.png", "elm/4.png", "oak/5.png", "oak/6.png"]
    assert sets_of(grouped(records(places), places, [], ["folders"]), places) == {frozenset(places[:2])}


def test_bursts_are_of_one_camera_and_within_a_minute() -> None:
    places = [f"a/{n}.jpg" for n in range(7)]
    taken = [("X", 1000.0), ("X", 1170.0), ("X", 1050.0), ("Y", 1010.0), ("X", None), ("X", 1110.0), ("X", 1300.0)]
    images = records(places, taken=taken)
    assert sets_of(grouped(images, places, [], ["bursts"]), places) == {
        frozenset(f"a/{n}.jpg" for n in (0, 1, 2, 5))
    }  # fmt: skip


def test_proposals_say_what_they_would_join() -> None:
    places = [f"a/p{p:02}_{k}.jpg" for p in range(6) for k in range(3)]
    places += [f"b/q{k:02}_1.jpg" for k in range(6)] + ["b/q00_2.jpg"]
    found = propose(records(places), places, [(0, 1), (18, 19)], [""] * 18 + ["drawer"] * 7)
    assert [proposal.kind for proposal in found] == ["near-copies", "names", "labels"]
    near, names, labels = found
    assert (near.groups, near.images, near.largest) == (2, 4, 2)
    assert set(near.examples) == {("/in/a/p00_0.jpg", "/in/a/p00_1.jpg"), ("/in/b/q00_1.jpg", "/in/b/q01_1.jpg")}
    assert (names.groups, names.images, names.largest) == (7, 20, 3)
    assert "20 pictures" in names.sentence and "7 groups" in names.sentence
    assert (labels.groups, labels.images, labels.largest) == (1, 7, 7)
    assert "could teach but not be judged" in labels.sentence
    assert all("not be judged" not in proposal.sentence for proposal in (near, names))


def test_nothing_is_proposed_that_joins_nothing_new_or_everything() -> None:
    places = [f"a/{n}.png" for n in range(4)]
    copies = records(places, list("xxyz"))
    assert propose(copies, places, [(0, 1)]) == ()
    assert propose(records(places), places, [(0, 1), (1, 2), (2, 3)]) == ()
    assert propose([], [], []) == ()


def test_a_hundred_thousand_pictures_take_seconds() -> None:
    places = [
        f"{c}/s{c * 20 + s:05}/p{c * 20 + s:05}_{k}.jpg" for c in range(1000) for s in range(20) for k in range(5)
    ]
    images = records(places)
    near = [(n, n + 1) for n in range(0, 99_999, 7)]
    started = time.process_time()
    keys = grouped(images, places, near, ["near-copies", "folders", "names"])
    assert len(propose(images, places, near)) == 3
    assert time.process_time() - started < 30
    assert all(keys)
