"""Reading weights that others made: verified at every load, and never running anything a file brings along."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn

from tlstudio.core.backbones import BACKBONES, BackboneSpec, WeightsSpec
from tlstudio.core.durable import sha256_of, write_bytes
from tlstudio.core.errors import StudioError
from tlstudio.core.events import Emit, Progress, ShouldStop, Stopped
from tlstudio.core.paths import weights_dir
from tlstudio.core.weights_folder import (
    WeightsFile,
    imported_name,
    in_weights_folder,
    recorded,
    remember,
    weights_file_for,
)
from tlstudio.engine.networks import build_network, torchvision_model

MAX_BYTES = 2 * 1024**3
"""Far above every row of the table; what is larger is refused before it fills the memory."""
ZIP_START = b"PK\x03\x04"
LEGACY_START = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""How files of PyTorch before 1.6 begin; several of torchvision's are still of that kind."""
WRAPPERS = ("state_dict", "model_state_dict", "model")
MAX_WRAPPED = 4
"""Tables in tables are followed so deep; one may hold itself."""
PARALLEL_PREFIX = "module."
BATCH_COUNTER = "num_batches_tracked"
# Names that torchvision's files still carry, and what its models call the same parts today.
RENAMED = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\."), r"\1\2."),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_1\."), r"\1.0."),
    (re.compile(r"(encoder_layer_\d+\.mlp)\.linear_2\."), r"\1.3."),
)


