"""A model folder as Hugging Face saves it ► an ONNX folder that chats without torch.

    export_model(Path("trained_model"), staging, source_fingerprint="…")

The one module that knows optimum. Attention is fused afterwards (`sails.onnx.fuse`) where the family of
models is known: a chat then needs a quarter to a third less time. What it writes is complete in itself:
graph, tokenizer, chat template, generation config, and `export.json`, which says what the graph came from. It
writes into a fresh staging folder; putting that in the place of the old export is the caller's part.

Memory, measured: about 0.4 GB and 4.7 times the fp32 weights (2.9 GB for a model of 135M parameters).
"""

from __future__ import annotations

import json
import logging
import shutil
import time
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sails import __version__
from sails.errors import DiskFullError, ModelLoadError, SailsError, classify
from sails.models import ExportRecord, tokenizer_digest
from sails.onnx.runtime.tokenizer import short_context
from sails.system import Progress, digest, gigabytes, silent

TASK = "text-generation-with-past"
# Below 14 there is no way to write attention; above 20 the exporter writes no newer operators anyway.
MIN_OPSET, MAX_OPSET = 14, 20
# The graph is written once, then once more with the shared embedding stored a single time.
DISK_SHARE = 1.3
MAX_FILE_BYTES = 1_900_000_000  # bytes; protobuf ends at 2 GiB

_PACKAGES = ("torch", "transformers", "optimum", "optimum-onnx", "onnx", "onnxruntime")
# What the libraries are known to say while tracing; anything new is passed on.
_KNOWN_WARNINGS = (
    "You are using the legacy TorchScript-based ONNX export",
    "The feature will be removed",
    "Converting a tensor to a Python",
    "Exporting aten::index operator of advanced indexing",
)
_CHECK_FOLDER = "Check that the model folder is complete, or train from another base model."


@dataclass(frozen=True)
class Export:
    """What was written: `files` are (name, bytes) without `export.json`; `note` is empty or one sentence."""

    folder: Path
    files: tuple[tuple[str, int], ...]
    source_fingerprint: str | None
    seconds: float
    opset: int
    note: str = ""


def export_model(
    model: Path,
    output: Path,
    *,
    source_fingerprint: str | None,
    opset: int | None = None,
    progress: Progress | None = None,
) -> Export:
    """Write `model` as fp32 ONNX into `output`.

    `opset` None is the exporter's own choice; one that cannot be written is replaced by the nearest that
    can, and `note` says so. Raises ModelLoadError, DiskFullError or OutOfMemoryError.
    """
    started = time.monotonic()
    report = progress or silent
    config = _read_config(model)
    architecture = str(config["model_type"])
    halved = "16" in str(config.get("dtype") or config.get("torch_dtype"))
    weights = [*model.glob("*.safetensors")] or [*model.glob("*.bin")]
    check_disk(weights, DISK_SHARE * (2 if halved else 1), output)
    try:
        report(0.0, "loading the libraries")
        with _quiet_libraries():
            opset, note = _supported_opset(architecture, opset)
            report(0.1, "writing the graph")
            _write_graph(model, output, opset)
            report(0.7, "making attention faster")
            fused = _fuse(output / "model.onnx", config)
            report(0.9, "writing the tokenizer")
            _write_tokenizer(model, output)
    except SailsError:
        raise
    except Exception as error:
        raise explained(error, architecture) from error
    if shorter := short_context(config):
        limit = f"In chats it reads at most {shorter:,} tokens; its scaling for longer texts is not exported."
        note = f"{note} {limit}".strip()
    facts = {"tokenizer": tokenizer_digest(model), "variant": "fp32", "fused_attentions": fused}
    files = write_record(output, source_fingerprint, opset, note=note, **facts)
    report(1.0, "exported")
    return Export(output, files, source_fingerprint, time.monotonic() - started, opset, note)


def _read_config(model: Path) -> dict[str, Any]:
    try:
        config = json.loads((model / "config.json").read_text(encoding="utf-8"))
        if config["model_type"]:
            return config
        raise KeyError("model_type")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelLoadError(f"There is no readable config.json in {model.name}.", _CHECK_FOLDER) from error


def check_disk(files: Iterable[Path], share: float, output: Path) -> None:
    """Make `output`; raises DiskFullError when `share` times the size of these files does not fit there."""
    output.mkdir(parents=True, exist_ok=True)
    needed = sum(file.stat().st_size for file in files) * share
    free = shutil.disk_usage(output).free
    if needed > free:
        raise DiskFullError(
            f"The export needs about {gigabytes(needed)} on the disk and {gigabytes(free)} are free.",
            "Free some space, then export again.",
        )


