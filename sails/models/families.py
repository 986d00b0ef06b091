"""Which families of models can be exported to chat with them here, and in which sizes; others only learn.

    exportable(folder)              # the variants that can be made of the model in this folder
    export_limits(folder)           # a sentence on what cannot, before anything starts; mostly empty

A family is the `model_type` in a model's config.json. `tests/onnx/test_families.py` makes the table true: it
exports a tiny model of each.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sails.models.variants import VARIANT_TITLES, VARIANTS, Variant
from sails.system import listed, read_json

_ALL = (
    "arcee bloom codegen cohere falcon gemma gemma2 gemma3_text glm gpt2 gpt_bigcode gpt_neo gpt_neox gptj "
    "granite helium llama mistral mpt nemotron olmo olmo2 phi phi3 qwen2 qwen3 smollm3 stablelm"
)
_FULL_ONLY = "gpt_oss opt"  # some of their matrices are of a form that cannot be written with 8 bits

# Families that are not named cannot be exported: there is no exporter, or what it writes answers otherwise.
EXPORTED: Mapping[str, tuple[Variant, ...]] = {
    **dict.fromkeys(_ALL.split(), VARIANTS),
    **dict.fromkeys(_FULL_ONLY.split(), ("fp32",)),
}


def exportable(folder: Path) -> tuple[Variant, ...]:
    """Return the variants that can be made of the model in `folder`; all of them where nobody can tell."""
    family = (read_json(folder / "config.json") or {}).get("model_type")
    return EXPORTED.get(family, ()) if isinstance(family, str) else VARIANTS


def export_limits(folder: Path) -> str:
    """Say what cannot be made of the model in `folder`; empty where everything can."""
    possible = exportable(folder)
    missing = [VARIANT_TITLES[variant] for variant in VARIANTS if variant not in possible]
    if not missing:
        return ""
    family = (read_json(folder / "config.json") or {}).get("model_type")
    if not possible:
        problem = f"models of the family {family} cannot be exported to ONNX"
        return f"It can be trained, not chatted with here: {problem}."
    return f"Models of the family {family} cannot be exported as {listed(missing)}."
