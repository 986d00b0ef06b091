"""The schedule of a training: how many rounds, and how large its batches are."""

from __future__ import annotations

from dataclasses import dataclass

from sails.sessions import PRESETS, Settings, size_for


@dataclass(frozen=True)
class Schedule:
    """Rounds and batches of a session; exactly one of `token_budget` and `batch_size` is set."""

    epochs: int
    token_budget: int | None
    batch_size: int | None
    max_steps: int | None


def resolve_schedule(settings: Settings, new: int, old: int = 0) -> Schedule:
    """Return the preset's rounds and batches for `new` taught rows, with the person's own values over it.

    `old` rows of earlier lessons count only where they are all taught again.
    """
    rows = new + old if settings.teach_again else new
    return Schedule(
        epochs=settings.epochs or PRESETS[settings.preset].rounds_for(rows),
        token_budget=None if settings.batch_size else size_for(rows).token_budget,
        batch_size=settings.batch_size,
        max_steps=settings.max_steps,
    )
