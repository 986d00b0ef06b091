"""The gate: how often it holds a harmless session back, and how surely it holds one that truly forgets.

    .venv/bin/python -m benchmarks.gate [--seeds 50]

The numbers to reach: at most 5 % of harmless sessions held, with 3 and with 10 earlier lessons, and of ten
lessons one that lost 10 points seen in 80 %. Nothing is trained; models are simulated, with rows in the
shares in which a real model is measured (`lessons.sample_rows`).
A token of an answer is right when its ease, its row's ease and the model's luck with the row and the token
add up to more than zero, so rows are easy or hard for all models and their tokens change together. *Harmless*
is a model with new luck: the chance of every row to be better equals that to be worse. The stronger the
luck, the more changes from session to session. All models before the last are published, and it is judged.

*Forgets* loses so many points of one earlier lesson in the last session, *spread* so many of each of them;
*slowly*, a quarter in each of the last four sessions. *Moves* says by how many points the score of a single
row changes from one session to the next, *rows* on how many the judged model is scored: what that costs.

Held by: *gate*, what `sails.retention.gate` decides; *alone*, its findings on single lessons; *together*, the
one on all of them; *at once*, its rule of the last session alone; *40 each*, the gate when at most 40 rows of
each lesson are scored; *256*, when 256 are shared by all lessons; *before*, the rule that it had then, which
looked at single lessons alone, at half the risk; *95 %*, a loss of more than 5 points whose plain 95 %
interval excludes zero; *10 points*, more than 10 points below the best published model, without an interval.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from sails import retention
from sails.data import Conversation, Turn
from sails.retention import (
    MAX_GRADUAL_LOSS_POINTS,
    MAX_LOSS_POINTS,
    Cell,
    Lesson,
    Measured,
    bootstrap,
    bootstrap_generator,
    decide,
    difference,
    paired,
)
from sails.retention.gate import lost_at_once

ROWS = 60  # that each lesson taught
KEPT_BACK = 6
RIGHT = 0.8  # share of the tokens, about
LUCK = {"weak": 0.15, "middling": 0.4, "strong": 0.8, "very strong": 1.5}  # spread; that of ease is 1.4
MIDDLING = LUCK["middling"]
EARLIER = (3, 10)
SESSIONS = 4  # over which a slow loss goes
COLUMNS = ("gate", "alone", "together", "at once", "40 each", "256", "before", "95 %", "10 points")


@dataclass(frozen=True)
class Losses:
    """What is lost in each of the last sessions: of the first lesson, or of each."""

    points: float = 0.0
    sessions: int = 1
    spread: bool = False


# --- simulated models -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Taught:
    """One lesson: how many tokens each row's answer has, and how easy each is. Rows × most tokens."""

    name: str
    tokens: NDArray[np.int64]
    ease: NDArray[np.float64]

    @classmethod
    def make(cls, name: str, generator: np.random.Generator) -> Taught:
        tokens = generator.integers(6, 31, ROWS)
        ease = generator.normal(0, 1, (ROWS, 1)) + generator.normal(0, 1, (ROWS, 30))
        return cls(name, tokens, ease)

    def right(self, luck: float, lost: float, generator: np.random.Generator) -> NDArray[np.int64]:
        """Tokens right of each row; `lost` points are taken away, of some rows many and of others few."""
        spread = np.hypot(1.41, luck)
        luck_of_row = generator.normal(0, luck * 0.7, (ROWS, 1))
        luck_of_token = generator.normal(0, luck * 0.7, self.ease.shape)
        right = self.ease + luck_of_row + luck_of_token > -spread * 0.8416  # a normal one: RIGHT above it
        if lost:
            share = lost / 100 / RIGHT
            right &= generator.random(right.shape) >= generator.beta(share, 1 - share, (ROWS, 1))
        return (right & (np.arange(30) < self.tokens[:, None])).sum(axis=1)


def history(earlier: int, luck: float, losses: Losses, seed: int) -> tuple[list[Lesson], list[Measured]]:
    """The earlier lessons and the models after each."""
    generator = np.random.default_rng(seed)
    taught = [Taught.make(f"lesson-{n}", generator) for n in range(earlier + 1)]
    models = []
    for last in range(1, earlier + 2):
        lost = losses.points * max(0, losses.sessions - (earlier + 1 - last))
        cells = []
        for number, lesson in enumerate(taught[:last]):
            rows = scored_rows(last)[lesson.name]
            right = lesson.right(luck, lost if losses.spread or not number else 0.0, generator)[:rows]
            cells.append(
                Cell(
                    lesson=lesson.name,
                    part="recall",
                    rows=tuple(f"{lesson.name}/{row}" for row in range(rows)),
                    tokens=tuple(lesson.tokens[:rows].tolist()),
                    right=tuple(right.tolist()),
                    loss=(0.0,) * rows,
                )
            )
        models.append(Measured(fingerprint=str(last), cells=tuple(cells)))
    return [Lesson(session=lesson.name, name=lesson.name) for lesson in taught[:-1]], models


@cache
def scored_rows(lessons: int) -> dict[str, int]:
    """How many rows that each of so many lessons taught are scored."""
    known = {f"lesson-{n}": retention.LessonRows(rows(n, ROWS), rows(n, KEPT_BACK)) for n in range(lessons)}
    return {
        name: len(some) for (name, part), some in retention.sample_rows(known).items() if part == "recall"
    }


