"""`tlstudio race` and `tlstudio rank`, in processes of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_cli import BACKBONE, objects, tlstudio, weights
from tests.factories import part_folders
from tlstudio.cli import main
from tlstudio.core.regimes import REGIME_NAMES

__all__ = ["weights"]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return part_folders(tmp_path_factory.mktemp("raced"), {"train": 9, "val": 4})


def test_race(pictures: Path, weights: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    *rows, last = objects(tlstudio("race", pictures, "--budget", "0.01", "--run", run, "--weights", weights, "--json"))
    assert [row["regime"] for row in rows] == ["head", "cut", "fine-tune", "full", "scratch"]
    assert set(REGIME_NAMES) == {row["regime"] for row in rows}
    for row in rows:
        assert set(row) == {
            "regime", "state", "images", "accuracy", "interval", "nll", "seconds", "winner", "note",
        }  # fmt: skip
    assert [row["regime"] for row in rows if row["winner"]] == [last["winner"]]
    assert last["run"] == str(run) and last["ended"]["status"] == "finished"
    assert last["ended"]["val_images"] == 8
    evaluated = objects(tlstudio("evaluate", run, "--json"))[0]
    assert evaluated["accuracy"] == pytest.approx(last["ended"]["val_accuracy"])
    refused = tlstudio("race", pictures, "--budget", "0.01", "--run", run, "--weights", weights, "--json")
    assert refused.returncode == 1 and refused.stdout == "" and "not empty" in refused.stderr


def test_rank(pictures: Path, weights: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "weights").mkdir(parents=True)
    (home / "weights" / f"{BACKBONE}.pth").write_bytes(weights.read_bytes())
    ran = tlstudio("rank", pictures, "--backbone", BACKBONE, "--json")
    (row,) = objects(ran)
    assert row["backbone"] == BACKBONE and 0 <= row["accuracy"] <= 1
    assert {"interval", "seconds", "images_per_second", "memory_mb", "export_mb", "weights"} <= set(row)
    assert main(["rank", str(pictures), "--backbone", BACKBONE]) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert line.startswith(BACKBONE) and f"{row['accuracy']:.1%}" in line
    assert head.index("export MB") + len("export MB") == line.index("  imported"), "columns stand below their names"


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "inf", "soon"])
def test_minutes_that_are_none_are_wrong_usage(minutes: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["race", str(tmp_path), "--budget", minutes, "--run", str(tmp_path / "run")])
    assert ended.value.code == 2
