"""Tables of labels as people have them: every delimiter, encoding and way to name a file."""

from __future__ import annotations

import zipfile
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from tlstudio.core.dataset_setup import NO_COLUMN, Layout
from tlstudio.core.errors import StudioError
from tlstudio.core.labels_table import Labels, find_tables, read_labels, read_table
from tlstudio.core.picture_facts import PictureFacts, ScannedFile

FACTS = PictureFacts("x", "x", 8, 8, 9, "PNG", 0.5, 0.1)


def files(*places: str) -> list[ScannedFile]:
    return [ScannedFile(f"/data/{place}", place, FACTS) for place in places]


def table(tmp_path: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def labels(path: Path, found: list[ScannedFile], **columns: str) -> Labels:
    return read_labels(Layout(kind="table", table=str(path), **columns), found)


def classes(read: Labels) -> list[str]:
    """Return the class, or else the code, of every file."""
    return [tells.class_name or tells.code for tells in read.told]


def write_sheet(path: Path, rows: list[list[str | float]]) -> Path:
    """Write a spreadsheet of one sheet by hand: nothing here reads it with what wrote it."""
    cells = "".join(
        "<row>" + "".join(f"<c><v>{value}</v></c>" if isinstance(value, float) else
                          f'<c t="inlineStr"><is><t>{escape(value)}</t></is></c>' for value in row) + "</row>"
        for row in rows
    )  # fmt: skip
    main = "http" + "://schemas.openxmlformats.org"
    office, package = f"{main}/officeDocument/2006/relationships", f"{main}/package/2006"
    sheet = f"{main}/spreadsheetml/2006/main"
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    with zipfile.ZipFile(path, "w") as book:
        book.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{package}/content-types"><Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override '
            f'PartName="/xl/workbook.xml" ContentType="{kind}.sheet.main+xml"/><Override '
            f'PartName="/xl/worksheets/sheet1.xml" ContentType="{kind}.worksheet+xml"/></Types>',
        )
        book.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{package}/relationships"><Relationship Id="r1" '
            f'Type="{office}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        )
        book.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{sheet}" xmlns:r="{office}"><sheets>'
            '<sheet name="one" sheetId="1" r:id="r1"/></sheets></workbook>',
        )
        book.writestr(
            "xl/_rels/workbook.xml.rels",
            f'<Relationships xmlns="{package}/relationships"><Relationship '
            f'Id="r1" Type="{office}/worksheet" Target="worksheets/sheet1.xml"/></Relationships>',
        )
        book.writestr("xl/worksheets/sheet1.xml", f'<worksheet xmlns="{sheet}"><sheetData>{cells}</sheetData>'
                      "</worksheet>")  # fmt: skip
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_delimiters_and_encodings(tmp_path, delimiter, encoding):
    text = "Datei;Art;Länge\n1.png;Käfer;1,5\n2.png;Biene;2,5\n3.png;Käfer;2,5\n4.png;Biene;1,0\n"
    text = text.replace(",", ".").replace(";", delimiter)
    read = labels(table(tmp_path, text.encode(encoding)), files("1.png", "2.png", "3.png", "4.png"))
    assert classes(read) == ["Käfer", "Biene", "Käfer", "Biene"]
    assert read.reading.delimiter == delimiter and read.reading.columns == ("Datei", "Art", "Länge")
    assert (read.reading.path_column, read.reading.class_column) == ("Datei", "Art")
    assert read.reading.matched == 4 and read.problems == []


def test_quoted_cells_and_decimal_commas(tmp_path):
    text = 'file;note;class\n1.png;"a; ""quoted"" note\nin two lines";ant\n2.png;3,5;bee\n3.png;;ant\n'
    assert classes(labels(table(tmp_path, text), files("1.png", "2.png", "3.png"))) == ["ant", "bee", "ant"]


@pytest.mark.parametrize(
    "named",
    [
        ["/data/a/x1.PNG", "/data/b/x2.png"],
        ["a/x1.png", "b/x2.png"],
        ["a\\x1.png", "b\\x2.png"],
        ["./a/x1.png", "./b/x2.png"],
        ["C:\\old\\place\\a\\x1.png", "C:\\old\\place\\b\\x2.png"],
        ["X1.png", "x2.PNG"],
        ["x1", "x2"],
        ["x1.jpg", "x2.tif"],
    ],
)
def test_ways_to_name_a_file(tmp_path, named):
    text = "image_id,dx\n" + "".join(f"{name},{kind}\n" for name, kind in zip(named, ("mel", "nv"), strict=True))
    assert classes(labels(table(tmp_path, text), files("a/x1.png", "b/x2.png"))) == ["mel", "nv"]


def test_a_folder_tells_files_of_one_name_apart(tmp_path):
    found = files("train/a/1.png", "train/b/1.png", "val/a/1.png")
    path = table(tmp_path, "file,class\na/1.png,x\nb/1.png,y\ntrain/a/1.png,z\n")
    read = labels(path, found)
    assert classes(read) == ["z", "y", "no-label"]
    assert [(problem.code, problem.path) for problem in read.problems] == [("no-file", str(path))]
    assert "2 files are called" in read.problems[0].message and "Row 2" in read.problems[0].message
    assert (read.reading.matched, read.reading.unmatched_rows, read.reading.unlabelled_files) == (2, 1, 1)


