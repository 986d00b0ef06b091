"""Who may import whom, and what stays light: the walls between the rooms of the design."""

import ast
import json
import os
import subprocess
import sys
import tomllib
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
HEAVY = {"torch", "transformers", "optimum", "datasets", "streamlit"}
SECONDS = 2.0  # of processor time; on an ordinary machine they need a third of it

# From top to bottom. A room imports from its own floor and from those below; the longest name counts.
FLOORS = (
    ("app", "pages", "sails.cli.app", "sails.__main__"),
    ("sails.cli", "sails.ui"),
    (
        "sails.jobs.train",
        "sails.jobs",
        "sails.sessions.reporter",
        "sails.training.plan.forecast",
        "sails.jobs.replay",
        "sails.jobs.export",
        "sails.onnx.convert",
        "sails.jobs.rerunning",
        "sails.jobs.candidates",
        "sails.jobs.lr_finder",
        "sails.training.mixture",
        "sails.onnx.bundle",
        "sails.onnx.model_card",
        "sails.jobs.watch",
        "sails.training.evaluation",
    ),
    (
        "sails.training.trainer",
        "sails.training.scoring",
        "sails.training.lr_range_test",
        "sails.training.divergence",
        "sails.onnx",
    ),
    (
        "sails.training.dataloader",
        "sails.training.token_count",
        "sails.models.catalog",
        "sails.models.gguf",
        "sails.models.download",
        "sails.chat.models",
    ),
    (
        "sails.onnx.runtime.generate",  # chatting needs no torch, so it lies below what does
        "sails.onnx.runtime.chat_template",
        "sails.onnx.runtime.decoder",
        "sails.onnx.runtime.tokenizer",
        "sails.onnx.runtime.sampling",
        "sails.onnx.certify.certificate",
        "sails.chat.conversation",
        "sails.chat.transcript",
        "sails.chat.model_cache",
        "sails.chat.diff",
        "sails.chat.prompt_runs",
        "sails.chat.saved_prompts",
        "sails.data.datasets",
        "sails.chat.feedback",
        "sails.chat.feedback.review",
        "sails.data.draft",
        "sails.training.plan.presets",
        "sails.sessions.monitor",
        "sails.retention.questions",
        "sails.training.outcome",
        "sails.ui.bridge.next_step",
        "sails.sessions.demo",
        "sails.sessions.lineage",
        "sails.sessions.archive",
        "sails.ui.sessions.comparison",
        "sails.retention",
    ),
    (
        "sails.models.publish",
        "sails.models.onnx_store",
        "sails.data",
        "sails.sessions",
        "sails.training.plan.behavior",
        "sails.models.workspace",
        "sails.models.variants",
    ),
    ("sails.system.locks", "sails.errors", "sails.system.access"),
)


@cache
def imports() -> dict[str, frozenset[str]]:
    """For each of our modules, those of ours that it imports anywhere in its text."""
    sources = [*REPOSITORY.glob("sails/**/*.py"), *REPOSITORY.glob("pages/*.py"), REPOSITORY / "app.py"]
    names = {path: ".".join(path.relative_to(REPOSITORY).with_suffix("").parts) for path in sources}
    modules = {path: name.removesuffix(".__init__") for path, name in names.items()}
    known = set(modules.values())
    return {
        module: frozenset(imported for imported in _imported(path) if imported in known)
        for path, module in modules.items()
    }


def _imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found - {"sails"}


def floor_of(module: str) -> int:
    rooms = {room: floor for floor, row in enumerate(FLOORS) for room in row}
    inside = [room for room in rooms if f"{module}.".startswith(f"{room}.")]
    assert inside, f"{module} has no place yet: say in FLOORS on which floor it lies"
    return rooms[max(inside, key=len)]


def test_every_room_imports_downwards_only():
    for module, imported in imports().items():
        for other in imported if module != "sails" else ():
            assert floor_of(other) >= floor_of(module), f"{module} imports {other}, which lies above it"


def test_no_module_imports_itself_round_a_corner():
    graph = {module: imported - {module} for module, imported in imports().items()}
    list(TopologicalSorter(graph).static_order())  # raises CycleError, and names the circle


def test_the_walls_see_the_imports_that_are_there():
    assert "sails.models.workspace" in imports()["sails.models.publish"]
    assert "sails.training.trainer" in imports()["sails.jobs.train"]  # also those inside functions
    assert floor_of("sails.onnx.export") < floor_of("sails.onnx.runtime.generate") < floor_of("sails.errors")
    with pytest.raises(AssertionError, match="has no place yet"):
        floor_of("sails.attic")


def test_only_what_draws_pages_knows_streamlit():
    for path in REPOSITORY.glob("sails/**/*.py"):
        if "ui" not in path.relative_to(REPOSITORY).parts:
            named = {name.partition(".")[0] for name in _imported(path)}
            assert "streamlit" not in named, path


LOOK = """
import json, sys, time
before = time.process_time()
__import__(sys.argv[1])
seconds = time.process_time() - before
print(json.dumps([seconds, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def import_alone(module: str) -> tuple[float, set[str]]:
    """Seconds of processor time, and the packages that are loaded afterwards, in a process of its own."""
    command = [sys.executable, "-c", LOOK, module]
    seconds, loaded = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return seconds, set(loaded)


@pytest.mark.parametrize(
    "module",
    [
        "sails.sessions",
        "sails.training.plan.behavior",
        "sails.models.workspace",
        "sails.data",
        "sails.models.publish",
        "sails.data.datasets",
        "sails.training.token_count",
        "sails.jobs.launcher",
        "sails.onnx.runtime.generate",
        "sails.models.catalog",
        "sails.training.plan.presets",
        "sails.jobs.train",  # it takes its locks before it loads anything heavy
        "sails.cli.app",
    ],
)
def test_a_light_module_loads_fast_and_nothing_heavy(module):
    seconds, loaded = import_alone(module)
    assert loaded & HEAVY == set()
    assert "sails" in loaded
    if seconds >= SECONDS:  # the first import on a fresh machine also compiles
        seconds, _ = import_alone(module)
    assert seconds < SECONDS


def test_no_library_gives_this_computer_a_number(tmp_path):
    """onnxruntime would, on being imported, in a file of the user's."""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "XDG_CACHE_HOME": ""}
    command = [sys.executable, "-c", "import sails.onnx.runtime.decoder"]
    subprocess.run(command, check=True, cwd=REPOSITORY, env=environment)
    assert list(tmp_path.rglob("*")) == []


def test_every_package_is_installed():
    listed = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {path.parent.relative_to(REPOSITORY) for path in REPOSITORY.glob("sails/**/__init__.py")}
    assert sorted(listed) == sorted(".".join(folder.parts) for folder in found)
