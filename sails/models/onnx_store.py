"""A variant of an ONNX model put in its place, or kept apart: at once, and never half.

    built = Path(".onnx_model.staged-…")         # complete, on the same disk
    install(built, Path("onnx_model"), "int8")     # ► onnx_model/int8
    quarantine(built, Path("onnx_model"), "int8")  # ► onnx_model_failed/int8

Full precision lies flat in the ONNX folder and 8-bit inside of it, so the one is replaced with the other in
it: hard links carry it over, which takes no time and no disk. Every change holds the lock beside the ONNX
folder and goes through a journal (`sails.models.publish`); killed at any instruction, `recover_onnx` finishes
it.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from sails import system
from sails.errors import RequestError
from sails.models import journal
from sails.models.journal import journal_of
from sails.models.variants import VARIANT_TITLES, VARIANTS, Variant, failed_folder, variant_folder


def install(built: Path, onnx: Path, variant: Variant, keep: Path | None = None) -> None:
    """Move the complete folder `built` to the place of a variant of the ONNX model in `onnx`.

    What was there goes to `keep`, or is deleted at the very end when `keep` is None; what is no export of
    ours is never deleted but moved beside it. A failed one of the same variant that is kept apart goes.
    """
    system.require_changes()
    _check(built)
    with writing(onnx):
        _put(built, onnx, variant, keep)
        _delete(failed_folder(onnx, variant))


def quarantine(built: Path, onnx: Path, variant: Variant) -> Path:
    """Move `built` to where variants lie whose certificate failed, in place of an earlier one; says where."""
    system.require_changes()
    _check(built)
    target = failed_folder(onnx, variant)
    target.parent.mkdir(parents=True, exist_ok=True)
    with writing(onnx):
        journal.swap(journal.stage_path(target, "failed"), target, None, built)
    return target


def keep_failed(onnx: Path, variant: Variant) -> None:
    """Put a variant that is kept apart in its place; raises `RequestError` when there is none."""
    system.require_changes()
    with writing(onnx):
        _put(_failed(onnx, variant), onnx, variant, None)
        _delete(failed_folder(onnx, variant))


def discard_failed(onnx: Path, variant: Variant) -> None:
    """Delete a variant that is kept apart; raises `RequestError` when there is none."""
    system.require_changes()
    with writing(onnx):
        _delete(_failed(onnx, variant))


def recover_onnx(onnx: Path) -> None:
    """Finish what a dead process began with the ONNX folder or a variant; does nothing when all is well."""
    if any(journal_of(target).exists() for target in (onnx, *places(onnx))):
        with writing(onnx):
            pass


def _check(built: Path) -> None:
    if not any(built.glob("*.onnx")):
        raise ValueError(f"{built} holds no ONNX model")
    system.fsync_tree(built)


def _put(built: Path, onnx: Path, variant: Variant, keep: Path | None) -> None:
    target = variant_folder(onnx, variant)
    if target == onnx and keep is None:
        # The variants that lie inside of the ONNX folder also lie in the new one.
        for other in VARIANTS:
            inside, copy = variant_folder(onnx, other), variant_folder(built, other)
            if inside != onnx and inside.is_dir():
                shutil.rmtree(copy, ignore_errors=True)  # of an attempt that died
                shutil.copytree(inside, copy, copy_function=system.link_or_copy)
                system.fsync_tree(copy)
    onnx.parent.mkdir(parents=True, exist_ok=True)
    if target != onnx:
        onnx.mkdir(exist_ok=True)
    if keep is None and journal.is_foreign(target):
        name = onnx.name if target == onnx else f"{onnx.name}-{variant}"
        keep = journal.unused_path(onnx.with_name(f"{name}-set-aside"))
    journal.swap(journal.stage_path(target, "placed"), target, keep, built)


@contextlib.contextmanager
def writing(onnx: Path) -> Iterator[None]:
    """Hold the lock beside the ONNX folder, with whatever a dead process began finished."""
    with journal.write_lock(onnx):
        for target in places(onnx):
            journal.finish(target)
        yield


def places(onnx: Path) -> list[Path]:
    """Where a variant may be in the middle of a change, but for the ONNX folder itself."""
    inside = [variant_folder(onnx, variant) for variant in VARIANTS]
    return [*(folder for folder in inside if folder != onnx), *(failed_folder(onnx, v) for v in VARIANTS)]


def _failed(onnx: Path, variant: Variant) -> Path:
    folder = failed_folder(onnx, variant)
    if not folder.is_dir():
        raise RequestError(
            f"No {VARIANT_TITLES[variant]} model is kept apart in {folder}.", "Make the ONNX model again."
        )
    return folder


def _delete(folder: Path) -> None:
    """Never seen half deleted; its parent goes with the last one."""
    system.remove_at_once(folder)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()
