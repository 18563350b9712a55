"""`tlstudio runs`: list, compare, note, trash and restore, in words and as JSON lines."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.core.test_golden_runs import GOLDEN, STAGES, VERSIONS
from tlstudio.cli import main
from tlstudio.core.paths import runs_dir
from tlstudio.core.run_history import trashed


@pytest.fixture
def runs() -> dict[str, Path]:
    """The runs of an older version, by regime, in the app's folder of runs."""
    for regime in STAGES:
        shutil.copytree(GOLDEN / VERSIONS[-1] / regime, runs_dir() / regime)
    return {regime: runs_dir() / regime for regime in STAGES}


def output(capsys, *arguments: object) -> list[str]:
    assert main(["runs", *map(str, arguments)]) == 0
    return capsys.readouterr().out.splitlines()


def records(capsys, *arguments: object) -> list[dict]:
    return [json.loads(line) for line in output(capsys, *arguments, "--json")]


def test_runs_are_listed(capsys, runs):
    found = {record["path"]: record for record in records(capsys)}
    assert found.keys() == {str(path) for path in runs.values()}
    assert {record["val_accuracy"] for record in found.values()} == {1.0}
    assert records(capsys, "list", runs_dir()) == list(found.values())
    assert all("finished" in line and "100.0%" in line for line in output(capsys))


def test_name_tags_and_note_are_kept_one_by_one(capsys, runs):
    output(capsys, "note", runs["head"], "--name", "Leaves", "--tags", "field, checked")
    output(capsys, "note", runs["head"], "--text", "Good light.")
    (notes,) = records(capsys, "note", runs["head"])
    assert notes == {"name": "Leaves", "tags": ["field", "checked"], "note": "Good light."}
    assert any("Leaves" in line and "[field, checked]" in line for line in output(capsys))


def test_runs_are_compared(capsys, runs):
    (found,) = records(capsys, "compare", *runs.values())
    (verdict,) = found["verdicts"]
    assert verdict["images"] == 4 and verdict["better"] is None and verdict["sentence"].startswith("Of 4 pictures")
    assert found["plan"]["Way of training"] == ["New head", "Fine-tune"] and found["pictures"] == {}
    assert verdict["sentence"] in output(capsys, "compare", *runs.values())


def test_a_run_goes_to_the_trash_and_back(capsys, runs):
    (moved,) = records(capsys, "trash", runs["head"])
    assert moved["came_from"] == str(runs["head"]) and not runs["head"].exists()
    assert records(capsys, "restore") == [moved]
    assert "fine-tune" in "".join(output(capsys)) and len(output(capsys)) == 1
    assert records(capsys, "restore", "head") == [{"path": str(runs["head"])}]
    assert runs["head"].is_dir() and trashed() == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["restore", "nowhere"], "is in the trash"),
        (["trash", "."], "is not a run folder"),
        (["note", "."], "is not a run folder"),
        (["compare", "."], "Give two to 6"),
        (["list", "nowhere"], "cannot be used"),
    ],
)
def test_mistakes_are_answered_in_words(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert main(["runs", *arguments]) == 1
    said = capsys.readouterr()
    assert words in said.err and said.out == ""
