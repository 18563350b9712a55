"""How much of a training is done, told from its events."""

from __future__ import annotations

from tlstudio.core.events import BatchEnded, EpochEnded, Event, Progress, RunStarted, StageStarted


class TrainingShare:
    """Adds up stages, epochs and batches; all stages count alike."""

    def __init__(self) -> None:
        self._stages = 1
        self._stage: int | None = None
        self._epochs = 1
        self._share = 0.0

    def take(self, event: Event) -> float:
        """Return the share that is done after this event, never less than before."""
        match event:
            case RunStarted():
                self._stages = max(1, len(event.stages))
            case StageStarted():
                self._stage, self._epochs = event.index, max(1, event.epochs)
                self._reach(0.0)
            case BatchEnded():
                self._reach((event.epoch - 1 + event.batch / max(1, event.batches)) / self._epochs)
            case EpochEnded():
                self._reach(event.epoch / self._epochs)
            case Progress(total=total) if total:
                self._reach(event.done / total / self._epochs)
        return self._share

    def _reach(self, share_of_stage: float) -> None:
        if self._stage is None:  # pictures are still being read; the training has not begun
            return
        self._share = max(self._share, min(1.0, (self._stage + share_of_stage) / self._stages))
