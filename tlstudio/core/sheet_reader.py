"""Spreadsheets, read by a process of its own: one that claims to be endless takes nothing else along."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import msgspec

from tlstudio.core.errors import StudioError, shown

MEMORY_BYTES = 2**30
MAX_TEXT_BYTES = 64 * 2**20
LIMIT_S = 60.0
_TOO_LARGE = "it is far larger than a table of pictures"
_HINT = "Save it as CSV, then choose that file."


class _Answer(msgspec.Struct, frozen=True):
    rows: list[list[str]] = []
    problem: str = ""


def sheet_rows(content: bytes, name: str) -> list[list[str]]:
    """Return the first sheet that has rows, as text. Raises StudioError for what is no spreadsheet or too large."""
    frozen = getattr(sys, "frozen", False)
    package_home = str(Path(__file__).resolve().parents[2])
    search = os.pathsep.join(filter(None, (package_home, os.environ.get("PYTHONPATH"))))
    try:
        ran = subprocess.run(
            (sys.executable, "--sheet-worker") if frozen else (sys.executable, "-m", "tlstudio", "--sheet-worker"),
            input=content,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=LIMIT_S,
            env=os.environ | {"PYTHONPATH": search},
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        answer = _Answer(problem=_TOO_LARGE) if ran.returncode else msgspec.msgpack.decode(ran.stdout, type=_Answer)
    except subprocess.TimeoutExpired:
        answer = _Answer(problem="it takes too long")
    if answer.problem:
        raise StudioError(f"The spreadsheet “{shown(name)}” cannot be read: {answer.problem}.", _HINT)
    return answer.rows


def main() -> NoReturn:
    """Read a spreadsheet from standard input, write its rows, end the process."""
    if sys.platform == "linux":  # elsewhere the system refuses what is not there
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.stdout.buffer.write(msgspec.msgpack.encode(_read(sys.stdin.buffer.read())))
    sys.stdout.buffer.flush()
    os._exit(0)


def _read(content: bytes) -> _Answer:
    from python_calamine import CalamineError, load_workbook

    try:
        book = load_workbook(io.BytesIO(content))
        for sheet in book.sheet_names:
            rows = [[_cell(value) for value in row] for row in book.get_sheet_by_name(sheet).to_python()]
            if rows:
                fits = sum(len(cell) for row in rows for cell in row) <= MAX_TEXT_BYTES
                return _Answer(rows) if fits else _Answer(problem=_TOO_LARGE)
    except (CalamineError, ValueError, OSError) as error:
        return _Answer(problem=str(error))
    return _Answer()


def _cell(value: object) -> str:
    """Return a cell as text; a whole number has no point."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
