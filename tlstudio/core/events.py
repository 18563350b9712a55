"""What the engine tells the world. One line of JSON an event, the same in the log, on the wire and in the window.

A run's log holds `RunStarted`, then per stage `StageStarted`, `BatchEnded`, `EpochEnded`, and last exactly one
`RunEnded`. `Progress`, `Waiting`, `ScanChanged`, `AdviceChanged`, `RaceChanged` and `JobEnded` belong to a job of the
engine process and are never logged.
All floats are finite or None.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from tlstudio.core.advice import Advice
from tlstudio.core.errors import Cause
from tlstudio.core.results import RaceRow

Status = Literal["finished", "stopped", "paused", "failed"]
"""Paused is what can be gone on with as soon as its cause has passed; nothing is lost."""


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class _Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag=_snake):
    """Base of the tagged union; never sent itself."""


class RunStarted(_Event, frozen=True, kw_only=True):
    run: str
    regime: str
    backbone: str
    weights: str = ""
    """The plan's `weights_name`."""
    device: str
    """In plain words, for example "CPU, 8 threads"."""
    classes: tuple[str, ...]
    train_images: int
    val_images: int
    stages: tuple[str, ...]
    time_s: float
    """Seconds since 1970."""


class StageStarted(_Event, frozen=True, kw_only=True):
    stage: str
    index: int
    epochs: int
    sentence: str
    """What happens in this stage, for the user to read."""


class BatchEnded(_Event, frozen=True, kw_only=True):
    """Sent at most every 50 ms, because reading a loss makes a GPU wait, and for the batches that the log has."""

    stage: str
    epoch: int
    batch: int
    batches: int
    loss: float
    images_per_second: float | None
    """None in a log: it says nothing about the run."""
    seconds_left: float | None = None


class EpochEnded(_Event, frozen=True, kw_only=True):
    """Losses are mean negative log-likelihoods in nats; epochs count from 1 in each stage."""

    stage: str
    epoch: int
    epochs: int
    train_loss: float
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    head_lr: float | None = None
    body_lr: float | None = None
    images_per_second: float | None
    seconds_left: float | None = None
    best: bool = False
    """This state is the best so far, judged on pictures held out of the training part, never on val."""


class WeightsSaved(_Event, frozen=True, kw_only=True):
    stage: str
    epoch: int


class Notice(_Event, frozen=True, kw_only=True):
    code: str
    what: str
    hint: str = ""


class RunEnded(_Event, frozen=True, kw_only=True):
    status: Status
    cause: Cause = ""
    val_accuracy: float | None = None
    val_interval: tuple[float, float] | None = None
    val_images: int = 0
    val_nll: float | None = None
    random_accuracy: float | None = None
    """What a new head would have seemed to reach on a split that tears groups apart; None where there are no groups."""
    grouped_accuracy: float | None = None
    """What the same kind of head reaches on the split as it is."""
    kept: str | None = None
    """Which model was kept, in words: "the new head", "the fine-tuned network", "halfway between the two"."""
    kept_epoch: int | None = None
    temperature: float | None = None
    seconds: float = 0.0
    what: str = ""
    hint: str = ""


class Progress(_Event, frozen=True, kw_only=True):
    """How far a job is; `total` 0 means unknown."""

    what: str
    done: int
    total: int
    seconds_left: float | None = None


class Waiting(_Event, frozen=True, kw_only=True):
    """The work holds still until the cause has passed; the next event says that it goes on. Never logged."""

    cause: Cause
    what: str
    hint: str = ""


class ScanChanged(_Event, frozen=True, kw_only=True):
    """How far a scan is, at most four times a second. Never logged."""

    done: int
    total: int
    set_aside: int
    files_per_second: float
    seconds_left: float | None = None
    folders: dict[str, int]
    """Readable pictures so far in each folder directly below the dropped one; of very many, those with most."""
    recent: tuple[str, ...] = ()
    """Paths of some pictures that were just read."""


class AdviceChanged(_Event, frozen=True, kw_only=True):
    """What the measurements say so far; the last one is the advice. Never logged."""

    advice: Advice


class RaceChanged(_Event, frozen=True, kw_only=True):
    """How a race stands. Never logged."""

    rows: tuple[RaceRow, ...]
    seconds_left: float


class JobEnded(_Event, frozen=True, kw_only=True):
    """The last event of a job of the engine process. `result` is what the command line prints with --json."""

    status: Status
    cause: Cause = ""
    result: dict[str, Any] | None = None
    what: str = ""
    hint: str = ""


Event = (
    RunStarted
    | StageStarted
    | BatchEnded
    | EpochEnded
    | WeightsSaved
    | Notice
    | RunEnded
    | Progress
    | Waiting
    | ScanChanged
    | AdviceChanged
    | RaceChanged
    | JobEnded
)
Emit = Callable[[Event], object]
ShouldStop = Callable[[], bool]

_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def encode_event(event: Event) -> bytes:
    """Return the event as one line of JSON, newline included."""
    return msgspec.json.encode(event) + b"\n"


def decode_event(line: bytes | str) -> Event:
    """Return the event of a line; raises msgspec.DecodeError if it is none."""
    try:
        return _decoder.decode(line)
    except (RecursionError, UnicodeDecodeError) as error:
        raise msgspec.DecodeError(f"It is no text that could be read: {error}") from error


class Stopped(Exception):
    """The user asked to stop before there was anything to keep."""


def ignore(event: Event) -> None:
    """An Emit for callers who do not listen."""


def never() -> bool:
    """A ShouldStop for callers who do not stop."""
    return False
