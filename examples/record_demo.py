"""Make the recording behind `make demo` out of a workspace in which real sessions were trained.

    export SAILS_WORKSPACE=recording
    sails pipeline --data-file examples/programming_basics.json --name "Programming basics"
    sails train --data-file examples/web_development.json --name "Web development" --preset quick
    sails train --data-file examples/web_development.json --name "Web development again" \\
        --preset quick --learning-rate 5e-5
    sails train --data-file examples/databases.json --name "Databases in a hurry" --preset quick \\
        --learning-rate 3e-4 --replay-share 0 --protect 0
    sails pipeline --data-file examples/databases.json --name "Databases" --preset quick \\
        --learning-rate 5e-5
    sails train --data-file examples/programming_basics.json --name "Programming once more" --detach
    sails sessions stop last
    python examples/record_demo.py recording examples/demo

Copies what was asked, what became of it, figures, answers, logs and rows; no weights, and nothing that says
on which machine it was.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

WEIGHTS = shutil.ignore_patterns("model", "checkpoints", "lock", "stop")


def record(workspace: Path, target: Path) -> None:
    """Copy the sessions and datasets of `workspace` to `target`, which is made anew."""
    shutil.rmtree(target, ignore_errors=True)
    for part in ("sessions", "datasets"):
        shutil.copytree(workspace / part, target / part, ignore=WEIGHTS)
    shutil.copyfile(workspace / "heldout", target / "heldout")
    here = f"{workspace.resolve()}/"
    for path in target.glob("sessions/*/*"):
        if path.is_file():
            path.write_text(path.read_text(encoding="utf-8").replace(here, ""), encoding="utf-8")
    for path in target.glob("sessions/*/status.json"):
        status = json.loads(path.read_text(encoding="utf-8")) | {"pid": None, "pid_created": None, "host": ""}
        path.write_text(json.dumps(status, indent=1, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    record(Path(sys.argv[1]), Path(sys.argv[2]))
