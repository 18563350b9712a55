"""Everything the app saves, each with what must hold when the disk fails in the middle of it."""

from __future__ import annotations

import hashlib
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import ClassVar

import torch

from tests.gui.run_files import CLASSES, evaluation
from tlstudio.core.backbones import backbone
from tlstudio.core.dataset import DatasetIndex
from tlstudio.core.dataset_setup import DatasetSetup, load_setup, save_setup
from tlstudio.core.durable import remove_unfinished, write_all
from tlstudio.core.events import Event, Notice, WeightsSaved, encode_event
from tlstudio.core.paths import weights_dir
from tlstudio.core.plan import Augmentation, Plan, Stage
from tlstudio.core.results import Evaluation
from tlstudio.core.runfolder import RunFolder
from tlstudio.core.split import Split
from tlstudio.core.weights_folder import recorded, remember
from tlstudio.engine.checkpoint import Checkpoint, CheckpointWriter, Counters, KeptBefore, Part, newest_state
from tlstudio.engine.evaluate import keep
from tlstudio.engine.export import facts_bytes
from tlstudio.engine.networks import (
    HeadShape,
    ModelCard,
    Network,
    build_network,
    load_model,
    save_model,
    torchvision_model,
)
from tlstudio.engine.run_log import RunLog
from tlstudio.gui import remembered

BACKBONE = "squeezenet1_1"


def plan(seed: int) -> Plan:
    return Plan(
        backbone=BACKBONE, weights_file="w", weights_sha256="0" * 64, regime="head", head="linear",
        stages=(Stage(name="head", kind="probe", sentence=""),), augmentation=Augmentation(), batch_size=32,
        seed=seed, device="cpu", threads=1,
    )  # fmt: skip


@cache
def small_network() -> Network:
    """Return the first block of a network, with a head."""
    spec = backbone(BACKBONE)
    return build_network(spec, torchvision_model(spec), len(CLASSES), 0)


