"""The gate: how often it holds a harmless session back, and how surely it holds one that truly forgets.

    .venv/bin/python -m benchmarks.gate [--seeds 50]

The number to reach: at most 5 % of harmless sessions held, with 3 and with 10 earlier lessons. Nothing is
trained; models are simulated, with rows in the shares in which a real model is measured (`lessons.sample`).
A token of an answer is right when its ease, its row's ease and the model's luck with the row and the token
add up to more than zero, so rows are easy or hard for all models and their tokens change together. *Harmless*
is a model with new luck: the chance of every row to be better equals that to be worse. The stronger the
luck, the more changes from session to session. All models before the last are published, and it is judged.

Held by: *gate*, what `sails.retention.gate` decides; *at once*, its first rule alone; *95 %*, a loss of more
than 5 points whose plain 95 % interval excludes zero; *any loss*, the plain 95 % interval without a least
loss; *10 points*, more than 10 points below the best published model, without an interval. *Forgets* loses so
many points of one earlier lesson in the last session, *slowly* a quarter of them in each of the last four.
*Moves* says by how many points the score of a single row changes from one session to the next.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

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
    bootstrap_generator,
    decide,
    difference,
    paired,
)

ROWS = 60  # that each lesson taught
KEPT_BACK = 6
RIGHT = 0.8  # share of the tokens, about
LUCK = {"weak": 0.15, "middling": 0.4, "strong": 0.8, "very strong": 1.5}  # spread; that of ease is 1.4
EARLIER = (3, 10)
SESSIONS = 4  # over which a slow loss goes
COLUMNS = ("gate", "at once", "95 %", "any loss", "10 points")


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


def history(earlier: int, luck: float, losses: list[float], seed: int) -> tuple[list[Lesson], list[Measured]]:
    """The earlier lessons and the models after each; the first lesson loses `losses` in the last of them."""
    generator = np.random.default_rng(seed)
    taught = [Taught.make(f"lesson-{n}", generator) for n in range(earlier + 1)]
    models = []
    for last in range(1, earlier + 2):
        known = {lesson.name: retention.LessonRows(*_rows(lesson.name)) for lesson in taught[:last]}
        sample = retention.sample_rows(known)
        lost = sum(losses[: max(0, len(losses) - (earlier + 1 - last))])
        cells = []
        for number, lesson in enumerate(taught[:last]):
            rows = len(sample[lesson.name, "recall"])
            right = lesson.right(luck, 0.0 if number else lost, generator)[:rows]
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


def _rows(name: str) -> Iterator[tuple[Conversation, ...]]:
    for part, count in (("taught", ROWS), ("kept", KEPT_BACK)):
        yield tuple(
            Conversation((Turn("user", f"{name} {part} {n}?"), Turn("assistant", "Yes.")))
            for n in range(count)
        )


# --- what is measured -----------------------------------------------------------------------------


def held(earlier: list[Lesson], models: list[Measured]) -> tuple[bool, ...]:
    """Whether the last model is held, by each of `COLUMNS`."""
    before, after = models[-2:]
    decision = decide(before, after, models[:-1], earlier)
    at_once = any(f.before - f.after > MAX_LOSS_POINTS and f.high < 0 for f in decision.findings)
    below_best = any((f.best or 0) - f.after > MAX_GRADUAL_LOSS_POINTS for f in decision.findings)
    plain, generator = [], bootstrap_generator()
    for lesson in earlier:
        old, now = before.cell(lesson.session), after.cell(lesson.session)
        pair = paired(old, now) if old and now else None
        if pair:
            change = difference(*pair, generator)
            if np.quantile(change.draws, 0.975) < 0:
                plain.append(change.value)
    return decision.held, at_once, any(p < -MAX_LOSS_POINTS for p in plain), bool(plain), below_best


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


def measure(earlier: int, luck: float, losses: list[float], seeds: int) -> list[str]:
    found, changes = [], []
    for seed in range(seeds):
        names, models = history(earlier, luck, losses, seed)
        found.append(held(names, models))
        changes.append(changed(models))
    return [f"{np.mean(changes):.0f}", *(f"{share:.0%}" for share in np.mean(found, axis=0))]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, default=50)
    seeds = parser.parse_args().seeds
    table = Table(
        title=f"Sessions that would be held, of {seeds} each",
        caption="To reach: the gate holds at most 5 % of harmless sessions.",
    )
    table.add_column("session", no_wrap=True)
    for column in ("earlier", "moves", *COLUMNS):
        table.add_column(column, justify="right", no_wrap=True)
    for strength, luck in LUCK.items():
        for earlier in EARLIER:
            row = measure(earlier, luck, [], seeds)
            table.add_row(f"harmless, {strength}", str(earlier), *row)
    for points in (6.0, 10.0, 15.0):
        for earlier in EARLIER:
            row = measure(earlier, LUCK["middling"], [points], seeds)
            table.add_row(f"forgets {points:.0f}", str(earlier), *row)
    for points in (3.0, 4.0):
        row = measure(max(EARLIER), LUCK["middling"], [points] * SESSIONS, seeds)
        table.add_row(f"forgets {points * SESSIONS:.0f} slowly", str(max(EARLIER)), *row)
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
