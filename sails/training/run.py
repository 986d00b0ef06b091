"""What goes into a run of the trainer, what it tells on the way, and what comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Protocol

from sails.sessions import Settings
from sails.training.dataloader import Example
from sails.training.known import Enough, KnownRule
from sails.training.projection import Matrices
from sails.training.rehearsal import Rehearsal


@dataclass(frozen=True)
class Before:
    """What was written down before the checkpoint that a run is resumed from; `steps` are its metrics."""

    held_out_losses: Sequence[float] = ()
    steps: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Run:
    """What one run is made of; `batches` is the whole session's schedule, epoch after epoch.

    The first `taught` examples are the lesson itself (None: all are), the others repeat earlier ones. Numbers
    from `len(examples)` on are those of the rehearsal.
    """

    examples: Sequence[Example]
    batches: Sequence[Sequence[Sequence[int]]]
    held_out: Sequence[Example]
    learning_rate: float  # of the plan
    settings: Settings
    prompts: Sequence[str] = ()
    before: Before = Before()
    taught: int | None = None
    known: KnownRule | None = None  # None: all batches are gone through
    rehearsal: Rehearsal | None = None
    matrices: Matrices | None = None  # that steps are projected by; None: all weights move as they like

    @property
    def flat(self) -> list[Sequence[int]]:
        return [batch for epoch in self.batches for batch in epoch][: self.settings.max_steps]

    @property
    def round_ends(self) -> set[int]:
        """The steps that end a round."""
        return {*accumulate(len(epoch) for epoch in self.batches)}

    def epochs_after(self, step: int) -> float:
        """Return the epochs done after `step` steps, as a number with a fraction."""
        for number, epoch in enumerate(self.batches):
            if step < len(epoch):
                return number + step / len(epoch)
            step -= len(epoch)
        return float(len(self.batches))


class Watcher(Protocol):
    """What a run tells the outside, and the one thing that it asks."""

    def metric(self, kind: str, **values: Any) -> None: ...

    def note(self, text: str) -> None: ...

    def should_stop(self) -> bool: ...


@dataclass(frozen=True)
class Outcome:
    """What became of a run; `tokens` and `seconds` count from its last start or resumption."""

    steps: int
    total_steps: int
    stopped: bool  # asked to end before its last step
    stopped_early: bool  # its held-out loss no longer improved
    enough: Enough | None  # why the lesson needed no further round
    rounds: int  # that it went through as a whole
    tokens: int  # without padding
    seconds: float  # of steps
    guarded: str = ""  # why a guard ended it before its last step, in a sentence
