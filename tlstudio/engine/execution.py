"""How a network is trained fastest on this computer, measured once in about two seconds and remembered."""

from __future__ import annotations

import copy
import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median

import msgspec
import torch
from torch import Tensor
from torch.nn import functional as F

from tlstudio.core.backbones import BackboneSpec
from tlstudio.core.durable import read_json, write_json
from tlstudio.core.errors import StudioError
from tlstudio.core.events import ShouldStop, Stopped
from tlstudio.core.paths import data_dir
from tlstudio.core.plan import Execution
from tlstudio.engine.devices import describe_device, set_threads
from tlstudio.engine.faults import unless_out_of_memory
from tlstudio.engine.loop import autocast
from tlstudio.engine.networks import Network, build_network, torchvision_model

CLEAR_GAIN = 0.05
"""The share of the time that another way must save to be taken."""
TRIAL_S = 0.6
"""A comparison of two ways goes on for so long ..."""
FEWEST_ROUNDS = 3
"""... and for so many rounds at least."""
LIMIT_S = 5.0
"""What is not clear by then stays as it is: large networks on a slow computer."""
PASS_S = 0.1
LOGITS_AGREE = 0.05
"""Relative difference, root mean square, up to which a lower precision counts as the same network."""
SHARE_OF_MEMORY = 0.4
CLASSES = 10


def measure_execution(
    spec: BackboneSpec, device: torch.device, threads: int, batch_size: int, should_stop: ShouldStop
) -> Execution:
    """Return the fastest of the ways that give the same answers to train this network in batches of that size.

    It is measured once a network, computer, device, number of threads, version of PyTorch and batch size. Raises
    Stopped.
    """
    set_threads(threads)
    key = f"{spec.name}, {platform.node()}, {describe_device(device)}, torch {torch.__version__}, batch {batch_size}"
    found = _remembered().get(key)
    if found is None:
        found = unless_out_of_memory(lambda: _Bench(spec, device, should_stop).fastest(batch_size))
        if found is None:  # not remembered: another time there may be more memory
            return Execution()
        with suppress(StudioError):  # a disk that refuses costs two seconds the next time
            write_json(_file(), _remembered() | {key: found})
    return found


def clearly_faster(
    challenger: Callable[[], float], incumbent: Callable[[], float], deadline: float, should_stop: ShouldStop
) -> bool:
    """Return whether the challenger takes clearly less time, as the median over interleaved rounds.

    Both do their work once and return the seconds it took. Nothing is clear if the deadline, on the monotonic clock,
    comes first. Raises Stopped.
    """
    challenger(), incumbent()  # the first call sets things up and is not counted
    ratios: list[float] = []
    started = time.monotonic()
    while (now := time.monotonic()) < started + TRIAL_S or len(ratios) < FEWEST_ROUNDS:
        if should_stop():
            raise Stopped
        if now >= deadline:
            return False
        ratios.append(challenger() / incumbent())
    return median(ratios) < 1 - CLEAR_GAIN


def _file() -> Path:
    return data_dir() / "execution.json"


def _remembered() -> dict[str, Execution]:
    """Return what was measured before; a file that is missing or damaged only means measuring again."""
    try:
        return read_json(_file(), dict[str, Execution])
    except StudioError:
        return {}


