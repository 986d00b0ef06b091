"""A session's metrics, one JSON object a line: the one writer, and readers that never read twice."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from sails import system


class MetricsWriter:
    """Appends one JSON object a line; numbers that are not finite are written as null."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 (held for the session's life)
        if system.ends_in_half_a_line(path):
            self._file.write("\n")

    def write(self, kind: str, **values: Any) -> None:
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
        self._file.write(json.dumps({"kind": kind, **finite}, ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class LineReader:
    """Reads a growing file once: each `read` gives the lines completed since the last one.

    A half-written last line is left for the next time; a file that became shorter is read anew.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def read(self) -> list[str]:
        try:
            with open(self.path, "rb") as file:
                if self._offset > file.seek(0, 2):
                    self._offset = 0
                file.seek(self._offset)
                complete, newline, _ = file.read().rpartition(b"\n")
        except OSError as error:
            if system.is_absent(error):
                return []
            raise
        self._offset += len(complete) + len(newline)
        if not newline:
            return []
        # Not splitlines(): that also splits at characters which a text inside a line may hold.
        return [line.removesuffix("\r") for line in complete.decode("utf-8", "replace").split("\n")]


class MetricsReader(LineReader):
    """Reads metrics.jsonl once; a line that is no JSON object is left out."""

    def read_metrics(self) -> list[dict[str, Any]]:
        return [m for m in map(_parse, self.read()) if m is not None]


def _parse(line: str) -> dict[str, Any] | None:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
