"""An export is right when a stranger's process gives the app's answers with it."""

from __future__ import annotations

import csv
import hashlib
import json
import runpy
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.engine.conftest import BACKBONE, train_job
from tests.engine.flip_bits import noticed, of_export
from tests.factories import draw
from tlstudio.core.backbones import backbone
from tlstudio.core.dataset_setup import DatasetSetup
from tlstudio.core.durable import sha256_of
from tlstudio.core.errors import StudioError
from tlstudio.core.events import Event, Progress, Stopped, never
from tlstudio.core.images import FRAMINGS, Reading, network_view, read_image
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine.data import FramedImages
from tlstudio.engine.export import export
from tlstudio.engine.networks import load_model
from tlstudio.engine.perform import perform
from tlstudio.engine.predict import Predictor, predict

STRANGER = """
import runpy, sys
for name in ("torch", "torchvision", "tlstudio", "sklearn", "scipy", "PySide6", "safetensors", "msgspec"):
    sys.modules[name] = None  # importing it fails
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def listen(event: object) -> None:
    """Nobody listens here."""


@pytest.fixture(scope="module")
def onnx_folder(head_run: RunFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "model"
    made = export(head_run, "onnx", folder, listen, never)
    assert made.sha256 == hashlib.sha256(Path(made.path).read_bytes()).hexdigest()
    assert made.parity.images == 8
    assert made.parity.top1_agreement == 1.0
    assert made.parity.max_probability_difference < 1e-3
    return folder


def test_the_sample_script_answers_like_the_app(
    onnx_folder: Path, head_run: RunFolder, drawn_pictures: Path, tmp_path: Path
) -> None:
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(next(drawn_pictures.rglob("*.png"))).resize((90, 60)).save(turned, exif=exif)
    # A stranger has neither torch nor the app.
    ran = subprocess.run(
        [sys.executable, "-c", STRANGER, onnx_folder / "predict.py", drawn_pictures, turned],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    rows = list(csv.reader(ran.stdout.splitlines()))
    assert rows[0] == ["path", "class", "probability"]
    app = predict(head_run, [drawn_pictures, turned], None, listen, never)["rows"]
    assert len(rows) - 1 == len(app) == 41
    theirs = {path: (name, float(probability)) for path, name, probability in rows[1:]}
    for answer in app:
        name, probability = theirs[answer["path"]]
        assert name == answer["class"]
        assert probability == pytest.approx(answer["probability"], abs=0.01)


@pytest.fixture(scope="module")
def long_deep_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Strips of 16-bit grey in which only the values from 1000 to 5080 are in use, and one that is turned by EXIF."""
    folder = tmp_path_factory.mktemp("deep")
    for name in ("disc", "square"):
        (folder / name).mkdir()
        for seed in range(8):
            grey = np.asarray(draw(name, seed, 90).convert("L").resize((150, 90)), np.uint16)
            exif = Image.Exif()
            exif[0x0112] = 6 if seed == 0 else 1
            Image.fromarray(1000 + grey * 16).save(folder / name / f"{seed}.tif", exif=exif)
    return folder


