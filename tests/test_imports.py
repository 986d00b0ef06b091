"""Who may import whom, and what stays light: the walls between the rooms of the design."""

import ast
import importlib
import json
import os
import re
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

# From the ground up. A room imports from those before it in this list only.
ROOMS = (
    ("errors",),
    ("system",),
    ("models",),
    ("sessions",),
    ("data",),
    ("onnx",),
    ("retention",),
    ("training",),
    ("chat",),
    ("jobs",),
    ("doctor",),
    ("cli", "ui"),
    ("app", "pages"),
)
FORMER = ("sails.worker", "sails.watching")  # names that an older version's processes still call
SURFACE = REPOSITORY / "tests" / "surface.txt"


@cache
def imports() -> dict[str, frozenset[str]]:
    """For each of our modules, those of ours that it imports anywhere in its text."""
    sources = [*REPOSITORY.glob("sails/**/*.py"), *REPOSITORY.glob("pages/*.py"), REPOSITORY / "app.py"]
    names = {path: ".".join(path.relative_to(REPOSITORY).with_suffix("").parts) for path in sources}
    modules = {path: name.removesuffix(".__init__") for path, name in names.items()}
    known = frozenset(modules.values())
    return {module: _imported(path, known) & known for path, module in modules.items()}


def _imported(path: Path, modules: frozenset[str] = frozenset()) -> frozenset[str]:
    """What a file imports: of `from package import name` the name where it is a module, else the package."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (full & modules) | ({node.module} if full - modules else set())
    return frozenset(found - {"sails"})


def room_of(module: str) -> str:
    first, _, rest = module.partition(".")
    return rest.partition(".")[0] if first == "sails" else first


def floor_of(module: str) -> int:
    found = [floor for floor, rooms in enumerate(ROOMS) if room_of(module) in rooms]
    assert found, f"{module} has no place yet: say in ROOMS between which rooms it lies"
    return found[0]


def housed() -> dict[str, frozenset[str]]:
    """`imports()` without the package itself and the names kept for an older version."""
    outside = {"sails", "sails.__main__"}
    return {m: names for m, names in imports().items() if m not in outside and not m.startswith(FORMER)}


def test_there_are_thirteen_rooms():
    at_top = {path.stem for path in REPOSITORY.glob("sails/*") if path.stem[:2] != "__"}
    assert at_top - {name.partition(".")[2] for name in FORMER} == {r for rooms in ROOMS[:-1] for r in rooms}


def test_the_architecture_page_draws_this_order_and_names_what_is_there():
    page = (REPOSITORY / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    (drawn,) = re.findall(r"^    (errors ◄ .*)$", page, re.MULTILINE)
    assert tuple(tuple(floor.split(" | ")) for floor in drawn.split(" ◄ ")) == ROOMS
    described = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert described == [room for rooms in ROOMS[:-1] for room in rooms]
    for path in re.findall(r"`((?:sails|tests|docs)/[\w/.]*)`", page):
        assert (REPOSITORY / path).exists(), path


def test_every_room_imports_downwards_only():
    for module, imported in housed().items():
        for other in imported:
            if room_of(other) != room_of(module):
                assert floor_of(other) < floor_of(module), f"{module} imports {other}, which is not below it"


def test_no_module_imports_itself_round_a_corner():
    graph = {module: imported - {module} for module, imported in imports().items()}
    list(TopologicalSorter(graph).static_order())  # raises CycleError, and names the circle


def test_the_walls_see_the_imports_that_are_there():
    assert "sails.models" in imports()["sails.sessions.session"]
    assert "sails.training" in imports()["sails.jobs.train"]
    assert floor_of("sails.errors") < floor_of("sails.onnx.export") < floor_of("sails.ui.frame")
    with pytest.raises(AssertionError, match="has no place yet"):
        floor_of("sails.attic")


# --- doors ----------------------------------------------------------------------------------------


def doors() -> list[str]:
    """Every package of ours; what a bundle carries and the file formats have no surface of their own."""
    found = [
        ".".join(path.parent.relative_to(REPOSITORY).parts)
        for path in REPOSITORY.glob("sails/*/**/__init__.py")
    ]
    return sorted(set(found) - {"sails.onnx.runtime", "sails.data.formats", *FORMER})


def past_a_door(module: str, other: str) -> bool:
    """Whether `other` lies in a package that `module` is no part of: its door is the way in."""
    inside = [
        door for door in doors() if other.startswith(f"{door}.") and not f"{module}.".startswith(f"{door}.")
    ]
    return other not in doors() and bool(inside)


def test_nobody_imports_past_a_door():
    found = [f"{m} imports {o}" for m, imported in housed().items() for o in imported if past_a_door(m, o)]
    assert found == []


def test_a_way_past_a_door_is_seen():
    assert past_a_door("sails.ui.frame", "sails.models.journal")
    assert past_a_door("sails.training.trainer", "sails.training.plan.schedule")
    assert not past_a_door("sails.models.publish", "sails.models.journal")
    assert not past_a_door("sails.ui.frame", "sails.training.plan")


@pytest.mark.parametrize("door", doors())
def test_a_door_says_what_it_is_for_and_hands_out_what_it_names(door):
    package = importlib.import_module(door)
    modules = {name.removeprefix(f"{door}.") for name in imports() if name.startswith(f"{door}.")}
    assert package.__doc__
    for name in package.__all__:
        assert hasattr(package, name)
        assert name not in modules, f"{door}.{name} is a module as well: which of the two one gets is chance"


def test_the_surface_of_every_door_is_the_one_that_was_agreed():
    """A name more or less at a door is a decision: change `tests/surface.txt` with it."""
    agreed = dict(line.split(": ") for line in SURFACE.read_text(encoding="utf-8").splitlines())
    assert {door: " ".join(importlib.import_module(door).__all__) for door in doors()} == agreed


# --- what stays light -----------------------------------------------------------------------------


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
        *(door for door in doors() if not door.startswith("sails.ui")),
        "sails.training.outcome",
        "sails.training.mixture",
        "sails.training.token_count",
        "sails.onnx.runtime.generate",
        "sails.jobs.worker",  # it takes its locks before it loads anything heavy
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


def test_the_door_of_the_pages_loads_whole_what_two_visitors_would_load_at_once():
    code = "import sails.ui, sys; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    loaded = {*subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.split()}
    assert {"pandas", "pyarrow", "numpy", "plotly.io", "plotly.graph_objs._figure"} <= loaded
    assert not {name.partition(".")[0] for name in loaded} & HEAVY
    for page in (REPOSITORY / "app.py", *(REPOSITORY / "pages").glob("*.py")):
        assert any(name.startswith("sails.ui") for name in _imported(page)), page


def test_a_chat_in_the_terminal_starts_without_what_it_does_not_need():
    _, loaded = import_alone("sails.cli.chat")
    assert loaded & (HEAVY | {"pydantic", "pandas", "rich"}) == set()


def test_pages_and_commands_start_workers_and_never_load_one():
    above = sorted(name for name in imports() if room_of(name) in ("cli", "ui"))
    command = [sys.executable, "-c", f"import {', '.join(above)}, sys; print(*sys.modules)"]
    loaded = {*subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.split()}
    assert "sails.jobs.launcher" in loaded
    assert {"sails.jobs.worker", "sails.jobs.train"} & loaded == set()


def test_no_library_gives_this_computer_a_number(tmp_path):
    """onnxruntime would, on being imported, in a file of the user's."""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "XDG_CACHE_HOME": ""}
    command = [sys.executable, "-c", "import sails.onnx.runtime.decoder"]
    subprocess.run(command, check=True, cwd=REPOSITORY, env=environment)
    assert list(tmp_path.rglob("*")) == []


def test_the_type_check_knows_every_door():
    overrides = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    told = next(part["module"] for part in overrides if part.get("implicit_reexport"))
    assert sorted(told) == doors()


def test_every_package_is_installed():
    from setuptools import find_packages

    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"][
        "find"
    ]
    folders = {path.parent.relative_to(REPOSITORY) for path in REPOSITORY.glob("sails/**/*.py")}
    assert sorted(find_packages(str(REPOSITORY), **settings)) == sorted(".".join(f.parts) for f in folders)
