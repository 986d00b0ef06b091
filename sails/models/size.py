"""How large a model is, and the memory that training or exporting it takes."""

from __future__ import annotations

import math
from pathlib import Path

from sails.models.folder import safetensors_header, weight_files

USUAL_TOKENS = 512  # in a batch


def training_memory(
    parameters: int, tokens: int = USUAL_TOKENS, *, lora: bool = False, protected: bool = True
) -> int:
    """Return the bytes of memory that training needs in fp32 with AdamW and that many tokens a batch.

    20 bytes for each parameter (weight, gradient, AdamW's two averages, a copy of the last good weight), 2
    for the activations of 512 tokens, and 1.3 GB for Python, PyTorch and the rest. Without the copy, within
    5 % of what was measured with 124, 135, 362 and 494 million parameters (3.6, 3.6, 7.6 and 10.4 GB).
    0 for an unknown number of parameters.

    Where general knowledge is `protected`, a third of the weights is trained: 9 bytes for each parameter, and
    half of the activations, within 15 % of what was measured with 135 million (2.6 GB).

    With `lora` 7.5 bytes: the frozen weight, its copy in bf16, the adapters and the projection, or in judging
    the second model. Activations are half as large, for what frozen layers read need not be kept.
    """
    activations = 2 * parameters * tokens // USUAL_TOKENS
    if lora or protected:
        activations //= 2
    weights = round((7.5 if lora else 9 if protected else 20) * parameters)
    return weights + activations + 1_300_000_000 if parameters else 0


def export_memory(parameters: int) -> int:
    """Return the bytes of memory that making and verifying all variants of the ONNX model needs.

    Writing the graph takes 4.7 times the fp32 weights; comparing takes the original and the variants at once,
    and one more in a process of its own. Measured with 135 million parameters: 3.3 GB, and 1.1 GB beside it.
    """
    return 22 * parameters + 1_300_000_000 if parameters else 0


def count_parameters(model: Path) -> int:
    """Return the number of parameters in a model folder, from its safetensors headers, else from its size."""
    return sum(_count(path) for path in weight_files(model))


def _count(path: Path) -> int:
    if path.suffix != ".safetensors":
        return path.stat().st_size // 4
    tensors = safetensors_header(path)
    tensors.pop("__metadata__", None)
    return sum(math.prod(tensor["shape"]) for tensor in tensors.values())
