"""Parquet."""

from __future__ import annotations

import io
from collections.abc import Iterator

from sails.data.formats.source import MAX_ROWS, Record, Source, failing_as, too_many_rows


def read_parquet(raw: bytes, name: str) -> Source:
    with failing_as(name, "a Parquet file"):
        import pyarrow.parquet

        file = pyarrow.parquet.ParquetFile(io.BytesIO(raw))
        columns, size = tuple(file.schema_arrow.names), file.metadata.num_rows
        if size > MAX_ROWS:  # a few bytes can stand for millions
            raise too_many_rows(name)

    def records() -> Iterator[Record]:
        with failing_as(name, "a Parquet file"):
            batches = file.iter_batches(batch_size=4096)
            rows = (row for batch in batches for row in batch.to_pylist())
            for number, row in enumerate(rows, 1):
                yield number, {column: value for column, value in row.items() if value is not None}

    return Source("parquet", records(), columns, size=size)
