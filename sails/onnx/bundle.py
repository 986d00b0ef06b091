"""Handing a model over: one zip file that runs by itself, or a folder as Hugging Face knows it.

    made = make_bundle(workspace.onnx_model, "int8", Path("model.zip"), known=about(workspace, fingerprint))

The zip file holds the model, its certificate, a model card, `chat.py`, and the modules of this package that
answer, unchanged: a chat in it runs the same lines as a chat here. The same model gives the same bytes. What
people taught it is told in counts: no example of theirs leaves with it, not even in the certificate.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import sails
from sails import models, system
from sails.errors import BusyError, ModelLoadError, RequestError, WorkspaceError
from sails.models import Variant, VariantState, Workspace
from sails.onnx import certify
from sails.onnx.certify import Certificate, read_certificate
from sails.onnx.model_card import About, about, card
from sails.system import Progress, megabytes, silent, stamp

# Of this package, all that a chat needs; tests hold both lists against what is truly imported.
MODULES = (
    "__init__.py",
    "errors.py",
    "models/__init__.py",
    "models/export_record.py",
    "onnx/__init__.py",
    "onnx/runtime/__init__.py",
    "onnx/runtime/chat_encoder.py",
    "onnx/runtime/chat_template.py",
    "onnx/runtime/decoder.py",
    "onnx/runtime/generate.py",
    "onnx/runtime/options.py",
    "onnx/runtime/sampling.py",
    "onnx/runtime/sandbox.py",
    "onnx/runtime/thoughts.py",
    "onnx/runtime/tokenizer.py",
)
REQUIREMENTS = ("onnxruntime>=1.31,<2", "tokenizers>=0.22,<0.24", "jinja2>=3.1.6,<4", "numpy>=2.2,<3")
CHAT = "onnx/runtime/standalone.py"
CARD = "README.md"
MODEL = "model.onnx"  # what Hugging Face's classes look for
DOWNLOADS = "bundles"  # in a workspace's jobs/
SENDING_MEMORY = 4.0  # times the size of a file, as measured, for as long as a browser downloads it


@dataclass(frozen=True)
class Bundle:
    """What was made: a zip file or a folder, its size in bytes, and whether its model is certified."""

    path: Path
    variant: Variant
    size: int
    certified: bool


# --- what is handed over --------------------------------------------------------------------------


@dataclass(frozen=True)
class _BundledModel:
    """A variant that may be handed over: its files, and its certificate where there is one of its own."""

    state: VariantState
    files: tuple[Path, ...]
    certificate: Certificate | None


def choose_for_bundle(onnx: Path, variant: Variant, *, allow_failed: bool = False) -> VariantState:
    """Choose the variant of the ONNX model in `onnx` to hand over, which may be one that is kept apart.

    Raises `RequestError` when there is none, and without `allow_failed` when it is not certified.
    """
    state = models.inspect_variant(models.variant_folder(onnx, variant), variant, None)
    kept_apart = models.inspect_variant(models.failed_folder(onnx, variant), variant, None)
    title = models.VARIANT_TITLES[variant]
    if not state.present and not kept_apart.present:
        raise RequestError(
            f"There is no {title} ONNX model in {onnx}.",
            f"Make it on the page ONNX export, or with: sails convert --variant {variant} --verify",
        )
    chosen = state if state.present else kept_apart
    if chosen.certified or allow_failed:
        return chosen
    remedy = (
        "Make it again and verify it, hand over another variant, or decide for it all the same with "
        "--allow-uncertified."
    )
    if chosen.certified is None:
        raise RequestError(f"Nobody has proven that the {title} model answers like the original.", remedy)
    certificate = read_certificate(models.resolve(chosen.path))
    reasons = " ".join(certificate.reasons) if certificate else ""
    raise RequestError(f"The {title} model failed its certificate. {reasons}".strip(), remedy)


def _open(onnx: Path, variant: Variant, allow_failed: bool) -> _BundledModel:
    state = choose_for_bundle(onnx, variant, allow_failed=allow_failed)
    folder = models.resolve(state.path)
    record = models.ExportRecord.read(folder) or models.ExportRecord()
    certificate = read_certificate(folder) if state.certified is not None else None
    files = _files(folder, record)
    for path in files:
        _refuse_link(path, onnx.parent)
    return _BundledModel(state, files, certificate and _without_own_questions(certificate))


def _refuse_link(path: Path, beside: Path) -> None:
    """Raise `ModelLoadError` where a link leads to a file: nothing from elsewhere leaves with a model."""
    if os.path.realpath(path) != os.path.join(os.path.realpath(beside), path.relative_to(beside)):
        raise ModelLoadError(
            f"{path.name} is a link, and what it leads to is no part of the model.",
            "Make the ONNX model again.",
        )


def _files(folder: Path, record: models.ExportRecord) -> tuple[Path, ...]:
    """What the export wrote, as it was then; raises `ModelLoadError`. Without a record, all there is.

    So nothing leaves that somebody else put beside it.
    """
    if record.files is None:
        ours = (models.CERTIFICATE, certify.CERTIFICATE_PAGE, CARD)
        return tuple(folder / file.name for file in models.found_files(folder) if file.name not in ours)
    sizes = {file.name: file.size for file in models.found_files(folder)}
    for name, size in record.files.items():
        if size is None:  # nobody can tell what was exported
            raise ModelLoadError(f"{models.EXPORT_RECORD} is damaged.", "Make the ONNX model again.")
        if sizes.get(name) != size:
            raise ModelLoadError(
                f"{name} is damaged: it has {sizes.get(name, 0):,} of {size:,} bytes.",
                "Make the ONNX model again.",
            )
    for name, expected in record.sha256.items():  # exports of old have none
        if name in record.files and system.digest(folder / name) != expected:
            raise ModelLoadError(
                f"{name} is damaged: it does not hold what was exported.", "Make the ONNX model again."
            )
    return tuple(folder / name for name in sorted({*record.files, models.EXPORT_RECORD}))


@contextmanager
def _unchanged(model: _BundledModel) -> Iterator[None]:
    """Raises `BusyError` when the model is replaced meanwhile."""
    busy = BusyError("The ONNX model was replaced while it was packed.", "Do it again.")
    try:
        before = [stamp(path) for path in model.files]
        yield
        after = [stamp(path) for path in model.files]
    except FileNotFoundError as error:
        raise busy from error
    if before != after:
        raise busy


def _without_own_questions(certificate: Certificate) -> Certificate:
    """The certificate without the person's own questions: those are examples of what was taught."""
    from sails.onnx.runtime.chat_template import as_messages

    ours = {as_messages(prompt)[-1]["content"] for prompt in certify.FIXED_PROMPTS}
    examples = tuple(example for example in certificate.examples if example.prompt in ours)
    # Quoted is the first question that was answered differently.
    reasons = (re.sub("“.*”", "a question", reason, flags=re.DOTALL) for reason in certificate.reasons)
    return replace(certificate, examples=examples, reasons=tuple(reasons))