def _supported_opset(architecture: str, wanted: int | None) -> tuple[int, str]:
    """The opset to write and a sentence when it is not the wanted one."""
    import optimum.exporters.onnx.model_configs  # noqa: F401  declares what can be exported
    from optimum.exporters.tasks import TasksManager

    try:
        tasks = TasksManager.get_supported_tasks_for_model_type(
            architecture, "onnx", library_name="transformers"
        )
        config = tasks[TASK]
    except KeyError as error:
        raise ModelLoadError(
            f"Models of the architecture {architecture!r} cannot be exported to ONNX.",
            "Train from a base model of another family, such as Llama, Qwen2 or GPT-2.",
        ) from error
    if wanted is None:
        return int(config.func.DEFAULT_ONNX_OPSET), ""
    opset = min(max(wanted, MIN_OPSET), MAX_OPSET)
    note = f"Opset {wanted} cannot be written for this model; the export uses {opset}."
    return opset, "" if opset == wanted else note


def _write_graph(model: Path, output: Path, opset: int) -> None:
    from optimum.exporters.onnx import main_export

    # Its own check of the result compares random tokens and only warns; `sails.onnx.certify.verify` judges.
    main_export(
        str(model),
        output=output,
        task=TASK,
        opset=opset,
        library_name="transformers",
        local_files_only=True,
        trust_remote_code=False,
        do_validation=False,
    )
    # optimum drops a generation config that it finds fault with, and with it the tokens that end a turn.
    if (model / "generation_config.json").is_file():
        shutil.copyfile(model / "generation_config.json", output / "generation_config.json")


def _write_tokenizer(model: Path, output: Path) -> None:
    from transformers import AutoTokenizer

    try:
        # Makes a fast tokenizer of a slow one, and saves with it what its class changes on loading.
        tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True, trust_remote_code=False)
        tokenizer.save_pretrained(output)
    except Exception as error:
        unreadable = ModelLoadError(f"The tokenizer in {model.name} cannot be read.", _CHECK_FOLDER)
        raise classify(error, unreadable) from error
    if not (output / "tokenizer.json").is_file():
        raise ModelLoadError(
            f"The tokenizer in {model.name} is of a kind that cannot be used without Python code of its own.",
            "Train from another base model.",
        )


def _fuse(file: Path, config: dict[str, Any]) -> int:
    """Fuses the attentions of a graph where they have a known form; returns how many."""
    import onnx

    from sails.onnx import fuse

    graph = fuse.Graph(onnx.load(file))
    fused = fuse.fuse(graph, config)
    if fused:
        save_graph(graph.model, file)
    return fused


def save_graph(model: Any, file: Path) -> None:
    """Write a graph in the place of an old one; its weights lie beside it if they did, or are too large."""
    import onnx

    beside = file.with_name(f"{file.name}_data")
    size = sum(tensor.ByteSize() for tensor in model.graph.initializer)
    apart = beside.exists() or size > MAX_FILE_BYTES
    for old in (file, beside):
        old.unlink(missing_ok=True)
    onnx.save(model, file, save_as_external_data=apart, location=beside.name if apart else None)


def write_record(
    output: Path, fingerprint: str | None, opset: int, note: str = "", **facts: Any
) -> tuple[tuple[str, int], ...]:
    """Write `export.json`: what the folder holds and came from. Returns its files with their bytes."""
    files = tuple((file.name, file.stat().st_size) for file in sorted(output.iterdir()) if file.is_file())
    ExportRecord(
        fingerprint=fingerprint,
        **facts,
        opset=opset,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions={"sails": __version__, **{name: version(name) for name in _PACKAGES}},
        files=dict(files),
        sha256={name: digest(output / name) for name, _ in files},
        note=note,
    ).write(output)
    return files


def explained(error: Exception, architecture: str) -> SailsError:
    """Say in one sentence what a library raised."""
    cause = (str(error) or type(error).__name__).strip().splitlines()[0][:200].rstrip(".")
    sentence = f"This {architecture} model cannot be exported: {cause}."
    return classify(error, ModelLoadError(sentence, _CHECK_FOLDER))


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Sends what transformers and optimum print on their own to the program's logging, for a while."""
    with warnings.catch_warnings():
        for message in _KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        import optimum.exporters.onnx  # noqa: F401  sets the two libraries' handlers up
        from transformers.utils import logging as transformers_logging

        loggers = [logging.getLogger(name) for name in ("transformers", "optimum")]
        before = [(logger, logger.handlers[:], logger.propagate) for logger in loggers]
        bars = transformers_logging.is_progress_bar_enabled()
        transformers_logging.disable_progress_bar()
        for logger in loggers:
            logger.handlers[:], logger.propagate = [], True
        try:
            yield
        finally:
            for logger, handlers, propagate in before:
                logger.handlers[:], logger.propagate = handlers, propagate
            if bars:
                transformers_logging.enable_progress_bar()
