"""Checkpoints of a run: all that it takes to go on as if nothing had been between.

    save_checkpoint(folder, accelerator, model, tokenizer, optimizer, scheduler, adapters)
    load_checkpoint(folder, accelerator, model, optimizer, scheduler, adapters)

A model folder with the state of the optimizer, of the schedule and of chance; one file of that for each
process. The names and formats are those of the Hugging Face Trainer, which wrote them formerly. With LoRA,
the model in it is the one that the session started from, and its adapters lie beside it.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import load
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sails import system
from sails.sessions import CHECKPOINT_COMPLETE
from sails.training.adapters import Adapters
from sails.training.model import load_model

ADAPTERS = "adapters.safetensors"


def save_checkpoint(
    folder: Path,
    accelerator: Accelerator,
    model: Any,
    tokenizer: Any,
    optimizer: Optimizer,
    scheduler: LRScheduler,
    adapters: Adapters | None,
) -> None:
    """Write a checkpoint, mark it complete, then remove older ones: a crash in between leaves one to use."""
    if accelerator.is_main_process:
        shutil.rmtree(folder, ignore_errors=True)  # what a process that was killed left of it
        model.save_pretrained(folder, state_dict=adapters.frozen if adapters else None)
        if adapters:
            adapters.save(folder / ADAPTERS)
        tokenizer.save_pretrained(folder)
        torch.save(optimizer.state_dict(), folder / "optimizer.pt")
        torch.save(scheduler.state_dict(), folder / "scheduler.pt")
    accelerator.wait_for_everyone()
    state = {"python": random.getstate(), "numpy": np.random.get_state(), "cpu": torch.get_rng_state()}
    if accelerator.device.type != "cpu":
        state[accelerator.device.type] = torch.get_device_module(accelerator.device).get_rng_state()
    torch.save(state, folder / _rng_file(accelerator))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        system.fsync_tree(folder)
        (folder / CHECKPOINT_COMPLETE).touch()
        system.fsync_folder(folder)
        for other in {*folder.parent.glob("checkpoint-*")} - {folder}:
            shutil.rmtree(other)


def load_checkpoint(
    folder: Path,
    accelerator: Accelerator,
    model: Any,
    optimizer: Optimizer,
    scheduler: LRScheduler,
    adapters: Adapters | None,
) -> None:
    """Put everything back as it was; chance begins anew where another number of processes goes on.

    With adapters the model is the one that the run started from, whose own weights never moved.
    """
    if adapters:
        adapters.load(folder / ADAPTERS)
    else:
        model.load_state_dict(load_model(folder, "cpu").state_dict())
    optimizer.load_state_dict(load(folder / "optimizer.pt", map_location="cpu"))
    scheduler.load_state_dict(load(folder / "scheduler.pt"))
    if not (folder / _rng_file(accelerator)).exists():
        return
    state = load(folder / _rng_file(accelerator))
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["cpu"])
    if accelerator.device.type in state.keys() - {"cpu"}:
        torch.get_device_module(accelerator.device).set_rng_state(state[accelerator.device.type])


def _rng_file(accelerator: Accelerator) -> str:
    return f"rng_state_{accelerator.process_index}.pth" if accelerator.num_processes > 1 else "rng_state.pth"
