"""Which processor does the work, said so that a user understands it."""

from __future__ import annotations

import os

import torch

from tlstudio.core.errors import StudioError
from tlstudio.engine.faults import device_lost


def choose_device(choice: str) -> torch.device:
    """Return the device for "auto", "cpu", "cuda" or "mps"; "auto" takes a GPU where one works.

    Raises StudioError if the wished one is not there.
    """
    if choice == "auto":
        return torch.device(
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    if choice == "cuda" and not torch.cuda.is_available():
        raise StudioError("No NVIDIA graphics card can be used on this computer.", "Choose the device “auto” or “cpu”.")
    if choice == "mps" and not torch.backends.mps.is_available():
        raise StudioError("Apple's graphics processor cannot be used on this computer.", "Choose “auto” or “cpu”.")
    return torch.device(choice)


def describe_device(device: torch.device) -> str:
    """Return the device in plain words."""
    if device.type == "cuda":
        facts = torch.cuda.get_device_properties(device)
        return f"{facts.name}, {facts.total_memory / 2**30:.0f} GB"
    if device.type == "mps":
        return "Apple graphics processor"
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' if threads != 1 else ''}"


def require_working(device: torch.device) -> None:
    """Compute a little, after the computer may have lost the device in its sleep. Raises StudioError if it has."""
    try:
        works = torch.arange(4.0, device=device).sum().item() == 6.0
    except RuntimeError as error:
        raise device_lost() from error
    if not works:
        raise device_lost()


def why_no_gpu() -> str:
    """Return one sentence on why no graphics card is used, or "" if one is."""
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        return ""
    if torch.version.cuda is None:
        return "This edition of the app computes on the CPU only."
    return "No NVIDIA graphics card with a working driver was found, so the CPU does the work."


def set_threads(threads: int | None) -> int:
    """Let PyTorch use that many CPU threads (default: all cores) and return the number."""
    wanted = threads or os.cpu_count() or 1
    torch.set_num_threads(wanted)
    return wanted
