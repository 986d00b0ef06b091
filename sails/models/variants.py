"""The two sizes of an ONNX model: where each lies, how fresh and how certain it is, and which one answers.

    onnx_model/            fp32: full precision, flat, where `from_pretrained` finds it
    onnx_model/int8/       int8: 8-bit weights, a third of the size and several times as fast
    onnx_model_failed/     one folder for each variant whose certificate failed: kept apart, not offered

Reads only small files, in milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from sails.models.export_record import ExportRecord
from sails.models.folder import FoundFile, found_files
from sails.models.journal import resolve, steadily
from sails.system import read_json

Variant = Literal["fp32", "int8"]
VARIANTS: tuple[Variant, ...] = ("fp32", "int8")
VARIANT_TITLES: Mapping[Variant, str] = {"fp32": "full precision", "int8": "8-bit"}  # as a person reads it
CERTIFICATE = "certificate.json"


@dataclass(frozen=True)
class VariantState:
    """What lies in a variant's folder.

    `stale`: made from another model than the trained one; None when nobody recorded from which. `certified`:
    whether its certificate was passed; None when there is none, or it is that of another export.
    """

    variant: Variant
    path: Path
    present: bool = False
    fingerprint: str | None = None
    stale: bool | None = None
    certified: bool | None = None
    files: tuple[FoundFile, ...] = ()
    modified: datetime | None = None

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(file.size for file in self.files)


def variant_folder(onnx: Path, variant: Variant) -> Path:
    """Where a variant of the ONNX model in the folder `onnx` lies."""
    return onnx if variant == "fp32" else onnx / variant


def failed_folder(onnx: Path, variant: Variant) -> Path:
    """Where a variant whose certificate failed is kept, beside the folder `onnx`."""
    return onnx.with_name(f"{onnx.name}_failed") / variant


def inspect_variants(onnx: Path, trained_fingerprint: str | None) -> dict[Variant, VariantState]:
    """Both variants of the ONNX model in a folder, present or not; a change that runs is never seen half."""

    def inspect_all(folder: Path) -> dict[Variant, VariantState]:
        found = {v: inspect_variant(variant_folder(folder, v), v, trained_fingerprint) for v in VARIANTS}
        return {v: replace(state, path=variant_folder(onnx, v)) for v, state in found.items()}

    return steadily(onnx, inspect_all)


def inspect_failed_variants(onnx: Path, trained_fingerprint: str | None) -> dict[Variant, VariantState]:
    """Those that are kept apart, which may be none."""
    found = {
        variant: inspect_variant(failed_folder(onnx, variant), variant, trained_fingerprint)
        for variant in VARIANTS
    }
    return {variant: state for variant, state in found.items() if state.present}


def inspect_variant(folder: Path, variant: Variant, trained_fingerprint: str | None) -> VariantState:
    """Judge the folder of one variant by its files; never raises for what it finds inside."""
    resolved = resolve(folder)
    files = found_files(resolved)
    if not any(file.name.endswith(".onnx") and file.size > 0 for file in files):
        return VariantState(variant, folder)
    record = ExportRecord.read(resolved)
    fingerprint = record.fingerprint if record else None
    times = [(resolved / file.name).stat().st_mtime for file in files if (resolved / file.name).exists()]
    return VariantState(
        variant=variant,
        path=folder,
        present=True,
        fingerprint=fingerprint,
        stale=None if fingerprint is None else fingerprint != trained_fingerprint,
        certified=_certified(resolved, variant, fingerprint),
        files=files,
        modified=datetime.fromtimestamp(max(times), UTC) if times else None,
    )


def _certified(folder: Path, variant: Variant, fingerprint: str | None) -> bool | None:
    certificate = read_json(folder / CERTIFICATE) or {}
    passed, measured = certificate.get("passed"), certificate.get("variant", "fp32")  # old ones name none
    belongs = measured == variant and certificate.get("source_fingerprint") == fingerprint
    return passed if belongs and isinstance(passed, bool) else None


def preferred_variant(states: Mapping[Variant, VariantState]) -> Variant | None:
    """The variant to chat with and to hand over, of those that were found; None when there is none.

    What is fresh comes before what is not, what did not fail before what did, and then 8-bit when it is
    certified, full precision when nothing is.
    """

    def worth(state: VariantState) -> tuple[bool, bool, bool, bool]:
        small = state.variant == "int8"
        return (
            state.stale is False,
            state.certified is not False,
            small and state.certified is True,
            not small,
        )

    present = [state for state in states.values() if state.present]
    return max(present, key=worth).variant if present else None
