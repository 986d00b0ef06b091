"""Arrow files, and folders that `datasets` saved: `save_to_disk` of one split or of several."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sails.data.formats.source import Record, Source, failing_as, listed_names
from sails.errors import ConversationFileError

MAGIC = b"ARROW1"
STREAM = b"\xff\xff\xff\xff"  # how a stream of Arrow begins, which is what `datasets` writes
_TAUGHT = "train"


def read_arrow(raw: bytes, name: str) -> Source:
    return _source([raw], name)


def _source(files: Iterable[bytes], name: str, notes: tuple[str, ...] = ()) -> Source:
    with failing_as(name, "an Arrow file"):
        import pyarrow

        readers = []
        for raw in files:
            buffer = io.BytesIO(raw)
            is_file = raw.startswith(MAGIC)
            readers.append(pyarrow.ipc.open_file(buffer) if is_file else pyarrow.ipc.open_stream(buffer))
        columns = tuple(readers[0].schema.names)

    def records() -> Iterator[Record]:
        number = 0
        with failing_as(name, "an Arrow file"):
            for reader in readers:
                batches = (
                    map(reader.get_batch, range(reader.num_record_batches))
                    if hasattr(reader, "num_record_batches")
                    else reader
                )
                for batch in batches:
                    batch.validate(full=True)  # pyarrow would read beyond the memory of a damaged one
                    for row in batch.to_pylist():
                        number += 1
                        yield number, {key: value for key, value in row.items() if value is not None}

    return Source("arrow", records(), columns, notes=notes)


def saved_dataset(files: Mapping[str, Any], name: str) -> Source | None:
    """Return the rows of a dataset that was saved as a folder; None for other folders.

    `files` are its files by their path, each a function that gives its bytes. Of several splits, the one
    called train is read; without one, ConversationFileError.
    """
    folders = [path.removesuffix("state.json") for path in files if path.split("/")[-1] == "state.json"]
    if not folders:
        return None
    notes: tuple[str, ...] = ()
    if len(folders) > 1:
        splits = {folder.rstrip("/").split("/")[-1]: folder for folder in folders}
        if _TAUGHT not in splits:
            raise ConversationFileError(
                f"{name} holds the datasets {listed_names(splits)}.", "Choose the folder of one of them."
            )
        others = listed_names(split for split in splits if split != _TAUGHT)
        folders, notes = [splits[_TAUGHT]], (f"Only “{_TAUGHT}” was read, not {others}.",)
    folder = folders[0]
    with failing_as(name, "a saved dataset"):
        state = json.loads(files[f"{folder}state.json"]())
        parts = [files[folder + part["filename"]]() for part in state["_data_files"]]
    if state.get("_indices_data_files") or not parts:
        raise ConversationFileError(
            f"{name} is a selection of a dataset, which is not read.", "Save it with flatten_indices() first."
        )
    return _source(parts, name, notes)
