"""What the window asks of the engine process: one job a process, in one line of JSON.

The answer is a line an event, the last of them `JobEnded`. The line `stop` asks the job to end early.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from tlstudio.core.dataset_setup import DatasetSetup


class _Job(msgspec.Struct, frozen=True, kw_only=True, tag_field="verb", tag=str.lower):
    """Base of the tagged union; never sent itself."""


class Scan(_Job, frozen=True, kw_only=True):
    """Look at every file once. Result: {"scanned": the file of a Scanned, for `core.look.read_scanned`}.

    On the way there, `ScanChanged` events.
    """

    folders: tuple[str, ...]
    """Folders, or one zip archive of pictures."""


class Train(_Job, frozen=True, kw_only=True):
    """Result: the run's RunEnded. The run's own events are sent as they happen."""

    folders: tuple[str, ...]
    setup: DatasetSetup = DatasetSetup()
    run: str
    backbone: str = ""
    weights: str | None = None
    regime: str = "auto"
    head: str = "linear"
    cut: str = ""
    """The block after which the network is cut; "" leaves that to the advice. Asks for the regime "cut"."""
    epochs: int | None = None
    seed: int = 0
    device: str = "auto"
    mirror: bool = True
    """The user's word that a mirrored picture still shows the same class; the same for the next two."""
    turned: bool = False
    recoloured: bool = True
    body_lr_span: float | None = None
    """How much slower than the head the first block learns in "fine-tune"; None leaves it to the plan."""
    download: bool = False
    """Fetch the backbone's weights if they are not on this computer."""
    threads: int | None = None


class Resume(_Job, frozen=True, kw_only=True):
    """Go on with a run from its last saved state. Result: as for Train."""

    run: str
    more_epochs: int = 0
    """Beyond those of the plan, or beyond where the training ended earlier."""
    to: str | None = None
    """A new folder for the run that comes of it; the run itself then stays as it is."""
    device: str | None = None
    """What computes from now on; None stays with what the plan says."""


class Advise(_Job, frozen=True, kw_only=True):
    """Measure which regime suits the pictures. Result: an Advice; on the way there, `AdviceChanged` events."""

    folders: tuple[str, ...]
    setup: DatasetSetup = DatasetSetup()
    backbone: str = ""
    weights: str | None = None
    seed: int = 0
    device: str = "auto"
    threads: int | None = None


class Race(_Job, frozen=True, kw_only=True):
    """Try every regime in short form, then do `train` with the winner, into its run folder.

    Result: {"rows": [RaceRow], "winner": regime, "run": RunEnded, or None with `stop_before_training`}; on the way
    there, `RaceChanged` events.
    """

    train: Train
    budget_minutes: float
    """For the race; training the winner comes on top."""
    stop_before_training: bool = False


class Rank(_Job, frozen=True, kw_only=True):
    """Compare backbones on the user's pictures. Result: {"rows": [RankRow]}, best first."""

    folders: tuple[str, ...]
    setup: DatasetSetup = DatasetSetup()
    backbones: tuple[str, ...] = ()
    """None: all whose weights are on this computer."""
    seed: int = 0
    device: str = "auto"
    threads: int | None = None


class Shortcuts(_Job, frozen=True, kw_only=True):
    """Find out whether the classes can be told apart by what is not their subject. Result: {"rows": [ShortcutRow]}."""

    folders: tuple[str, ...]
    setup: DatasetSetup = DatasetSetup()
    seed: int = 0


class Map(_Job, frozen=True, kw_only=True):
    """Lay the pictures out by what a network sees in them. Result: a PictureMap."""

    folders: tuple[str, ...]
    setup: DatasetSetup = DatasetSetup()
    method: Literal["pca", "t-sne"] = "pca"
    backbone: str = ""
    weights: str | None = None
    seed: int = 0
    device: str = "auto"
    threads: int | None = None


class Evaluate(_Job, frozen=True, kw_only=True):
    """Result: an Evaluation."""

    run: str
    folder: str | None = None


class Predict(_Job, frozen=True, kw_only=True):
    """Result: {"images": count, "skipped": [Problem], "rows": [Prediction], "csv": path or None}."""

    run: str
    paths: tuple[str, ...]
    csv: str | None = None
    max_rows: int | None = 1000
    """The result holds the first so many rows, or all; the CSV file holds all in any case."""


class Export(_Job, frozen=True, kw_only=True):
    """Result: an Exported."""

    run: str
    format: Literal["onnx", "safetensors"]
    to: str


class Download(_Job, frozen=True, kw_only=True):
    """Fetch a backbone's weights. Result: {"path": file}."""

    backbone: str


class Import(_Job, frozen=True, kw_only=True):
    """Copy a weights file into the weights folder. Result: {"backbone": name, "path": file}."""

    file: str


class Measure(_Job, frozen=True, kw_only=True):
    """Result: {"device": plain words, "device_hint": why no GPU, or "", "images_per_second": {backbone: speed}}.

    The speed is that of the forward pass.
    """

    backbones: tuple[str, ...] = ()
    device: str = "auto"


Job = (
    Scan
    | Train
    | Resume
    | Advise
    | Race
    | Rank
    | Shortcuts
    | Map
    | Evaluate
    | Predict
    | Export
    | Download
    | Import
    | Measure
)
