"""Before a session starts: presets, and whether it fits into this machine's memory and disk.

Light enough for every page and command: no machine-learning library is imported. The table of presets
is in the guide too; a test compares them.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from sails.errors import DiskFullError, OutOfMemoryError
from sails.locks import available_memory
from sails.sessions import Settings
from sails.workspace import safetensors_header, weight_files

# --- presets --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Size:
    """What the presets choose for up to `rows` taught rows: rounds for each preset, tokens a batch."""

    rows: int
    quick: int
    balanced: int
    thorough: int
    token_budget: int


PRESETS = (
    Size(50, quick=4, balanced=8, thorough=15, token_budget=256),
    Size(200, quick=3, balanced=6, thorough=10, token_budget=256),
    Size(1_000, quick=2, balanced=4, thorough=6, token_budget=512),
    Size(10_000, quick=1, balanced=2, thorough=4, token_budget=512),
    Size(10**12, quick=1, balanced=1, thorough=2, token_budget=1024),
)


@dataclass(frozen=True)
class Pace:
    """Rounds and batches of a session; exactly one of `token_budget` and `batch_size` is set."""

    epochs: int
    token_budget: int | None
    batch_size: int | None
    max_steps: int | None


def choose_pace(settings: Settings, rows: int) -> Pace:
    """The preset's choice for that many taught rows, with the person's own values over it."""
    size = next(size for size in PRESETS if rows <= size.rows)
    return Pace(
        epochs=settings.epochs or getattr(size, settings.preset),
        token_budget=None if settings.batch_size else size.token_budget,
        batch_size=settings.batch_size,
        max_steps=settings.max_steps,
    )


# --- what it needs --------------------------------------------------------------------------------

USUAL_TOKENS = 512  # in a batch


def training_memory(parameters: int, tokens: int = USUAL_TOKENS) -> int:
    """Bytes of memory that training needs in fp32 with AdamW and that many tokens a batch.

    16 bytes for each parameter (weight, gradient, AdamW's two averages), 2 for the activations of 512
    tokens, and 1.3 GB for Python, PyTorch and the rest. Within 5 % of what was measured with 124, 135, 362
    and 494 million parameters (3.6, 3.6, 7.6 and 10.4 GB). 0 for an unknown number of parameters.
    """
    activations = 2 * parameters * tokens // USUAL_TOKENS
    return 16 * parameters + activations + 1_300_000_000 if parameters else 0


@dataclass(frozen=True)
class Need:
    memory: int  # bytes
    disk: int  # bytes
    parameters: int


def estimate(model: Path, pace: Pace, max_length: int, *, export: bool) -> Need:
    """What a session on the model in `model` needs at its peak, from its files alone."""
    parameters = count_parameters(model)
    tokens = max_length * pace.batch_size if pace.batch_size else max(pace.token_budget or 0, max_length)
    memory = training_memory(parameters, tokens)
    weights = parameters * 4
    # For a moment two checkpoints of weights and moments; then one, the candidate and an export's copies.
    disk = max(2 * 3 * weights, 3 * weights + weights + (2 * weights if export else 0))
    return Need(memory, disk, parameters)


def count_parameters(model: Path) -> int:
    """The number of parameters in a model folder, from its safetensors headers, else from its size."""
    return sum(_count(path) for path in weight_files(model))


def _count(path: Path) -> int:
    if path.suffix != ".safetensors":
        return path.stat().st_size // 4
    tensors = safetensors_header(path)
    tensors.pop("__metadata__", None)
    return sum(math.prod(tensor["shape"]) for tensor in tensors.values())


def refuse_if_too_big(need: Need, folder: Path) -> None:
    """Raise `OutOfMemoryError` or `DiskFullError`, with the numbers, when a session cannot fit."""
    free_memory, free_disk = available_memory(), shutil.disk_usage(folder).free
    if need.memory > free_memory:
        raise OutOfMemoryError(
            f"This training needs about {gigabytes(need.memory)} of memory, "
            f"and {gigabytes(free_memory)} are free.",
            "Close other programs, choose a smaller batch size, or a smaller base model.",
        )
    if need.disk > free_disk:
        raise DiskFullError(
            f"This training needs about {gigabytes(need.disk)} of disk space in {folder}, "
            f"and {gigabytes(free_disk)} are free.",
            "Free some space, or choose a workspace on another disk.",
        )


def gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
