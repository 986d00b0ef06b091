"""Figures and texts as people read them: bytes, durations, counts, and the beginning of a long text.

    size(538_000_000), duration(12_000), count(3, "example"), shorten("What is a variable?", 8)

Needs nothing but the language, so that everybody may use it.
"""

from __future__ import annotations

from collections.abc import Sequence


def size(number: int) -> str:
    """Return the bytes in the unit that suits them: 538 MB, 1.2 GB."""
    value, unit = float(number), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    digits = 1 if unit in ("GB", "TB") and value < 100 else 0
    return f"{value:,.{digits}f} {unit}"


def megabytes(number: float) -> str:
    """Return the bytes in megabytes, where several stand beside each other: 1,538 MB."""
    return f"{number / 1e6:,.0f} MB"


def gigabytes(number: float) -> str:
    """Return the bytes in gigabytes, where several stand beside each other: 0.5 GB."""
    return f"{number / 1e9:.1f} GB"


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them: 48 s, 12 min, 3 h 20 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if not hours:
        return f"{minutes} min"
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def duration_range(least: float, most: float) -> str:
    """Two durations as a range, the unit once where both have it: 3 to 5 min, 48 s to 2 min, 3 h."""
    low, high = duration(least), duration(most)
    if low == high:
        return low
    (*_, unit), parts = high.split(), low.split()
    return f"{parts[0] if parts[1:] == [unit] and len(high.split()) == 2 else low} to {high}"


def seconds(number: float, digits: int) -> str:
    """Return seconds with so many decimals, where several stand beside each other: 0.42 s, 720 s."""
    return f"{number:.{digits}f} s"


def count(number: int, noun: str) -> str:
    """Tell how many there are of something whose plural ends in s: 1 row, 12,300 rows."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def signed(number: float, digits: int) -> str:
    """Return a change with its sign and so many decimals; one that rounds to nothing has none: +0.5, 0.0."""
    rounded = round(number, digits)
    return f"{rounded:+.{digits}f}" if rounded else f"{0:.{digits}f}"


def listed(words: Sequence[str], last: str = "and") -> str:
    """Return some words as a sentence names them: a; a and b; a, b and c."""
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def one_line(text: str) -> str:
    """Return the text with single spaces in place of its line breaks, tabs and runs of spaces."""
    return " ".join(text.split())


def shorten(text: str, most: int, ellipsis: str = "…") -> str:
    """Return the first `most` characters and an ellipsis; a text that is no longer stays as it is."""
    return text if len(text) <= most else f"{text[:most]}{ellipsis}"


def fit(text: str, width: int) -> str:
    """Return the text in `width` characters at most, an ellipsis included where it is cut."""
    return text if len(text) <= width else f"{text[: width - 1].rstrip()}…"
