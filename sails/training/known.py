"""When a lesson is known: read off the steps of a training, round by round, without a pass of its own.

In every step the model is asked for each answer token of the lesson before it learns from it. So a round
tells what share it predicted right, a little behind what it knows by the round's end.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Literal

PATIENCE = 4  # rounds
LEAST_FALL = 0.01  # share by which the loss must fall within them

Enough = Literal["known", "level"]


@dataclass(frozen=True)
class KnownRule:
    """A lesson is known after so many `rounds` in a row with this `share` of its answer tokens right."""

    share: float
    rounds: int = 1


@dataclass
class RoundScores:
    """What a round saw of the lesson itself; `loss` is in nats, summed over its answer tokens."""

    loss: float = 0.0
    tokens: int = 0
    right: int = 0

    def add(self, loss: float, tokens: float, right: float) -> None:
        self.loss += loss
        self.tokens += round(tokens)
        self.right += round(right)


def why_enough(rounds: Sequence[RoundScores], rule: KnownRule) -> Enough | None:
    """Return why no further round is needed after these whole ones; None where one is.

    *known*: the rule holds. *level*: within `PATIENCE` rounds the loss fell by less than `LEAST_FALL`.
    Rounds that nobody counted tell nothing: those of an earlier release, before a session was resumed.
    """
    rounds = [one for one in rounds if one.tokens]
    last = rounds[-rule.rounds :]
    if len(last) == rule.rounds and all(one.right >= rule.share * one.tokens for one in last):
        return "known"
    losses = [one.loss / one.tokens for one in rounds]
    if len(losses) > PATIENCE and min(losses[-PATIENCE:]) > (1 - LEAST_FALL) * min(losses[:-PATIENCE]):
        return "level"
    return None


class LearningCurve:
    """What the rounds of a run saw of the lesson, and whether that is `enough`, and why."""

    def __init__(self, round_ends: Set[int], rule: KnownRule | None) -> None:
        """`round_ends` are the steps that end a round; without a rule nothing is enough."""
        self._ends, self._rule = round_ends, rule
        self._rounds = [RoundScores()]
        self.enough: Enough | None = None

    def add(self, step: int, loss: float, tokens: float, right: float) -> None:
        """Add what a step saw."""
        self._rounds[-1].add(loss, tokens, right)
        if step in self._ends:
            self.enough = why_enough(self._rounds, self._rule) if self._rule else None
            self._rounds.append(RoundScores())