@dataclass(frozen=True)
class ResolvedWeights:
    """Verified weights of a backbone. `name` is one of the table's where the content proves it."""

    path: Path
    sha256: str
    name: str
    state: dict[str, Tensor]


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a .pth, .pt or .safetensors file by name: on the CPU, finite, floats as float32.

    Raises StudioError for anything else, whatever its name ends with.
    """
    return _tensors(path.name, _content(path))


def guess_backbone(state: Mapping[str, Tensor]) -> BackboneSpec | None:
    """Return the backbone that these weights fit, or None."""
    current = _with_current_names(state)
    return next((spec for spec in BACKBONES if not _misfit(spec, current)), None)


def load_into(model: nn.Module, spec: BackboneSpec, state: Mapping[str, Tensor]) -> None:
    """Put weights into torchvision's model of that row.

    Everything the blocks need must be there in the right shape, and nothing they do not know. The old classifier is
    taken where it fits and may otherwise be missing or of another size. Raises StudioError, the model untouched.
    """
    current = _with_current_names(state)
    _require_fit(spec, current)
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    fitting = {key: value for key, value in current.items() if shapes.get(key) == value.shape}
    model.load_state_dict(fitting, strict=False)


def resolve(spec: BackboneSpec, chosen: Path | None) -> ResolvedWeights:
    """Return the weights of the file that was chosen, or of the best file in the weights folder.

    The hash is that of the very bytes that are loaded. It is compared with the file's name where the table knows that
    name, and with what was recorded when the file was accepted. Raises StudioError if there is no file, or if it is
    damaged, no weights file or of another backbone.
    """
    path = chosen.absolute() if chosen else _present_file(spec)
    content = _content(path)
    digest = hashlib.sha256(content).hexdigest()
    accepted = recorded(path)
    _require_undamaged(path, digest, accepted)
    state = _tensors(path.name, content)
    _require_fit(spec, _with_current_names(state))
    known = _known(spec, digest)
    name = known.name if known else accepted.name if accepted else imported_name(path)
    if in_weights_folder(path) and not accepted:
        remember(path, digest, spec.name, name)
    return ResolvedWeights(path, digest, name, state)


def import_weights(file: Path, emit: Emit, should_stop: ShouldStop) -> WeightsFile:
    """Copy a user's weights file into the weights folder and return the copy.

    The copy is named after its backbone and its hash, so it never takes the place of other weights. Raises
    StudioError if the file fits no backbone, Stopped.
    """

    def step(done: int) -> None:
        if should_stop():
            raise Stopped
        emit(Progress(what=f"Importing {file.name}", done=done, total=3))

    step(0)
    content = _content(file)
    digest = hashlib.sha256(content).hexdigest()
    _require_undamaged(file, digest, accepted=None)
    step(1)
    spec = guess_backbone(_tensors(file.name, content))
    if spec is None:
        raise StudioError(
            f"“{file.name}” holds weights, but fits none of the backbones.",
            "`tlstudio backbones` lists those that work.",
        )
    step(2)
    known = _known(spec, digest)
    suffix = ".pth" if _is_torch_file(content) else ".safetensors"
    target = weights_dir() / (known.file if known else f"{spec.name}-{digest[:8]}{suffix}")
    if not target.is_file() or sha256_of(target) != digest:
        write_bytes(target, content)
    accepted = remember(target, digest, spec.name, known.name if known else imported_name(file))
    emit(Progress(what=f"Importing {file.name}", done=3, total=3))
    return accepted


def _present_file(spec: BackboneSpec) -> Path:
    present = weights_file_for(spec)
    if present is None:
        raise StudioError(
            f"There are no weights for {spec.title} on this computer yet.",
            f"Press Download in the wizard, name a file with --weights FILE, or put {spec.weights[0].file} into "
            f"{weights_dir()}. `tlstudio backbones` lists what is here.",
        )
    return present.path


def _known(spec: BackboneSpec, digest: str) -> WeightsSpec | None:
    return next((known for known in spec.weights if digest.startswith(known.sha256_start)), None)


def _require_undamaged(path: Path, digest: str, accepted: WeightsFile | None) -> None:
    starts = [known.sha256_start for spec in BACKBONES for known in spec.weights if known.file == path.name]
    if accepted:
        starts.append(accepted.sha256)
    if not all(digest.startswith(start) for start in starts):
        raise StudioError(
            f"“{path.name}” is damaged: its content has changed since it was made.", "Download or import it again."
        )


def _content(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise StudioError(f"There is no weights file {path}.", "Check its name, or choose another file.")
        if path.stat().st_size > MAX_BYTES:
            raise StudioError(f"“{path.name}” is too large to be the weights of a backbone.", "Choose another file.")
        return path.read_bytes()
    except OSError as error:
        raise StudioError(
            f"“{path}” could not be read: {error.strerror or error}.", "Check the disk it is on, then try again."
        ) from error


def _is_torch_file(content: bytes) -> bool:
    return content.startswith((ZIP_START, LEGACY_START))


def _is_safetensors(content: bytes) -> bool:
    return content[8:9] == b"{" and int.from_bytes(content[:8], "little") <= len(content) - 8


def _tensors(file_name: str, content: bytes) -> dict[str, Tensor]:
    if _is_torch_file(content):
        found = _read_torch(file_name, content)
    elif _is_safetensors(content):
        found = _read_safetensors(file_name, content)
    else:
        raise StudioError(
            f"“{file_name}” is not a weights file.", "Choose a .pth, .pt or .safetensors file with weights of PyTorch."
        )
    state = _unwrapped(found)
    if not state or not all(isinstance(key, str) and _is_plain(value) for key, value in state.items()):
        raise StudioError(f"“{file_name}” holds something other than the weights of a network.", "Choose another file.")
    # Tensors may repeat one number without end, so their size says nothing about the file's.
    if sum(value.numel() for value in state.values()) > MAX_BYTES // 4:
        raise StudioError(f"“{file_name}” is too large to be the weights of a backbone.", "Choose another file.")
    tensors = {key: _as_float32(value.detach()) for key, value in state.items()}
    if not all(bool(torch.isfinite(value).all()) for value in tensors.values()):
        raise StudioError(
            f"“{file_name}” holds numbers that are infinite or undefined.",
            "The training that made it went wrong: choose another file.",
        )
    return _without_prefix(tensors)


def _read_torch(file_name: str, content: bytes) -> Any:
    try:
        if content.startswith(ZIP_START):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                if sum(member.file_size for member in archive.infolist()) > MAX_BYTES:
                    raise _damaged(file_name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they speak to programmers
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except StudioError:
        raise
    # Foreign bytes can make the reader fail in any way; each means that this file cannot be used.
    except Exception as error:
        if "GLOBAL" in str(error) or "TorchScript" in str(error):
            raise StudioError(
                f"“{file_name}” holds a whole program, not only weights, so it was not opened.",
                "Save the network's state_dict in PyTorch and choose that file.",
            ) from error
        raise _damaged(file_name) from error


def _read_safetensors(file_name: str, content: bytes) -> dict[str, Tensor]:
    try:
        return dict(load_safetensors(content))
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise _damaged(file_name) from error


def _damaged(file_name: str) -> StudioError:
    return StudioError(f"“{file_name}” is damaged or was only partly copied.", "Copy or download it again.")


def _unwrapped(found: Any) -> dict[str, Any]:
    """Return the innermost table of names: checkpoints often hold the weights beside other records."""
    state: dict[str, Any] = found if isinstance(found, dict) else {}
    for _ in range(MAX_WRAPPED):
        state = next((state[wrapper] for wrapper in WRAPPERS if isinstance(state.get(wrapper), dict)), state)
    return state


def _is_plain(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not (value.is_quantized or value.is_nested or value.is_complex())
    )


def _as_float32(value: Tensor) -> Tensor:
    return value.float() if value.is_floating_point() else value


def _without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    if all(key.startswith(PARALLEL_PREFIX) for key in state):
        return {key.removeprefix(PARALLEL_PREFIX): value for key, value in state.items()}
    return state


def _with_current_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = {}
    for key, value in state.items():
        for old, new in RENAMED:
            key = old.sub(new, key)
        renamed[key] = value
    return renamed


@dataclass(frozen=True)
class _Expected:
    """The tensors of torchvision's model of a row."""

    tensors: dict[str, tuple[torch.Size, bool]]
    """Shape, and whether the numbers are floats."""
    needed: frozenset[str]
    """Names of those in the blocks."""
    optional_parts: frozenset[str]
    """Top-level modules outside the blocks: the old classifier and the parts left out."""


