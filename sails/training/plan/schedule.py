"""The schedule of a training: how many rounds, and how large its batches are."""

from __future__ import annotations

from dataclasses import dataclass

from sails.sessions import PRESETS, Method, Settings, size_for


@dataclass(frozen=True)
class Schedule:
    """Rounds and batches of a session; exactly one of `token_budget` and `batch_size` is set.

    `epochs` are the most; with `until_known` it ends as soon as it knows its lesson.
    """

    epochs: int
    token_budget: int | None
    batch_size: int | None
    max_steps: int | None
    until_known: bool = False
    protect: float = 0.0  # share of a batch's rows that are rehearsed general answers, beside the others
    method: Method = "full"
    blend: bool = False


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
        until_known=settings.until_known,
        protect=settings.protect,
        method=settings.method,
        blend=settings.blend,
    )


def rehearsed_rows(rows: float, share: float) -> float:
    """Return how many rehearsed answers make up `share` of a batch with so many other rows."""
    return rows * share / (1 - share)
