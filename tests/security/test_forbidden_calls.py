"""Nothing anywhere runs code from a file, takes a file's text for mark-up, or speaks to another computer."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_imports import PROGRAMS, ROOT, named_imports, shown, within

TEXTS = sorted((ROOT / "resources").rglob("*.py.txt"))
"""What exports carry along."""
DOWNLOAD = "tlstudio/engine/download.py"
"""The one door to the network."""

CODE_RUNNERS = {
    "pickle", "cPickle", "_pickle", "pickletools", "dill", "cloudpickle", "joblib", "marshal", "shelve", "code",
    "codeop", "runpy", "yaml", "torch.package", "torch.hub", "numpy.lib.format",
}  # fmt: skip
UNCHECKED_READERS = {"xml", "lxml", "xmlrpc", "plistlib", "tarfile", "PySide6.QtXml", "PySide6.QtSvgWidgets"}
"""Readers that trust what they read: entities that grow without end, names that lead out of a folder."""
NETWORK = {
    "socket", "socketserver", "ssl", "http", "urllib", "urllib3", "requests", "httpx", "aiohttp", "ftplib", "smtplib",
    "telnetlib", "asyncio", "PySide6.QtNetwork", "PySide6.QtWebEngineCore", "PySide6.QtWebEngineWidgets",
    "multiprocessing.connection", "multiprocessing.managers",
}  # fmt: skip
FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "os.system", "os.popen", "os.startfile", "subprocess.getoutput",
    "subprocess.getstatusoutput", "numpy.load", "np.load", "torch.jit.load", "torch.hub.load",
    "torch.hub.load_state_dict_from_url", "torch.package.PackageImporter", "torch.export.load",
    "torch.ops.load_library", "shutil.unpack_archive", "webbrowser.open",
}  # fmt: skip
FORBIDDEN_NAMES = {
    # Qt's settings and streams rebuild Python objects with pickle.
    "QSettings", "QDataStream",
    # They take text for mark-up, or run it.
    "RichText", "AutoText", "MarkdownText", "setHtml", "insertHtml", "appendHtml", "setMarkdown", "insertMarkdown",
    "QTextBrowser", "QWebEngineView", "QJSEngine", "QQmlEngine", "QUiLoader", "setOpenExternalLinks",
    # They decode foreign pictures inside the window's process.
    "QImageReader", "QMovie", "loadFromData", "fromData",
    # They write wherever an archive wants.
    "extractall", "extract",
    "register_custom_ops_library",
}  # fmt: skip


def dotted(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{dotted(value)}.{attr}"
        case _:
            return "?"


def dangerous(tree: ast.Module, speaks_to_others: bool = False) -> Iterator[str]:
    """Yield every import, call and name by which a file could do more than be read."""
    forbidden = CODE_RUNNERS | UNCHECKED_READERS | (set() if speaks_to_others else NETWORK)
    for name in named_imports(ast.walk(tree)):
        if within(name, forbidden | FORBIDDEN_CALLS) and name != "socket":
            yield f"import {name}"
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="socket"), attr=attr) if attr != "socketpair":
                yield f"socket.{attr}"
            case ast.Attribute(attr=name) | ast.Name(id=name) | ast.alias(name=name) if name in FORBIDDEN_NAMES:
                yield name
            case ast.Call():
                yield from _dangerous_call(node)


def _dangerous_call(node: ast.Call) -> Iterator[str]:
    called = dotted(node.func)
    options = {keyword.arg: keyword.value for keyword in node.keywords}
    if called in FORBIDDEN_CALLS:
        yield called
    if called == "torch.load" and not _is_true(options.get("weights_only")):
        yield "torch.load without weights_only=True"
    for option in ("shell", "allow_pickle", "trust_repo"):
        value = options.get(option)
        if value is not None and not (isinstance(value, ast.Constant) and value.value is False):
            yield f"{called} with {option}"
    if called.endswith(".openUrl") and not _is_local_folder(node.args):
        yield f"{called} of something that may be no folder of this computer"


def _is_true(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Constant) and value.value is True


def _is_local_folder(arguments: list[ast.expr]) -> bool:
    """Return whether the one argument is QUrl.fromLocalFile(str(….parent)): a folder is shown, no file is started."""
    match arguments:
        case [ast.Call(func=made, args=[ast.Call(func=ast.Name(id="str"), args=[ast.Attribute(attr="parent")])])]:
            return dotted(made) == "QUrl.fromLocalFile"
    return False


@pytest.mark.parametrize("path", [*PROGRAMS, *TEXTS], ids=shown)
def test_no_program_of_ours_can_be_talked_into_it(path: Path):
    tree = ast.parse(path.read_text("utf-8"), str(path))
    assert not list(dangerous(tree, speaks_to_others=shown(path) == DOWNLOAD))


def test_what_exports_carry_is_looked_at():
    assert [path.name for path in TEXTS] == ["export_main.py.txt"]


@pytest.mark.parametrize(
    "program",
    [
        "import pickle", "from joblib import load", "import dill", "from marshal import loads", "import shelve",
        "import yaml", "import numpy.lib.format", "from torch.hub import load", "from torch import hub",
        "eval(text)", "exec(text)", "compile(text, name, 'exec')", "os.system('x')",
        "torch.load(f)", "torch.load(f, weights_only=False)", "torch.load(f, weights_only=safe)", "torch.jit.load(f)",
        "load(f, allow_pickle=True)", "np.load(f)", "subprocess.run(x, shell=True)", "subprocess.run(x, shell=why)",
        "import xml.etree.ElementTree", "from xml.dom import minidom", "from lxml import etree", "import tarfile",
        "archive.extractall(folder)", "archive.extract(name)", "shutil.unpack_archive(a, b)",
        "from PySide6.QtCore import QSettings", "QtCore.QSettings(path, form)", "QDataStream(content)",
        "label.setTextFormat(Qt.TextFormat.RichText)", "view.setHtml(text)", "QTextBrowser()",
        "from PySide6.QtGui import QImageReader", "pixmap.loadFromData(content)",
        "QDesktopServices.openUrl(QUrl(text))", "QDesktopServices.openUrl(QUrl.fromLocalFile(name))",
        "QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))",
        "import urllib.request", "from http.client import HTTPSConnection", "import requests", "import ssl",
        "from socket import create_connection", "socket.create_connection(place)", "s = socket.socket()",
        "from PySide6.QtNetwork import QNetworkAccessManager",
    ],
)  # fmt: skip
def test_the_check_itself_finds_what_it_should(program: str):
    assert list(dangerous(ast.parse(program)))


@pytest.mark.parametrize(
    "program",
    [
        "net.eval()", "torch.load(f, weights_only=True)", "re.compile(x)", "box.exec()", "run(x, shell=False)",
        "import socket", "socket.socketpair()", "label.setTextFormat(Qt.TextFormat.PlainText)",
        "QDesktopServices.openUrl(QUrl.fromLocalFile(str(path.parent)))",
    ],
)  # fmt: skip
def test_the_check_itself_leaves_the_rest_alone(program: str):
    assert not list(dangerous(ast.parse(program)))


def test_only_the_download_may_speak_to_others():
    program = ast.parse("from urllib.request import build_opener")
    assert list(dangerous(program)) and not list(dangerous(program, speaks_to_others=True))
    assert (ROOT / DOWNLOAD).is_file()