class Saving:
    """Something that is saved as generation 1 and then again as 2, the second time while the disk fails."""

    tells: ClassVar[bool] = True
    """A save that returns has saved."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.run = RunFolder(folder)

    def prepare(self) -> None:
        """Make what must be there before generation 1 is saved."""

    def save(self, generation: int) -> None:
        """Save it as the app does. Raises StudioError, OSError."""
        raise NotImplementedError

    def found(self) -> set[int]:
        """Return which generation each of its parts is of, as the app reads them; an error if one is damaged."""
        raise NotImplementedError


class Settings(Saving):
    tells = False

    def save(self, generation: int) -> None:
        remembered.remember_number("saved", generation)

    def found(self) -> set[int]:
        return {remembered.number("saved", 0)}


class Edits(Saving):
    def save(self, generation: int) -> None:
        save_setup([self.folder], DatasetSetup(exclude=("*",) * generation))

    def found(self) -> set[int]:
        setup, damaged = load_setup([self.folder])
        assert setup is not None and not damaged
        return {len(setup.exclude)}


class WeightsIndex(Saving):
    def prepare(self) -> None:
        (weights_dir() / "mine.pth").touch()

    def save(self, generation: int) -> None:
        remember(weights_dir() / "mine.pth", str(generation) * 64, BACKBONE, "mine")

    def found(self) -> set[int]:
        accepted = recorded(weights_dir() / "mine.pth")
        assert accepted is not None
        return {int(accepted.sha256[0])}


class NewRun(Saving):
    """Generation 1 is no run at all."""

    def save(self, generation: int) -> None:
        if generation == 2:
            self.run.start(plan(2), DatasetIndex((str(self.folder),), CLASSES, (), (), 0.0), Split((), (), (), "drawn"))

    def found(self) -> set[int]:
        if not self.folder.exists() or not any(self.folder.iterdir()):
            return {1}
        assert self.run.dataset().classes == CLASSES and self.run.split() and not self.run.manifest.damaged()
        return {self.run.plan().seed}


class LongerPlan(Saving):
    def save(self, generation: int) -> None:
        self.run.keep(self.run.plan_file, plan(generation))

    def found(self) -> set[int]:
        return {self.run.plan().seed}


class Model(Saving):
    def save(self, generation: int) -> None:
        spec = backbone(BACKBONE)
        card = ModelCard(BACKBONE, CLASSES, spec.preprocessing(), float(generation), "0" * 64, 0)
        save_model(self.run.model_file, small_network(), card, self.run.manifest.write)

    def found(self) -> set[int]:
        return {int(load_model(self.run.model_file, self.run.manifest.read)[1].temperature)}


class Judgement(Saving):
    """The evaluation and the table that is made of it."""

    def save(self, generation: int) -> None:
        keep(self.run, evaluation([f"{generation}/{number}.png" for number in range(6)]))

    def found(self) -> set[int]:
        judged = self.run.record(self.run.evaluation_file, Evaluation)
        table = self.run.manifest.read(self.run.predictions_file).decode().splitlines()
        assert len(table) == 7
        return {int(path[0]) for path in (*(answer.path for answer in judged.predictions), *table[1:])}


class Log(Saving):
    """Six events, then six more, as a training that is gone on with writes them."""

    LINES: ClassVar[list[Event]] = [
        event
        for number in range(6)
        for event in (WeightsSaved(stage="head", epoch=number), Notice(code="x", what="y" * 5000, hint=""))
    ]

    def prepare(self) -> None:
        self.run.path.mkdir()

    def save(self, generation: int) -> None:
        self.run.manifest.release(self.run.events_file)
        before = b"".join(map(encode_event, self.LINES[: (generation - 1) * 6]))
        with closing(RunLog(self.run.events_file, len(before), hashlib.sha256(before).hexdigest())) as log:
            for event in self.LINES[(generation - 1) * 6 : generation * 6]:
                log.append(event)
            log.sync()
            self.run.manifest.note(self.run.events_file, log.sha256)

    def found(self) -> set[int]:
        events = list(self.run.events())
        assert events == self.LINES[: len(events)] and len(events) >= 6
        return {2 if len(events) == 12 else 1}


class SavedState(Saving):
    """States of a training; tensors that have not changed are not written again."""

    def save(self, generation: int) -> None:
        remove_unfinished(self.run.path)
        self.run.path.mkdir(parents=True, exist_ok=True)
        kept = KeptBefore("", 1.0, None, HeadShape())
        with (
            closing(RunLog(self.run.events_file)) as log,
            CheckpointWriter(self.run.checkpoints_dir, log.sync) as writer,
        ):
            record = Checkpoint(0, 1, Counters(epoch=generation), log.length, log.sha256, kept)
            tensors = {"weight": torch.full((300,), float(generation))}
            writer.offer(record, {"base": Part("00", {"x": torch.ones(9)}), "step": Part(str(generation), tensors)})

    def found(self) -> set[int]:
        state, damaged = newest_state(self.run.checkpoints_dir)
        assert state is not None and not damaged
        return {state.checkpoint.counters.epoch, int(state.tensors["step"]["weight"][0])}


class Export(Saving):
    """Generation 1 is an empty folder."""

    CARD = ModelCard(BACKBONE, CLASSES, backbone(BACKBONE).preprocessing(), 1.0, "0" * 64)
    FILES: ClassVar[dict[str, bytes]] = {
        "model.onnx": b"model" * 9000,
        "predict.py": b"pass",
        "model.json": facts_bytes(CARD, {"model.onnx": "1" * 64}),
    }

    def save(self, generation: int) -> None:
        if generation == 2:
            write_all({self.folder / name: content for name, content in self.FILES.items()})

    def found(self) -> set[int]:
        there = {file.name: file.read_bytes() for file in self.folder.iterdir()} if self.folder.exists() else {}
        assert there in ({}, self.FILES), "all files or none"
        return {2 if there else 1}


SAVINGS: tuple[type[Saving], ...] = (
    Settings, Edits, WeightsIndex, NewRun, LongerPlan, Model, Judgement, Log, SavedState, Export
)  # fmt: skip