def test_rows_that_name_nothing_files_without_a_row_and_rows_that_disagree(tmp_path):
    path = table(tmp_path, "name,species\n1.png,ant\n2.png,bee\n2.png,ant\n9.png,ant\n,bee\n3.png,\n1.png,ant\n")
    read = labels(path, files("1.png", "2.png", "3.png", "4.png"))
    assert classes(read) == ["ant", "label-conflict", "no-label", "no-label"]
    assert "“ant” and “bee”" in read.told[1].message
    assert [problem.message for problem in read.problems] == [
        "Row 5 of the table names “9.png”, and there is no such file.", "Row 6 of the table names no file.",
    ]  # fmt: skip


def test_parts_and_groups_are_found_and_can_be_refused(tmp_path):
    rows = [f"{n}.png,{'bee' if n % 2 else 'ant'},{'train' if n < 6 else 'Test'},P{n // 3}\n" for n in range(9)]
    path = table(tmp_path, "filename,label,split,patient_id\n" + "".join(rows))
    found = files(*(f"{number}.png" for number in range(9)))
    read = labels(path, found)
    assert (read.reading.part_column, read.reading.group_column) == ("split", "patient_id")
    assert [(tells.part, tells.group) for tells in read.told][5:7] == [("train", "P1"), ("test", "P2")]
    assert read.reading.examples[0].place == "0.png" and read.reading.examples[0].part == "train"
    refused = labels(path, found, part_column=NO_COLUMN, group_column=NO_COLUMN)
    assert {(tells.part, tells.group) for tells in refused.told} == {(None, "")}
    assert classes(labels(path, found, class_column="patient_id"))[3] == "P1"


def test_a_word_that_is_no_part(tmp_path):
    path = table(tmp_path, "file,class,fold\n1.png,a,train\n2.png,b,upper\n")
    read = labels(path, files("1.png", "2.png"), part_column="fold")
    assert classes(read) == ["a", "no-part"] and "“upper”" in read.told[1].message


def test_columns_without_names(tmp_path):
    read = labels(table(tmp_path, "1.png,ant\n2.png,bee\n3.png,bee\n"), files("1.png", "2.png", "3.png"))
    assert classes(read) == ["ant", "bee", "bee"] and read.reading.columns == ("column 1", "column 2")


def test_few_words_are_classes_and_measurements_are_not(tmp_path):
    rows = "".join(f"{n}.png,{n * 1.7:.2f},{20 + n % 3},{'mould' if n % 2 else 'rust'}\n" for n in range(40))
    path = table(tmp_path, "file,weight,age,finding\n" + rows)
    assert labels(path, files(*(f"{n}.png" for n in range(40)))).reading.class_column == "finding"


def test_a_spreadsheet_and_the_zeros_it_drops(tmp_path):
    path = write_sheet(tmp_path / "t.xlsx", [["id", "class", "rest"], [1.0, "ant"], [12.0, "bee", "x"], [3.5, "bee"]])
    assert read_table(path).rows == (("1", "ant", ""), ("12", "bee", "x"), ("3.5", "bee", ""))
    read = labels(path, files("0001.jpg", "0012.jpg"))
    assert classes(read) == ["ant", "bee"] and read.reading.delimiter == "" and read.reading.unmatched_rows == 1


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", b"", "no rows"),
        ("t.csv", b"file,class\n", "no rows"),
        ("t.csv", b"\x00\x01\x02\x00" * 50, "not a table of text"),
        ("t.xlsx", b"PK\x03\x04 broken", "cannot be read"),
        ("t.csv", b"a,b\nx,y\n", "names the pictures' files"),
        ("t.csv", b"file,note\n1.png,only one\n", "looks like the pictures' classes"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path, name, content, words):
    with pytest.raises(StudioError, match=words):
        labels(table(tmp_path, content, name), files("1.png"))


def test_columns_and_tables_that_are_not_there(tmp_path):
    path = table(tmp_path, "file,class\n1.png,a\n2.png,b\n")
    with pytest.raises(StudioError, match="no column “klass”") as caught:
        labels(path, files("1.png", "2.png"), class_column="klass")
    assert "file, class" in caught.value.hint
    with pytest.raises(StudioError, match=r"gone\.csv"):
        labels(tmp_path / "gone.csv", files("1.png"))


def test_a_table_that_changed_is_read_again(tmp_path):
    path = table(tmp_path, "file,class\n1.png,a\n2.png,b\n")
    found = files("1.png", "2.png")
    assert classes(labels(path, found)) == ["a", "b"]
    table(tmp_path, "file,class\n1.png,longer\n2.png,b\n")
    assert classes(labels(path, found)) == ["longer", "b"]


def test_tables_among_the_files_are_found():
    other = [ScannedFile(f"/data/{place}", place, None, "not-a-picture") for place in
             ("deep/x/a.csv", "labels.xlsx", "readme.txt", "notes.md")]  # fmt: skip
    assert find_tables([*files("1.png"), *other]) == ("/data/labels.xlsx", "/data/deep/x/a.csv")
    assert find_tables(other[2:]) == ("/data/readme.txt",)
