"""Workbooks (.xlsx) that no program would write, part by part."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path

PACKAGE = "http://schemas.openxmlformats.org/package/2006"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def cell(column: str, row: int, text: str) -> str:
    """Return a cell that holds a text; `row` counts from 0."""
    return f'<c r="{column}{row + 1}" t="inlineStr"><is><t>{text}</t></is></c>'


def write(path: Path, rows: Iterable[str], before: str = "") -> Path:
    """Write a workbook of one sheet, whose rows are given as XML, and what stands before the sheet's own."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr("[Content_Types].xml", f'<Types xmlns="{PACKAGE}/content-types"/>')
        file.writestr("_rels/.rels", _relation("officeDocument", "xl/workbook.xml"))
        sheet = '<sheets><sheet name="Sheet" sheetId="1" r:id="r"/></sheets>'
        file.writestr("xl/workbook.xml", f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}">{sheet}</workbook>')
        file.writestr("xl/_rels/workbook.xml.rels", _relation("worksheet", "sheet.xml"))
        with file.open("xl/sheet.xml", "w") as part:
            part.write(f'{before}<worksheet xmlns="{MAIN}"><sheetData>'.encode())
            part.writelines(row.encode() for row in rows)
            part.write(b"</sheetData></worksheet>")
    return path


def _relation(kind: str, target: str) -> str:
    relation = f'<Relationship Id="r" Type="{OFFICE}/{kind}" Target="{target}"/>'
    return f'<Relationships xmlns="{PACKAGE}/relationships">{relation}</Relationships>'
