"""The model directory: where everything lies, and what state the two models are in.

Reads only, in milliseconds, without any machine-learning library. What a model folder holds is judged
by its files: `config.json` must be readable and every weights file present at its full length (a
safetensors file says in its header how long it must be). Writing models is `sails.models.publish`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

from sails.errors import WorkspaceError
from sails.system import access

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
PROVENANCE = "sails.json"
EXPORT_RECORD = "export.json"
MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors format itself

# --- what was found on disk -----------------------------------------------------------------------


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


Found = TypeVar("Found")


# --- the folder -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Workspace:
    """A workspace folder and its two model folders, which may lie elsewhere."""

    root: Path
    trained_model: Path
    onnx_model: Path

    @classmethod
    def open(
        cls,
        root: str | Path | None = None,
        *,
        output_dir: str | Path | None = None,
        onnx_output: str | Path | None = None,
    ) -> Workspace:
        """The workspace at `root` (else $SAILS_WORKSPACE, else ./workspace); creates nothing.

        Raises `WorkspaceError` when one of the three is an existing file instead of a folder, and when an
        export would replace more than an ONNX model.
        """
        folder = _folder(root or os.environ.get("SAILS_WORKSPACE") or "workspace")
        trained = _folder(output_dir) if output_dir else folder / "trained_model"
        onnx = _folder(onnx_output) if onnx_output else folder / "onnx_model"
        for path in (folder, trained, onnx):
            if path.exists() and not path.is_dir():
                raise WorkspaceError(f"{path} is a file, not a folder.", "Choose another folder.")
        _refuse_overlap(onnx, (folder, trained))
        return cls(folder, trained, onnx)

    def check_publishable(self) -> None:
        """Raises `WorkspaceError` when publishing would replace more than the trained model."""
        _refuse_overlap(self.trained_model, (self.root, self.onnx_model))

    @property
    def datasets(self) -> Path:
        return self.root / "datasets"

    @property
    def sessions(self) -> Path:
        return self.root / "sessions"

    @property
    def jobs(self) -> Path:
        return self.root / "jobs"

    @property
    def versions(self) -> Path:
        return self.root / "versions"

    @property
    def set_aside(self) -> Path:
        """Where incomplete models go when a new one takes their place."""
        return self.root / "set_aside"

    @property
    def register(self) -> Path:
        return self.root / "heldout"

    @property
    def queue(self) -> Path:
        return self.root / "queue.json"

    @property
    def training_lock(self) -> Path:
        return self.root / "training.lock"

    def situation(self) -> Situation:
        """Inspect both model folders; a publication that runs meanwhile is never seen half done."""
        trained = steadily(self.trained_model, inspect_model)
        onnx = steadily(self.onnx_model, lambda folder: inspect_onnx(folder, trained.fingerprint))
        return Situation(trained, onnx)


def workspaces_in(root: Path) -> list[Path]:
    """The folders directly in `root` that are workspaces, by name."""
    parts = ("sessions", "datasets", "trained_model", "onnx_model")
    try:
        folders = [path for path in root.iterdir() if path.name[0] != "." and path.is_dir()]
    except OSError:
        return []
    return sorted(folder for folder in folders if any((folder / part).is_dir() for part in parts))


def create_workspace(root: Path, name: str) -> Path:
    """Make a new, empty workspace inside `root`; raises `RequestError` when it cannot be."""
    access.require_changes()
    folder = access.inside(root, name)
    if folder.exists():
        raise WorkspaceError(f"{folder} is there already.", "Open it, or choose another name.")
    try:
        (folder / "datasets").mkdir(parents=True)
    except OSError as error:
        raise WorkspaceError(f"{folder} cannot be made: {error.strerror}.", "Choose another name.") from error
    return folder


def _folder(path: str | Path) -> Path:
    return Path(os.path.expanduser(path)).resolve()


def _refuse_overlap(model: Path, others: Iterable[Path]) -> None:
    """A model's folder is replaced as a whole, and what lies in it goes with it."""
    for other in others:
        if other.is_relative_to(model):
            raise WorkspaceError(
                f"A new model in {model} would take the place of {other} as well.",
                "Choose a folder of its own for each.",
            )


def new_id(name: str) -> str:
    """An id that sorts by time: UTC to the second, then a short name of lower-case words."""
    words = "".join(c if c.isalnum() and c.isascii() else "-" for c in name.lower())
    short = "-".join(filter(None, words.split("-")))[:40].strip("-") or "session"
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{short}"


# --- reading through a publication ----------------------------------------------------------------


def journal_of(target: Path) -> Path:
    """The journal that `sails.models.publish` keeps beside a folder while it replaces it."""
    return target.with_name(f".{target.name}.journal.json")


def resolve(target: Path) -> Path:
    """Where the content of `target` lies now: between two renames it is still in its staging folder."""
    if not target.exists():
        staged = (read_json(journal_of(target)) or {}).get("staged")
        if isinstance(staged, str) and target.with_name(staged).exists():
            return target.with_name(staged)
    return target


def steadily(target: Path, inspect: Callable[[Path], Found]) -> Found:
    """Inspect until nothing was renamed or removed in the meantime."""
    vanished: FileNotFoundError | None = None
    for _ in range(1000):
        before = _generation(target)
        try:
            state = inspect(resolve(target))
        except FileNotFoundError as error:
            vanished = error
            continue
        if _generation(target) == before:
            return state
    raise WorkspaceError(f"{target} changes all the time.", "Wait until it is at rest.") from vanished


