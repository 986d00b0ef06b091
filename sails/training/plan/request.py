"""What a person asks of a training, checked in words and numbers."""

from __future__ import annotations

import platform
import re
import shutil
import sys
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from sails.errors import RequestError
from sails.sessions import Advice, Settings, Start

LONGEST_NAME = 80  # characters


@dataclass(frozen=True)
class Choices:
    """One training as a person asks for it; `export` also verifies the ONNX model.

    `advice` is what was measured for it, whether or not it is followed (see `sails.jobs.lr_finder`).
    """

    datasets: tuple[str, ...]
    settings: Settings = field(default_factory=Settings)
    name: str = ""
    start: Start = "auto"
    model_name: str | None = None
    export: bool = False
    advice: Advice | None = None


def read_learning_rate(text: str) -> float | None:
    """Return a learning rate as people write it: 3e-5, 0.00003, 0,00003 or 3×10^-5; None for an empty text.

    Raises `RequestError` for what is no number. Whether it is sensible, `check_learning_rate` says.
    """
    written = unicodedata.normalize("NFKC", text).strip().replace("−", "-")
    if not written:
        return None
    written = re.sub(r"\s*[×*x·]\s*10\s*(\^|\*\*)\s*", "e", written)
    if "." not in written:
        written = written.replace(",", ".")
    try:
        if "_" in written:  # Python's own way to group digits
            raise ValueError
        return float(written)
    except ValueError as error:
        raise RequestError(
            f"“{text.strip()[:40]}” is not a number.",
            "Write a learning rate such as 3e-5 or 0.00003, or leave the field empty for the automatic one.",
        ) from error


def check_device(device: str) -> None:
    """Raise `RequestError` for a kind of processor that this machine has not, as far as its system tells.

    AMD cards are `cuda` to PyTorch, too.
    """
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    cards = [Path(name).exists() for name in ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")]
    if (device == "cuda" and not any(cards) and not shutil.which("nvidia-smi")) or (
        device == "mps" and not apple
    ):
        raise RequestError(f"This machine has no {device} device.", "Leave out --device.")


def checked_name(name: str) -> str:
    """Return a session's name as one line; raises `RequestError` when it is too long to be read in a list."""
    line = " ".join(name.split())
    if len(line) > LONGEST_NAME:
        raise RequestError(
            f"The name has {len(line)} characters.", f"Choose one of at most {LONGEST_NAME} characters."
        )
    return line
