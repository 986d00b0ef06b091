"""Replay: which rows of earlier lessons an epoch repeats, so that a model keeps what it was taught.

An epoch has each new row once and, mixed among them, old rows that are drawn anew for each epoch.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import chain, islice, zip_longest

from sails.data import Conversation
from sails.retention.lessons import LessonRows


def replay_count(new: int, old: int, share: float) -> int:
    """How many of `old` rows an epoch with `new` rows repeats: `share` of all its rows, as far as there are.

    `share` is at least 0 and below 1.
    """
    return min(old, round(new * share / (1 - share)))


def draw(lessons: Sequence[Sequence[int]], count: int, *, seed: int, epoch: int) -> list[int]:
    """Draw `count` row numbers without replacement, or all of them where there are fewer.

    `lessons` holds the numbers of each earlier lesson's rows. Each gives the same number of rows or one more;
    one with too few gives all of its own, and the others make up for it. A pure function of its arguments,
    so that a resumed session repeats what an uninterrupted one would.
    """
    chance = random.Random(f"{seed}/{epoch}/replay")
    shuffled = [chance.sample(rows, len(rows)) for rows in lessons]
    chance.shuffle(shuffled)  # so that it is not always the same lesson that gives one more
    in_turn = chain.from_iterable(zip_longest(*shuffled))
    return list(islice((row for row in in_turn if row is not None), count))


def replayable_rows(
    earlier: Mapping[str, LessonRows], train: Sequence[Conversation]
) -> dict[str, tuple[Conversation, ...]]:
    """The taught rows of each earlier lesson that may be repeated: each once, in the latest that has it.

    Those that the new lesson teaches anyway are left out, and so are those that it answers otherwise.
    """
    asked = {row.input_fingerprint for row in train}
    rows_by_lesson: dict[str, tuple[Conversation, ...]] = {}
    for identity, rows in reversed(list(earlier.items())):
        kept = []
        for row in rows.taught:
            if row.input_fingerprint not in asked:
                asked.add(row.input_fingerprint)
                kept.append(row)
        rows_by_lesson[identity] = tuple(kept)
    return {identity: rows_by_lesson[identity] for identity in earlier}
