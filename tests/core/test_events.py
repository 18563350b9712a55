"""Events are one line of JSON each, with exactly the fields that programs outside rely on."""

from __future__ import annotations

import json

import msgspec
import pytest

from tlstudio.core.advice import Advice
from tlstudio.core.events import (
    AdviceChanged,
    BatchEnded,
    EpochEnded,
    Event,
    JobEnded,
    Notice,
    Progress,
    RaceChanged,
    RunEnded,
    RunStarted,
    ScanChanged,
    StageStarted,
    Waiting,
    WeightsSaved,
    decode_event,
    encode_event,
)
from tlstudio.core.results import RaceRow

DOCUMENTED: list[tuple[Event, dict[str, object]]] = [
    (
        RunStarted(
            run="/r", regime="head", backbone="resnet18", weights="IMAGENET1K_V1", device="CPU", classes=("a", "b"),
            train_images=8, val_images=2, stages=("head",), time_s=1.5,
        ),
        {"event": "run_started", "run": "/r", "regime": "head", "backbone": "resnet18", "weights": "IMAGENET1K_V1",
         "device": "CPU", "classes": ["a", "b"], "train_images": 8, "val_images": 2, "stages": ["head"], "time_s": 1.5},
    ),
    (
        StageStarted(stage="head", index=0, epochs=1, sentence="Learning."),
        {"event": "stage_started", "stage": "head", "index": 0, "epochs": 1, "sentence": "Learning."},
    ),
    (
        BatchEnded(stage="head", epoch=1, batch=2, batches=3, loss=0.5, images_per_second=9.0),
        {"event": "batch_ended", "stage": "head", "epoch": 1, "batch": 2, "batches": 3, "loss": 0.5,
         "images_per_second": 9.0, "seconds_left": None},
    ),
    (
        EpochEnded(
            stage="head", epoch=1, epochs=2, train_loss=0.5, train_accuracy=0.75, val_loss=None, val_accuracy=None,
            images_per_second=9.0, best=True,
        ),
        {"event": "epoch_ended", "stage": "head", "epoch": 1, "epochs": 2, "train_loss": 0.5, "train_accuracy": 0.75,
         "val_loss": None, "val_accuracy": None, "head_lr": None, "body_lr": None, "images_per_second": 9.0,
         "seconds_left": None, "best": True},
    ),
    (WeightsSaved(stage="head", epoch=1), {"event": "weights_saved", "stage": "head", "epoch": 1}),
    (Notice(code="slow", what="It is slow."), {"event": "notice", "code": "slow", "what": "It is slow.", "hint": ""}),
    (
        RunEnded(status="finished", val_accuracy=0.9, val_interval=(0.8, 0.95), val_images=40, seconds=3.5),
        {"event": "run_ended", "status": "finished", "cause": "", "val_accuracy": 0.9, "val_interval": [0.8, 0.95],
         "val_images": 40, "val_nll": None, "random_accuracy": None, "grouped_accuracy": None, "kept": None,
         "kept_epoch": None, "temperature": None, "seconds": 3.5,
         "what": "", "hint": ""},
    ),
    (
        Progress(what="Reading", done=1, total=0),
        {"event": "progress", "what": "Reading", "done": 1, "total": 0, "seconds_left": None},
    ),
    (
        Waiting(cause="disk-full", what="The disk is full."),
        {"event": "waiting", "cause": "disk-full", "what": "The disk is full.", "hint": ""},
    ),
    (
        ScanChanged(done=8, total=9, set_aside=1, files_per_second=4.0, folders={"ants": 7}, recent=("/a.jpg",)),
        {"event": "scan_changed", "done": 8, "total": 9, "set_aside": 1, "files_per_second": 4.0,
         "seconds_left": None, "folders": {"ants": 7}, "recent": ["/a.jpg"]},
    ),
    (
        AdviceChanged(advice=Advice("head", ("Few.",))),
        {"event": "advice_changed",
         "advice": {"regime": "head", "reasons": ["Few."], "size": None, "similarity": None, "depths": [],
                    "joined": None, "cut": "", "expected": {}, "would_change": "", "measured_images": 0,
                    "seconds": 0.0}},
    ),
    (
        RaceChanged(rows=(RaceRow("cut", "done", 40, 0.9, (0.8, 0.95), 0.3, 2.5, True),), seconds_left=1.5),
        {"event": "race_changed", "seconds_left": 1.5,
         "rows": [{"regime": "cut", "state": "done", "images": 40, "accuracy": 0.9, "interval": [0.8, 0.95],
                   "nll": 0.3, "seconds": 2.5, "winner": True, "note": ""}]},
    ),
    (
        JobEnded(status="failed", what="No.", hint="Try again."),
        {"event": "job_ended", "status": "failed", "cause": "", "result": None, "what": "No.",
         "hint": "Try again."},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("event", "expected"), DOCUMENTED, ids=[str(row[1]["event"]) for row in DOCUMENTED])
def test_fields_and_round_trip(event, expected):
    line = encode_event(event)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert json.loads(line) == expected
    assert decode_event(line) == event


def test_every_event_is_documented_here():
    assert {type(event) for event, _ in DOCUMENTED} == set(Event.__args__)


def test_line_breaks_in_texts_stay_inside_the_line():
    event = Notice(code="x", what="two\nlines\u2028and\rmore")
    assert encode_event(event).count(b"\n") == 1
    assert decode_event(encode_event(event)) == event


@pytest.mark.parametrize(
    "line", [b"", b"stop", b"{}", b'{"event": "unheard_of"}', b'{"event": "weights_saved", "stage": 3}']
)
def test_anything_else_is_refused(line):
    with pytest.raises(msgspec.DecodeError):
        decode_event(line)


def test_fields_of_later_versions_are_passed_over():
    line = b'{"event":"weights_saved","stage":"head","epoch":2,"later":1}'
    assert decode_event(line) == WeightsSaved(stage="head", epoch=2)
