"""CSV and TSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace

from sails.data.formats.source import Cells, Source, column_names, source_of_table, text_lines

_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def read_csv(text: str, name: str) -> Source:
    csv.field_size_limit(2**31 - 1)  # the default refuses a cell over 128 KB; more than this fails on Windows
    delimiter = max(_DELIMITERS, key=lambda candidate: len(column_names(_csv_rows(text, candidate))))
    notes = () if delimiter in ",\t" else (f"Columns are separated by {_DELIMITERS[delimiter]}.",)
    source = source_of_table("tsv" if delimiter == "\t" else "csv", _csv_rows(text, delimiter), name)
    return replace(source, notes=notes)


def _csv_rows(text: str, delimiter: str) -> Iterator[Cells]:
    reader = csv.reader(text_lines(text), delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        before = reader.line_num
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            lost = reader.line_num - before
            lines = f" ({lost} lines are lost with it)" if lost > 1 else ""
            if "end of data" in str(error):
                yield f"a quotation mark opens here and never closes{lines}"
            else:
                yield f"a quotation mark stands inside a text without being doubled{lines}"
