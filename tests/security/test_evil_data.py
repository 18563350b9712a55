"""Archives, tables, set-ups, names and pictures that mean harm, through the command line."""

from __future__ import annotations

import csv
import io
import json
import os
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from PIL import Image, PngImagePlugin

from tests.core.test_labels_table import write_sheet
from tests.factories import class_folders, draw
from tests.security.conftest import assert_plain
from tlstudio.cli import main
from tlstudio.core import jobs
from tlstudio.core.dataset_setup import DatasetSetup
from tlstudio.core.durable import write_json
from tlstudio.core.events import ignore, never
from tlstudio.core.runfolder import RunFolder
from tlstudio.engine.perform import perform

# --- archives --------------------------------------------------------------------------------------------------------


def packed(entries: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return content.getvalue()


def link() -> bytes:
    content, entry = io.BytesIO(), zipfile.ZipInfo("a/1.png")
    entry.create_system, entry.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    return content.getvalue()


def overlapping(entries: int, size_bytes: int) -> bytes:
    """Return an archive all of whose entries are the same few bytes, which grow to a size each."""
    data = zlib.compress(bytes(size_bytes), 9)[2:-4]
    crc = zlib.crc32(bytes(size_bytes))
    sizes = struct.pack("<III", crc, len(data), size_bytes)
    name = b"a/%07d.bmp"
    local = b"PK\3\4" + struct.pack("<HHHHH", 20, 0, 8, 0, 0x21) + sizes + struct.pack("<HH", 13, 0) + name % 0
    entry = b"PK\1\2" + struct.pack("<HHHHHH", 20, 20, 0, 8, 0, 0x21) + sizes
    entry += struct.pack("<HHHHHII", 13, 0, 0, 0, 0, 0, 0)
    directory = b"".join(entry + name % number for number in range(entries))
    start = len(local) + len(data)
    end64 = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, entries, entries, len(directory), start)
    locator = b"PK\6\7" + struct.pack("<IQI", 0, start + len(directory), 1)
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return local + data + directory + end64 + locator + end


