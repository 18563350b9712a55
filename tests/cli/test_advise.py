"""`tlstudio advise` and `tlstudio cache`, as scripts and people use them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.factories import part_folders
from tlstudio.cli import main


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return part_folders(tmp_path / "parts", {"train": 12, "val": 3})


def test_the_answer_is_one_object(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["advise", str(pictures), "--backbone", "mobilenet_v2", "--device", "cpu", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert found["regime"] in ("head", "fine-tune", "cut", "full") and found["reasons"]
    assert set(found["similarity"]) == {"value", "low", "high", "verdict"}
    assert found["similarity"]["verdict"] in ("similar", "between", "different")
    assert found["size"]["value"] == 24 and found["size"]["verdict"] == "small"
    assert [depth["block"] for depth in found["depths"]] == ["edges", "textures", "parts", "objects"]
    assert set(found["depths"][0]) >= {"block", "accuracy", "standard_error"}
    assert set(found["joined"]) == {"accuracy", "standard_error"}
    assert found["cut"] in ("edges", "textures", "parts", "objects") and found["seconds"] > 0


def test_people_see_a_bar_a_block(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["advise", str(pictures)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Advice: ")
    bars = [line for line in lines if "█" in line]
    assert [bar.split()[0] for bar in bars] == ["edges", "textures", "parts", "objects"]
    assert len({bar.index("joined") for bar in bars}) == 1, "the columns line up"


def test_the_cache_is_shown_and_cleared(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def cache(*options: str) -> dict[str, int]:
        assert main(["cache", "--json", *options]) == 0
        found: dict[str, int] = json.loads(capsys.readouterr().out)
        return found

    assert cache() == {"bytes": 0, "freed_bytes": 0}
    assert main(["advise", str(pictures)]) == 0
    capsys.readouterr()
    size = cache()["bytes"]
    assert size > 24 * 1432 * 4, "the features of every training picture"
    assert main(["cache"]) == 0
    assert f"{size / 1e6:.1f} MB" in capsys.readouterr().out
    assert cache("--clear") == {"bytes": 0, "freed_bytes": size}
    assert cache()["bytes"] == 0


def test_a_folder_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["advise", str(tmp_path / "nowhere")]) == 1
    said = capsys.readouterr()
    assert "not a folder" in said.err and said.out == ""
