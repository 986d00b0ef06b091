"""The presets: how often a training goes through its rows. A preset is one entry of `PRESETS`, no more.

The table stands in the guide too; a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PresetRow:
    """A line of the table, for up to `rows` taught rows; the presets choose `token_budget` tokens a batch."""

    rows: int
    token_budget: int


PRESET_ROWS = (
    PresetRow(20, token_budget=256),
    PresetRow(50, token_budget=256),
    PresetRow(200, token_budget=256),
    PresetRow(1_000, token_budget=512),
    PresetRow(10_000, token_budget=512),
    PresetRow(10**12, token_budget=1024),
)
MAX_ROWS_FEW = PRESET_ROWS[0].rows  # so few are repeated so often that other answers may change as well


@dataclass(frozen=True)
class Preset:
    """How thoroughly to learn: its name on a page, when it is right, and its rounds for each `PresetRow`.

    `rounds` are the most that it goes through: it ends after `known_rounds` in a row in which `known_share`
    of the answers' tokens were right.
    """

    title: str
    description: str
    rounds: tuple[int, ...]
    known_share: float
    known_rounds: int = 1

    def rounds_for(self, rows: int) -> int:
        """Return the rounds for that many taught rows."""
        return self.rounds[PRESET_ROWS.index(size_for(rows))]


# A session ends when it knows its lesson, so the rounds are only those after which it gives up. A handful of
# rows, such as corrections, needs the most of them at the gentle rate of a continued training.
PRESETS = {
    "quick": Preset("Quick", "a first impression", rounds=(20, 12, 8, 4, 2, 1), known_share=0.95),
    "balanced": Preset("Balanced", "right for most lessons", rounds=(30, 24, 20, 8, 3, 1), known_share=0.99),
    "thorough": Preset(
        "Thorough",
        "when it must know them well",
        rounds=(45, 36, 30, 12, 5, 2),
        known_share=0.995,
        known_rounds=2,
    ),
}
DEFAULT_PRESET = "balanced"


def size_for(rows: int) -> PresetRow:
    """Return the line of the table that holds for that many taught rows."""
    return next(size for size in PRESET_ROWS if rows <= size.rows)
