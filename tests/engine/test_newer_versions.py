"""What a newer version of the app wrote is refused in words by every verb, whatever is in it, and stays as it is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import save_file

from tests.core.test_golden_runs import GOLDEN, VERSIONS
from tlstudio.core.durable import sealed
from tlstudio.core.events import ignore, never
from tlstudio.core.jobs import Evaluate, Export, Job, Predict, Resume
from tlstudio.core.plan import PLAN_VERSION
from tlstudio.core.runfolder import NewerVersion, RunFolder
from tlstudio.engine.checkpoint import CHECKPOINT_VERSION, newest_state
from tlstudio.engine.networks import CARD_VERSION, load_model
from tlstudio.engine.perform import perform


@pytest.fixture
def run(tmp_path) -> RunFolder:
    """A fine-tuned run of the latest version that is kept, with its saved states but without their tensors."""
    shutil.copytree(GOLDEN / VERSIONS[-1] / "fine-tune", tmp_path / "run")
    return RunFolder(tmp_path / "run")


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def jobs(run: RunFolder, to: Path) -> list[Job]:
    where = str(run.path)
    return [
        Evaluate(run=where), Predict(run=where, paths=(str(GOLDEN),)), Export(run=where, format="onnx", to=str(to)),
        Resume(run=where), Resume(run=where, more_epochs=1), Resume(run=where, more_epochs=1, to=str(to / "branch")),
    ]  # fmt: skip


def test_no_verb_works_on_a_run_with_a_newer_plan(run, tmp_path):
    plan = msgspec.to_builtins(run.plan())
    run.keep(run.plan_file, plan | {"version": PLAN_VERSION + 1, "regime": "dream"})
    before = content(run.path)
    for job in jobs(run, tmp_path / "to"):
        ended = perform(job, ignore, never)
        assert ended.status == "failed" and "made by a newer version of this app" in ended.what, job
    assert content(run.path) == before and not (tmp_path / "to").exists()


def test_a_training_is_not_gone_on_with_from_a_newer_state(run, tmp_path):
    newer = {"version": CHECKPOINT_VERSION + 1, "dream": True}
    (run.checkpoints_dir / "00000003.json").write_bytes(sealed(json.dumps(newer).encode()))
    before = content(run.path)
    with pytest.raises(NewerVersion, match="paused by a newer version"):
        newest_state(run.checkpoints_dir)
    ended = perform(Resume(run=str(run.path), more_epochs=1), ignore, never)
    assert ended.status == "failed" and "newer version" in ended.what
    assert {path: text for path, text in content(run.path).items() if path in before} == before


def test_a_model_with_a_newer_card_is_not_used(run):
    card = {"version": CARD_VERSION + 1, "backbone": {"name": "dream"}}
    save_file({"dream": torch.zeros(1)}, run.model_file, {"tlstudio": json.dumps(card)})
    with pytest.raises(NewerVersion, match="newer version"):
        load_model(run.model_file)
    ended = perform(Evaluate(run=str(run.path)), ignore, never)
    assert ended.status == "failed" and "newer version" in ended.what
