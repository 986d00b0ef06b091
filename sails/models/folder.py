"""What a model folder holds, judged by its files alone: in milliseconds, with no machine-learning library.

`config.json` must be readable and every weights file present at its full length (a safetensors file says in
its header how long it must be).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from sails.models.export_record import ExportRecord, as_text
from sails.system import Stamp, is_absent, read_json, stamp_or_none

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
PROVENANCE = "sails.json"
MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors format itself


@dataclass(frozen=True)
class FoundFile:
    name: str
    size: int  # bytes


@dataclass(frozen=True)
class ModelState:
    """What a model folder holds: complete, missing, or incomplete and why."""

    path: Path
    state: Literal["complete", "missing", "incomplete"]
    reason: str | None = None
    fingerprint: str | None = None
    tokenizer: str | None = None  # which tokenizer and chat template lie beside it: 16 hex digits
    base: str | None = None  # the base model that it grew from, when recorded
    session: str | None = None  # the session that made it, when recorded
    files: tuple[FoundFile, ...] = ()
    modified: datetime | None = None

    @property
    def complete(self) -> bool:
        return self.state == "complete"


@dataclass(frozen=True)
class OnnxState:
    """What an ONNX folder holds; `stale` is None when nobody recorded which model it came from."""

    path: Path
    state: Literal["present", "missing"]
    stale: bool | None = None
    fingerprint: str | None = None
    files: tuple[FoundFile, ...] = ()
    modified: datetime | None = None

    @property
    def present(self) -> bool:
        return self.state == "present"


@dataclass(frozen=True)
class Situation:
    """Both halves of the behavior matrix, as they lie on disk now."""

    trained: ModelState
    onnx: OnnxState


def inspect_model(folder: Path) -> ModelState:
    """Judge a folder by its files alone; never raises for what it finds inside."""
    files = found_files(folder)
    if not files:
        return ModelState(folder, "missing")
    sizes = {file.name: file.size for file in files}
    reason = _problem(folder, sizes)
    record = read_json(folder / PROVENANCE) or {}
    return ModelState(
        path=folder,
        state="incomplete" if reason else "complete",
        reason=reason,
        fingerprint=None if reason else _fingerprint(folder, sizes),
        tokenizer=tokenizer_digest(folder),
        base=as_text(record.get("base")) or _base_in_config(folder),
        session=as_text(record.get("session")),
        files=files,
        modified=modified(folder, files),
    )


def inspect_onnx(folder: Path, trained_fingerprint: str | None, tokenizer: str | None = None) -> OnnxState:
    """Judge an ONNX folder: any non-empty `*.onnx` in it or one level below makes it present.

    It is fresh when one of the variants in it (see `sails.models.variants`) is: that one answers. One that
    was made with another tokenizer or chat template than `tokenizer` is not; None: nobody knows today's.
    """
    files = found_files(folder)
    models = [path for pattern in ("*.onnx", "*/*.onnx") for path in sorted(folder.glob(pattern))]
    homes = {path.parent for path in models if path.is_file() and path.stat().st_size > 0}
    if not homes:
        return OnnxState(folder, "missing", files=files)
    records = [ExportRecord.read(home) for home in sorted(homes)]
    known = [record.fingerprint for record in records if record and record.fingerprint]
    current = [record for record in records if record and record.fingerprint == trained_fingerprint]
    fingerprint = trained_fingerprint if trained_fingerprint in known else next(iter(known), None)
    return OnnxState(
        path=folder,
        state="present",
        stale=None
        if fingerprint is None
        else fingerprint != trained_fingerprint
        or not any(has_tokenizer(record, tokenizer) for record in current),
        fingerprint=fingerprint,
        files=files,
        modified=modified(folder, files),
    )


def tokenizer_digest(folder: Path) -> str | None:
    """Return 16 hex digits over tokenizer and chat template; None where there is no `tokenizer.json`."""
    files = tuple(
        folder / name for name in ("tokenizer.json", "chat_template.jinja", "tokenizer_config.json")
    )
    stamps = tuple(map(stamp_or_none, files))
    return _digest(files, stamps) if stamps[0] else None


@lru_cache(maxsize=32)
def _digest(files: tuple[Path, ...], _stamps: tuple[Stamp | None, ...]) -> str | None:
    """Of a few megabytes, and asked for by every page: computed once while the files stay as they are."""
    tokenizer, template, settings = files
    digest = hashlib.sha256()
    try:
        digest.update(tokenizer.read_bytes())
        text = template.read_text("utf-8") if template.is_file() else None
    except (OSError, UnicodeDecodeError):
        return None
    digest.update(repr(text or (read_json(settings) or {}).get("chat_template")).encode())
    return digest.hexdigest()[:16]


def has_tokenizer(record: ExportRecord, tokenizer: str | None) -> bool:
    """Tell whether an export was made with this tokenizer, as far as anybody knows."""
    return tokenizer is None or record.tokenizer is None or record.tokenizer == tokenizer


def found_files(folder: Path) -> tuple[FoundFile, ...]:
    """Every file directly inside, hidden ones left out (a `.gitkeep` is no model)."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # a link to itself, or gone meanwhile
                    if entry.name[0] != "." and entry.is_file():
                        found.append(FoundFile(entry.name, entry.stat().st_size))
    except OSError as error:
        if is_absent(error):
            return ()
        raise
    return tuple(sorted(found, key=lambda file: file.name))


