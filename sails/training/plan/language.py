"""A word of warning before a base model that speaks one language is taught another one."""

from __future__ import annotations

from sails import models
from sails.data import ForeignRows
from sails.system import count


def describe_foreign(base: str | None, foreign: ForeignRows | None) -> str:
    """Say that `base` was not made for the language of these rows; empty where that is not known of it."""
    entry = next((entry for entry in models.base_models() if base in (entry.name, entry.hub_id)), None)
    if foreign is None or entry is None or not entry.only_english:
        return ""
    which = "most of the examples" if foreign.rows > foreign.looked_at / 2 else "many of the examples"
    if foreign.looked_at <= 20:
        which = f"{foreign.rows} of {count(foreign.looked_at, 'example')}"
    others = [other.name for other in models.base_models() if not other.only_english]
    better = f" {others[0]} was made for other languages, too." if others else ""
    return (
        f"{which[0].upper()}{which[1:]} seem to be in {foreign.language}. {entry.name} was made for English, "
        f"so do not expect it to speak well in another language.{better}"
    )
