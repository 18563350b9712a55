"""Tables for spreadsheets, as CSV that no spreadsheet takes for formulas."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from tlstudio.core.dataset import FileStatus


def csv_text(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return the table with a line of titles. Texts that look like formulas get a leading apostrophe."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(titles)
    table.writerows([cell(value) for value in row] for row in rows)
    return text.getvalue()


def files_csv(files: Iterable[FileStatus]) -> str:
    """Return path, status, code and message of files."""
    rows = ((path_cell(file.path), file.status, file.code, file.message) for file in files)
    return csv_text(("path", "status", "code", "message"), rows)


def cell(text: str) -> str:
    """Return the text so that spreadsheets show it and never run it."""
    return f"'{text}" if _looks_like_formula(text) else text


def path_cell(path: str) -> str:
    """Return the path so that spreadsheets never run it and programs can still open it."""
    return f"./{path}" if _looks_like_formula(path) else path


def _looks_like_formula(text: str) -> bool:
    return text.startswith(("=", "+", "-", "@", "\t", "\r"))
