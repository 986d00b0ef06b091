"""What a command that must start at once says and how it ends: nothing here takes time to load."""

from __future__ import annotations

import json
import sys
from typing import Any

EXIT_FAILED, EXIT_WRONG = 1, 2


def say(text: str = "") -> None:
    """One line on standard output."""
    print(text, flush=True)


def warn(text: str) -> None:
    """One line on standard error."""
    print(text, file=sys.stderr, flush=True)


def say_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))
