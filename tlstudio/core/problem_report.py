"""A report of a problem: what whoever mends the app needs to know, without pictures and without names."""

from __future__ import annotations

import io
import json
import os
import platform
import re
import zipfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from tlstudio import __version__
from tlstudio.core import unexpected
from tlstudio.core.durable import read_generation, write_bytes
from tlstudio.core.errors import StudioError
from tlstudio.core.paths import settings_file
from tlstudio.core.run_history import notes_of
from tlstudio.core.runfolder import RunFolder
from tlstudio.core.scrubbing import Scrubber

SHOWN_PACKAGES = ("torch", "torchvision", "PySide6-Essentials", "numpy", "pillow", "scikit-learn", "onnxruntime")
OPEN_FIELDS = frozenset(
    {
        "event", "name", "kind", "stage", "stages", "regime", "backbone", "head", "optimiser", "precision", "device",
        "status", "cause", "code", "verdict", "block", "weights_sha256",
    }
)  # fmt: skip
"""Fields of plans and events that the app fills with words of its own."""
WHAT_IT_IS = """\
A problem report of Transfer Learning Studio.

It was made on this computer and sent nowhere: read it, then give it to whom you like.
It holds no pictures. Names of classes, folders, pictures, runs, of the computer and of its user are replaced by
numbers: the same name by the same number everywhere.
"""
_SETTING_WORD = re.compile(r"[a-z][a-z-]{0,20}")


class ReportPart(NamedTuple):
    """One file of the report."""

    name: str
    text: str


def problem_report(run: RunFolder | None, others: Sequence[RunFolder] = ()) -> list[ReportPart]:
    """Return the report's files; `run` is the one it is about, names are also taken from the `others`."""
    scrubber = Scrubber()
    for known in ([run] if run else []) + [other for other in others if run is None or other.path != run.path]:
        _learn(scrubber, known)
    settings = _settings()
    for folder in settings.get("folders", {}).values():
        scrubber.learn_path(str(folder), "folder")
    parts = [
        ReportPart("read me.txt", WHAT_IT_IS),
        ReportPart("versions.txt", f"{versions_text()}\n{os.cpu_count()} processor cores\n"),
        ReportPart("settings.json", _indented(_plain_settings(settings))),
        ReportPart("errors.txt", scrubber.errors(unexpected.noted()) or "No unexpected errors were noted."),
    ]
    if run is not None:
        parts += [ReportPart("plan.json", _plan(scrubber, run)), ReportPart("events.jsonl", _events(scrubber, run))]
    return parts


def write_report(parts: Sequence[ReportPart], file: Path) -> None:
    """Write the report as one zip archive. Raises StudioError if the disk refuses."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for part in parts:
            packed.writestr(part.name, part.text)
    write_bytes(file, archive.getvalue())


def versions_text() -> str:
    """Return the versions of everything that matters, one a line."""
    lines = [f"Transfer Learning Studio {__version__}", f"Python {platform.python_version()}", platform.platform()]
    for name in SHOWN_PACKAGES:
        try:
            lines.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            lines.append(f"{name} is not installed")
    return "\n".join(lines)


def _learn(scrubber: Scrubber, run: RunFolder) -> None:
    """Learn every name that a run knows."""
    try:
        index = run.dataset()
    except StudioError:
        index = None
    try:
        started = run.summary()[0]
    except StudioError:
        started = None
    for name in (*(index.classes if index else ()), *(started.classes if started else ())):
        scrubber.learn("class", name)
    scrubber.learn_path(str(run.path.absolute()), "run")
    if started:  # the folder may have another name since
        scrubber.learn("run", started.run)
    try:
        notes = notes_of(run)
    except StudioError:
        notes = None
    for name in (notes.name, *notes.tags) if notes else ():
        scrubber.learn("run", name)
    if index:
        for folder in index.folders:
            scrubber.learn_path(folder, "folder")
        for image in index.images:
            scrubber.learn_path(image.path, "picture")
        for problem in (*index.problems, *index.ignored):
            scrubber.learn_path(problem.path, "picture")


def _plan(scrubber: Scrubber, run: RunFolder) -> str:
    try:
        return _indented(scrubber.record(msgspec.to_builtins(run.plan()), OPEN_FIELDS))
    except StudioError as error:
        return scrubber.text(str(error))


def _events(scrubber: Scrubber, run: RunFolder) -> str:
    lines = []
    try:
        for event in run.events():
            lines.append(json.dumps(scrubber.record(msgspec.to_builtins(event), OPEN_FIELDS)))
    except StudioError as error:
        lines.append(scrubber.text(str(error)))
    return "\n".join(lines)


def _settings() -> dict[str, Any]:
    try:
        kept, _ = read_generation(settings_file(), dict[str, Any])
    except OSError:
        kept = None
    return kept or {}


def _plain_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers and single words among the settings: nothing that a user may have typed as a name."""
    plain = {}
    for kind in ("numbers", "choices"):
        kept = settings.get(kind)
        values = kept.items() if isinstance(kept, dict) else ()
        plain[kind] = {
            key: value
            for key, value in values
            if isinstance(value, int) or (isinstance(value, str) and _SETTING_WORD.fullmatch(value))
        }
    return plain


def _indented(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)
