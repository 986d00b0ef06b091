"""How long work says how far it is: it calls `progress(fraction, *words)`, from 0 to 1, now and then.

The first of the words say what is being done, others what of it: `progress(0.4, "packing", "model.onnx")`.
"""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[float, str, *tuple[str, ...]], None]


def silent(_fraction: float, *_words: str) -> None:
    """Say nothing, where nobody asked how far it is."""