class _Bench:
    """A network with random weights, in both memory layouts, and noise to show it."""

    def __init__(self, spec: BackboneSpec, device: torch.device, should_stop: ShouldStop) -> None:
        self._device, self._should_stop = device, should_stop
        self._side = spec.preprocessing().crop_px
        plain = build_network(spec, torchvision_model(spec), CLASSES).to(device).train()
        last = copy.deepcopy(plain).to(memory_format=torch.channels_last)
        self._networks: dict[bool, Network] = {False: plain, True: last}
        self._deadline = time.monotonic() + LIMIT_S

    def fastest(self, batch_size: int) -> Execution:
        """Try one way after the other against the best so far."""
        best = Execution()
        size = self._fitting(batch_size)
        a_picture = self._seconds(best, 1)
        images = max(1, min(size, int(PASS_S / a_picture)))
        for changes in ({"channels_last": False}, {"precision": "bfloat16"}):
            other = msgspec.structs.replace(best, **changes)
            possible = other.precision == "float32" or knows_bfloat16(self._device)
            if possible and self._beats(other, images, best, images, a_picture) and self._answers_agree(other):
                best = other
        for smaller in (batch_size // 2, batch_size // 4):
            divides = 0 < smaller < size and batch_size % smaller == 0
            if divides and self._beats(best, smaller, best, size, a_picture):
                size = smaller
        return msgspec.structs.replace(best, micro_batch=size if size < batch_size else None)

    def _beats(self, one: Execution, one_images: int, other: Execution, other_images: int, a_picture: float) -> bool:
        """Compare the time a picture of passes of these sizes, if there is time; `a_picture` takes so many seconds."""
        needed = (one_images + other_images) * a_picture * (1 + FEWEST_ROUNDS)
        return time.monotonic() + needed < self._deadline and clearly_faster(
            lambda: self._seconds(one, one_images) / one_images,
            lambda: self._seconds(other, other_images) / other_images,
            self._deadline,
            self._should_stop,
        )

    def _seconds(self, execution: Execution, images: int) -> float:
        """Return how long learning from so many pictures takes, without the optimiser's own step."""
        network = self._networks[execution.channels_last]
        inputs = self._noise(images, execution)
        wanted = torch.zeros(images, dtype=torch.long, device=self._device)
        network.zero_grad(set_to_none=True)
        self._wait()
        started = time.perf_counter()
        with autocast(execution, self._device):
            logits = network(inputs).float()
        F.cross_entropy(logits, wanted).backward()  # type: ignore[no-untyped-call]
        self._wait()
        return time.perf_counter() - started

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        elif self._device.type == "mps":
            torch.mps.synchronize()

    def _noise(self, images: int, execution: Execution) -> Tensor:
        layout = torch.channels_last if execution.channels_last else torch.contiguous_format
        chance = torch.Generator().manual_seed(0)
        noise = torch.randn(images, 3, self._side, self._side, generator=chance)
        return noise.to(self._device).contiguous(memory_format=layout)

    def _answers_agree(self, execution: Execution) -> bool:
        """Return whether the network answers as it does in full precision."""
        network = self._networks[execution.channels_last].eval()
        inputs = self._noise(2, execution)
        with torch.inference_mode():
            exact = network(inputs)
            with autocast(execution, self._device):
                rough = network(inputs).float()
        network.train()
        # A comparison with a number that is none is false.
        return bool((rough - exact).norm() <= LOGITS_AGREE * exact.norm())

    def _fitting(self, batch_size: int) -> int:
        """Return the largest divisor of the batch size whose pass fits into memory."""
        sizes: dict[int, int] = {}

        def keep(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            self._seconds(Execution(), 1)
        weights = {p.untyped_storage().data_ptr() for p in self._networks[True].parameters()}
        a_picture = sum(size for place, size in sizes.items() if place not in weights)
        room = SHARE_OF_MEMORY * _memory_bytes(self._device)
        divisors = [size for size in range(batch_size, 0, -1) if batch_size % size == 0]
        return next((size for size in divisors if size * a_picture <= room), 1)


def knows_bfloat16(device: torch.device) -> bool:
    """Return whether the processor computes in bfloat16 by itself; elsewhere it is imitated, slowly."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        known = torch.cpu.get_capabilities()
        return bool(known.get("avx512_bf16") or known.get("amx_bf16") or known.get("bf16"))
    return False


def _memory_bytes(device: torch.device) -> float:
    """Return the memory a training may count on: what is free on the card, or what the computer has."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    if hasattr(os, "sysconf"):
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return float("inf")  # Windows does not tell without another library, and can move memory to the disk
