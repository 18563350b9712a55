"""The micro-benchmark: what it concludes from times, what it remembers, and that it ends."""

from __future__ import annotations

import os
import time
from itertools import cycle

import pytest
import torch

from tests.engine.conftest import BACKBONE
from tlstudio.core.backbones import backbone
from tlstudio.core.durable import read_json
from tlstudio.core.events import Stopped, never
from tlstudio.core.paths import data_dir
from tlstudio.core.plan import Execution
from tlstudio.engine import execution
from tlstudio.engine.execution import clearly_faster, knows_bfloat16, measure_execution

CPU = torch.device("cpu")
LATER = float("inf")


def takes(*seconds: float):
    """Work that says it took these times, one after the other, again and again."""
    times = cycle(seconds)
    return lambda: next(times)


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "TRIAL_S", 0.02)
    monkeypatch.setattr(execution, "LIMIT_S", 0.5)


@pytest.mark.parametrize(
    ("challenger", "wins"),
    [
        (takes(0.8), True),
        (takes(0.97), False),
        (takes(1.2), False),
        (takes(0.8, 0.8, 9.0), True),  # now and then something else keeps the computer busy
        (takes(1.0, 1.0, 0.1), False),
    ],
)
def test_only_a_clear_gain_over_many_rounds_counts(challenger, wins: bool) -> None:
    assert clearly_faster(challenger, takes(1.0), LATER, never) is wins


def test_a_comparison_ends_at_its_deadline_and_when_told_to() -> None:
    assert clearly_faster(takes(0.1), takes(1.0), time.monotonic(), never) is False
    with pytest.raises(Stopped):
        clearly_faster(takes(0.1), takes(1.0), LATER, lambda: True)


def test_measured_once_and_again_when_the_file_is_damaged() -> None:
    file = data_dir() / "execution.json"
    found = measure_execution(backbone(BACKBONE), CPU, 2, 4, never)
    kept = read_json(file, dict[str, Execution])
    assert list(kept.values()) == [found]
    assert found.precision == "float32" or knows_bfloat16(CPU)

    marked = file.read_text().replace('"micro_batch": null', '"micro_batch": 3')
    file.write_text(marked)
    assert measure_execution(backbone(BACKBONE), CPU, 2, 4, never).micro_batch == 3, "it is not measured again"
    measure_execution(backbone(BACKBONE), CPU, 1, 4, never)
    assert len(read_json(file, dict[str, Execution])) == 2, "another number of threads is another question"

    file.write_text("{")
    assert measure_execution(backbone(BACKBONE), CPU, 2, 4, never).micro_batch is None
    assert len(read_json(file, dict[str, Execution])) == 1


def test_a_batch_beyond_the_memory_is_taken_in_parts_that_divide_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "LIMIT_S", 0.0)
    # A pass of squeezenet keeps the outputs of its convolutions: the first alone takes 111 x 111 x 64 floats a picture.
    layer = 111 * 111 * 64 * 4
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    monkeypatch.setattr(execution, "SHARE_OF_MEMORY", 6 * 40 * layer / memory)
    assert measure_execution(backbone(BACKBONE), CPU, 2, 6, never).micro_batch is None
    (data_dir() / "execution.json").unlink()
    monkeypatch.setattr(execution, "SHARE_OF_MEMORY", 5 * layer / memory)
    assert measure_execution(backbone(BACKBONE), CPU, 2, 6, never).micro_batch in (1, 2), "and they divide 6"


def test_a_stop_is_obeyed_and_nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "LIMIT_S", 1000.0)
    with pytest.raises(Stopped):
        measure_execution(backbone(BACKBONE), CPU, 2, 4, lambda: True)
    assert not (data_dir() / "execution.json").exists()
