"""What may go wrong in a computation through nobody's mistake: memory that is full, a processor that is lost."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from tlstudio.core.errors import StudioError

T = TypeVar("T")
FULL_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "std::bad_alloc",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "could not create a primitive",
    "could not create a memory",
)
"""What errors say where memory did not suffice, the last two oneDNN's; on the CPU their type does not tell."""
LOST_DEVICE = ("CUDA error", "CUDNN_STATUS", "CUBLAS_STATUS", "HIP error", "MPS backend", "device lost")


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether memory, of the graphics card or of the computer, did not suffice."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in FULL_MEMORY)
    )


def is_device_lost(error: BaseException) -> bool:
    """Tell whether the processor failed, so that nothing can be computed on it any more in this process."""
    return not is_out_of_memory(error) and (
        isinstance(error, torch.AcceleratorError)
        or (isinstance(error, RuntimeError) and any(sign in str(error) for sign in LOST_DEVICE))
    )


def out_of_memory(on_card: bool) -> StudioError:
    """Return that the memory, of the graphics card or of the computer, does not suffice, for the user to read."""
    if on_card:
        where, instead = "The graphics card's memory", "or go on with the processor instead, which is slower"
    else:
        where, instead = "This computer's memory", "or start a new run with a smaller network"
    return StudioError(
        f"{where} does not suffice for this training.",
        f"What was saved is untouched. Close other programs and go on, {instead}.",
        "out-of-memory",
    )


def device_lost() -> StudioError:
    """Return that the processor failed, for the user to read."""
    return StudioError(
        "The graphics card stopped working.",
        "The last saved state is untouched. Go on; if it happens again, go on with the processor instead.",
        "device-lost",
    )


@contextmanager
def faults_told() -> Iterator[None]:
    """Raise a fault of the memory or of the processor as a StudioError that says what can be done."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            on_card = isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in LOST_DEVICE)
            raise out_of_memory(on_card) from error
        if is_device_lost(error):
            raise device_lost() from error
        raise


def unless_out_of_memory(work: Callable[[], T]) -> T | None:
    """Return what `work` returns, or None if memory did not suffice for it; what it had taken is free again then."""
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    # Within the clause the error would still hold the tensors of every function it came through.
    gc.collect()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)  # what the C library keeps for later does not serve those who ask the system itself, such as oneDNN
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()
    return None


class InParts:
    """A function of a batch that takes it in parts from when the memory does not hold all of it any more."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        """`function` answers every row of a batch for itself."""
        self._function = function
        self._size: int | None = None

    def __call__(self, batch: Tensor) -> Tensor:
        """Return the function's answers to a batch (rows, ...). Raises StudioError if one row is too much."""
        size = min(self._size or len(batch), len(batch))
        while True:
            answers = unless_out_of_memory(partial(self._answers, batch, size))
            if answers is not None:
                return answers
            if size == 1:
                raise out_of_memory(batch.device.type != "cpu")
            self._size = size = size // 2

    def _answers(self, batch: Tensor, size: int) -> Tensor:
        parts = [self._function(part) for part in torch.split(batch, size)]
        return torch.cat(parts) if len(parts) > 1 else parts[0]
