"""Folders that people take for a model to train: what they hold instead, and what to do with it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sails.system import read_json

_QUANTIZED = {"gptq": "GPTQ", "awq": "AWQ", "bitsandbytes": "bitsandbytes"}


@dataclass(frozen=True)
class Foreign:
    """`problem` completes the sentence "it cannot be trained: …"; `remedy` is a sentence of its own."""

    problem: str
    remedy: str


def foreign_model(path: Path) -> Foreign | None:
    """Tell what a folder or file is that is no model to train; None for any other."""
    is_folder = os.path.isdir(path)  # never raises, whatever a person wrote
    only_gguf = is_folder and any(path.glob("*.gguf")) and not _has_weights(path)
    if path.suffix.lower() == ".gguf" or only_gguf:
        return Foreign(
            "it is a GGUF file, which is made for answering and cannot be taught",
            "Choose the folder or the hub name of the model that it was made from.",
        )
    if not is_folder:
        return None
    if (path / "adapter_config.json").is_file() and not (path / "config.json").is_file():
        base = (read_json(path / "adapter_config.json") or {}).get("base_model_name_or_path")
        of = f" of {base}" if isinstance(base, str) and base else ""
        return Foreign(
            f"it is an adapter (LoRA){of}, not a whole model",
            "Merge it into its base model first (merge_and_unload in peft), and choose that folder.",
        )
    quantization = (read_json(path / "config.json") or {}).get("quantization_config")
    if isinstance(quantization, dict):
        method = str(quantization.get("quant_method") or "bitsandbytes")
        return Foreign(
            f"its weights are compressed ({_QUANTIZED.get(method, method)}), and only full ones can learn",
            "Choose the model that it was made from.",
        )
    return None


def _has_weights(folder: Path) -> bool:
    return any(folder.glob("*.safetensors")) or any(folder.glob("*.bin"))