def _generation(target: Path) -> tuple[int, ...]:
    """Which folder it is now, and as it is now: inode numbers are used again, so the times count too."""
    journal = journal_of(target).exists()
    try:
        folder = target.stat()
    except FileNotFoundError:
        return (journal,)
    return folder.st_ino, folder.st_mtime_ns, folder.st_ctime_ns, journal


# --- judging a model folder -----------------------------------------------------------------------


def inspect_model(folder: Path) -> ModelState:
    """Judge a folder by its files alone; never raises for what it finds inside."""
    files = found_files(folder)
    if not files:
        return ModelState(folder, "missing")
    sizes = {file.name: file.size for file in files}
    reason = _config_problem(folder, sizes) or _weights_problem(folder, sizes)
    record = read_json(folder / PROVENANCE) or {}
    return ModelState(
        path=folder,
        state="incomplete" if reason else "complete",
        reason=reason,
        fingerprint=None if reason else _fingerprint(folder, sizes),
        base=_text(record.get("base")) or _base_in_config(folder),
        session=_text(record.get("session")),
        files=files,
        modified=_modified(folder, files),
    )


def inspect_onnx(folder: Path, trained_fingerprint: str | None) -> OnnxState:
    """Judge an ONNX folder: any non-empty `*.onnx` in it or one level below makes it present.

    It is fresh when one of the variants in it (see `sails.models.variants`) is: that one answers.
    """
    files = found_files(folder)
    models = [path for pattern in ("*.onnx", "*/*.onnx") for path in sorted(folder.glob(pattern))]
    homes = {path.parent for path in models if path.is_file() and path.stat().st_size > 0}
    if not homes:
        return OnnxState(folder, "missing", files=files)
    records = [read_json(home / EXPORT_RECORD) or {} for home in sorted(homes)]
    known = [found for record in records if (found := _text(record.get("fingerprint")))]
    fingerprint = trained_fingerprint if trained_fingerprint in known else next(iter(known), None)
    return OnnxState(
        path=folder,
        state="present",
        stale=None if fingerprint is None else fingerprint != trained_fingerprint,
        fingerprint=fingerprint,
        files=files,
        modified=_modified(folder, files),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a small file, or None when it is not there or cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def found_files(folder: Path) -> tuple[FoundFile, ...]:
    """Every file directly inside, hidden ones left out (a `.gitkeep` is no model)."""
    try:
        with os.scandir(folder) as entries:
            found = [FoundFile(e.name, e.stat().st_size) for e in entries if e.name[0] != "." and e.is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return tuple(sorted(found, key=lambda file: file.name))


def _modified(folder: Path, files: Iterable[FoundFile]) -> datetime | None:
    times = [(folder / file.name).stat().st_mtime for file in files]
    return datetime.fromtimestamp(max(times), UTC) if times else None


def _base_in_config(folder: Path) -> str | None:
    """The base model that transformers noted in a model made elsewhere; None for a folder's path."""
    name = _text((read_json(folder / "config.json") or {}).get("_name_or_path"))
    return name if name and re.fullmatch(r"\w[\w.-]*(/[\w.-]+)?", name) else None


def _config_problem(folder: Path, sizes: dict[str, int]) -> str | None:
    if "config.json" not in sizes:
        return "config.json is missing"
    if read_json(folder / "config.json") is None:
        return "config.json cannot be read"
    return None


def _weights_problem(folder: Path, sizes: dict[str, int]) -> str | None:
    """Why the weights cannot be used, or None."""
    source = _weights_source(sizes)
    if source is None:
        return f"the weights are missing ({' or '.join(WEIGHTS)})"
    names = _weight_files(folder, source)
    if not names:
        return f"{source} cannot be read"
    for number, name in enumerate(names, 1):
        if name not in sizes:
            return f"{name} is missing (part {number} of {len(names)} of the weights)"
        check = _safetensors_problem if name.endswith(".safetensors") else _pytorch_problem
        if problem := check(folder / name, sizes[name]):
            return problem
    return None


def _weights_source(sizes: dict[str, int]) -> str | None:
    """The weights file, or the index of its parts, in the order in which transformers looks for it."""
    order = (WEIGHTS[0], INDEXES[0], WEIGHTS[1], INDEXES[1])
    return next((name for name in order if name in sizes), None)


def weight_files(folder: Path) -> list[Path]:
    """The files that are loaded as the model's weights, in order; none when there are none to load."""
    sizes = {file.name: file.size for file in found_files(folder)}
    source = _weights_source(sizes)
    return [folder / name for name in _weight_files(folder, source)] if source else []


def _weight_files(folder: Path, source: str) -> list[str]:
    """The files that hold the weights, in order; none when the index cannot be read."""
    if source not in INDEXES:
        return [source]
    weight_map = (read_json(folder / source) or {}).get("weight_map")
    return sorted({str(name) for name in weight_map.values()}) if isinstance(weight_map, dict) else []


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
    """What a safetensors file says of its tensors; raises ValueError when it is none."""
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


# --- the fingerprint ------------------------------------------------------------------------------


def _fingerprint(folder: Path, sizes: dict[str, int]) -> str:
    """Which model this is: 16 hex digits over the config and samples of every tensor.

    It tells models apart, in milliseconds for gigabytes; it does not prove that no bit is wrong. Every
    safetensors tensor gives its first and last 64 bytes, so training any layer changes it; other weight
    files give 512 evenly spaced blocks. Files that are not loaded as weights do not count.
    """
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    source = _weights_source(sizes)
    for name in _weight_files(folder, source) if source else ():
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
