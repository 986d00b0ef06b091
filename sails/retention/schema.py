"""What a model was measured to know: the shapes of `retention.json`, one for each session.

A *lesson* is what one session taught. The rows of a lesson are scored in two cells: *recall* on rows that it
taught, *held out* on rows that it kept back. A cell keeps the figures of each row, because two models are
compared row by row. Needs no machine-learning library.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ValidationError, model_validator

from sails import system
from sails.errors import WorkspaceError
from sails.sessions import Scores, Session

RETENTION_FILE = "retention.json"
Part = Literal["recall", "held_out"]
GENERAL = "general knowledge"  # in place of a lesson's session, where it is what the base model knew


class Cell(BaseModel, frozen=True):
    """The scores of one model on some rows of one lesson; the tuples have one entry for each row.

    `loss` is the sum over a row's answer tokens, in nats.
    """

    lesson: str  # the id of the session that taught it
    part: Part
    rows: tuple[str, ...]  # fingerprints
    tokens: tuple[int, ...]  # of the answers
    right: tuple[int, ...]  # of these, predicted right
    loss: tuple[float, ...]

    @model_validator(mode="after")
    def _is_whole(self) -> Cell:
        lengths = {len(self.rows), len(self.tokens), len(self.right), len(self.loss)}
        if len(lengths) > 1 or sum(self.tokens) < 1:
            raise ValueError("a figure for each row, and rows with answers")
        return self

    @property
    def accuracy(self) -> float:
        """Share of answer tokens predicted right, 0 to 1."""
        return sum(self.right) / sum(self.tokens)

    @property
    def scores(self) -> Scores:
        loss = math.fsum(self.loss) / sum(self.tokens)
        return Scores(loss=loss, accuracy=self.accuracy, rows=len(self.rows))

    def only(self, rows: Sequence[str]) -> Cell:
        """Return the cell on those of its rows alone that are in `rows`, in the order of `rows`."""
        numbers = {row: n for n, row in enumerate(self.rows)}
        kept = [numbers[row] for row in rows if row in numbers]
        columns = {"rows": self.rows, "tokens": self.tokens, "right": self.right, "loss": self.loss}
        return self.model_copy(update={name: tuple(c[n] for n in kept) for name, c in columns.items()})


class Drift(BaseModel, frozen=True):
    """How far a model is from its base on prompts that no lesson is about.

    *Sounds the same*: `divergence` is the mean KL(base‖model) in nats a token over the base model's own
    answers to `prompts` open prompts, `agreement` the share of their tokens that the model would choose too.
    *Still answers right*: `known` has the questions with one right answer that the base model answers right.
    """

    divergence: float
    agreement: float
    prompts: int
    known: Cell | None = None  # one row and token for each question; earlier releases asked none


class Measured(BaseModel, frozen=True):
    """One model's scores: a row of the R matrix. How many rows it has: `lessons.sample_rows`."""

    fingerprint: str | None = None  # of the model; None for a base model
    cells: tuple[Cell, ...] = ()  # never without rows
    general: Drift | None = None  # None where the base model is not known or not here

    def cell(self, lesson: str, part: Part = "recall") -> Cell | None:
        """Return the scores on one part of a lesson, or of `GENERAL`; None where it was not measured."""
        if lesson == GENERAL:
            return self.general.known if self.general else None
        return next((cell for cell in self.cells if (cell.lesson, cell.part) == (lesson, part)), None)


class Lesson(BaseModel, frozen=True):
    """One column of the R matrix; `missing` says in words why it cannot be measured any more."""

    session: str
    name: str
    missing: str | None = None


class Changed(BaseModel, frozen=True):
    """One question whose answer got worse or better: what the model said before and says now."""

    lesson: str
    question: str
    expected: str
    before: str
    after: str
    share_before: float  # of the expected answer's tokens predicted right
    share_after: float


class GateFinding(BaseModel, frozen=True):
    """What the gate found on one lesson, on several small ones or on all together; in points, 0 to 100."""

    lessons: tuple[str, ...]
    rows: int
    before: float  # the published model's score on these rows
    after: float
    low: float  # of the difference after − before, with the confidence that the gate asks for
    high: float
    best: float | None = None  # the best score that any published model had on these rows
    lost: bool = False
    everything: bool = False  # it is about all that the other findings are about, together

    @property
    def is_general(self) -> bool:
        """Whether it is about general knowledge, and not about lessons."""
        return self.lessons == (GENERAL,)


class Decision(BaseModel, frozen=True):
    """Whether a candidate may replace the published model; `reason` is a sentence for a person."""

    held: bool
    reason: str
    findings: tuple[GateFinding, ...] = ()


class Retention(BaseModel, frozen=True):
    """What one session measured: `retention.json`.

    `lessons` are those that the candidate was ever taught, oldest first, this session's last. `base` has the
    base model's scores on this session's lesson alone, None when it is not here; for a session that starts
    from base it is what `before` says.
    """

    lessons: tuple[Lesson, ...]
    base: Measured | None = None
    before: Measured
    after: Measured | None = None  # None until it is trained
    decision: Decision | None = None  # of the gate
    changed: tuple[Changed, ...] = ()
    seconds: float = 0.0  # that measuring took, before and after together


def read_retention(session: Session) -> Retention | None:
    """What a session measured; None when it measured nothing, `WorkspaceError` when the file is damaged."""
    try:
        return Retention.model_validate_json((session.folder / RETENTION_FILE).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise WorkspaceError(
            f"What {session.id} measured of earlier lessons is damaged.", "The next session measures it anew."
        ) from error


def retention_if_readable(session: Session) -> Retention | None:
    """What a session measured; None where it measured nothing, and where the file is damaged."""
    with contextlib.suppress(WorkspaceError):
        return read_retention(session)
    return None


def write_retention(session: Session, retention: Retention) -> None:
    """Write what a session measured into its folder, whole or not at all."""
    system.require_changes()
    system.write_atomic(session.folder / RETENTION_FILE, retention.model_dump_json())
