"""Ratios that are kept: what should be fast, beside a plain way to do the same, by turns in one run.

    .venv/bin/python -m benchmarks.check [--only reading history] [--keep]        (make bench)

- training: tokens of rows a CPU second by the product's steps, with general knowledge protected, beside the
  recipe that it began with (fp32, batches of 4 rows, each padded to 512 tokens)
- packing: CPU seconds of a forward and backward pass over a usual batch, padded beside packed
- decoding: tokens a second of the 8-bit model, on one thread, beside PyTorch's `generate`
- reading: CPU seconds that `json.loads` takes for each line of a file, beside reading and checking its rows
- history: CPU seconds until 1,000 sessions are read, cold beside warm

A ratio says little about this machine and much about the code. Those in `measured/ratios.json` are of this
program on a processor of the same kind (with native bf16, or without it); one that has become a fifth smaller
is told, and the exit code is 1. `--keep` writes down what was measured instead.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import conversations, history, onnx, packing
from benchmarks import training as steps
from benchmarks.retention import import_everything, in_a_child
from sails import jobs, models
from sails.data import read
from sails.models import Workspace
from sails.training import Precision

KEPT = Path(__file__).with_name("measured") / "ratios.json"
LOSS = 0.2  # of a kept ratio, from which on it is told
EXAMPLES, ROWS, SESSIONS, TIMES = 16, 5_000, 1_000, 5


def training(folder: Path) -> float:
    rows = read(steps.ROWS).conversations
    lesson = steps.Lesson(_base(), rows[:EXAMPLES], rows[-1:], 0, 1, Precision.of("cpu"))
    speeds = []
    for name in ("ours 256", "original"):
        file = folder / f"{name}.jsonl"
        in_a_child(partial(steps.measure, steps.ARMS[name], lesson, file), folder)
        line = json.loads(file.read_text())
        speeds.append(line["tokens"] / line["cpu_seconds"])
    return speeds[0] / speeds[1]


def packed(folder: Path) -> float:
    def medians() -> list[float]:
        found = packing.measured(1, TIMES)["10 short rows, 4 rehearsed"]
        return [statistics.median(found.seconds[packs]) for packs in (False, True)]

    padded, in_one = _of_a_child(medians, folder)
    return float(padded / in_one)


def decoding(folder: Path) -> float:
    def medians() -> list[float]:
        found = onnx.race(onnx.subject("base", _base(), folder), {}, 1, 48, TIMES)
        return [statistics.median(speed for _, speed, *_ in found[name]) for name in ("8-bit", "PyTorch")]

    small, plain = _of_a_child(medians, folder)
    return float(small / plain)


def reading(folder: Path) -> float:
    file = folder / "rows.jsonl"
    conversations.write(file, list(conversations.conversations(ROWS)))

    def plain() -> None:
        for line in file.read_text(encoding="utf-8").splitlines():
            json.loads(line)

    return _by_turns(folder, plain, lambda: read(file).assess())


def sessions(folder: Path) -> float:
    workspace = Workspace.open(folder)
    history.make_sessions(workspace, SESSIONS)
    cold_beside_warm = []
    for _ in range(TIMES):
        found = {name: busy for name, (_, busy) in _of_a_child(lambda: history.index(workspace), folder)}
        cold_beside_warm.append(found["history, cold"] / found["history, warm"])
    return statistics.median(cold_beside_warm)


def _base() -> Path:
    return models.ensure_base_model(models.DEFAULT_BASE_MODEL, lambda *_: None)


def _of_a_child(work: Callable[[], object], folder: Path) -> Any:
    """What the work finds in a process of its own, as JSON tells it."""
    file = folder / "found.json"

    def write() -> None:
        file.write_text(json.dumps(work()))

    in_a_child(write, folder)
    return json.loads(file.read_text())


def _by_turns(folder: Path, plain: Callable[[], object], ours: Callable[[], object]) -> float:
    """How many times the CPU seconds of ours the plain way takes, each in a process of its own."""
    works = partial(_quietly, plain), partial(_quietly, ours)
    seconds = [[in_a_child(work, folder) for work in works] for _ in range(TIMES)]
    first, second = (statistics.median(some) for some in zip(*seconds, strict=True))
    return first / second


def _quietly(work: Callable[[], object]) -> None:
    work()


RATIOS: dict[str, Callable[[Path], float]] = {
    "training": training,
    "packing": packed,
    "decoding": decoding,
    "reading": reading,
    "history": sessions,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(RATIOS), choices=list(RATIOS))
    parser.add_argument("--keep", action="store_true", help="write down what is measured")
    wanted = parser.parse_args()
    os.environ.update(jobs.PATIENT_THREADS, TOKENIZERS_PARALLELISM="false")
    kind = Precision.of("cpu").name
    all_kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    kept = all_kept.setdefault(kind, {})
    import_everything()
    worse = []
    print(f"One thread, {kind}.\n| what | times as fast | kept |\n|---|---|---|", flush=True)
    for name in wanted.only:
        with tempfile.TemporaryDirectory() as temporary:
            found = RATIOS[name](Path(temporary))
        before = kept.get(name)
        if before and found < (1 - LOSS) * before:
            worse.append(name)
        print(f"| {name} | {found:.3g} | {before or 'none'} |", flush=True)
        if wanted.keep:
            kept[name] = float(f"{found:.3g}")
    if wanted.keep:
        KEPT.write_text(json.dumps(all_kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        return 0
    if worse:
        print(f"More than {LOSS:.0%} was lost: {', '.join(worse)}.")
    return bool(worse)


if __name__ == "__main__":
    sys.exit(main())
