"""Memory and disk that a training needs, and whether this machine has them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from sails import system
from sails.errors import NEEDS_LESS_MEMORY, DiskFullError, OutOfMemoryError
from sails.models import count_parameters, export_memory, training_memory
from sails.system import size
from sails.training.plan.schedule import Schedule


@dataclass(frozen=True)
class ResourceNeed:
    memory: int  # bytes
    disk: int  # bytes
    parameters: int


def estimate(model: Path, schedule: Schedule, max_length: int, *, export: bool) -> ResourceNeed:
    """Return what a session on the model in `model` needs at its peak, from its files alone."""
    return need_of(count_parameters(model), schedule, max_length, export=export)


def need_of(parameters: int, schedule: Schedule, max_length: int, *, export: bool) -> ResourceNeed:
    """What a session needs at its peak with a model of so many parameters, which may not be here yet."""
    tokens = max(schedule.token_budget or 0, max_length)
    if schedule.batch_size:
        tokens = max_length * schedule.batch_size
    tokens = round(tokens / (1 - schedule.protect))
    lora, protected = schedule.method == "lora", schedule.protect > 0
    memory = training_memory(parameters, tokens, lora=lora, protected=protected)
    if schedule.blend:  # three copies of the weights: before, after, and between
        memory = max(memory, 12 * parameters + 1_300_000_000)
    if export:
        memory = max(memory, export_memory(parameters))
    weights = parameters * 4
    # For a moment two checkpoints of weights and moments (LoRA's are small); then one, the candidate and an
    # export's copies: in full precision (for a moment 1.3 times the weights) and in 8 bits (0.3 times).
    checkpoint = 1.2 * weights if schedule.method == "lora" else 3 * weights
    disk = round(max(2 * checkpoint, checkpoint + weights + (2 * weights if export else 0)))
    return ResourceNeed(memory, disk, parameters)


def refuse_if_too_big(need: ResourceNeed, folder: Path) -> None:
    """Raise `OutOfMemoryError` or `DiskFullError`, with the numbers, when a session cannot fit."""
    free_memory, free_disk = system.available_memory(), shutil.disk_usage(folder).free
    if need.memory > free_memory:
        raise OutOfMemoryError(
            f"This training needs about {size(need.memory)} of memory, and {size(free_memory)} are free.",
            NEEDS_LESS_MEMORY,
        )
    if need.disk > free_disk:
        raise DiskFullError(
            f"This training needs about {size(need.disk)} of disk space in {folder}, "
            f"and {size(free_disk)} are free.",
            "Free some space, or choose a workspace on another disk.",
        )
