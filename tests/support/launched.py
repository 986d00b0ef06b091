"""Trainings in several processes: `torchrun --nproc-per-node 2 -m tests.support.launched FOLDER`.

FOLDER/jobs.pickle holds a list of `Job`s, which run one after the other. What each process heard and ended
with lies in FOLDER/<job>-<process>.pt afterwards, as the fields of `Heard`.
"""

from __future__ import annotations

import pickle
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from sails.sessions import Session
from sails.training.dataloader import load_tokenizer
from sails.training.model import Precision, load_model
from sails.training.run import Run
from sails.training.trainer import train


@dataclass(frozen=True)
class Job:
    name: str
    model: Path
    session: Path
    run: Run
    stop_after: int | None = None


@dataclass
class Heard:
    """A watcher that writes everything down and asks to stop after a given step."""

    stop_after: int | None = None
    metrics: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    times_asked: int = 0

    def metric(self, kind: str, **values: Any) -> None:
        self.metrics.append({"kind": kind, **values})

    def note(self, text: str) -> None:
        self.notes.append(text)

    def should_stop(self) -> bool:
        self.times_asked += 1
        return self.times_asked == self.stop_after


def main(folder: Path) -> None:
    for job in pickle.loads((folder / "jobs.pickle").read_bytes()):
        model, tokenizer = load_model(job.model, "cpu"), load_tokenizer(job.model)
        heard = Heard(job.stop_after)
        outcome = train(model, tokenizer, job.run, Precision("cpu", bf16=False), Session(job.session), heard)
        state = PartialState()
        result = {**asdict(heard), "outcome": outcome, "processes": state.num_processes}
        torch.save({**result, "weights": model.state_dict()}, folder / f"{job.name}-{state.process_index}.pt")
    state.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
