"""The models that chat, in memory: loaded once, shared by everybody, and loaded anew when they change.

MODEL_CACHE.get(Path("workspace/onnx_model"))      # a second the first time
MODEL_CACHE.reader(Path("workspace/onnx_model"))   # what it reads and how much, without loading it
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sails import system
from sails.errors import ModelLoadError, OutOfMemoryError
from sails.models import resolve
from sails.system import Stamp, megabytes, stamp

if TYPE_CHECKING:  # half a second to import, and not needed to show what was said
    from sails.onnx import Generator, Reader

MAX_LOADED_MODELS = 4  # models at most: as many as can answer side by side
LOADED_MEMORY = 2.0  # times the size of its file, while a model is being loaded
MAX_READERS = 8
ATTEMPTS, PAUSE = 20, 0.05  # seconds; a model may be replaced while it is loaded
_Identity = tuple[tuple[str, Stamp], ...]  # how each file looks
_Key = tuple[Path, _Identity]
Loaded = TypeVar("Loaded")


class ModelCache:
    """Models in memory; the one that was not used for longest goes first.

    A model is known by its folder and by its files' identity, so one that was published anew is loaded anew.
    Thread safe: two who ask for one model at a time load it once.
    """

    def __init__(self, at_most: int = MAX_LOADED_MODELS) -> None:
        self._at_most = at_most
        self._loaded: OrderedDict[_Key, Generator] = OrderedDict()
        self._readers: OrderedDict[_Key, Reader] = OrderedDict()
        self._guard = threading.Lock()
        self._loading = threading.Lock()  # one at a time: loading takes the most memory

    def holds(self, folder: Path) -> bool:
        """Tell whether the model in `folder` would answer at once."""
        with self._guard:
            return (folder, _identity(folder)) in self._loaded

    def get(self, folder: Path) -> Generator:
        """Return the model in an ONNX folder; takes seconds the first time.

        Raises `ModelLoadError` or `OutOfMemoryError`.
        """
        return self._find(folder, self._loaded, self._load)

    def reader(self, folder: Path) -> Reader:
        """Return what the model in an ONNX folder reads, and how much; a tenth of a second the first time.

        Raises `ModelLoadError`.
        """
        return self._find(folder, self._readers, self._open_reader)

    def _find(self, folder: Path, cache: OrderedDict[_Key, Loaded], load: Callable[[Path], Loaded]) -> Loaded:
        """Load until nothing was replaced in the meantime.

        The folder around it may have been gone for a moment and look as before: only what fails twice, in
        folders that nobody replaced, is damaged.
        """
        failures = 0
        for _ in range(ATTEMPTS):
            key = (folder, _identity(folder))
            if model := self._cached(cache, key):
                return model
            with self._loading:
                before = _folders(folder)
                if model := self._cached(cache, key):  # somebody else was faster
                    return model
                try:
                    loaded = load(folder)
                except (ModelLoadError, FileNotFoundError) as error:
                    replaced = (_folders(folder), _identity(folder)) != (before, key[1])
                    failures = 0 if replaced else failures + 1
                    if failures > 1 and isinstance(error, ModelLoadError):
                        raise
                    if failures > 1:
                        problem = "A file of the ONNX model is missing."
                        raise ModelLoadError(problem, "Export the model again.") from error
                    loaded = None
                if loaded is not None and _identity(folder) == key[1]:
                    with self._guard:
                        cache[key] = loaded
                    return loaded
            time.sleep(PAUSE)
        raise ModelLoadError("The ONNX model changes all the time.", "Wait until it is at rest.")

    def _cached(self, cache: OrderedDict[_Key, Loaded], key: _Key) -> Loaded | None:
        with self._guard:
            if key in cache:
                cache.move_to_end(key)
            return cache.get(key)

    def _load(self, folder: Path) -> Generator:
        from sails.onnx import Generator

        resolved = resolved_folder(folder)
        needed = sum(file.stat().st_size for file in resolved.glob("*.onnx*")) * LOADED_MEMORY
        with self._guard:
            for key in [key for key in self._loaded if key[0] == folder]:  # what lay there before
                del self._loaded[key]
            while len(self._loaded) >= self._at_most:
                self._loaded.popitem(last=False)
            if needed > system.available_memory():
                self._loaded.clear()
        system.give_back_memory()
        if needed > (free := system.available_memory()):
            raise OutOfMemoryError(
                f"The model takes {megabytes(needed)} of memory, and {megabytes(free)} are free.",
                "Close other programs, or wait until a training has ended.",
            )
        model = Generator.open(resolved)
        system.give_back_memory()
        return model

    def _open_reader(self, folder: Path) -> Reader:
        from sails.onnx import Reader

        with self._guard:
            while len(self._readers) >= MAX_READERS:
                self._readers.popitem(last=False)
        return Reader.open(resolved_folder(folder))


def resolved_folder(folder: Path) -> Path:
    """Return the place of an ONNX folder's files now, also while it, or the folder around it, is replaced."""
    return resolve(resolve(folder.parent) / folder.name)


def _folders(folder: Path) -> list[tuple[Path, int, int]]:
    """Where an ONNX folder lies and which folder that is, and the same of the one around it."""
    folders = []
    resolved = resolved_folder(folder)
    for path in (resolved, resolved.parent):
        with suppress(OSError):
            status = path.stat()
            # In the folder around it other files come and go, which says nothing of the model.
            changed = status.st_ctime_ns if path == resolved else 0
            folders.append((path, status.st_ino, changed))
    return folders


def _identity(folder: Path) -> _Identity:
    """Which files lie in an ONNX folder now; empty when there are none."""
    stamps = []
    try:
        for path in sorted(resolved_folder(folder).iterdir()):
            now = stamp(path)
            if path.is_file() and not path.name.startswith("certificate"):  # another variant may lie inside
                stamps.append((path.name, now))
    except OSError:
        return ()
    return tuple(stamps)


MODEL_CACHE = ModelCache()  # those of this process
