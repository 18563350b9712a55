"""Memory that runs out in a step, and a computer that sleeps, compared with training that had neither."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tlstudio.core.backbones import backbone
from tlstudio.core.errors import StudioError
from tlstudio.core.events import Event, Notice, Progress, ignore, never
from tlstudio.core.plan import Execution, Stage
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine.awake import SleepWatch
from tlstudio.engine.checkpoint import Counters, Part
from tlstudio.engine.data import ImageStore, Normaliser
from tlstudio.engine.faults import InParts, is_device_lost, is_out_of_memory
from tlstudio.engine.loop import GradientStage, Judgement
from tlstudio.engine.networks import build_network, snapshot, torchvision_model
from tlstudio.engine.run_log import RunLog

CPU = torch.device("cpu")
FULL = "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate"
States = list[tuple[Counters, dict[str, Part]]]


class Course:
    """One epoch of three steps of eight pictures of 32 pixels, with chance and statistics in every step."""

    def __init__(self, run: RunFolder, tell: Callable[[Event], object] = ignore, **changes) -> None:
        torch.manual_seed(0)
        spec = backbone("mobilenet_v3_small")
        self.network = build_network(spec, torchvision_model(spec), 2)
        small = msgspec.structs.replace(spec.preprocessing(), resize_px=32, crop_px=32)
        index = run.dataset()
        self.store = ImageStore(index.images, small)
        options = {"train_batchnorm": True, "dropout": 0.3, "mixup": 1.0, "average_decay": 0.9} | changes
        execution = options.pop("execution", Execution())
        sleep = options.pop("sleep", None)
        plan = msgspec.structs.replace(run.plan(), batch_size=8, execution=execution)
        self.states: States = []
        losses = iter(range(100, 0, -1))
        self.stage = GradientStage(
            self.network,
            Stage("x", "gradient", "", head_lr=0.01, **options),
            plan,
            self.store,
            Normaliser(small, CPU),
            run.split().train[:24],
            np.array([image.class_index for image in index.images]),
            lambda: Judgement(next(losses), 0.0, 0.0),
            tell,
            never,
            lambda stage, pressing: self.states.append(stage.state()),
            sleep,
        )

    def weights(self) -> dict[str, Tensor]:
        """Return the weights, with statistics, at the end."""
        self.stage.run()
        self.store.close()
        return snapshot(self.network)


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def fails_once(monkeypatch: pytest.MonkeyPatch, at: int, error: Exception) -> None:
    """Let the last thing a step does before it learns fail, the so-manieth time."""
    calls = iter(range(1000))
    clip = nn.utils.clip_grad_norm_

    def clip_or_fail(*arguments: object) -> Tensor:
        if next(calls) == at:
            raise error
        return clip(*arguments)

    monkeypatch.setattr(nn.utils, "clip_grad_norm_", clip_or_fail)


@pytest.mark.parametrize(
    ("error", "full", "lost"),
    [
        (RuntimeError(FULL + " 12345 bytes."), True, False),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:83] DefaultCPUAllocator: not enough memory"), True, False),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9.06 GB)"), True, False),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True, False),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"), True, False),
        (MemoryError(), True, False),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), False, True),
        (RuntimeError("CUDA error: unspecified launch failure"), False, True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), False, True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False, False),
        (ValueError("CUDA error"), False, False),
    ],
)
def test_faults_are_told_apart(error: Exception, full: bool, lost: bool) -> None:
    assert (is_out_of_memory(error), is_device_lost(error)) == (full, lost)


def test_a_step_beyond_the_memory_is_done_again_in_parts(head_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if it had been taken in parts from that step on, whatever the failed attempt had left behind."""
    seen: list[Event] = []
    undisturbed = Course(head_run)
    undisturbed.weights()
    after_one = undisturbed.states[0]
    fails_once(monkeypatch, 1, RuntimeError(FULL))
    disturbed = Course(head_run, seen.append)
    found = disturbed.weights()
    (notice,) = [event for event in seen if isinstance(event, Notice)]
    assert "8 pictures at a time" in notice.what and "4 at a time" in notice.what
    counters, parts = after_one
    assert (counters.batch, counters.pass_size) == (1, 8)
    wanted = Course(head_run)
    tensors = {name: dict(part.tensors) for name, part in parts.items()}
    wanted.stage.restore(msgspec.structs.replace(counters, pass_size=4), tensors)
    assert equal(found, wanted.weights())
    assert not equal(found, snapshot(undisturbed.network))
    # What is saved after it goes on in parts too.
    counters, parts = disturbed.states[1]
    assert (counters.batch, counters.pass_size) == (2, 4)
    gone_on = Course(head_run)
    gone_on.stage.restore(counters, {name: dict(part.tensors) for name, part in parts.items()})
    assert equal(gone_on.weights(), found)


def test_the_rehearsal_leaves_no_trace_but_the_size(head_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    for optimiser in ("sgd", "adamw"):
        plain = Course(head_run, optimiser=optimiser)
        rehearsed = Course(head_run, optimiser=optimiser)
        before = snapshot(rehearsed.network)
        chance = torch.get_rng_state()
        rehearsed.stage.rehearse()
        assert torch.equal(chance, torch.get_rng_state())
        assert equal(snapshot(rehearsed.network), before)
        assert all(parameter.grad is None for parameter in rehearsed.network.parameters())
        assert equal(rehearsed.weights(), plain.weights())
    fixed = {"train_batchnorm": False}
    wanted = Course(head_run, execution=Execution(micro_batch=4), **fixed).weights()
    fails_once(monkeypatch, 0, RuntimeError(FULL))
    shrunk = Course(head_run, **fixed)
    shrunk.stage.rehearse()
    assert equal(shrunk.weights(), wanted)


def test_not_even_one_picture_fits(head_run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> Tensor:
        raise RuntimeError(FULL)

    monkeypatch.setattr(nn.utils, "clip_grad_norm_", fail)
    course = Course(head_run)
    before = snapshot(course.network)
    with pytest.raises(StudioError) as caught:
        course.stage.rehearse()
    course.store.close()
    assert caught.value.cause == "out-of-memory"
    assert equal(snapshot(course.network), before)


def test_answers_in_parts_are_those_of_the_whole() -> None:
    """Where the memory holds seven rows."""
    sizes: list[int] = []

    def halved(batch: Tensor) -> Tensor:
        sizes.append(len(batch))
        if len(batch) > 7:
            raise RuntimeError(FULL)
        return batch / 2

    function = InParts(halved)
    rows = torch.arange(30.0).reshape(15, 2)
    assert torch.equal(function(rows), rows / 2)
    assert sizes == [15, 7, 7, 1]
    sizes.clear()
    assert torch.equal(function(rows), rows / 2)
    assert sizes == [7, 7, 1], "it remembers what fits"
    with pytest.raises(StudioError, match="memory"):
        InParts(lambda batch: torch.empty(2**60))(rows)


def test_a_sleep_is_told_and_not_logged(head_run: RunFolder, tmp_path: Path) -> None:
    clock = iter([0.0, 0.0, 720.0, 720.0])
    seen: list[Event] = []
    Course(head_run, seen.append, sleep=SleepWatch(lambda: next(clock))).weights()
    (told,) = [event for event in seen if isinstance(event, Progress)]
    assert "slept for 12 minutes" in told.what
    log = RunLog(tmp_path / "log")
    log.append(told)
    assert log.length == 0
    log.close()
