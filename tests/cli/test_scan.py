"""`tlstudio scan` and the options that set a data set up, in processes of its own where the streams matter."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.factories import class_folders, draw, part_folders
from tlstudio.cli import main
from tlstudio.core.dataset_setup import DatasetSetup, Layout, read_setup, save_setup


def tlstudio(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tlstudio", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture
def scanned(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that scans and returns (exit code, the one JSON object)."""

    def scan(*arguments: object) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = main(["scan", *map(str, arguments), "--json"])
        [line] = capsys.readouterr().out.splitlines()
        return code, json.loads(line)

    return scan


def test_the_object_of_a_scan(tmp_path: Path) -> None:
    pictures = part_folders(tmp_path / "parted", {"train": 6, "validation": 3})
    ran = tlstudio("scan", pictures, "--json")
    assert ran.returncode == 0, ran.stderr
    [line] = ran.stdout.splitlines()
    assert json.loads(line) | {"seconds": 0} == {
        "images": 18, "classes": {"disc": 9, "square": 9}, "splits": {"train": 12, "val": 6}, "problems": [],
        "seconds": 0,
    }  # fmt: skip


def test_names_from_files_do_not_steer_the_terminal(two_classes: Path) -> None:
    (two_classes / "disc" / "bad\x1b[31m.jpg").write_text("no picture")
    for arguments in ((), ("--files",)):
        ran = tlstudio("scan", two_classes, *arguments)
        assert ran.returncode == 0 and "bad\\x1b[31m.jpg" in ran.stdout and "\x1b" not in ran.stdout


def test_every_file_is_listed_with_its_status(two_classes: Path, scanned: Any) -> None:
    disc = two_classes / "disc"
    (disc / "bad.jpg").write_text("no picture")
    (disc / "Thumbs.db").write_text("x")
    shutil.copy(disc / "disc_000.png", disc / "same.png")
    code, found = scanned(two_classes, "--files")
    assert code == 0
    assert sorted(file["path"] for file in found["files"]) == sorted(
        str(path) for path in two_classes.rglob("*") if path.is_file()
    )
    by_name = {Path(file["path"]).name: (file["status"], file["code"]) for file in found["files"]}
    assert by_name["bad.jpg"] == ("set-aside", "unreadable") and by_name["Thumbs.db"] == ("ignored", "system-file")
    assert by_name["same.png"] == ("noted", "copy") and by_name["disc_003.png"] == ("used", "")
    assert all(set(file) == {"path", "status", "code", "message"} for file in found["files"])
    assert "files" not in scanned(two_classes)[1]


def test_a_folder_that_is_no_data_set_is_listed_all_the_same(tmp_path: Path) -> None:
    for number in range(3):
        draw("disc", number).save(tmp_path / f"{number}.png")
    ran = tlstudio("scan", tmp_path, "--json", "--files")
    assert ran.returncode == 1
    found = json.loads(ran.stdout)
    assert found["images"] == 0 and {file["code"] for file in found["files"]} == {"outside-class"}
    assert "lie in no folder of a class" in found["error"]["what"] and "table" in found["error"]["hint"]
    assert found["error"]["what"] in ran.stderr
    plain = tlstudio("scan", tmp_path)
    assert plain.returncode == 1 and plain.stdout == "" and len(plain.stderr.splitlines()) == 1


def test_the_list_as_a_spreadsheet_reads_it(two_classes: Path, tmp_path: Path, scanned: Any) -> None:
    (two_classes / "disc" / "=1+1.txt").write_text("no picture")
    table = tmp_path / "files.csv"
    code, found = scanned(two_classes, "--csv", table, "--files")
    assert code == 0
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows == found["files"]
    before = table.read_bytes()
    assert main(["scan", str(two_classes), "--csv", str(table)]) == 1 and table.read_bytes() == before


def test_a_zip_archive(two_classes: Path, tmp_path: Path, scanned: Any) -> None:
    packed = shutil.make_archive(str(tmp_path / "pics"), "zip", two_classes)
    assert scanned(packed)[1]["classes"] == {"disc": 6, "square": 6}


def test_options_decide(two_classes: Path, tmp_path: Path, scanned: Any) -> None:
    for path in (two_classes / "disc").glob("*.png"):
        draw("cross", int(path.stem[-3:])).save(path.with_name(f"{path.stem}_mask.png"))
    class_folders(two_classes, {"cross": 2}, first_seed=40)
    assert scanned(two_classes, "--exclude", "*_mask.*", "--leave-out", "cross")[1]["classes"] == {
        "disc": 6, "square": 6,
    }  # fmt: skip
    by_name = scanned(two_classes, "--pattern", r"(?P<class>mask|square)")[1]
    assert by_name["classes"] == {"mask": 6, "square": 6}
    table = tmp_path / "labels.csv"
    table.write_text("file,class\n" + "".join(f"square_{n:03},{'odd' if n % 2 else 'even'}\n" for n in range(6)))
    assert scanned(two_classes, "--labels", table)[1]["classes"] == {"even": 3, "odd": 3}


def test_a_saved_set_up_decides_the_same_and_can_be_changed(two_classes: Path, tmp_path: Path, scanned: Any) -> None:
    file = tmp_path / "setup.json"
    options = ("--exclude", "*_000.png", "--groups", "names,folders", "--framing", "fit", "--range", "-5", "4095",
               "--channels", "2,1,0")  # fmt: skip
    first = scanned(two_classes, *options, "--save-setup", file)[1]
    assert first["images"] == 10
    setup = read_setup(file)
    assert setup.groupings == ("folders", "names") and setup.exclude == ("*_000.png",)
    assert (setup.reading.low, setup.reading.high, setup.reading.channels, setup.reading.framing) == (
        -5.0, 4095.0, (2, 1, 0), "fit",
    )  # fmt: skip
    assert scanned(two_classes, "--setup", file)[1]["images"] == 10
    assert scanned(two_classes, "--setup", file, "--exclude", "*_001.png", "--groups", "none")[1]["images"] == 8
    assert main(["scan", str(two_classes), "--save-setup", str(file)]) == 1 and read_setup(file) == setup


def test_what_the_window_decided_does_not_count(two_classes: Path, scanned: Any) -> None:
    save_setup([two_classes], DatasetSetup(Layout(class_level=7), exclude=("*",)))
    assert scanned(two_classes)[1]["images"] == 12


@pytest.mark.parametrize(
    "options",
    [("--groups", "colour"), ("--framing", "crop"), ("--channels", "1,2"), ("--channels", "red"), ("--range", "1"),
     ("--labels", "a.csv", "--pattern", "x")],
)  # fmt: skip
def test_wrong_options(two_classes: Path, options: tuple[str, ...]) -> None:
    for verb in (("scan",), ("advise",), ("train", "--run", "x"), ("race", "--run", "x", "--budget", "1"), ("rank",)):
        with pytest.raises(SystemExit) as ended:
            main([*verb, str(two_classes), *options])
        assert ended.value.code == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--range", "9", "1"), "below the second"),
        (("--range", "nan", "1"), "below the second"),
        (("--setup", "nowhere.json"), "nowhere.json"),
        (("--labels", "nowhere.csv"), "nowhere.csv"),
        (("--pattern", "("), "not a valid expression"),
    ],
)
def test_options_that_cannot_be_followed(
    two_classes: Path, options: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scan", str(two_classes), *options]) == 1
    said = capsys.readouterr()
    assert words in said.err and said.out == "" and len(said.err.splitlines()) == 1