def locked() -> bytes:
    content = bytearray(packed({"a/1.png": b"x"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    return bytes(content)


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "leads out": lambda: packed({"../../evil.png": b"x"}),
    "absolute": lambda: packed({"/tmp/evil.png": b"x"}),
    "a drive": lambda: packed({"C:\\Windows\\evil.png": b"x"}),
    "a link": link,
    "one place twice": lambda: packed({"a/1.png": b"", "a/1.png/2.png": b""}),
    "locked": locked,
    "grows": lambda: overlapping(1, 2**29),
    "overlaps": lambda: overlapping(1000, 2**20),
    "a file for a folder": lambda: packed({f"{'d/' * 600}1.png": b"x"}),
    "text that steers": lambda: packed({"a/\x1b[31m\u202e" + "n" * 300 + ".png": b"x"}),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_evil_archives_are_refused(name: str, home: Path, tmp_path: Path, refused):
    path = tmp_path / "pictures.zip"
    path.write_bytes(ARCHIVES[name]())
    said = refused("scan", path)
    assert "Nothing was unpacked" in said, said
    assert not [found for found in home.rglob("*") if found.is_file() and found.suffix in (".png", ".bmp")]
    assert not list(tmp_path.parent.rglob("evil.png")) and not Path("/tmp/evil.png").exists()


# --- tables ----------------------------------------------------------------------------------------------------------

DOCTYPE = "<!DOCTYPE x [{}]>"
OUTSIDE = DOCTYPE.format('<!ENTITY e SYSTEM "file:///etc/passwd">')
LAUGHS = '<!ENTITY a "lol">' + "".join(
    f'<!ENTITY {chr(98 + step)} "{f"&{chr(97 + step)};" * 10}">' for step in range(9)
)  # fmt: skip


def sheet_with(tmp_path: Path, rows: str, before: str = "") -> bytes:
    """Return a spreadsheet whose one sheet has these rows, as XML."""
    good = write_sheet(tmp_path / "good.xlsx", [["file", "class"]])
    content = io.BytesIO()
    with zipfile.ZipFile(good) as book, zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as evil:
        for member in book.infolist():
            text = book.read(member)
            if member.filename == "xl/worksheets/sheet1.xml":
                head, _, _ = text.partition(b"<sheetData>")
                text = before.encode() + head + b"<sheetData>" + rows.encode() + b"</sheetData></worksheet>"
            evil.writestr(member.filename, text)
    return content.getvalue()


def cell(place: str, text: str) -> str:
    row = place.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    return f'<row r="{row}"><c r="{place}" t="inlineStr"><is><t>{text}</t></is></c></row>'


TABLES: dict[str, Callable[[Path], bytes]] = {
    "far.xlsx": lambda folder: sheet_with(folder, cell("A1", "file") + cell("XFD1048576", "x")),
    "laughs.xlsx": lambda folder: sheet_with(folder, cell("A1", "&j;") + cell("A2", "&j;"), DOCTYPE.format(LAUGHS)),
    "outside.xlsx": lambda folder: sheet_with(folder, cell("A1", "&e;") + cell("A2", "&e;"), OUTSIDE),
    "grows.xlsx": lambda folder: sheet_with(folder, cell("A1", "file") + cell("A2", "x" * 70_000_000)),
    "not one.xlsx": lambda folder: b"PK\x03\x04" + bytes(1000),
    "not one.xls": lambda folder: bytes.fromhex("d0cf11e0a1b11ae1") + bytes(5000),
    "cells.csv": lambda folder: b"file,class\n" + b"x" * 10_000_000 + b",a\n",
    "wide.csv": lambda folder: b"a," * 100_000 + b"\n" + b"b,c\n" * 100_000,
    "quoted.csv": lambda folder: b'file,class\n"' + b"x,\n" * 1_000_000,
    "binary.csv": lambda folder: bytes(range(256)) * 100,
}


@pytest.mark.parametrize("name", TABLES)
def test_evil_tables_are_refused(name: str, two_classes: Path, tmp_path: Path, refused):
    path = tmp_path / name
    path.write_bytes(TABLES[name](tmp_path))
    assert "root:" not in refused("scan", two_classes, "--labels", path)


# --- set-ups ---------------------------------------------------------------------------------------------------------

SETUPS: dict[str, bytes] = {
    "nested": b'{"exclude": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "more than there is": b'{"__class__": "os.system", "args": ["touch x"]}',
    "another type": b'{"layout": {"kind": "python"}}',
    "not UTF-8": b'{"exclude": ["\xff"]}',
    "a table that never ends": b'{"layout": {"kind": "table", "table": "/dev/zero"}}',
    "a pattern that is none": b'{"layout": {"kind": "names", "pattern": "(?P<class>"}}',
    "a pattern without end": b'{"layout": {"kind": "names", "pattern": "(?P<class>(x+x+)+y)"}}',
    "a pattern of a million": b'{"layout": {"kind": "names", "pattern": "' + b"(" * 1_000_000 + b'"}}',
}


@pytest.mark.parametrize("name", SETUPS)
def test_evil_setups_are_refused(name: str, two_classes: Path, tmp_path: Path, refused):
    (two_classes / "disc" / f"{'x' * 200}.png").write_bytes(next(two_classes.rglob("*.png")).read_bytes())
    path = tmp_path / "setup.json"
    path.write_bytes(SETUPS[name])
    refused("scan", two_classes, "--setup", path)
    assert not (Path.cwd() / "x").exists()


def test_a_fifo_for_a_table_is_not_waited_for(two_classes: Path, tmp_path: Path, refused):
    os.mkfifo(tmp_path / "labels.csv")
    assert "no file with a table" in refused("scan", two_classes, "--labels", tmp_path / "labels.csv")


# --- names -----------------------------------------------------------------------------------------------------------

EVIL_CLASSES = ('=HYPERLINK("x","y")', '<img src="x"><b>&amp;', "../../../evil")
"""The last one is a name that the user gave; no folder can have it."""
EVIL_FILE = "=1+1\u202egnp.\n@x.png"


def test_evil_names_are_only_names(tmp_path: Path, weights_file: Path):
    pictures = tmp_path / "-pictures <b>"
    for shape, name in zip(("disc", "square", "cross"), EVIL_CLASSES, strict=True):
        folder = pictures / name.rpartition("/")[2]
        folder.mkdir(parents=True)
        for seed in range(8):
            draw(shape, seed).save(folder / (EVIL_FILE if not seed else f"+{seed}.png"))
    setup = DatasetSetup(renamed={"evil": EVIL_CLASSES[2]})
    run = RunFolder(tmp_path / "run")
    job = jobs.Train(
        folders=(str(pictures),), setup=setup, run=str(run.path), backbone="squeezenet1_1", weights=str(weights_file),
        regime="head", threads=2,
    )  # fmt: skip
    before = sorted(tmp_path.rglob("*"))
    assert perform(job, ignore, never).status == "finished"
    assert perform(jobs.Evaluate(run=str(run.path)), ignore, never).status == "finished"
    table = tmp_path / "answers.csv"
    asked = perform(jobs.Predict(run=str(run.path), paths=(str(pictures),), csv=str(table)), ignore, never)
    assert asked.status == "finished" and asked.result["images"] == 24
    for file in (run.predictions_file, table):
        with file.open(newline="") as opened:
            title, *rows = csv.reader(opened)
        assert not [text for text in (*title, *(text for row in rows for text in row)) if text[:1] in tuple("=+-@\t\r")]
        assert set(title[3:]) == {f"'{EVIL_CLASSES[0]}", *EVIL_CLASSES[1:]}
    out = tmp_path / "out"
    exported = perform(jobs.Export(run=str(run.path), format="safetensors", to=str(out)), ignore, never)
    assert exported.status == "finished" and Path(exported.result["path"]).parent == out
    assert json.loads((out / "model.json").read_text())["classes"] == sorted(EVIL_CLASSES)
    made = {path for path in tmp_path.rglob("*") if path not in before}
    assert all(path.is_relative_to(run.path) or path.is_relative_to(out) or path == table
               or path.is_relative_to(tmp_path / "home") for path in made)  # fmt: skip
    assert not (tmp_path / "evil").exists() and not (tmp_path.parent / "evil").exists()


def test_evil_names_do_not_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pictures = class_folders(tmp_path / "a", {"disc": 3, "square": 3})
    (pictures / "disc" / "disc_000.png").rename(pictures / "disc" / "\x1b]0;owned\x07\u202e.png")
    (pictures / "disc" / "\x9b31m.png").write_bytes(b"no picture")
    assert main(["scan", str(pictures), "--files"]) == 0
    shown = capsys.readouterr()
    assert all(character.isprintable() or character == "\n" for character in shown.out + shown.err)


# --- pictures --------------------------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_with(*chunks: bytes) -> bytes:
    content = io.BytesIO()
    draw("disc", 1).save(content, "PNG")
    plain = content.getvalue()
    return plain[:33] + b"".join(chunks) + plain[33:]


def with_text() -> bytes:
    content, text = io.BytesIO(), PngImagePlugin.PngInfo()
    text.add_text("__import__('os').system('touch x')", "<script>alert(1)</script>" * 100)
    draw("disc", 2).save(content, "PNG", pnginfo=text)
    return content.getvalue()


def with_exif(exif: bytes) -> bytes:
    content = io.BytesIO()
    draw("disc", 3).save(content, "JPEG", exif=b"Exif\0\0" + exif)
    return content.getvalue()


def tiff_saying(text: str) -> bytes:
    content = io.BytesIO()
    draw("disc", 4).save(content, "TIFF", tiffinfo={270: text})
    return content.getvalue()


BOMB = zlib.compress(bytes(2**28), 9)
TURNED_ROUND = b"MM\0*" + struct.pack(">IH", 8, 1) + struct.pack(">HHII", 0x8769, 4, 1, 8) + bytes(4)
ENDLESS = b"II*\0" + struct.pack("<IH", 8, 1) + struct.pack("<HHII", 0x9286, 2, 0xFFFFFFFF, 0xFFFFFFFF) + bytes(4)
METADATA: dict[str, Callable[[], bytes]] = {
    "profile that grows.png": lambda: png_with(chunk(b"iCCP", b"x\0\0" + BOMB)),
    "text that grows.png": lambda: png_with(chunk(b"zTXt", b"x\0\0" + BOMB)),
    "long text that grows.png": lambda: png_with(chunk(b"iTXt", b"x\0\1\0\0\0" + BOMB)),
    "text.png": with_text,
    "EXIF in itself.jpg": lambda: with_exif(TURNED_ROUND),
    "EXIF without end.jpg": lambda: with_exif(ENDLESS),
    "laughs.tif": lambda: tiff_saying(f'<?xml version="1.0"?>{DOCTYPE.format(LAUGHS)}<OME>&j;</OME>'),
    "outside.tif": lambda: tiff_saying(f'<?xml version="1.0"?>{OUTSIDE}<OME>&e;</OME>'),
    "script.svg": lambda: b'<svg xmlns="x"><script>alert(1)</script></svg>',
    "postscript.png": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n(x) (w) file\n",
}


def test_evil_metadata_is_not_read_or_not_believed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pictures = class_folders(tmp_path / "pictures")
    for name, make in METADATA.items():
        (pictures / "disc" / name).write_bytes(make())
    before = {path: path.read_bytes() for path in pictures.rglob("*.*")}
    assert main(["scan", str(pictures), "--json", "--files"]) == 0
    found = json.loads(capsys.readouterr().out)
    told = {Path(file["path"]).name: file for file in found["files"]}
    assert told.keys() >= METADATA.keys()
    for name in METADATA:
        if told[name]["message"]:
            assert_plain(told[name]["message"])
            assert "root:" not in told[name]["message"] and "lollol" not in told[name]["message"]
    assert told["script.svg"]["status"] != "used" and told["postscript.png"]["status"] != "used"
    assert {path: path.read_bytes() for path in pictures.rglob("*.*")} == before
    assert not (Path.cwd() / "x").exists()


def test_the_pictures_that_carry_it_are_pictures():
    for name in ("text.png", "EXIF in itself.jpg", "laughs.tif"):
        assert Image.open(io.BytesIO(METADATA[name]())).size == (48, 48)


def test_a_setup_that_was_only_saved_is_read_again(two_classes: Path, tmp_path: Path):
    write_json(tmp_path / "setup.json", msgspec.structs.replace(DatasetSetup(), exclude=("x*",)))
    assert main(["scan", str(two_classes), "--setup", str(tmp_path / "setup.json")]) == 0
