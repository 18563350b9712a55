"""Answers for any files: nothing is changed, nothing unreadable is fatal, no cell runs in a spreadsheet."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.factories import class_folders
from tlstudio.core.errors import StudioError
from tlstudio.core.events import never
from tlstudio.core.results import Prediction
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine.networks import load_model
from tlstudio.engine.predict import csv_text, predict


def listen(event: object) -> None:
    """Nobody listens here."""


def test_a_model_that_knows_of_no_way_of_reading_answers_as_before(head_run: RunFolder, tmp_path: Path) -> None:
    """Its file says nothing of range, channels or framing: pictures are read by the type's own range and filled."""
    content = head_run.model_file.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    card = json.loads(header["__metadata__"]["tlstudio"])
    assert card["preprocessing"].pop("reading")["framing"] == "fill"
    header["__metadata__"]["tlstudio"] = json.dumps(card)
    older = json.dumps(header).encode()
    (tmp_path / "model.safetensors").write_bytes(len(older).to_bytes(8, "little") + older + content[8 + size :])
    network, older_card = load_model(tmp_path / "model.safetensors")
    same, today_s = load_model(head_run.model_file)
    assert older_card == today_s
    assert all(torch.equal(value, same.state_dict()[name]) for name, value in network.state_dict().items())


def test_a_folder_to_csv(head_run: RunFolder, tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "new", {"disc": 4, "square": 3}, first_seed=70)
    (folder / "disc" / "broken.jpg").write_bytes(b"\xff\xd8 no picture")
    (folder / "notes.txt").write_text("hello")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    result = predict(head_run, [folder], tmp_path / "answers.csv", listen, never)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert result["images"] == 7
    assert {Path(problem["path"]).name for problem in result["skipped"]} == {"broken.jpg", "notes.txt"}
    with (tmp_path / "answers.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["path", "class", "probability", "disc", "square"]
    for path, name, probability, *all_of_them in rows[1:]:
        values = [float(value) for value in all_of_them]
        assert sum(values) == pytest.approx(1, abs=1e-5)
        assert float(probability) == max(values)
        assert name == ("disc", "square")[int(np.argmax(values))]
        assert Path(path).is_file()


def test_answers_are_the_networks_with_its_temperature(head_run: RunFolder, drawn_pictures: Path) -> None:
    """Computed a second way: torchvision's own transforms and a plain softmax."""
    from PIL import Image
    from torchvision.models import get_model_weights

    path = next(drawn_pictures.rglob("*.png"))
    network, card = load_model(head_run.model_file)
    transform = get_model_weights(card.backbone).DEFAULT.transforms()
    with torch.inference_mode():
        logits = network(transform(Image.open(path).convert("RGB")).unsqueeze(0))
    expected = (logits / card.temperature).softmax(1)[0].numpy()
    result = predict(head_run, [path], None, listen, never)
    assert np.allclose(result["rows"][0]["probabilities"], expected, atol=1e-5)


def test_an_existing_csv_is_kept(head_run: RunFolder, drawn_pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("precious")
    with pytest.raises(StudioError, match="already exists"):
        predict(head_run, [drawn_pictures], tmp_path / "mine.csv", listen, never)
    assert (tmp_path / "mine.csv").read_text() == "precious"


def test_nothing_to_look_at(head_run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="does not exist"):
        predict(head_run, [tmp_path / "nowhere"], None, listen, never)
    (tmp_path / "empty").mkdir()
    with pytest.raises(StudioError, match="no files"):
        predict(head_run, [tmp_path / "empty"], None, listen, never)
    (tmp_path / "empty" / "a.jpg").write_text("text")
    with pytest.raises(StudioError, match="None of the 1 files"):
        predict(head_run, [tmp_path / "empty"], None, listen, never)


def test_no_cell_is_a_formula() -> None:
    row = Prediction(path="=cmd.jpg", class_="@evil", probability=0.5, probabilities=(0.5, 0.5))
    table = list(csv.reader(csv_text(["@evil", "+1"], [row]).splitlines()))
    assert table[0][3:] == ["'@evil", "'+1"]
    assert table[1][:2] == ["./=cmd.jpg", "'@evil"]


def test_what_cannot_be_looked_at_is_named_and_rows_are_all_there(head_run: RunFolder, tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "new", {"disc": 3, "square": 2}, first_seed=70)
    shutil.copy(folder / "disc" / "disc_000.png", os.fsencode(folder) + b"/\xff.png")
    elsewhere = class_folders(tmp_path / "elsewhere", {"cross": 1})
    (folder / "linked").symlink_to(elsewhere)
    result = predict(head_run, [folder], tmp_path / "answers.csv", listen, never)
    assert [(Path(problem["path"]).name, problem["code"]) for problem in result["skipped"]] == [
        ("\ufffd.png", "name-not-text")
    ]
    assert result["images"] == len(result["rows"]) == 6
    assert predict(head_run, [folder], None, listen, never, max_rows=2)["rows"] == result["rows"][:2]