def modified(folder: Path, files: Iterable[FoundFile]) -> datetime | None:
    """When the latest of these files was changed; one that is gone meanwhile does not count."""
    times = [(folder / file.name).stat().st_mtime for file in files if (folder / file.name).exists()]
    return datetime.fromtimestamp(max(times), UTC) if times else None


def _base_in_config(folder: Path) -> str | None:
    """The base model that transformers noted in a model made elsewhere; None for a folder's path."""
    name = as_text((read_json(folder / "config.json") or {}).get("_name_or_path"))
    return name if name and re.fullmatch(r"\w[\w.-]*(/[\w.-]+)?", name) else None


def _problem(folder: Path, sizes: dict[str, int]) -> str | None:
    """Why the model cannot be used, or None."""
    if "config.json" not in sizes:
        return "config.json is missing"
    if read_json(folder / "config.json") is None:
        return "config.json cannot be read"
    source, names = _weights(folder, sizes)
    if source is None:
        return f"the weights are missing ({' or '.join(WEIGHTS)})"
    if not names:
        return f"{source} cannot be read"
    for number, name in enumerate(names, 1):
        if name not in sizes:
            return f"{name} is missing (part {number} of {len(names)} of the weights)"
        check = _safetensors_problem if name.endswith(".safetensors") else _pytorch_problem
        if problem := check(folder / name, sizes[name]):
            return problem
    return None


def weight_files(folder: Path) -> list[Path]:
    """Return the files that are loaded as the model's weights, in order; none when there are none to load."""
    _, names = _weights(folder, {file.name: file.size for file in found_files(folder)})
    return [folder / name for name in names]


def _weights(folder: Path, sizes: dict[str, int]) -> tuple[str | None, list[str]]:
    """The weights file, or the index of its parts, and the files to load; none when it cannot be read."""
    # The order in which transformers looks for it.
    order = (WEIGHTS[0], INDEXES[0], WEIGHTS[1], INDEXES[1])
    source = next((name for name in order if name in sizes), None)
    if source not in INDEXES:
        return source, [source] if source else []
    weight_map = (read_json(folder / source) or {}).get("weight_map")
    names = weight_map.values() if isinstance(weight_map, dict) else ()
    return source, sorted({str(name) for name in names})


def _safetensors_problem(path: Path, size: int) -> str | None:
    try:
        header = 8 + _header_length(path)
        if size < header:
            return f"{path.name} is cut off at {size:,} of more than {header:,} bytes"
        spans = _tensor_spans(path)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return f"{path.name} cannot be read ({size:,} bytes, but no safetensors header)"
    if not spans:
        return f"{path.name} holds no weights"
    expected = header + max(end for _, end in spans)
    if size < expected:
        return f"{path.name} is cut off at {size:,} of {expected:,} bytes"
    if size > expected:  # the safetensors library refuses this as well
        return f"{path.name} is damaged: {size:,} bytes long instead of {expected:,}"
    return None


def _header_length(path: Path) -> int:
    with open(path, "rb") as file:
        start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > MAX_HEADER_BYTES:
        raise ValueError("no safetensors header")
    return length


def safetensors_header(path: Path) -> dict[str, Any]:
    """Read what a safetensors file says of its tensors; raises ValueError when it is none."""
    length = _header_length(path)
    with open(path, "rb") as file:
        file.seek(8)
        header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise ValueError("no safetensors header")
    return header


def _tensor_spans(path: Path) -> list[tuple[int, int]]:
    """Where each tensor lies, in bytes after the header; raises ValueError and its like for rubbish."""
    header = safetensors_header(path)
    spans = [tuple(value["data_offsets"]) for name, value in header.items() if name != "__metadata__"]
    for start, end in spans:
        if not (isinstance(start, int) and isinstance(end, int) and 0 <= start <= end):
            raise ValueError("no safetensors header")
    return spans


def _pytorch_problem(path: Path, size: int) -> str | None:
    if size == 0:
        return f"{path.name} is empty"
    with open(path, "rb") as file:
        start = file.read(4)
    if start == b"PK\x03\x04":  # what torch.save writes; its directory is at the end, so a cut is seen
        return None if zipfile.is_zipfile(path) else f"{path.name} is cut off at {size:,} bytes"
    if start[:1] == b"\x80":  # a pickle, as PyTorch before 1.6 saved it
        return None
    return f"{path.name} is not a PyTorch weights file"


def _fingerprint(folder: Path, sizes: dict[str, int]) -> str:
    """Which model this is: 16 hex digits over the config and samples of every tensor.

    It tells models apart, in milliseconds for gigabytes; it does not prove that no bit is wrong. Every
    safetensors tensor gives its first and last 64 bytes, so training any layer changes it; other weight
    files give 512 evenly spaced blocks. Files that are not loaded as weights do not count.
    """
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for name in _weights(folder, sizes)[1]:
        path = folder / name
        digest.update(f"{name} {sizes[name]}".encode())
        with open(path, "rb") as file:
            for offset, length in _samples(path, sizes[name]):
                file.seek(offset)
                digest.update(file.read(length))
    return digest.hexdigest()[:16]


def _samples(path: Path, size: int) -> Iterator[tuple[int, int]]:
    if path.suffix == ".safetensors":
        data = 8 + _header_length(path)
        yield 0, data
        for start, end in _tensor_spans(path):
            yield data + start, min(64, end - start)
            yield data + max(start, end - 64), min(64, end - start)
    else:
        for number in range(512):
            yield number * size // 512, 64
