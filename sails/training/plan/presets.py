"""Before a session starts: presets, whether it fits into this machine, and how long it will take.

Light enough for every page and command: no machine-learning library is imported. The table of presets
is in the guide too; a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass

from sails.sessions import Settings


@dataclass(frozen=True)
class Size:
    """What the presets choose for up to `rows` taught rows: rounds for each preset, tokens a batch."""

    rows: int
    quick: int
    balanced: int
    thorough: int
    token_budget: int


# A handful of rows, such as corrections, is learned at the gentle rate of a continued training only when each
# is seen some thirty times. Measured with 135 million parameters that were taught one lesson before: of 5
# corrections, 1 was answered right after 8 rounds, 2 after 20, and all after 30; the gate found nothing lost.
PRESETS = (
    Size(20, quick=15, balanced=30, thorough=45, token_budget=256),
    Size(50, quick=4, balanced=8, thorough=15, token_budget=256),
    Size(200, quick=3, balanced=6, thorough=10, token_budget=256),
    Size(1_000, quick=2, balanced=4, thorough=6, token_budget=512),
    Size(10_000, quick=1, balanced=2, thorough=4, token_budget=512),
    Size(10**12, quick=1, balanced=1, thorough=2, token_budget=1024),
)


FEW = PRESETS[0].rows  # up to so many examples are repeated so often that other answers may change as well


@dataclass(frozen=True)
class Pace:
    """Rounds and batches of a session; exactly one of `token_budget` and `batch_size` is set."""

    epochs: int
    token_budget: int | None
    batch_size: int | None
    max_steps: int | None


def choose_pace(settings: Settings, new: int, old: int = 0) -> Pace:
    """Return the preset's rounds and batches for `new` taught rows, with the person's own values over it.

    `old` rows of earlier lessons count only where they are all taught again.
    """
    rows = new + old if settings.teach_again else new
    size = next(size for size in PRESETS if rows <= size.rows)
    return Pace(
        epochs=settings.epochs or getattr(size, settings.preset),
        token_budget=None if settings.batch_size else size.token_budget,
        batch_size=settings.batch_size,
        max_steps=settings.max_steps,
    )