@cache
def _expected(spec: BackboneSpec) -> _Expected:
    with torch.random.fork_rng(devices=[]):  # building a model draws numbers that no run may miss
        model = _without_memory(spec)
        blocks = build_network(spec, model, classes=1).blocks
    in_blocks = {id(value) for value in blocks.state_dict(keep_vars=True).values()}
    tensors = model.state_dict(keep_vars=True)
    needed = frozenset(key for key, value in tensors.items() if id(value) in in_blocks)
    return _Expected(
        {key: (value.shape, value.is_floating_point()) for key, value in tensors.items()},
        needed,
        frozenset(key.partition(".")[0] for key in tensors.keys() - needed) | set(spec.unused),
    )


def _without_memory(spec: BackboneSpec) -> nn.Module:
    """Return torchvision's model for its shapes alone."""
    try:
        with torch.device("meta"):
            return torchvision_model(spec)
    except NotImplementedError:  # RegNet calculates its widths with tensors, which takes real ones
        return torchvision_model(spec)


def _misfit(spec: BackboneSpec, state: Mapping[str, Tensor]) -> str:
    """Return in what way weights with current names do not fit a backbone, in words; nothing if they do."""
    expected = _expected(spec)
    missing = [key for key in expected.needed - state.keys() if not key.endswith(BATCH_COUNTER)]
    if missing:
        return f"{len(missing)} of its {len(expected.needed)} parts are missing, such as {min(missing)}"
    for key in sorted(expected.needed & state.keys()):
        if (state[key].shape, state[key].is_floating_point()) != expected.tensors[key]:
            return f"{key} has another size"
    unknown = [
        key for key in state.keys() - expected.tensors.keys() if key.partition(".")[0] not in expected.optional_parts
    ]
    return f"it also holds {min(unknown)}" if unknown else ""


def _require_fit(spec: BackboneSpec, state: Mapping[str, Tensor]) -> None:
    """Raise StudioError if weights with current names do not fit; where they fit another backbone, say which."""
    misfit = _misfit(spec, state)
    if not misfit:
        return
    other = guess_backbone(state)
    if other:
        raise StudioError(
            f"This file holds {other.title} weights, not {spec.title}.",
            f"Choose the backbone {other.title}, or another file.",
        )
    raise StudioError(f"This file does not fit {spec.title}: {misfit}.", "Choose another file.")
