"""A problem report holds what helps, and neither names nor pictures."""

from __future__ import annotations

import getpass
import json
import platform
import traceback
import zipfile
from pathlib import Path

import pytest

from tests.factories import draw
from tlstudio.core import unexpected
from tlstudio.core.dataset import scan
from tlstudio.core.durable import write_json
from tlstudio.core.events import Notice, RunEnded, RunStarted, encode_event
from tlstudio.core.paths import crash_log, runs_dir, settings_file
from tlstudio.core.plan import Augmentation, Plan, Stage
from tlstudio.core.problem_report import problem_report, write_report
from tlstudio.core.run_history import RunNotes, write_notes
from tlstudio.core.runfolder import RunFolder
from tlstudio.core.scrubbing import Scrubber
from tlstudio.core.split import split

CLASSES = ("Quercus zzyx", "Ärztin Öhlmann")
SECRETS = ("zzyx", "quercus", "öhlmann", "ohlmann", "hlmann", "qwirk", "vulpecula", "blotto", "nuthatch", "zanzibar")


@pytest.fixture
def pictures(tmp_path) -> Path:
    folder = tmp_path / "Vulpecula clinic" / "Qwirk study"
    for shape, name in zip(("disc", "square"), CLASSES, strict=True):
        (folder / name).mkdir(parents=True)
        for number in range(6):
            draw(shape, number).save(folder / name / f"blotto {number:03}.png")
    return folder


@pytest.fixture
def run(pictures) -> RunFolder:
    index = scan([pictures])
    run = RunFolder(runs_dir() / "Nuthatch run")
    plan = Plan(
        backbone="resnet18", weights_file=str(pictures / "zanzibar.pth"), weights_sha256="0" * 64, regime="head",
        head="linear", stages=(Stage("head", "probe", "Only a new last layer learns."),), augmentation=Augmentation(),
        batch_size=32, seed=0, device="cpu", threads=1, weights_name="imported zanzibar.pth",
    )  # fmt: skip
    run.start(plan, index, split(index, seed=0))
    first = index.images[0].path
    events = (
        RunStarted(
            run=run.path.name, regime="head", backbone="resnet18", device="CPU, 2 threads", classes=index.classes,
            train_images=10, val_images=2, stages=("head",), time_s=0.0,
        ),
        Notice(code="set-aside", what=f"3 files could not be used; the first: {first}.", hint="“Zanzibar” is damaged."),
        RunEnded(status="failed", what=f"“{CLASSES[1]}” has one picture only.", hint=f"Look at {Path(first).name}."),
    )  # fmt: skip
    run.events_file.write_bytes(b"".join(encode_event(event) for event in events))
    write_notes(run, RunNotes(name="Zanzibar series", tags=("nuthatch",)))
    return run


def whole(parts) -> str:
    return "\n".join(f"{part.name}\n{part.text}" for part in parts)


def test_no_planted_name_is_in_the_report(run, pictures):
    user, computer = getpass.getuser(), platform.node()
    write_json(settings_file(), {"folders": {"pictures": str(pictures)}, "numbers": {"wizard width": 1100},
                                 "choices": {"scheme": "dark", "filter": "Zanzibar 3"}})  # fmt: skip
    try:
        raise ValueError(f"cannot identify image file '{pictures / 'other zanzibar.png'}'")
    except ValueError:
        unexpected.note(traceback.format_exc())
    unexpected.note(f"The engine wrote a line that is no event: {json.dumps(CLASSES[1]).encode()!r}")
    unexpected.note(
        f"{CLASSES[1].encode()!r} and {CLASSES[1].upper()} on {computer} of {user}: /mnt/Zanzibar lab/x y.tif"
    )
    parts = problem_report(run)
    text = whole(parts).lower()
    assert [secret for secret in (*SECRETS, *(name.lower() for name in CLASSES)) if secret in text] == []
    assert computer.lower() not in text or len(computer) < 3
    assert "class 1" in text and "class 2" in text and "run 1" in text and "picture " in text
    # What helps is still there.
    assert "valueerror" in text and "tests/" not in text and "line " in text
    assert '"wizard width": 1100' in text and '"scheme": "dark"' in text
    assert '"regime": "head"' in text and "cpu, 2 threads" in text and "torch " in text


def test_the_same_name_has_the_same_number_everywhere(run):
    events = [json.loads(line) for line in dict(problem_report(run))["events.jsonl"].splitlines()]
    number = sorted(CLASSES).index(CLASSES[1]) + 1
    assert events[0]["classes"] == ["class 1", "class 2"]
    assert events[2]["what"] == f"“class {number}” has one picture only."
    assert events[0]["run"] == "run 1"


def test_a_run_whose_folder_was_renamed_gives_neither_name_away(run):
    renamed = RunFolder(run.path.rename(run.path.with_name("Blotto series")))
    text = whole(problem_report(renamed)).lower()
    assert "nuthatch" not in text and "blotto" not in text


def test_the_archive_holds_the_parts_and_no_picture(run, pictures, tmp_path):
    parts = problem_report(run)
    file = tmp_path / "report.zip"
    write_report(parts, file)
    with zipfile.ZipFile(file) as packed:
        assert packed.namelist() == [part.name for part in parts]
        inside = b"".join(packed.read(name) for name in packed.namelist())
    assert b"PNG" not in inside and b"IDAT" not in inside
    for picture in pictures.rglob("*.png"):
        assert picture.read_bytes()[40:72] not in inside
    assert all(Path(name).suffix in (".txt", ".json", ".jsonl") for name in [part.name for part in parts])


def test_without_a_run_and_with_a_damaged_one_there_is_still_a_report(run):
    assert [part.name for part in problem_report(None)] == [
        "read me.txt",
        "versions.txt",
        "settings.json",
        "errors.txt",
    ]
    run.plan_file.write_text("{", encoding="utf-8")
    run.events_file.write_text("no event\n", encoding="utf-8")
    crash_log().unlink(missing_ok=True)
    parts = dict(problem_report(run))
    assert "path 1" in parts["plan.json"] and "nuthatch" not in parts["plan.json"].lower()
    assert parts["errors.txt"] == "No unexpected errors were noted."


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("No such file: '/home/eve/my pics/a b.jpg'", "No such file: 'path 1'"),
        ("C:\\Users\\Eve\\pics\\a.jpg: damaged", "path 1: damaged"),
        ("see a.tiff and plan.json", "see file 1 and plan.json"),
        ('KeyError: "Eve"', 'KeyError: "text 1"'),
        ("1/2 of it, and/or 3 / 4", "1/2 of it, and/or 3 / 4"),
        ("it doesn't, and I can't", "it doesn't, and I can't"),
    ],
)
def test_what_nobody_told_is_found_by_its_form(text, wanted):
    assert Scrubber().text(text) == wanted


def test_a_short_name_is_replaced_where_it_stands_alone():
    scrubber = Scrubber()
    scrubber.learn("class", "ant")
    assert scrubber.text("an ant wants the constant ANT_1") == "an class 1 wants the constant class 1_1"


def test_tracebacks_keep_the_lines_of_programs():
    line = '  File "/home/eve/env/lib/python3.11/site-packages/PIL/Image.py", line 3, in open'
    assert Scrubber().errors(line) == '  File "site-packages/PIL/Image.py", line 3, in open'
    assert Scrubber().errors('  File "/home/eve/secret.py", line 3') == '  File "another program", line 3'