_Content = dict[str, Path | bytes]  # name in the bundle ► a file, or what is to be written


def _papers(model: _BundledModel) -> dict[str, bytes]:
    """The certificate for people and for programs; none where there is none."""
    return certify.certificate_files(model.certificate) if model.certificate else {}


# --- a zip file that runs by itself ---------------------------------------------------------------


def make_bundle(
    onnx: Path,
    variant: Variant,
    output: Path,
    *,
    known: About | None = None,
    allow_failed: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Write a variant of the ONNX model in the folder `onnx` into the zip file `output`, all at once.

    A file that is there already is replaced at the end. Raises `RequestError` as `choose_for_bundle`,
    `WorkspaceError` where nothing can be written, `DiskFullError`, `ModelLoadError` for a damaged model, and
    `BusyError` when the model is replaced meanwhile.
    """
    system.require_changes()
    if output.exists() and not output.is_file():
        what = "a folder" if output.is_dir() else "a device, and no file"
        raise WorkspaceError(f"{output} is {what}.", "Name a zip file, for example model.zip.")
    model = _open(onnx, variant, allow_failed)
    package = Path(sails.__file__).parent
    content: _Content = {
        CARD: card(known or About(), model.state, model.certificate, runs_by_itself=True).encode(),
        "chat.py": package / CHAT,
        "requirements.txt": ("\n".join(REQUIREMENTS) + "\n").encode(),
        **_papers(model),
        **{f"model/{path.name}": path for path in model.files},
        **{f"sails/{name}": package / name for name in MODULES},
    }
    with system.built_beside(output, _size(content)) as part:
        with _unchanged(model), open(part, "wb") as file:
            _write_zip(content, f"model-{variant}", file, progress or silent)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, output)
        system.fsync_folder(output.parent)
    return Bundle(output, variant, output.stat().st_size, model.state.certified is True)


def _write_zip(content: _Content, folder: str, stream: BinaryIO, progress: Progress) -> None:
    """Piece by piece and without compressing: weights are noise to a compressor."""
    total, done = _size(content), 0
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, source in content.items():
            entry = zipfile.ZipInfo(f"{folder}/{name}", system.ZIP_TIME)
            entry.create_system = 3  # the same bytes on every system
            entry.external_attr = 0o100644 << 16
            entry.file_size = _length(source)
            with _opened(source) as file:
                for written in system.write_entry(archive, entry, file):
                    progress(min((done + written.size) / total, 1.0), "packing", name)
            done += entry.file_size


def download_of(workspace: Workspace, state: VariantState) -> Path:
    """Return where the zip file of exactly this model is kept for who downloads it, made or not."""
    folder = models.resolve(state.path)
    files = models.found_files(folder)
    seen = [(file.name, file.size, (folder / file.name).stat().st_mtime_ns) for file in files]
    key = hashlib.sha256(repr((sails.__version__, seen)).encode()).hexdigest()[:8]
    return workspace.jobs / DOWNLOADS / f"model-{state.variant}-{key}.zip"


@system.changes("make a download of the ONNX model", what="variant")
def make_download(
    workspace: Workspace, variant: Variant, *, allow_failed: bool = False, progress: Progress | None = None
) -> Bundle:
    """Make the zip file of a variant of the workspace's ONNX model where `download_of` says.

    Those of earlier models go. Raises as `make_bundle`.
    """
    state = choose_for_bundle(workspace.onnx_model, variant, allow_failed=allow_failed)
    target = download_of(workspace, state)
    target.parent.mkdir(parents=True, exist_ok=True)
    with system.short_lock(target.parent / "lock"):
        if target.exists():  # somebody else was faster
            return Bundle(target, variant, target.stat().st_size, state.certified is True)
        for earlier in target.parent.glob(f"*model-{variant}-*"):
            with contextlib.suppress(OSError):  # Windows keeps one that is being downloaded
                earlier.unlink()
        known = about(workspace, state.fingerprint)
        return make_bundle(
            workspace.onnx_model, variant, target, known=known, allow_failed=allow_failed, progress=progress
        )


def check_room_for_sending(size: int, file: Path) -> None:
    """Raise `RequestError` when a zip file of that many bytes does not fit into memory for a browser."""
    needed, free = size * SENDING_MEMORY, system.available_memory()
    if needed > free:
        raise RequestError(
            f"The download takes {megabytes(needed)} of memory, and {megabytes(free)} are free.",
            f"Copy the file {file} instead.",
        )


# --- a folder for other programs ------------------------------------------------------------------


def make_bundle_folder(
    onnx: Path,
    variant: Variant,
    output: Path,
    *,
    known: About | None = None,
    allow_failed: bool = False,
    progress: Progress | None = None,
) -> Bundle:
    """Write the same model as a flat folder that `ORTModelForCausalLM.from_pretrained` loads.

    `output` must not be there yet, or be empty. Raises as `make_bundle`.
    """
    system.require_changes()
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise WorkspaceError(f"{output} is there already.", "Choose a folder that is not there yet.")
    model = _open(onnx, variant, allow_failed)
    if not any(path.name == MODEL for path in model.files):
        raise ModelLoadError(f"There is no {MODEL} in {model.state.path}.", "Make the ONNX model again.")
    content: _Content = {
        CARD: card(known or About(), model.state, model.certificate, runs_by_itself=False).encode(),
        **_papers(model),
        **{path.name: path for path in model.files},
    }
    with system.built_beside(output, _size(content)) as part:
        part.mkdir()
        with _unchanged(model):
            for number, (name, source) in enumerate(content.items()):
                (progress or silent)(number / len(content), "copying", name)
                with _opened(source) as file, open(part / name, "wb") as copy:
                    shutil.copyfileobj(file, copy, system.PIECE)
        system.fsync_tree(part)
        if output.exists():
            output.rmdir()
        system.rename(part, output)
    return Bundle(output, variant, _size(content), model.state.certified is True)


def _opened(source: Path | bytes) -> BinaryIO:
    return BytesIO(source) if isinstance(source, bytes) else open(source, "rb")


def _length(source: Path | bytes) -> int:
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def _size(content: _Content) -> int:
    return sum(map(_length, content.values()))
