"""Which weights lie on this computer, told from names and sizes alone. The engine verifies contents when it loads.

An index beside the files remembers every file that was accepted, with its hash. It is sealed twice, so that damage to
one copy loses no hash; without it files are still found by their names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from tlstudio.core.backbones import BACKBONES, BackboneSpec, WeightsSpec
from tlstudio.core.decoding import from_json
from tlstudio.core.durable import sealed_twice, unsealed_twice, write_bytes
from tlstudio.core.paths import resource_path, weights_dir

SUFFIXES = (".pth", ".pt", ".safetensors")
MODERATE_GIGA_OPS = 5.0
"""Backbones up to this many multiply-adds a picture (10^9) stay usable on a computer without a GPU."""


class WeightsFile(msgspec.Struct, frozen=True):
    """A file in the weights folder. `sha256` is empty until the engine has accepted the file."""

    path: Path
    sha256: str
    name: str
    """A name of the table such as "IMAGENET1K_V1", or "imported" and the name of the user's file."""
    backbone: str


class _Entry(msgspec.Struct, frozen=True):
    file: str
    sha256: str
    backbone: str
    name: str
    size_bytes: int


def remember(path: Path, sha256: str, backbone: str, name: str) -> WeightsFile:
    """Record a file of the weights folder as accepted, newest last. Raises StudioError if the disk refuses."""
    entries = _accepted()
    entries.pop(path.name, None)
    entries[path.name] = _Entry(path.name, sha256, backbone, name, path.stat().st_size)
    write_bytes(_index_file(), sealed_twice(msgspec.json.encode(list(entries.values()))))
    return WeightsFile(path, sha256, name, backbone)


def recorded(path: Path) -> WeightsFile | None:
    """Return what was recorded when this file of the weights folder was accepted; None for any other file."""
    if not in_weights_folder(path):
        return None
    entry = _accepted().get(path.name)
    return _weights_file(entry) if entry else None


def in_weights_folder(path: Path) -> bool:
    """Tell whether a file lies in the weights folder."""
    return path.parent.resolve() == weights_dir().resolve()


def imported_name(file: Path) -> str:
    """Return how weights of a user's file are called."""
    return f"imported {file.stem}"


def weights_file_for(spec: BackboneSpec) -> WeightsFile | None:
    """Return the weights to use for a backbone, or None if there are none on this computer.

    The file accepted last wins. Then come files somebody put into the folder: those named as in the table, in its
    order, and the newest of those named after the backbone, such as "resnet18.pth" or "resnet18-moths.safetensors".
    What the app brings along comes last.
    An accepted file that no longer has its size is passed over.
    """
    folder, accepted = weights_dir(), _accepted()
    for entry in reversed(accepted.values()):
        path = folder / entry.file
        if entry.backbone == spec.name and path.is_file() and path.stat().st_size == entry.size_bytes:
            return _weights_file(entry)
    for known in spec.weights:
        path = folder / known.file
        if known.file not in accepted and path.is_file():
            return WeightsFile(path, "", known.name, spec.name)
    named = [path for path in folder.iterdir() if _named_after(spec, path) and path.name not in accepted]
    if named:
        newest = max(named, key=lambda path: path.stat().st_mtime_ns)
        return WeightsFile(newest, "", imported_name(newest), spec.name)
    return _built_in(spec)


def weights_present(spec: BackboneSpec) -> bool:
    """Tell whether weights for this backbone are on this computer."""
    return weights_file_for(spec) is not None


def best_present() -> BackboneSpec:
    """Return the backbone to use where nobody chose one.

    Of the backbones present it is the most accurate on ImageNet among those of moderate size; larger ones only
    where there is no other, because without a GPU they would be painfully slow. Built-in weights come last.
    """
    return max((spec for spec in BACKBONES if weights_present(spec)), key=_rank)


def backbone_rows() -> list[dict[str, Any]]:
    """Return the table for people and scripts, one dict a backbone; figures are those of the weights in use."""
    rows = []
    for spec in BACKBONES:
        file, weights = weights_file_for(spec), weights_in_use(spec)
        rows.append(
            {
                "name": spec.name,
                "title": spec.title,
                "parameters": spec.parameters,
                "download_mb": weights.download_mb,
                "input_px": weights.crop_px,
                "imagenet_top1": weights.imagenet_top1,
                "licence": weights.licence,
                "present": file is not None,
                "file": str(file.path) if file else None,
            }
        )
    return rows


def _rank(spec: BackboneSpec) -> tuple[bool, bool, float]:
    weights = weights_in_use(spec)
    return not weights.built_in, spec.giga_ops <= MODERATE_GIGA_OPS, weights.imagenet_top1 or 0.0


def found_again(path: Path) -> Path:
    """Return where a weights file is now: what the app brings along, or lies in its weights folder, moves with it."""
    try:
        shipped = [resource_path(f"backbones/{path.name}")]
    except FileNotFoundError:
        shipped = []
    return next((place for place in (path, weights_dir() / path.name, *shipped) if place.is_file()), path)


def _built_in(spec: BackboneSpec) -> WeightsFile | None:
    for known in spec.weights:
        if known.built_in:
            return WeightsFile(resource_path(f"backbones/{known.file}"), "", known.name, spec.name)
    return None


def weights_in_use(spec: BackboneSpec) -> WeightsSpec:
    """Return the table's weights that lie on this computer; the first of the row for imported or absent ones."""
    file = weights_file_for(spec)
    return next((known for known in spec.weights if file and known.name == file.name), spec.weights[0])


def _named_after(spec: BackboneSpec, path: Path) -> bool:
    named = path.stem == spec.name or path.stem.startswith(f"{spec.name}-")
    return named and path.suffix.lower() in SUFFIXES and path.is_file()


def _index_file() -> Path:
    return weights_dir() / "weights.json"


def _accepted() -> dict[str, _Entry]:
    """Return the index by file name, newest last; an unreadable one counts as empty, since names find files too."""
    try:
        content = _index_file().read_bytes()
        line = unsealed_twice(content)  # older versions did not seal it
        entries = from_json(content if line is None else line, list[_Entry])
    except (OSError, msgspec.DecodeError):
        return {}
    return {entry.file: entry for entry in entries}


def _weights_file(entry: _Entry) -> WeightsFile:
    return WeightsFile(weights_dir() / entry.file, entry.sha256, entry.name, entry.backbone)
