"""The command line's contract, in processes of its own, as scripts use it."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.factories import class_folders, part_folders
from tlstudio import __version__
from tlstudio.cli import _say, main, printable
from tlstudio.core.backbones import BACKBONES, backbone
from tlstudio.core.events import EpochEnded, Waiting
from tlstudio.engine.networks import torchvision_model

BACKBONE = "squeezenet1_1"


def tlstudio(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tlstudio", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def objects(ran: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(torchvision_model(backbone(BACKBONE)).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return part_folders(tmp_path_factory.mktemp("pictures"), {"train": 12, "validation": 6})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, pictures: Path, weights: Path) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    ran = tlstudio("train", pictures, "--run", folder, "--weights", weights, "--regime", "head", "--json")
    events = objects(ran)
    assert [event["event"] for event in events if event["event"] != "progress"] == [
        "run_started", "stage_started", "epoch_ended", "weights_saved", "run_ended",
    ]  # fmt: skip
    last = events[-1]
    assert last["event"] == "run_ended" and last["status"] == "finished"
    low, high = last["val_interval"]
    assert 0 <= low <= last["val_accuracy"] <= high <= 1
    assert last["seconds"] > 0
    started = next(event for event in events if event["event"] == "run_started")
    assert started["backbone"] == BACKBONE, "the backbone is recognised from the weights file"
    return folder


def test_evaluate(run: Path, pictures: Path) -> None:
    own = objects(tlstudio("evaluate", run, "--json"))[0]
    assert own["part"] == "val" and own["images"] == 12 and own["classes"] == ["disc", "square"]
    assert sum(map(sum, own["confusion"])) == 12
    assert set(own) >= {"accuracy", "accuracy_interval", "balanced_accuracy", "macro_f1", "nll", "ece", "per_class"}
    assert set(own["per_class"][0]) == {"class", "precision", "recall", "f1", "support"}
    given = objects(tlstudio("evaluate", run, pictures / "validation", "--json"))[0]
    assert given["confusion"] == own["confusion"] and given["part"] == str(pictures / "validation")


def test_predict_and_export(run: Path, pictures: Path, tmp_path: Path) -> None:
    rows = objects(tlstudio("predict", run, pictures / "validation", "--csv", tmp_path / "answers.csv", "--json"))
    assert len(rows) == 12 and set(rows[0]) >= {"path", "class", "probability", "probabilities"}
    with (tmp_path / "answers.csv").open(newline="") as file:
        assert next(csv.reader(file)) == ["path", "class", "probability", "disc", "square"]
    made = objects(tlstudio("export", run, "--format", "safetensors", "--to", tmp_path / "out", "--json"))[0]
    assert set(made) == {"path", "format", "sha256", "parity"}
    assert set(made["parity"]) == {"images", "top1_agreement", "max_probability_difference"}
    assert Path(made["path"]).is_file() and made["parity"]["top1_agreement"] == 1.0


def test_backbones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backbones", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["name"] for row in rows] == [spec.name for spec in BACKBONES]
    assert set(rows[0]) >= {"name", "parameters", "download_mb", "input_px", "imagenet_top1", "licence", "present"}
    assert main(["backbones"]) == 0
    assert "resnet50" in capsys.readouterr().out


def test_bad_input_is_one_plain_line(
    run: Path, pictures: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one" / "disc").mkdir(parents=True)
    cases = [
        ("scan", tmp_path / "nowhere"),
        ("scan", tmp_path / "one"),
        ("evaluate", tmp_path / "one"),
        ("predict", run, tmp_path / "nowhere.jpg"),
        ("export", tmp_path, "--format", "onnx", "--to", tmp_path / "out"),
        ("train", pictures, "--run", run, "--weights", weights),
        ("train", pictures, "--run", tmp_path / "new", "--weights", pictures / "train/disc/disc_000.png"),
        ("train", pictures, "--run", tmp_path / "new", "--backbone", "resnet18", "--weights", weights),
        ("train", pictures, "--run", tmp_path / "new", "--weights", weights, "--cut", "wings"),
        ("samples", pictures / "train/disc/disc_000.png"),
        ("scan", "n" * 300),
        ("predict", run, pictures, "--csv", tmp_path / ("n" * 300)),
        ("scan", "\udcff"),
    ]
    for case in cases:
        assert main([str(word) for word in case]) == 1, case
        said = capsys.readouterr()
        assert "Traceback" not in said.err and len(said.err.strip().splitlines()) == 1, (case, said.err)
        assert said.out == ""
    assert not (tmp_path / "new").exists()


def test_a_failed_training_ends_with_run_ended(pictures: Path, weights: Path, run: Path) -> None:
    ran = tlstudio("train", pictures, "--run", run, "--weights", weights, "--json")
    last = json.loads(ran.stdout.splitlines()[-1])
    assert ran.returncode == 1 and last["event"] == "run_ended" and last["status"] == "failed" and last["what"]
    assert last["what"] in ran.stderr, "people are told as well"


def test_a_home_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("TLSTUDIO_HOME", str(tmp_path / "file"))
    ran = tlstudio("backbones")
    assert ran.returncode == 1 and "cannot be used" in ran.stderr and "Traceback" not in ran.stderr


def test_json_is_utf_8_wherever_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")
    folder = class_folders(tmp_path / "mixed")
    (folder / "disc").rename(folder / "葉")
    ran = subprocess.run([sys.executable, "-m", "tlstudio", "scan", folder, "--json"], capture_output=True, timeout=120)
    assert json.loads(ran.stdout.decode("utf-8"))["classes"] == {"square": 6, "葉": 6}


@pytest.mark.parametrize("arguments", [["train"], ["scan"], ["nonsense"], ["train", "x", "--run", "y", "--epochs", "0"],
                                       ["train", "x", "--run", "y", "--epochs", "9" * 30],
                                       ["train", "x", "--run", "y", "--seed", "4294967296"],
                                       ["train", "x", "--run", "y", "--seed", "-1"],
                                       ["train", "x", "--run", "y", "--regime", "best"]])  # fmt: skip
def test_wrong_usage(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out.strip() == f"tlstudio {__version__}"


def test_ctrl_c_keeps_the_best_so_far(pictures: Path, weights: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tlstudio", "train", pictures, "--run", tmp_path / "run", "--weights", weights,
               "--regime", "fine-tune", "--epochs", "400", "--json"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        events = []
        for line in process.stdout:
            events.append(json.loads(line))
            if events[-1]["event"] == "epoch_ended" and events[-1]["stage"] == "fine-tune":
                process.send_signal(signal.SIGINT)
                break
        events += [json.loads(line) for line in process.stdout]
        assert process.wait(60) == 0
    assert events[-1]["event"] == "run_ended" and events[-1]["status"] == "stopped"
    assert events[-1]["val_accuracy"] is not None
    assert objects(tlstudio("evaluate", tmp_path / "run", "--json"))[0]["images"] == 12


def test_a_killed_training_is_gone_on_with(pictures: Path, weights: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tlstudio", "train", pictures, "--run", tmp_path / "run", "--weights", weights,
               "--regime", "fine-tune", "--epochs", "3", "--json"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["event"] == "epoch_ended" and json.loads(line)["stage"] == "fine-tune":
                process.kill()
                break
    events = objects(tlstudio("resume", tmp_path / "run", "--json"))
    assert events[0]["event"] == "run_started"
    assert [event["epoch"] for event in events if event["event"] == "epoch_ended"] == [1, 1, 2, 3]
    assert events[-1]["event"] == "run_ended" and events[-1]["status"] == "finished"


def test_printable() -> None:
    assert printable("a\x1b[2J\u202egpj.exe\n") == "a\\x1b[2J\\x202egpj.exe\\x0a"
    assert printable("naïve 葉 🍁") == "naïve 葉 🍁"


def test_an_epoch_that_is_told_again_has_no_speed(capsys):
    told = EpochEnded(
        stage="fine-tune", epoch=2, epochs=3, train_loss=0.5, train_accuracy=0.75, val_loss=None, val_accuracy=None,
        images_per_second=None,
    )  # fmt: skip
    _say(told)
    assert capsys.readouterr().err == "fine-tune 2/3: train loss 0.500, accuracy 75.0%\n"


def test_that_a_training_waits_is_said(capsys):
    _say(Waiting(cause="disk-full", what="The disk is full.", hint="Free some space."))
    assert capsys.readouterr().err == "The disk is full. Free some space.\n"