def rows(lesson: int, count: int) -> tuple[Conversation, ...]:
    return tuple(
        Conversation((Turn("user", f"Number {n} of {lesson}?"), Turn("assistant", "Yes.")))
        for n in range(count)
    )


# --- what is measured -----------------------------------------------------------------------------


def held(earlier: list[Lesson], models: list[Measured]) -> tuple[bool, ...]:
    """Whether the last model is held, by each of `COLUMNS`."""
    decision = decide(*models[-2:], models[:-1], earlier)
    alone = [finding for finding in decision.findings if not finding.everything]
    together = [finding for finding in decision.findings if finding.everything]
    fewer = [cut(model, 40) for model in models]
    shared = [cut(model, rows_of_256(len(model.cells))) for model in models]
    return (
        decision.held,
        any(finding.lost for finding in alone),
        any(finding.lost for finding in together),
        any(lost_at_once(finding) for finding in decision.findings),
        decide(*fewer[-2:], fewer[:-1], earlier).held,
        decide(*shared[-2:], shared[:-1], earlier).held,
        rule_before(shared, earlier, 1 - 0.05 / len(earlier)),
        rule_before(models[-2:], earlier, 0.95),
        any((finding.best or 0) - finding.after > MAX_GRADUAL_LOSS_POINTS for finding in alone),
    )


def cut(model: Measured, rows: int) -> Measured:
    """Return the model as if at most so many rows of each lesson had been scored."""
    return model.model_copy(update={"cells": tuple(cell.only(cell.rows[:rows]) for cell in model.cells)})


def rows_of_256(lessons: int) -> int:
    """Rows of each lesson when all share 256: six tenths, and 20 each, go to what was taught if possible."""
    recall = max(154, 20 * lessons)
    return (256 - min(KEPT_BACK * lessons, 256 - recall)) // lessons


def rule_before(models: list[Measured], earlier: list[Lesson], confidence: float) -> bool:
    """Whether a single lesson is below the model before, or below the best one, at this confidence."""
    generator = bootstrap_generator()
    for lesson in earlier:
        *_, now = cells = [cell for model in models if (cell := model.cell(lesson.session))]
        pairs = [pair for cell in cells[:-1] if (pair := paired(cell, now))]
        change = difference(*pairs[-1], generator)
        if change.value < -MAX_LOSS_POINTS and change.interval(confidence)[1] < 0:
            return True
        if max(then.accuracy - same.accuracy for then, same in pairs) > MAX_GRADUAL_LOSS_POINTS / 100:
            changes = [difference(*pair, bootstrap_generator()) for pair in pairs]
            if bootstrap.lowest(changes, confidence) < 0:
                return True
    return False


def changed(models: list[Measured]) -> float:
    """Points by which a row's share of right tokens changes between the last two models, on average."""
    before, after = models[-2:]
    found = []
    for cell in after.cells:
        old = before.cell(cell.lesson)
        pair = paired(old, cell) if old else None
        if pair:
            difference_ = np.abs(np.array(pair[0].right) - np.array(pair[1].right))
            found.append(difference_.sum() / sum(pair[0].tokens))
    return 100 * float(np.mean(found))


def measure(earlier: int, luck: float, losses: Losses, seeds: int) -> list[str]:
    found, changes, rows = [], [], 0
    for seed in range(seeds):
        names, models = history(earlier, luck, losses, seed)
        found.append(held(names, models))
        changes.append(changed(models))
        rows = sum(len(cell.rows) for cell in models[-1].cells)
    shares = (f"{share:.0%}" for share in np.mean(found, axis=0))
    return [str(earlier), str(rows), f"{np.mean(changes):.0f}", *shares]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, default=50)
    seeds = parser.parse_args().seeds
    bootstrap.RESAMPLES = 4000  # so many intervals are asked for, and no single one matters
    table = Table(
        title=f"Sessions that would be held, of {seeds} each",
        caption="To reach: the gate holds at most 5 % of harmless sessions, and 80 % of those that lost 10.",
    )
    table.add_column("session", no_wrap=True)
    for column in ("earlier", "rows", "moves", *COLUMNS):
        table.add_column(column, justify="right", no_wrap=True)
    for strength, luck in LUCK.items():
        for earlier in EARLIER:
            table.add_row(f"harmless, {strength}", *measure(earlier, luck, Losses(), seeds))
    for points in (6.0, 10.0, 15.0):
        for earlier in EARLIER:
            table.add_row(f"forgets {points:.0f}", *measure(earlier, MIDDLING, Losses(points), seeds))
    for points in (2.0, 3.0, 4.0):
        for earlier in EARLIER:
            losses = Losses(points, spread=True)
            table.add_row(f"forgets {points:.0f}, spread", *measure(earlier, MIDDLING, losses, seeds))
    for points, spread in ((3.0, False), (4.0, False), (1.0, True), (1.5, True)):
        losses = Losses(points, SESSIONS, spread)
        where = "spread slowly" if spread else "slowly"
        name = f"forgets {points * SESSIONS:.0f}, {where}"
        table.add_row(name, *measure(max(EARLIER), MIDDLING, losses, seeds))
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
