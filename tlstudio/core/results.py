"""What evaluation, prediction and export return: records that are stored, printed and shown."""

from __future__ import annotations

from typing import Literal

import msgspec

from tlstudio.core.regimes import Regime

Interval = tuple[float, float]


class ClassScore(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of one class. Precision, recall and f1 are 0 where nothing was predicted or present."""

    class_: str = msgspec.field(name="class")
    precision: float
    recall: float
    f1: float
    support: int


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """One picture's answer. `probabilities` follow the class order; `truth` is None where nobody knows."""

    path: str
    class_: str = msgspec.field(name="class")
    probability: float
    probabilities: tuple[float, ...]
    truth: str | None = None


class Evaluation(msgspec.Struct, frozen=True):
    """How good a model is on pictures that taught it nothing.

    `confusion[i][j]` counts pictures of class i that were given class j. `accuracy_interval` is Wilson's at 95 %.
    `balanced_accuracy` and `macro_f1` are means over the classes that have pictures here.
    `nll` is in nats; `ece` is the expected calibration error over 15 bins of equal width.
    """

    part: str
    """"test", "val", or the folder that was given."""
    images: int
    accuracy: float
    accuracy_interval: Interval
    balanced_accuracy: float
    macro_f1: float
    nll: float
    ece: float
    classes: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]
    per_class: tuple[ClassScore, ...]
    seen_in_training: int = 0
    """Pictures among these that also taught the model: if not 0, the figures flatter."""
    predictions: tuple[Prediction, ...] = ()

    def __post_init__(self) -> None:
        """Raise ValueError where the tables do not fit the classes, as in a file that somebody made up."""
        count, names = len(self.classes), set(self.classes)
        rows = [*self.confusion, *(answer.probabilities for answer in self.predictions)]
        if len(self.confusion) != count or len(self.per_class) != count or any(len(row) != count for row in rows):
            raise ValueError("the tables do not fit the classes")
        if not names.issuperset(answer.class_ for answer in self.predictions):
            raise ValueError("an answer is none of the classes")


class Parity(msgspec.Struct, frozen=True):
    """How the exported file answers beside the app, on the same pictures."""

    images: int
    top1_agreement: float
    max_probability_difference: float


class Exported(msgspec.Struct, frozen=True):
    path: str
    format: Literal["onnx", "safetensors"]
    sha256: str
    parity: Parity


class RaceRow(msgspec.Struct, frozen=True):
    """How a regime does in a race. The figures are on training pictures that it did not learn from."""

    regime: Regime
    state: Literal["waiting", "running", "done", "left out"]
    images: int = 0
    """Pictures it was judged on so far."""
    accuracy: float | None = None
    interval: Interval | None = None
    nll: float | None = None
    seconds: float = 0.0
    winner: bool = False
    note: str = ""
    """Why it was left out, or how it compares with the winner."""


class RankRow(msgspec.Struct, frozen=True):
    """How a backbone does on the user's pictures on this computer, with a new head alone."""

    backbone: str
    weights: str
    accuracy: float
    interval: Interval
    """Cross-validated on training pictures."""
    seconds: float
    """To show it all training pictures once."""
    images_per_second: float
    memory_mb: float
    """At most, beyond what the program needs without it."""
    export_mb: float


class ShortcutRow(msgspec.Struct, frozen=True):
    """How well the classes can be told apart from one thing that is not their subject."""

    clue: str
    """"border", "size", "file type", "brightness", "sharpness" or "camera"."""
    accuracy: float
    """Cross-validated, the mean over the classes."""
    interval: Interval
    chance: float
    """What guessing would reach."""
    works: bool
    """The classes can be told apart by it: a classifier may learn that instead of the subject."""
    sentence: str
    examples: tuple[str, ...] = ()
    """Paths of pictures that it gave away most surely."""


class PictureMap(msgspec.Struct, frozen=True):
    """Where pictures lie beside each other, by what a network sees in them."""

    paths: tuple[str, ...]
    positions: tuple[tuple[float, float], ...]
    method: Literal["pca", "t-sne"]
    explained: float | None = None
    """The share of the variance that the two axes of a PCA show."""
