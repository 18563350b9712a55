"""Flips single bits in everything a training leaves, and asks whoever reads it whether that is noticed.

`python -m tests.engine.flip_bits FLIPS` trains, imports and exports in a folder of its own, flips so many bits in every
file and prints {file: [flips, noticed]} as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import runpy
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from msgspec.json import decode

from tests.engine.conftest import BACKBONE, train_job
from tests.factories import class_folders
from tlstudio.core.backbones import backbone
from tlstudio.core.errors import StudioError
from tlstudio.core.events import ignore, never
from tlstudio.core.paths import HOME_VARIABLE
from tlstudio.core.results import Evaluation
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine.checkpoint import Checkpoint, newest_state
from tlstudio.engine.evaluate import evaluate
from tlstudio.engine.export import export
from tlstudio.engine.networks import load_model, torchvision_model
from tlstudio.engine.perform import perform
from tlstudio.engine.weights import import_weights, resolve

ENDS = 16
"""Bytes at either end of a file that are all tried."""
Asked = Callable[[], bool]
"""Reads a file as the app does and returns whether it says that the file is damaged."""


def flipped(file: Path, count: int, chance: random.Random) -> Iterator[None]:
    """Flip one bit of the file a time: in its first and last bytes and at places all over it. It ends as it was."""
    content = file.read_bytes()
    size = len(content)
    ends = [*range(min(ENDS, size)), *range(max(size - ENDS, 0), size)]
    between = [int((number + chance.random()) * size / count) for number in range(max(count - len(ends), 0))]
    time_ns = file.stat().st_mtime_ns
    try:
        for place in ends + between:
            damaged = bytearray(content)
            damaged[place] ^= 1 << chance.randrange(8)
            file.write_bytes(damaged)
            os.utime(file, ns=(time_ns, time_ns))  # damage leaves no traces in the folder
            yield
    finally:
        file.write_bytes(content)


def noticed(file: Path, asked: Asked, count: int, seed: int = 0) -> tuple[int, int]:
    """Return how many bits were flipped in a file, and how many of these were noticed."""
    assert not asked(), f"{file.name} is whole"
    answers = [asked() for _ in flipped(file, count, random.Random(seed))]
    return len(answers), sum(answers)


def refuses(read: Callable[[], object]) -> Asked:
    """Return a question that is answered by a refusal in words for the user."""

    def ask() -> bool:
        try:
            read()
        except StudioError as error:
            return "damaged" in error.what
        except SystemExit as error:
            return "is damaged" in str(error.code)
        return False

    return ask


def of_run(run: RunFolder) -> dict[Path, Asked]:
    """Return who reads each file of an evaluated run."""
    readers: dict[Path, Callable[[], object]] = {
        run.plan_file: run.plan,
        run.setup_file: run.setup,
        run.dataset_file: run.dataset,
        run.split_file: run.split,
        run.events_file: lambda: list(run.events()),
        run.model_file: lambda: load_model(run.model_file, run.manifest.read),
        run.evaluation_file: lambda: run.record(run.evaluation_file, Evaluation),
        run.predictions_file: lambda: run.manifest.read(run.predictions_file),
    }
    return {file: refuses(read) for file, read in readers.items()} | {
        run.manifest.file: lambda: bool(run.plan()) and run.manifest.damaged() == [run.manifest.file]
    }


def of_saved_states(run: RunFolder) -> dict[Path, Asked]:
    """Return who reads each file of the newest saved state. Where it has its own, the state before it is used."""
    records = sorted(run.checkpoints_dir.glob("*.json"))
    before, newest = (
        {file.name for file in decode(record.read_bytes().splitlines()[0], type=Checkpoint).files.values()}
        for record in records
    )

    def ask(file: Path) -> bool:
        state, damaged = newest_state(run.checkpoints_dir)
        if file.name in before:
            assert (state is None) == bool(damaged)
        elif damaged:
            assert state is not None and state.checkpoint.generation == int(records[0].stem)
        return file in damaged

    files = [records[1], *(run.checkpoints_dir / name for name in sorted(newest))]
    return {file: partial(ask, file) for file in files}


def of_weights(weights_file: Path) -> dict[Path, Asked]:
    """Return who reads an imported weights file."""
    copy = import_weights(weights_file, ignore, never).path
    return {copy: refuses(lambda: resolve(backbone(BACKBONE), None))}


def of_export(folder: Path, model_name: str) -> dict[Path, Asked]:
    """Return who reads an exported model and its facts: the script beside it, or else what the facts promise."""

    def read() -> None:
        if (folder / "predict.py").exists():
            runpy.run_path(str(folder / "predict.py"))["_whole_model"](folder)
            return
        text = (folder / "model.json").read_bytes()
        try:
            facts = json.loads(text)
            whole = hashlib.sha256(text.replace(facts["seal"].encode(), b"")).hexdigest() == facts["seal"]
            model = hashlib.sha256((folder / model_name).read_bytes()).hexdigest()
        except (ValueError, KeyError):
            whole = False
        if not whole or model != facts["files"][model_name]:
            raise StudioError("It is damaged.")

    return {folder / name: refuses(read) for name in (model_name, "model.json")}


def main(flips: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        os.environ[HOME_VARIABLE] = str(folder / "home")
        weights = folder / "weights.pth"
        torch.save(torchvision_model(backbone(BACKBONE)).state_dict(), weights)
        pictures = class_folders(folder / "pictures", {"disc": 12, "square": 12})
        runs = {}
        for regime in ("head", "fine-tune"):
            job = train_job(pictures, folder / regime, weights, regime=regime, epochs=3)
            assert perform(job, ignore, never).status == "finished"
            runs[regime] = RunFolder(folder / regime)
            evaluate(runs[regime], None, ignore, never)
        asked = of_run(runs["head"]) | of_run(runs["fine-tune"]) | of_saved_states(runs["fine-tune"])
        asked |= of_weights(weights)
        for kind in ("onnx", "safetensors"):
            export(runs["head"], kind, folder / kind, ignore, never)  # type: ignore[arg-type]
            asked |= of_export(folder / kind, f"model.{kind}")
        found = {str(file.relative_to(folder)): noticed(file, ask, flips) for file, ask in asked.items()}
    print(json.dumps(found, indent=1))
    print(*(sum(column) for column in zip(*found.values(), strict=True)), "flipped and noticed")


if __name__ == "__main__":
    main(int(sys.argv[1]))
