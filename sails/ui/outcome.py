"""Did it work? The end of a session in words, for the page that trained it and for the history."""

from __future__ import annotations

from sails.sessions import Record


def did_it_work(record: Record) -> None:
    """Answers before and after side by side, one sentence of verdict and the next step."""
