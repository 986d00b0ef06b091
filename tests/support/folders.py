"""Model folders for tests of what lies on disk: real safetensors files, made in milliseconds without torch.

    from tests.support.folders import make_model
    folder = make_model(tmp_path / "trained_model", seed=1)

No architecture belongs to them: they can be inspected, copied and published, but not loaded as a model.
"""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from sails import system
from sails.models.folder import inspect_model
from sails.models.journal import swap, write_lock

CONFIG = {"model_type": "llama", "hidden_size": 8, "num_hidden_layers": 2, "vocab_size": 32}


def tensors(seed: int = 0) -> dict[str, np.ndarray]:
    """Four tensors, one of them a single number, another longer than what a fingerprint samples."""
    numbers = np.random.default_rng(seed)
    shapes = {"embedding": (32, 8), "layer.weight": (64, 8), "norm": (8,), "scale": ()}
    return {name: numbers.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


def make_model(folder: Path, seed: int = 0) -> Path:
    """A complete model folder as the original command line leaves it: no word about where it came from."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    save_file(tensors(seed), folder / "model.safetensors")
    (folder / "tokenizer.json").write_text("{}")
    return folder


def make_sharded_model(folder: Path, seed: int = 0) -> Path:
    """The same tensors in two safetensors files and an index."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    weight_map = {}
    items = list(tensors(seed).items())
    for number, part in enumerate((items[:2], items[2:]), 1):
        name = f"model-{number:05}-of-00002.safetensors"
        save_file(dict(part), folder / name)
        weight_map |= {tensor: name for tensor, _ in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def make_onnx(folder: Path, fingerprint: str | None = None, content: bytes = b"onnx") -> Path:
    """A flat ONNX folder; with a fingerprint also the record of the model that it came from."""
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(content)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    if fingerprint is not None:
        (folder / "export.json").write_text(json.dumps({"fingerprint": fingerprint}))
    return folder


def replace_folder(staged: Path, target: Path) -> None:
    """Put a staged folder in the place of `target`, as every writer of a model folder does."""
    system.fsync_tree(staged)
    with write_lock(target):
        swap(staged, target, None)


def fingerprint_of(folder: Path) -> str:
    fingerprint = inspect_model(folder).fingerprint
    assert fingerprint is not None, inspect_model(folder)
    return fingerprint


def listing(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything below a folder: size, time of the last change, and content."""
    return {
        str(path.relative_to(folder)): (
            path.stat().st_size,
            path.stat().st_mtime_ns,
            path.read_bytes() if path.is_file() else b"",
        )
        for path in sorted(folder.rglob("*"))
    }