@pytest.mark.parametrize("framing", FRAMINGS)
def test_the_sample_script_reads_pictures_as_the_run_did(
    long_deep_pictures: Path, weights_file: Path, tmp_path: Path, framing: str
) -> None:
    reading = Reading(1000.0, 5080.0, framing=framing)
    job = train_job(long_deep_pictures, tmp_path / "run", weights_file, setup=DatasetSetup(reading=reading))
    assert perform(job, listen, never).status == "finished"
    run = RunFolder(tmp_path / "run")
    export(run, "onnx", tmp_path / "out", listen, never)
    ran = subprocess.run(
        [sys.executable, "-c", STRANGER, tmp_path / "out" / "predict.py", long_deep_pictures],
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = {path: (name, float(value)) for path, name, value in list(csv.reader(ran.stdout.splitlines()))[1:]}
    app = predict(run, [long_deep_pictures], None, listen, never)["rows"]
    assert len(app) == len(theirs) == 16
    for answer in app:
        assert theirs[answer["path"]] == (answer["class"], pytest.approx(answer["probability"], abs=1e-4))

    script = runpy.run_path(str(tmp_path / "out" / "predict.py"))
    facts = json.loads((tmp_path / "out" / "model.json").read_text())["preprocessing"]
    choices = script["Reading"](**facts["reading"])
    wanted, predictor = backbone(BACKBONE).preprocessing(), Predictor(run)
    assert Reading(**facts["reading"] | {"channels": ()}) == reading == predictor.card.preprocessing.reading
    with closing(FramedImages(predictor.card.preprocessing, keep=False)) as framed:
        for path in sorted(long_deep_pictures.rglob("*.tif")):
            image = script["read_image"](path, facts["resize_px"], choices)
            square = script["network_view"](
                image, facts["resize_px"], facts["crop_px"], facts["interpolation"], choices.framing
            )
            assert np.array_equal(square, framed.view_of_file(str(path)))
            plain = network_view(read_image(path, wanted.resize_px), wanted.resize_px, wanted.crop_px, "bilinear")
            assert plain.max() < 25 < square.max(), "read by the type's own range the pictures would be nearly black"


def test_safetensors_are_the_same_model(head_run: RunFolder, tmp_path: Path) -> None:
    made = export(head_run, "safetensors", tmp_path / "out", listen, never)
    assert made.parity.max_probability_difference < 1e-5
    again, _ = load_model(Path(made.path))
    original, _ = load_model(head_run.model_file)
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in original.state_dict().items())


def test_each_flipped_bit_of_an_export_is_noticed(onnx_folder: Path, head_run: RunFolder, tmp_path: Path) -> None:
    export(head_run, "safetensors", tmp_path / "safe", listen, never)
    asked = of_export(onnx_folder, "model.onnx") | of_export(tmp_path / "safe", "model.safetensors")
    assert len(asked) == 4
    for file, ask in asked.items():
        assert noticed(file, ask, 50) == (50, 50), file


def test_both_formats_go_into_one_folder_and_other_facts_are_never_replaced(
    onnx_folder: Path, head_run: RunFolder, tmp_path: Path
) -> None:
    folder = shutil.copytree(onnx_folder, tmp_path / "both")
    export(head_run, "safetensors", folder, listen, never)
    noted = json.loads((folder / "model.json").read_bytes())["files"]
    assert noted == {name: sha256_of(folder / name) for name in ("model.onnx", "model.safetensors")}
    for file, ask in of_export(folder, "model.onnx").items():
        assert noticed(file, ask, 40) == (40, 40)
    (folder / "model.safetensors").unlink()
    facts = (folder / "model.json").read_bytes()
    (folder / "model.json").write_bytes(facts + b" ")
    with pytest.raises(StudioError, match=r"already holds model\.json"):
        export(head_run, "safetensors", folder, listen, never)


def test_nothing_is_overwritten(head_run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_text("precious")
    with pytest.raises(StudioError, match="already holds"):
        export(head_run, "onnx", tmp_path, listen, never)
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == ["model.onnx"]
    assert (tmp_path / "model.onnx").read_text() == "precious"


def test_a_folder_in_the_way_is_named(head_run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "model.json").mkdir()
    with pytest.raises(StudioError, match=r"already holds model\.json"):
        export(head_run, "safetensors", tmp_path, listen, never)
    assert not (tmp_path / "model.safetensors").exists()


def test_of_many_pictures_some_of_every_class_are_compared(
    head_run: RunFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tlstudio.engine.export.MAX_PARITY_IMAGES", 3)
    index, (_, positions) = head_run.dataset(), head_run.split().held_out()
    said: list[Event] = []
    assert export(head_run, "safetensors", tmp_path / "out", said.append, never).parity.images == 3
    assert any(isinstance(event, Progress) and event.what.startswith("Reading pictures") for event in said)
    with pytest.raises(Stopped):
        export(head_run, "safetensors", tmp_path / "other", listen, lambda: True)
    assert not (tmp_path / "other").exists()
    assert {index.images[i].class_index for i in positions[::3]} == {0, 1}
