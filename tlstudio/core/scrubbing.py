"""Taking names out of text that leaves this computer: each is replaced, everywhere by the same word and number."""

from __future__ import annotations

import getpass
import json
import platform
import re
import unicodedata
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, Literal

Kind = Literal["class", "run", "folder", "picture", "user", "computer", "path", "file", "text"]
PUBLIC = frozenset({"", "/", "home", "users", "tlstudio", "runs", "train", "val", "test"})
"""Parts of paths that tell nothing about anybody."""
OWN_FILES = frozenset({"errors.log", "plan.json", "dataset.json", "split.json", "setup.json", "settings.json"})
SHORT = 4
"""Names with fewer letters are replaced only where they stand alone."""
_TOKEN = re.compile(r"(?:class|run|folder|picture|user|computer|path|file|text) \d+")
_PATH = re.compile(r"""(?<![^\s"'“‘(\[{=:,])(?:[A-Za-z]:[\\/]|\\\\|~?/)(?=\S)[^"”’\n]*?(?=["'”’\n]|:\s|$)""")
_QUOTED = re.compile(r"""“[^”]*”|"[^"\n]*"|(?<!\w)'[^'\n]*'|‘[^’\n]*’|«[^»\n]*»""")
_FILE = re.compile(
    r"[^\s\"'“”‘’()\[\]]+\.(?:jpe?g|png|tiff?|bmp|gif|webp|hei[cf]|avif|dcm|zip|csv|tsv|xlsx?|json|pth?|safetensors|onnx)"
    r"(?!\w)",
    re.IGNORECASE,
)
_CODE_LINE = re.compile(r'(\s*)File "([^"]*)", line (\d+)(?:, in (.*))?\s*')
_CODE_ROOTS = ("site-packages", "dist-packages", "tlstudio")


class Scrubber:
    """Knows the names it was told, and finds paths, file names and what stands in quotes by their form."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._counts: dict[Kind, int] = {}
        self.learn("user", getpass.getuser())
        self.learn("user", Path.home().name)
        self.learn("computer", platform.node())

    def learn(self, kind: Kind, name: str) -> str:
        """Return what is written instead of a name from now on."""
        key = name.lower()
        if key in self._known:
            return self._known[key]
        self._counts[kind] = number = self._counts.get(kind, 0) + 1
        if name:
            self._known |= dict.fromkeys((variant.lower() for variant in _variants(name)), f"{kind} {number}")
        return f"{kind} {number}"

    def learn_path(self, path: str, kind: Kind) -> None:
        """Learn the folders of a path and, as a `kind`, what it leads to."""
        whole: PurePath = PureWindowsPath(path) if "\\" in path else PurePosixPath(path)
        for part in whole.parts[:-1]:
            if part.lower() not in PUBLIC and part != whole.anchor:
                self.learn("folder", part)
        if whole.name.lower() not in PUBLIC:
            self.learn(kind, whole.name)
            if len(whole.stem) >= SHORT:
                self._known.setdefault(whole.stem.lower(), self._known[whole.name.lower()])

    def text(self, text: str) -> str:
        """Return a text for people without names."""
        text = self._without_known(text)
        text = _PATH.sub(lambda found: self.learn("path", found[0]), text)
        text = _QUOTED.sub(self._unquoted, text)
        return _FILE.sub(lambda found: found[0] if found[0] in OWN_FILES else self.learn("file", found[0]), text)

    def errors(self, text: str) -> str:
        """Return tracebacks without names; which lines of programs they passed through stays."""
        return "\n".join(self._error_line(line) for line in text.splitlines())

    def record(self, value: Any, open_fields: frozenset[str], field: str = "") -> Any:
        """Return what a record holds without names; fields that the app fills with words of its own are `open`."""
        match value:
            case str():
                return value if field in open_fields else self.text(value)
            case dict():
                return {key: self.record(inner, open_fields, key) for key, inner in value.items()}
            case list() | tuple():
                return [self.record(inner, open_fields, field) for inner in value]
        return value

    def _error_line(self, line: str) -> str:
        found = _CODE_LINE.fullmatch(line)
        if found is None:
            return self.text(line)
        indent, file, number, name = found.groups()
        where = f'{indent}File "{_code_file(file)}", line {number}'
        return f"{where}, in {name}" if name else where

    def _without_known(self, text: str) -> str:
        folded = text.lower()
        present = sorted((name for name in self._known if name in folded), key=len, reverse=True)
        if not present:
            return text
        alone = r"(?<![^\W_]){}(?![^\W_])"
        pattern = "|".join(re.escape(n) if len(n) >= SHORT else alone.format(re.escape(n)) for n in present)
        # Of letters whose capitals have another length nothing is known here; they are better gone than told.
        return re.sub(pattern, lambda found: self._known.get(found[0].lower(), "text 0"), text, flags=re.IGNORECASE)

    def _unquoted(self, found: re.Match[str]) -> str:
        inside = found[0][1:-1]
        if not inside or _TOKEN.fullmatch(inside):
            return found[0]
        return f"{found[0][0]}{self.learn('text', inside)}{found[0][-1]}"


def _variants(name: str) -> set[str]:
    """Return the forms in which a name may stand in a text: composed, decomposed and escaped."""
    forms = {unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name), name}
    escaped = {json.dumps(form)[1:-1] for form in forms} | {repr(form)[1:-1] for form in forms}
    raw = {repr(form.encode("utf-8", "surrogateescape"))[2:-1] for form in forms}
    return {form for form in forms | escaped | raw if form}


def _code_file(file: str) -> str:
    """Return a program's file from its package on; of any other, nothing but that it is one."""
    parts = re.split(r"[\\/]", file)
    for root in _CODE_ROOTS:
        if root in parts:
            return "/".join(parts[parts.index(root) :])
    library = next((part for part in parts if part.startswith("python3.")), None)
    return "/".join(parts[parts.index(library) :]) if library else "another program"
