"""How long work says how far it is: it calls `progress(fraction, words)`, from 0 to 1, now and then."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, str], None]


def silent(_fraction: float, _words: str) -> None:
    """Say nothing, where nobody asked how far it is."""
